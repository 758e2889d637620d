//! The state machine: a map from bytes to bytes.

use std::io::Read;
use std::mem::ManuallyDrop;

use bytes::{Bytes, BytesMut};
use imbl::HashMap;
use quorate::{LogPosition, MachineError, SnapshotError, SnapshotWriter, StateMachine};

use super::command::{Command, Only, Query, Refusal, Report, Response};
use super::limits::{REPLY_BYTES_MAX, VALUE_BYTES_MAX};
use super::parser::integer;
use super::picture;

/// All keys and their values. Nothing here depends on the order of the map.
///
/// It is a persistent map: a clone shares everything with it, and only what is changed later is copied, branch by branch.
/// For that it takes a few hundred nanoseconds more per command than the map of the standard library.
///
/// It is given up only with the process, which does not wait until millions of keys are freed one by one.
#[derive(Default)]
pub(crate) struct Store {
    values: ManuallyDrop<HashMap<Bytes, Bytes>>,
}

impl StateMachine for Store {
    type Command = Command;
    type Query = Query;
    type Response = Response;

    fn apply(&mut self, _at: LogPosition, command: Command) -> Response {
        let done = match command {
            Command::Set { key, value, only, report } => Ok(self.set(key, value, only, report)),
            Command::SetMany(pairs) => {
                self.values.extend(pairs);
                Ok(Response::Ok)
            }
            Command::Delete(keys) => Ok(count(keys.iter().filter(|key| self.values.remove(*key).is_some()))),
            Command::Take(key) => Ok(Response::Value(self.values.remove(&key))),
            Command::Add { key, by } => self.add(key, by),
            Command::Append { key, value } => self.append(key, &value),
            Command::CompareAndSwap { key, expected, new } => {
                let swaps = self.values.get(&key) == Some(&expected);
                if swaps {
                    self.values.insert(key, new);
                }
                Ok(Response::Integer(i64::from(swaps)))
            }
            Command::Clear => {
                self.values.clear();
                Ok(Response::Ok)
            }
            Command::Ask(query) => Ok(self.query(query)),
        };
        done.unwrap_or_else(Response::Refused)
    }

    fn query(&self, query: Query) -> Response {
        match query {
            Query::Get(key) => Response::Value(self.values.get(&key).cloned()),
            Query::GetMany(keys) => self.get_many(&keys).unwrap_or_else(Response::Refused),
            Query::Exists(keys) => count(keys.iter().filter(|key| self.values.contains_key(*key))),
            Query::Length(key) => number(self.values.get(&key).map_or(0, Bytes::len)),
            Query::Size => number(self.values.len()),
        }
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let values = HashMap::clone(&self.values);
        Ok(Box::new(move |out| picture::write(&values, out)))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        // Two stores might not fit.
        *self.values = HashMap::new();
        *self.values = picture::read(snapshot)?;
        Ok(())
    }
}

impl Store {
    fn set(&mut self, key: Bytes, value: Bytes, only: Only, report: Report) -> Response {
        let sets = match only {
            Only::Always => true,
            Only::IfAbsent => !self.values.contains_key(&key),
            Only::IfPresent => self.values.contains_key(&key),
        };
        let previous = if sets { self.values.insert(key, value) } else { self.values.get(&key).cloned() };
        match report {
            Report::Status if sets => Response::Ok,
            Report::Status => Response::Value(None),
            Report::Count => Response::Integer(i64::from(sets)),
            Report::Previous => Response::Value(previous),
        }
    }

    fn add(&mut self, key: Bytes, by: i64) -> Result<Response, Refusal> {
        let number = match self.values.get(&key) {
            Some(value) => integer(value).ok_or(Refusal::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
        self.values.insert(key, sum.to_string().into());
        Ok(Response::Integer(sum))
    }

    fn append(&mut self, key: Bytes, tail: &[u8]) -> Result<Response, Refusal> {
        let head = self.values.get(&key).map_or(&[][..], |value| value);
        let length = head.len() + tail.len();
        if length > VALUE_BYTES_MAX {
            return Err(Refusal::ValueTooLong);
        }
        let mut value = BytesMut::with_capacity(length);
        value.extend_from_slice(head);
        value.extend_from_slice(tail);
        self.values.insert(key, value.freeze());
        Ok(number(length))
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Response, Refusal> {
        /// What RESP puts around a value, at most.
        const AROUND: usize = 16;
        let mut bytes = AROUND;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.values.get(key).cloned();
            bytes += AROUND + value.as_ref().map_or(0, Bytes::len);
            if bytes > REPLY_BYTES_MAX {
                return Err(Refusal::ReplyTooLong);
            }
            values.push(value);
        }
        Ok(Response::Values(values))
    }
}

fn count(items: impl Iterator) -> Response {
    number(items.count())
}

fn number(count: usize) -> Response {
    Response::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIL: Response = Response::Value(None);

    fn word(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn set(key: &'static str, value: &'static str, only: Only, report: Report) -> Command {
        Command::Set { key: word(key), value: word(value), only, report }
    }

    fn value(text: &'static str) -> Response {
        Response::Value(Some(word(text)))
    }

    /// A store, and the commands applied to it so far.
    #[derive(Default)]
    struct Scene {
        store: Store,
        applied: u64,
    }

    impl Scene {
        fn apply(&mut self, command: Command) -> Response {
            self.applied += 1;
            let at =
                LogPosition { term: quorate::types::Term(1), index: quorate::types::LogIndex(self.applied) };
            self.store.apply(at, command)
        }

        fn get(&self, key: &'static str) -> Response {
            self.store.query(Query::Get(word(key)))
        }
    }

    #[test]
    fn set_keeps_its_conditions_and_says_what_was_asked() {
        use {Only::*, Report::*};
        let mut scene = Scene::default();

        assert_eq!(scene.apply(set("k", "1", IfPresent, Status)), NIL);
        assert_eq!(scene.apply(set("k", "2", IfAbsent, Status)), Response::Ok);
        assert_eq!(scene.apply(set("k", "3", IfAbsent, Count)), Response::Integer(0));
        assert_eq!(scene.apply(set("k", "4", IfPresent, Count)), Response::Integer(1));
        assert_eq!(scene.apply(set("k", "5", Always, Previous)), value("4"));
        assert_eq!(scene.apply(set("k", "6", IfAbsent, Previous)), value("5"));
        assert_eq!(scene.get("k"), value("5"));
    }

    #[test]
    fn numbers_are_added_until_they_overflow() {
        let mut scene = Scene::default();
        let add = |by| Command::Add { key: word("n"), by };

        assert_eq!(scene.apply(add(i64::MAX)), Response::Integer(i64::MAX));
        assert_eq!(scene.apply(add(1)), Response::Refused(Refusal::Overflow));
        assert_eq!(scene.apply(add(-2)), Response::Integer(i64::MAX - 2));
        scene.apply(set("n", "1.5", Only::Always, Report::Status));
        assert_eq!(scene.apply(add(1)), Response::Refused(Refusal::NotAnInteger));
        assert_eq!(scene.get("n"), value("1.5"));
    }

    #[test]
    fn many_keys_are_set_counted_read_and_deleted_as_one() {
        let mut scene = Scene::default();
        let keys = vec![word("a"), word("b"), word("a"), word("missing")];

        scene.apply(Command::SetMany(vec![(word("a"), word("1")), (word("b"), word("2"))]));
        assert_eq!(scene.store.query(Query::Exists(keys.clone())), Response::Integer(3));
        let read = Response::Values(vec![Some(word("1")), Some(word("2")), Some(word("1")), None]);
        assert_eq!(scene.apply(Command::Ask(Query::GetMany(keys.clone()))), read);
        assert_eq!(scene.apply(Command::Delete(keys)), Response::Integer(2));
        assert_eq!(scene.store.query(Query::Size), Response::Integer(0));
    }

    #[test]
    fn a_swap_happens_only_from_the_expected_value() {
        let mut scene = Scene::default();
        let swap = |expected, new| Command::CompareAndSwap {
            key: word("k"),
            expected: word(expected),
            new: word(new),
        };

        assert_eq!(scene.apply(swap("", "1")), Response::Integer(0), "no value is not the empty value");
        scene.apply(set("k", "1", Only::Always, Report::Status));
        assert_eq!(scene.apply(swap("1", "2")), Response::Integer(1));
        assert_eq!(scene.apply(swap("1", "3")), Response::Integer(0));
        assert_eq!(scene.apply(Command::Take(word("k"))), value("2"));
        assert_eq!(scene.get("k"), NIL);
    }

    #[test]
    fn a_picture_shows_the_store_as_it_was_whatever_is_applied_before_it_is_written() {
        let mut scene = Scene::default();
        scene.apply(set("k", "then", Only::Always, Report::Status));
        scene.apply(set("gone", "later", Only::Always, Report::Status));

        let picture = scene.store.snapshot().unwrap();
        scene.apply(set("k", "now", Only::Always, Report::Status));
        scene.apply(Command::Take(word("gone")));
        let mut bytes = Vec::new();
        picture(&mut bytes).unwrap();

        let mut other = Scene::default();
        other.apply(set("own", "gives way", Only::Always, Report::Status));
        other.store.restore(&mut &bytes[..]).unwrap();
        assert_eq!(
            (other.get("k"), other.get("gone"), other.get("own")),
            (value("then"), value("later"), NIL)
        );
        assert_eq!(scene.get("k"), value("now"));
    }

    #[test]
    fn neither_a_value_nor_a_reply_grows_beyond_its_limit() {
        let mut scene = Scene::default();
        let large = Bytes::from(vec![b'v'; VALUE_BYTES_MAX]);
        let key = word("k");
        let append = |value: &Bytes| Command::Append { key: word("k"), value: value.clone() };

        assert_eq!(scene.apply(append(&large)), number(VALUE_BYTES_MAX));
        assert_eq!(scene.apply(append(&word("v"))), Response::Refused(Refusal::ValueTooLong));
        assert_eq!(scene.store.query(Query::Length(key.clone())), number(VALUE_BYTES_MAX));
        let times = REPLY_BYTES_MAX / VALUE_BYTES_MAX;
        assert!(matches!(
            scene.store.query(Query::GetMany(vec![key.clone(); times - 1])),
            Response::Values(_)
        ));
        let refused = Response::Refused(Refusal::ReplyTooLong);
        assert_eq!(scene.store.query(Query::GetMany(vec![key; times])), refused);
    }
}
