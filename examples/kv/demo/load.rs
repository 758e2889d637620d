//! Many clients that write keys of their own, through whichever node answers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::super::client::{Answer, Client};
use super::poll;

const CONNECTIONS: usize = 16;
const KEYS_PER_READ: u64 = 500;
/// How long a writer keeps trying one key while the nodes are busy electing.
const KEY_WITHIN: Duration = Duration::from_secs(20);
const READ_WITHIN: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// The writers at work.
pub(crate) struct Load {
    keys: u64,
    progress: Receiver<Progress>,
}

/// What a writer has to tell.
pub(crate) enum Progress {
    /// A key was acknowledged, this long after it was first sent.
    Acknowledged { at: Instant, took: Duration },
    /// An attempt of which nobody can say whether it took effect. The key is written again.
    Unknown,
    /// A writer gave up.
    Failed(String),
}

impl Load {
    /// Writes keys 0 to `keys`, one after the other on each connection.
    pub(crate) fn start(addresses: &[String], keys: u64) -> Self {
        let (sender, progress) = crossbeam_channel::unbounded();
        let next = Arc::new(AtomicU64::new(0));
        for number in 0..CONNECTIONS {
            let writer = Writer {
                addresses: addresses.to_vec(),
                through: number % addresses.len(),
                connection: None,
                progress: sender.clone(),
            };
            let next = Arc::clone(&next);
            thread::spawn(move || writer.run(&next, keys));
        }
        Self { keys, progress }
    }

    /// What happens, until every key is acknowledged.
    pub(crate) fn progress(&self) -> impl Iterator<Item = Progress> {
        self.progress.iter()
    }

    /// Reads every key through every node. How many are missing or wrong somewhere?
    pub(crate) fn read_back(&self, addresses: &[String]) -> Result<u64, String> {
        let mut lost = vec![false; self.keys as usize];
        for address in addresses {
            let failed = |reason: String| format!("reading back through {address}: {reason}");
            let mut client = Client::connect(address).map_err(|error| failed(error.to_string()))?;
            for first in (0..self.keys).step_by(KEYS_PER_READ as usize) {
                let numbers = first..self.keys.min(first + KEYS_PER_READ);
                let values = read_many(&mut client, numbers.clone()).map_err(failed)?;
                for (number, found) in numbers.zip(values) {
                    lost[number as usize] |= found != Answer::Bulk(value(number).into_bytes());
                }
            }
        }
        Ok(lost.into_iter().filter(|&lost| lost).count() as u64)
    }
}

/// The values of some keys, one for each.
fn read_many(client: &mut Client, numbers: Range<u64>) -> Result<Vec<Answer>, String> {
    let keys: Vec<_> = numbers.map(key).collect();
    let words: Vec<_> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
    let read = || match client.call(&words) {
        Ok(Answer::Array(values)) if values.len() == keys.len() => Some(Ok(values)),
        Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => None,
        other => Some(Err(format!("{other:?}"))),
    };
    poll(READ_WITHIN, read).unwrap_or_else(|| Err(format!("no answer within {READ_WITHIN:?}")))
}

/// One connection's worth of writing.
struct Writer {
    addresses: Vec<String>,
    through: usize,
    connection: Option<Client>,
    progress: Sender<Progress>,
}

impl Writer {
    #[expect(clippy::disallowed_methods, reason = "latencies are what is measured here")]
    fn run(mut self, next: &AtomicU64, keys: u64) {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= keys {
                return;
            }
            let started = Instant::now();
            let written = loop {
                match self.attempt(number) {
                    Attempt::Acknowledged => {
                        break Progress::Acknowledged { at: Instant::now(), took: started.elapsed() };
                    }
                    Attempt::Failed(reason) => break Progress::Failed(reason),
                    Attempt::Unknown if self.progress.send(Progress::Unknown).is_err() => return,
                    Attempt::Unknown | Attempt::NotApplied if started.elapsed() < KEY_WITHIN => {
                        thread::sleep(RETRY_AFTER);
                    }
                    _ => {
                        break Progress::Failed(format!(
                            "{} was not written within {KEY_WITHIN:?}",
                            key(number)
                        ));
                    }
                }
            };
            if self.progress.send(written).is_err() {
                return;
            }
        }
    }

    fn attempt(&mut self, number: u64) -> Attempt {
        let Some(client) = self.connected() else { return Attempt::NotApplied };
        match client.call(&[b"SET", key(number).as_bytes(), value(number).as_bytes()]) {
            Ok(Answer::Status(_)) => Attempt::Acknowledged,
            Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => Attempt::NotApplied,
            Ok(Answer::Error(text)) if text.starts_with("UNKNOWN") => Attempt::Unknown,
            Ok(other) => Attempt::Failed(format!("a node replied {other:?} to SET")),
            Err(_) => {
                self.connection = None;
                self.through = (self.through + 1) % self.addresses.len();
                Attempt::Unknown
            }
        }
    }

    /// The connection, or a new one to the next node that takes it.
    fn connected(&mut self) -> Option<&mut Client> {
        if self.connection.is_none() {
            self.connection = Client::connect(&self.addresses[self.through]).ok();
        }
        if self.connection.is_none() {
            self.through = (self.through + 1) % self.addresses.len();
        }
        self.connection.as_mut()
    }
}

enum Attempt {
    Acknowledged,
    NotApplied,
    Unknown,
    Failed(String),
}

fn key(number: u64) -> String {
    format!("demo:{number}")
}

/// A value that no other key has, of a size as values have it.
fn value(number: u64) -> String {
    format!("{number:0>100}")
}
