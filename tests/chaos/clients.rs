//! Clients at work, each on a thread of its own, until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use crate::client::Recorder;
use crate::seen::Seen;
use crate::stand::PATIENCE;

pub(crate) const CLIENTS: usize = 8;

pub(crate) struct Clients {
    answers: Receiver<()>,
    over: Arc<AtomicBool>,
    moments: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Clients {
    /// Clients that go through the nodes at these addresses.
    pub(crate) fn start(addresses: &[String], seed: u64) -> Self {
        let (answered, answers) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let moments = Arc::new(AtomicU64::new(1));
        let threads = (0..CLIENTS).map(|number| {
            let (answered, over, moments) = (answered.clone(), Arc::clone(&over), Arc::clone(&moments));
            let addresses = addresses.to_vec();
            thread::spawn(move || {
                let mut client = Recorder::new(number, CLIENTS, &addresses, &moments, seed);
                while !over.load(Ordering::Relaxed) {
                    if client.turn() {
                        let _ = answered.send(());
                    }
                }
                client.seen
            })
        });
        let threads = threads.collect();
        Self { answers, over, moments, threads }
    }

    /// Answers are the clock of these tests: faults come and go after so many of them.
    pub(crate) fn await_answers(&self, count: usize) {
        // Those that came before do not count.
        while self.answers.try_recv().is_ok() {}
        for _ in 0..count {
            self.answers.recv_timeout(PATIENCE).expect("a cluster with a majority makes progress");
        }
    }

    /// Ends them; gives what they saw, and the counter of moments, for whoever looks after them.
    pub(crate) fn finish(self) -> (Seen, Arc<AtomicU64>) {
        self.over.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for thread in self.threads {
            seen.merge(thread.join().expect("a client heard what nobody may say"));
        }
        (seen, self.moments)
    }
}
