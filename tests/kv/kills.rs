//! Nodes are killed with SIGKILL at random moments under load, and started again. What was acknowledged stays; what was
//! refused never appears; what is counted is counted once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::program::client::{Answer, Client};
use crate::random::Random;
use crate::stand::{PATIENCE, Stand};

const NODES: usize = 3;
const WRITERS: usize = 6;
const KILLS: usize = 24;
const KEYS_PER_READ: usize = 500;

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_under_load() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    let mut stand = Stand::start(NODES);
    let (acknowledged, acknowledgements) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let addresses: Vec<_> = (1..=NODES).map(|id| stand.redis(id).to_owned()).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Writer::new(number, &addresses, seed, acknowledged.clone());
            let over = Arc::clone(&over);
            thread::spawn(move || writer.run(&over))
        })
        .collect();
    drop(acknowledged);

    let mut kills = 0;
    while kills < KILLS {
        await_writes(&acknowledgements, 1 + random.below(200));
        let victims = victims(&stand, &mut random);
        for &id in &victims {
            stand.kill(id);
            kills += 1;
        }
        if victims.len() == 1 {
            await_writes(&acknowledgements, random.below(100));
        }
        for id in victims {
            stand.start_node(id);
        }
    }
    await_writes(&acknowledgements, 1);
    over.store(true, Ordering::Relaxed);

    let records: Vec<_> =
        writers.into_iter().map(|writer| writer.join().expect("a writer found a fault")).collect();
    for id in 1..=NODES {
        for record in &records {
            record.check(&mut stand.client(id));
        }
    }
    let count =
        |fate| records.iter().flat_map(|record| record.keys.values()).filter(|&&found| found == fate).count();
    println!(
        "{kills} kills; {} acknowledged, {} unknown, {} refused, none lost",
        count(Fate::Acknowledged),
        count(Fate::Unknown),
        count(Fate::Refused),
    );
}

/// Mostly the leader, sometimes another, now and then two, or all of them.
fn victims(stand: &Stand, random: &mut Random) -> Vec<usize> {
    let any = 1 + random.below(NODES);
    match random.below(10) {
        0 => (1..=NODES).collect(),
        1 => vec![any, any % NODES + 1],
        2..=4 => vec![any],
        _ => vec![stand.leader_now().unwrap_or(any)],
    }
}

/// Writes are the clock of this test: kills and restarts come after so many of them.
fn await_writes(acknowledgements: &Receiver<()>, count: usize) {
    // Those that came before do not count.
    while acknowledgements.try_recv().is_ok() {}
    for _ in 0..count {
        acknowledgements.recv_timeout(PATIENCE).expect("a cluster with a majority makes progress");
    }
}

/// What a client knows of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Unknown,
    Refused,
}

/// What one writer wrote, and what became of it as far as it knows.
#[derive(Default)]
struct Record {
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
    fn check(&self, client: &mut Client) {
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
    addresses: Vec<String>,
    through: usize,
    connection: Option<Client>,
    random: Random,
    acknowledged: Sender<()>,
}

impl Writer {
    fn new(number: usize, addresses: &[String], seed: u64, acknowledged: Sender<()>) -> Self {
        let record = Record { writer: number, ..Record::default() };
        let random = Random::new(seed ^ (number as u64 + 1) << 32);
        Self {
            record,
            addresses: addresses.to_vec(),
            through: number,
            connection: None,
            random,
            acknowledged,
        }
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
            self.connection = Client::connect(&self.addresses[self.through % NODES]).ok();
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
