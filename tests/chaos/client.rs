//! One client: it asks one node after the other, and writes down what it asked, when, and what it heard.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::linearizability::bank::Reading;
use crate::linearizability::{Fate, Operation, counter, list, register};
use crate::program::client::{Answer, Client};
use crate::random::Random;
use crate::seen::Seen;

/// Accounts of each client, and what they hold together.
pub(crate) const MONEY: u64 = 100;
/// Keys are given up for new ones after so many moments: histories stay short enough to be judged.
const MOMENTS_PER_GENERATION: u64 = 3_000;
const REGISTERS: usize = 4;
const COUNTERS: usize = 2;
const LISTS: usize = 2;

/// One word of its answer for every kind of end.
enum Heard {
    Answer(Answer),
    Refused,
    Unknown,
}

pub(crate) struct Recorder<'a> {
    pub(crate) number: usize,
    pub(crate) clients: usize,
    pub(crate) addresses: &'a [String],
    pub(crate) moments: &'a AtomicU64,
    pub(crate) random: Random,
    pub(crate) seen: Seen,
    through: usize,
    connection: Option<Client>,
    last: u64,
}

/// The two accounts of a client.
pub(crate) fn accounts(client: usize) -> [String; 2] {
    [format!("bank:{client}:a"), format!("bank:{client}:b")]
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(
        number: usize,
        clients: usize,
        addresses: &'a [String],
        moments: &'a AtomicU64,
        seed: u64,
    ) -> Self {
        let random = Random::new(seed ^ (number as u64) << 32);
        let seen = Seen::default();
        Self { number, clients, addresses, moments, random, seen, through: number, connection: None, last: 0 }
    }

    /// Does one thing or another; `true` if it was answered.
    pub(crate) fn turn(&mut self) -> bool {
        let [register, counter, list] =
            [("register", REGISTERS), ("counter", COUNTERS), ("list", LISTS)].map(|kind| self.any(kind));
        match self.random.below(12) {
            0..=2 => self.set(register),
            3 | 4 => self.swap(register),
            5 | 6 => self.get(register),
            7 => self.count(counter),
            8 => self.append(list),
            9 => self.read_list(list),
            10 => self.move_money(),
            _ => self.read_bank(),
        }
    }

    /// One of the keys of a kind that are in use now.
    fn any(&mut self, (kind, count): (&str, usize)) -> String {
        let generation = self.moments.load(Ordering::Relaxed) / MOMENTS_PER_GENERATION;
        format!("{kind}:{generation}:{}", self.random.below(count))
    }

    fn set(&mut self, key: String) -> bool {
        let value = self.moment();
        self.write(&[b"SET", key.as_bytes(), value.to_string().as_bytes()], |answer| match answer {
            Answer::Status(_) => Some(register::Output::Done),
            _ => None,
        })
        .note(&mut self.seen.registers, self.number, key, register::Input::Set(value))
    }

    fn swap(&mut self, key: String) -> bool {
        let (expected, new) = (self.last, self.moment());
        let words: [&[u8]; 4] =
            [b"CAS", key.as_bytes(), &expected.to_string().into_bytes(), &new.to_string().into_bytes()];
        self.write(&words, |answer| match answer {
            Answer::Integer(swapped) => Some(register::Output::Swapped(swapped == 1)),
            _ => None,
        })
        .note(&mut self.seen.registers, self.number, key, register::Input::Cas { expected, new })
    }

    pub(crate) fn get(&mut self, key: String) -> bool {
        let read = self.read(&[b"GET", key.as_bytes()], |answer| match answer {
            Answer::Null => Some(register::Output::Value(None)),
            Answer::Bulk(digits) => Some(register::Output::Value(Some(number(&digits)))),
            _ => None,
        });
        if let Fate::Known { output: register::Output::Value(Some(value)), .. } = read.fate {
            self.last = value;
        }
        read.note(&mut self.seen.registers, self.number, key, register::Input::Get)
    }

    fn count(&mut self, key: String) -> bool {
        self.write(&[b"INCR", key.as_bytes()], |answer| match answer {
            Answer::Integer(count) => Some(count),
            _ => None,
        })
        .note(&mut self.seen.counters, self.number, key, counter::Input::Add(1))
    }

    pub(crate) fn read_counter(&mut self, key: String) -> bool {
        self.read(&[b"GET", key.as_bytes()], |answer| match answer {
            Answer::Null => Some(0),
            Answer::Bulk(digits) => Some(number(&digits).cast_signed()),
            _ => None,
        })
        .note(&mut self.seen.counters, self.number, key, counter::Input::Read)
    }

    fn append(&mut self, key: String) -> bool {
        let item = self.moment();
        self.write(&[b"APPEND", key.as_bytes(), format!("{item},").as_bytes()], |answer| match answer {
            Answer::Integer(_) => Some(list::Output::Done),
            _ => None,
        })
        .note(&mut self.seen.lists, self.number, key, list::Input::Append(item))
    }

    pub(crate) fn read_list(&mut self, key: String) -> bool {
        self.read(&[b"GET", key.as_bytes()], |answer| match answer {
            Answer::Null => Some(list::Output::Items(Vec::new())),
            Answer::Bulk(items) => {
                let items = items.split_inclusive(|&byte| byte == b',');
                Some(list::Output::Items(items.map(|item| number(&item[..item.len() - 1])).collect()))
            }
            _ => None,
        })
        .note(&mut self.seen.lists, self.number, key, list::Input::Read)
    }

    /// Between its own two accounts; both change at once.
    pub(crate) fn move_money(&mut self) -> bool {
        let [a, b] = accounts(self.number);
        let share = self.random.below(MONEY as usize + 1) as u64;
        let (left, right) = (share.to_string(), (MONEY - share).to_string());
        let words: [&[u8]; 5] = [b"MSET", a.as_bytes(), left.as_bytes(), b.as_bytes(), right.as_bytes()];
        matches!(self.ask(&words), Some(Heard::Answer(_)))
    }

    pub(crate) fn read_bank(&mut self) -> bool {
        let keys: Vec<_> = (0..self.clients).flat_map(accounts).collect();
        let words: Vec<_> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
        let called = self.moment();
        let Some(Heard::Answer(Answer::Array(values))) = self.ask(&words) else { return false };
        let balance = |value: &Answer| match value {
            Answer::Bulk(digits) => number(digits).cast_signed(),
            other => panic!("an account holds {other:?}"),
        };
        let balances = values.iter().map(balance).collect();
        let reading = Reading { client: self.number as u32, called, returned: self.moment(), balances };
        self.seen.readings.push(reading);
        true
    }

    fn write<O>(&mut self, words: &[&[u8]], output: impl Fn(Answer) -> Option<O>) -> Call<O> {
        let called = self.moment();
        let fate = match self.ask(words) {
            Some(Heard::Answer(answer)) => {
                let told = format!("{words:?} was answered by {answer:?}");
                Fate::Known { output: output(answer).expect(&told), returned: self.moment() }
            }
            Some(Heard::Unknown) => Fate::Unknown,
            Some(Heard::Refused) | None => Fate::Refused,
        };
        Call { called, fate }
    }

    /// A read that is not answered means nothing.
    fn read<O>(&mut self, words: &[&[u8]], output: impl Fn(Answer) -> Option<O>) -> Call<O> {
        let call = self.write(words, output);
        let fate = match call.fate {
            Fate::Unknown => Fate::Refused,
            fate => fate,
        };
        Call { fate, ..call }
    }

    fn ask(&mut self, words: &[&[u8]]) -> Option<Heard> {
        if self.connection.is_none() {
            let address = &self.addresses[self.through % self.addresses.len()];
            self.connection = Client::connect(address).ok();
        }
        let Some(connection) = self.connection.as_mut() else {
            self.change_node();
            return None;
        };
        match connection.call(words) {
            Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => Some(Heard::Refused),
            Ok(Answer::Error(text)) if text.starts_with("READONLY") => {
                self.change_node();
                Some(Heard::Refused)
            }
            Ok(Answer::Error(text)) if text.starts_with("UNKNOWN") => Some(Heard::Unknown),
            Ok(Answer::Error(text)) => panic!("{words:?} was answered by {text}"),
            Ok(answer) => Some(Heard::Answer(answer)),
            Err(_) => {
                self.change_node();
                Some(Heard::Unknown)
            }
        }
    }

    pub(crate) fn change_node(&mut self) {
        self.connection = None;
        self.through += 1;
    }

    /// Moments are numbers drawn from one counter: no two are equal.
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }
}

/// What became of a call.
struct Call<O> {
    called: u64,
    fate: Fate<O>,
}

impl<O> Call<O> {
    /// Writes it down; `true` if it was answered.
    fn note<I>(self, into: &mut Vec<Operation<String, I, O>>, client: usize, key: String, input: I) -> bool {
        let is_answered = matches!(self.fate, Fate::Known { .. });
        into.push(Operation { client: client as u32, key, called: self.called, input, fate: self.fate });
        is_answered
    }
}

fn number(digits: &[u8]) -> u64 {
    String::from_utf8_lossy(digits).parse().expect("nobody writes anything but numbers")
}
