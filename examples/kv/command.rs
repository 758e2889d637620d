//! What the nodes agree on: commands that change the store, questions about it, and the answers to both.
//!
//! # Byte form
//! A version, a tag, then the fields in the order in which they stand in the type. A string is its length (`u32`) and
//! its bytes, a list is its length (`u32`) and its items, integers are little endian. The version comes first so that a
//! node which does not know a later form says so instead of guessing.

use bytes::Bytes;
use quorate::{Codec, DecodeError};

use super::fields::{Fields, put_bytes, put_count, put_list};

const VERSION: u8 = 1;

/// What changes the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Set {
        key: Bytes,
        value: Bytes,
        only: Only,
        report: Report,
    },
    SetMany(Vec<(Bytes, Bytes)>),
    Delete(Vec<Bytes>),
    /// Deletes the key and answers what it held.
    Take(Bytes),
    Add {
        key: Bytes,
        by: i64,
    },
    Append {
        key: Bytes,
        value: Bytes,
    },
    CompareAndSwap {
        key: Bytes,
        expected: Bytes,
        new: Bytes,
    },
    Clear,
    /// A question that stands between commands of one client and must be answered between them.
    Ask(Query),
}

/// When a key is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Always,
    IfAbsent,
    IfPresent,
}

/// What is answered when a key was set, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// OK or nothing.
    Status,
    /// One or zero.
    Count,
    /// The value before.
    Previous,
}

/// What asks about the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    Get(Bytes),
    GetMany(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Length(Bytes),
    Size,
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Ok,
    Value(Option<Bytes>),
    Values(Vec<Option<Bytes>>),
    Integer(i64),
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why the store did not do what a command asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAnInteger,
    Overflow,
    ValueTooLong,
    ReplyTooLong,
}

impl Codec for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Set { key, value, only, report } => {
                out.extend([1, *only as u8, *report as u8]);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Self::SetMany(pairs) => {
                out.push(2);
                put_count(out, pairs.len());
                for (key, value) in pairs {
                    put_bytes(out, key);
                    put_bytes(out, value);
                }
            }
            Self::Delete(keys) => {
                out.push(3);
                put_list(out, keys);
            }
            Self::Take(key) => {
                out.push(4);
                put_bytes(out, key);
            }
            Self::Add { key, by } => {
                out.push(5);
                put_bytes(out, key);
                by.encode(out);
            }
            Self::Append { key, value } => {
                out.push(6);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            Self::CompareAndSwap { key, expected, new } => {
                out.push(7);
                put_bytes(out, key);
                put_bytes(out, expected);
                put_bytes(out, new);
            }
            Self::Clear => out.push(8),
            Self::Ask(query) => {
                out.push(9);
                query.encode(out);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::of_version(VERSION, bytes)?;
        let command = match fields.byte()? {
            1 => {
                let (only, report) = (only(fields.byte()?)?, report(fields.byte()?)?);
                Self::Set { key: fields.bytes()?, value: fields.bytes()?, only, report }
            }
            2 => Self::SetMany(fields.list(|fields| Ok((fields.bytes()?, fields.bytes()?)))?),
            3 => Self::Delete(fields.list(Fields::bytes)?),
            4 => Self::Take(fields.bytes()?),
            5 => Self::Add { key: fields.bytes()?, by: fields.integer()? },
            6 => Self::Append { key: fields.bytes()?, value: fields.bytes()? },
            7 => {
                Self::CompareAndSwap { key: fields.bytes()?, expected: fields.bytes()?, new: fields.bytes()? }
            }
            8 => Self::Clear,
            9 => return Query::decode(fields.rest()).map(Self::Ask),
            tag => return Err(DecodeError::new(format!("no command has the tag {tag}"))),
        };
        fields.finish(command)
    }
}

fn only(byte: u8) -> Result<Only, DecodeError> {
    let known = [Only::Always, Only::IfAbsent, Only::IfPresent];
    known.get(usize::from(byte)).copied().ok_or_else(|| DecodeError::new("no such condition"))
}

fn report(byte: u8) -> Result<Report, DecodeError> {
    let known = [Report::Status, Report::Count, Report::Previous];
    known.get(usize::from(byte)).copied().ok_or_else(|| DecodeError::new("no such report"))
}

impl Codec for Query {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Get(key) => {
                out.push(1);
                put_bytes(out, key);
            }
            Self::GetMany(keys) => {
                out.push(2);
                put_list(out, keys);
            }
            Self::Exists(keys) => {
                out.push(3);
                put_list(out, keys);
            }
            Self::Length(key) => {
                out.push(4);
                put_bytes(out, key);
            }
            Self::Size => out.push(5),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::of_version(VERSION, bytes)?;
        let query = match fields.byte()? {
            1 => Self::Get(fields.bytes()?),
            2 => Self::GetMany(fields.list(Fields::bytes)?),
            3 => Self::Exists(fields.list(Fields::bytes)?),
            4 => Self::Length(fields.bytes()?),
            5 => Self::Size,
            tag => return Err(DecodeError::new(format!("no query has the tag {tag}"))),
        };
        fields.finish(query)
    }
}

impl Codec for Response {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Ok => out.push(1),
            Self::Value(value) => {
                out.push(2);
                put_value(out, value.as_ref());
            }
            Self::Values(values) => {
                out.push(3);
                put_count(out, values.len());
                for value in values {
                    put_value(out, value.as_ref());
                }
            }
            Self::Integer(number) => {
                out.push(4);
                number.encode(out);
            }
            Self::Refused(refusal) => out.extend([5, *refusal as u8]),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::of_version(VERSION, bytes)?;
        let response = match fields.byte()? {
            1 => Self::Ok,
            2 => Self::Value(value(&mut fields)?),
            3 => Self::Values(fields.list(value)?),
            4 => Self::Integer(fields.integer()?),
            5 => Self::Refused(refusal(fields.byte()?)?),
            tag => return Err(DecodeError::new(format!("no response has the tag {tag}"))),
        };
        fields.finish(response)
    }
}

/// Whether there is a value, then the value.
fn put_value(out: &mut Vec<u8>, value: Option<&Bytes>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

fn value(fields: &mut Fields) -> Result<Option<Bytes>, DecodeError> {
    Ok(match fields.byte()? {
        0 => None,
        _ => Some(fields.bytes()?),
    })
}

fn refusal(byte: u8) -> Result<Refusal, DecodeError> {
    let known = [Refusal::NotAnInteger, Refusal::Overflow, Refusal::ValueTooLong, Refusal::ReplyTooLong];
    known.get(usize::from(byte)).copied().ok_or_else(|| DecodeError::new("no such refusal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// Decodes to itself; every shorter and every longer form, and every other version, is refused.
    fn holds<T: Codec + PartialEq + std::fmt::Debug>(value: &T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(T::decode(&bytes).as_ref(), Ok(value));
        for end in 0..bytes.len() {
            assert!(T::decode(&bytes[..end]).is_err(), "{value:?} cut at {end}");
        }
        bytes.push(0);
        assert!(T::decode(&bytes).is_err(), "{value:?} with a byte too many");
        bytes[0] = VERSION + 1;
        assert!(T::decode(&bytes).unwrap_err().reason.contains("version"));
    }

    #[test]
    fn what_the_nodes_exchange_decodes_to_itself_and_nothing_else_decodes() {
        let (a, b, c) = (word("a"), word(""), word("c c"));
        for query in [
            Query::Get(a.clone()),
            Query::GetMany(vec![a.clone(), b.clone()]),
            Query::Exists(vec![c.clone()]),
            Query::Length(b.clone()),
            Query::Size,
        ] {
            holds(&query);
            holds(&Command::Ask(query));
        }
        for only in [Only::Always, Only::IfAbsent, Only::IfPresent] {
            for report in [Report::Status, Report::Count, Report::Previous] {
                holds(&Command::Set { key: a.clone(), value: b.clone(), only, report });
            }
        }
        for command in [
            Command::SetMany(vec![(a.clone(), b.clone()), (c.clone(), c.clone())]),
            Command::Delete(vec![a.clone(), a.clone()]),
            Command::Take(a.clone()),
            Command::Add { key: a.clone(), by: i64::MIN },
            Command::Append { key: a.clone(), value: c.clone() },
            Command::CompareAndSwap { key: a.clone(), expected: b.clone(), new: c.clone() },
            Command::Clear,
        ] {
            holds(&command);
        }
        for refusal in
            [Refusal::NotAnInteger, Refusal::Overflow, Refusal::ValueTooLong, Refusal::ReplyTooLong]
        {
            holds(&Response::Refused(refusal));
        }
        for response in [
            Response::Ok,
            Response::Value(None),
            Response::Value(Some(b)),
            Response::Values(vec![None, Some(c)]),
            Response::Integer(-1),
        ] {
            holds(&response);
        }
    }
}
