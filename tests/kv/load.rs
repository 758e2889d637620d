//! Clients that write without pause through whichever node is there, and remember what became of every write. What was
//! acknowledged must be there at the end; what was refused must never appear; what is counted is counted once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::program::client::{Answer, Client};
use crate::random::Random;
use crate::stand::PATIENCE;

const WRITERS: usize = 6;
const KEYS_PER_READ: usize = 500;

/// Writers at work.
pub(crate) struct Load {
    addresses: Arc<Mutex<Vec<String>>>,
    acknowledgements: Receiver<()>,
    over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Record>>,
}

impl Load {
    /// Writers that go through the nodes at these addresses.
    pub(crate) fn start(addresses: Vec<String>, seed: u64) -> Self {
        let addresses = Arc::new(Mutex::new(addresses));
        let (acknowledged, acknowledgements) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS).map(|number| {
            let writer = Writer::new(number, Arc::clone(&addresses), seed, acknowledged.clone());
            let over = Arc::clone(&over);
            thread::spawn(move || writer.run(&over))
        });
        let writers = writers.collect();
        Self { addresses, acknowledgements, over, writers }
    }

    /// From now on writers that look for a node find these.
    pub(crate) fn go_through(&self, addresses: Vec<String>) {
        *self.addresses.lock().expect("no writer panics with it") = addresses;
    }

    /// Writes are the clock of these tests: kills, restarts and changes come after so many of them.
    pub(crate) fn await_writes(&self, count: usize) {
        // Those that came before do not count.
        while self.acknowledgements.try_recv().is_ok() {}
        for _ in 0..count {
            let acknowledged = self.acknowledgements.recv_timeout(PATIENCE);
            acknowledged.expect("a cluster with a majority makes progress");
        }
    }

    /// Ends the writers; gives what they know.
    pub(crate) fn finish(self) -> Vec<Record> {
        self.over.store(true, Ordering::Relaxed);
        let records = self.writers.into_iter().map(|writer| writer.join().expect("a writer found a fault"));
        records.collect()
    }
}

/// How many writes ended in this way, in all.
pub(crate) fn count(records: &[Record], fate: Fate) -> usize {
    records.iter().flat_map(|record| record.keys.values()).filter(|&&found| found == fate).count()
}

/// What a client knows of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Unknown,
    Refused,
}

/// What one writer wrote, and what became of it as far as it knows.
#[derive(Default)]
pub(crate) struct Record {
    writer: usize,
    keys: BTreeMap<usize, Fate>,
    counted: u64,
    maybe_counted: u64,
}

impl Record {
    fn key(&self, number: usize) -> String {
        format!("{}:{number}", self.writer)
    }

    fn counter(&self) -> String {
        format!("count:{}", self.writer)
    }

    /// Compares all that a node has with what it must have and must not have.
    pub(crate) fn check(&self, client: &mut Client) {
        let numbers: Vec<_> = self.keys.keys().copied().collect();
        for numbers in numbers.chunks(KEYS_PER_READ) {
            let keys: Vec<_> = numbers.iter().map(|&number| self.key(number)).collect();
            let words: Vec<_> =
                std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
            let Ok(Answer::Array(values)) = client.call(&words) else { panic!("no answer to MGET") };
            for (&number, value) in numbers.iter().zip(&values) {
                self.judge(number, value);
            }
        }
        let value = client.call(&[b"GET", self.counter().as_bytes()]).expect("an answer to GET");
        self.judge_count(&value);
    }

    fn judge(&self, number: usize, value: &Answer) {
        let (key, fate) = (self.key(number), self.keys[&number]);
        let is_there = *value == Answer::Bulk(key.clone().into());
        assert!(is_there || *value == Answer::Null, "{key} holds {value:?}, which nobody wrote");
        assert!(is_there || fate != Fate::Acknowledged, "{key} was acknowledged and is lost");
        assert!(!is_there || fate != Fate::Refused, "{key} was refused as not applied and is there");
    }

    fn judge_count(&self, value: &Answer) {
        let count = match value {
            Answer::Bulk(digits) => String::from_utf8_lossy(digits).parse().expect("a number"),
            Answer::Null => 0,
            other => panic!("{} holds {other:?}", self.counter()),
        };
        let may_be = self.counted..=self.counted + self.maybe_counted;
        assert!(may_be.contains(&count), "{} is {count}, not in {may_be:?}", self.counter());
    }
}

/// One client that writes without pause, through whichever node answers.
struct Writer {
    record: Record,
    addresses: Arc<Mutex<Vec<String>>>,
    through: usize,
    connection: Option<Client>,
    random: Random,
    acknowledged: Sender<()>,
}

impl Writer {
    fn new(number: usize, addresses: Arc<Mutex<Vec<String>>>, seed: u64, acknowledged: Sender<()>) -> Self {
        let record = Record { writer: number, ..Record::default() };
        let random = Random::new(seed ^ (number as u64 + 1) << 32);
        Self { record, addresses, through: number, connection: None, random, acknowledged }
    }

    fn run(mut self, over: &AtomicBool) -> Record {
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            match self.random.below(10) {
                0 => self.read_back(number),
                1 | 2 => self.count(),
                _ => self.write(number),
            }
            if self.random.below(50) == 0 {
                self.change_node();
            }
        }
        self.record
    }

    /// Every key is written once, so that what became of it stays to be seen.
    fn write(&mut self, number: usize) {
        let key = self.record.key(number);
        if let Some(fate) = self.change(&[b"SET", key.as_bytes(), key.as_bytes()]) {
            self.record.keys.insert(number, fate);
        }
    }

    fn count(&mut self) {
        match self.change(&[b"INCR", self.record.counter().as_bytes()]) {
            Some(Fate::Acknowledged) => self.record.counted += 1,
            Some(Fate::Unknown) => self.record.maybe_counted += 1,
            Some(Fate::Refused) | None => {}
        }
    }

    /// A read sees every write that was acknowledged before it, whichever node it asks.
    fn read_back(&mut self, below: usize) {
        let Some((&number, _)) = self.record.keys.range(self.random.below(below + 1)..).next() else {
            return;
        };
        let (key, counter) = (self.record.key(number), self.record.counter());
        let Some(client) = self.connected() else { return };
        match client.call(&[b"MGET", key.as_bytes(), counter.as_bytes()]) {
            Ok(Answer::Array(values)) => {
                self.record.judge(number, &values[0]);
                self.record.judge_count(&values[1]);
            }
            Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => {}
            Ok(other) => panic!("a node replied {other:?} to MGET"),
            Err(_) => self.change_node(),
        }
    }

    /// Sends a command that changes something; `None` if it never left.
    fn change(&mut self, words: &[&[u8]]) -> Option<Fate> {
        match self.connected()?.call(words) {
            Ok(Answer::Status(_) | Answer::Integer(_)) => {
                let _ = self.acknowledged.send(());
                Some(Fate::Acknowledged)
            }
            Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => Some(Fate::Refused),
            Ok(Answer::Error(text)) if text.starts_with("UNKNOWN") => Some(Fate::Unknown),
            Ok(other) => panic!("a node replied {other:?} to {words:?}"),
            Err(_) => {
                self.change_node();
                Some(Fate::Unknown)
            }
        }
    }

    fn connected(&mut self) -> Option<&mut Client> {
        if self.connection.is_none() {
            let addresses = self.addresses.lock().expect("nobody panics with it");
            let address = addresses[self.through % addresses.len()].clone();
            drop(addresses);
            self.connection = Client::connect(&address).ok();
        }
        if self.connection.is_none() {
            self.change_node();
        }
        self.connection.as_mut()
    }

    fn change_node(&mut self) {
        self.connection = None;
        self.through += 1;
    }
}
