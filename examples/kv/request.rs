//! From words to commands of the store, in Redis' own words where a request is wrong.

use bytes::Bytes;

use super::command::{Command, Only, Query, Refusal, Report, Response};
use super::limits::{KEY_BYTES_MAX, REPLY_BYTES_MAX, VALUE_BYTES_MAX};
use super::parser::integer;
use super::reply::Reply;

/// A request for the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Write(Command),
    Read(Query),
}

/// What a request asks of the store; `None` if that is no command of the store.
pub(crate) fn of_store(name: &[u8], rest: &[Bytes]) -> Option<Result<Request, Reply>> {
    Some(match (name, rest) {
        (b"GET", [key]) => read(Query::Get, key),
        (b"MGET", [_, ..]) => keys(rest).map(|keys| Request::Read(Query::GetMany(keys))),
        (b"EXISTS", [_, ..]) => keys(rest).map(|keys| Request::Read(Query::Exists(keys))),
        (b"STRLEN", [key]) => read(Query::Length, key),
        (b"DBSIZE", []) => Ok(Request::Read(Query::Size)),

        (b"SET", [key, value, options @ ..]) => {
            set_options(options).and_then(|(only, report)| set(key, value, only, report))
        }
        (b"SETNX", [key, value]) => set(key, value, Only::IfAbsent, Report::Count),
        (b"GETSET", [key, value]) => set(key, value, Only::Always, Report::Previous),
        (b"MSET", [_, _, ..]) if rest.len().is_multiple_of(2) => set_many(rest),
        (b"GETDEL", [key]) => write(Command::Take, key),
        (b"DEL", [_, ..]) => keys(rest).map(|keys| Request::Write(Command::Delete(keys))),
        (b"INCR", [key]) => add(key, Ok(1)),
        (b"DECR", [key]) => add(key, Ok(-1)),
        (b"INCRBY", [key, by]) => add(key, number(by)),
        (b"DECRBY", [key, by]) => add(key, number(by).and_then(negated)),
        (b"APPEND", [key, value]) => {
            checked(key).map(|key| Request::Write(Command::Append { key, value: value.clone() }))
        }
        (b"CAS", [key, expected, new]) => checked(key).map(|key| {
            Request::Write(Command::CompareAndSwap { key, expected: expected.clone(), new: new.clone() })
        }),
        (b"FLUSHALL", []) => Ok(Request::Write(Command::Clear)),
        (b"FLUSHALL", [how]) if is(how, "ASYNC") || is(how, "SYNC") => Ok(Request::Write(Command::Clear)),
        (b"FLUSHALL", _) => Err(Reply::error("syntax error")),

        (
            b"GET" | b"MGET" | b"EXISTS" | b"STRLEN" | b"DBSIZE" | b"SET" | b"SETNX" | b"GETSET" | b"MSET"
            | b"GETDEL" | b"DEL" | b"INCR" | b"DECR" | b"INCRBY" | b"DECRBY" | b"APPEND" | b"CAS",
            _,
        ) => Err(wrong_arity(name)),
        _ => return None,
    })
}

/// What the store answered, as a reply.
pub(crate) fn reply(response: Response) -> Reply {
    match response {
        Response::Ok => Reply::Status("OK"),
        Response::Integer(number) => Reply::Integer(number),
        Response::Value(value) => bulk(value),
        Response::Values(values) => Reply::Array(values.into_iter().map(bulk).collect()),
        Response::Refused(Refusal::NotAnInteger) => not_an_integer(),
        Response::Refused(Refusal::Overflow) => Reply::error("increment or decrement would overflow"),
        Response::Refused(Refusal::ValueTooLong) => {
            Reply::error(format!("string exceeds maximum allowed size ({VALUE_BYTES_MAX} bytes)"))
        }
        Response::Refused(Refusal::ReplyTooLong) => Reply::error(format!(
            "the reply has more than the {REPLY_BYTES_MAX} bytes allowed: ask for fewer keys"
        )),
    }
}

/// Redis' words for a command with too few or too many arguments.
pub(crate) fn wrong_arity(name: &[u8]) -> Reply {
    let name = String::from_utf8_lossy(name).to_lowercase();
    Reply::error(format!("wrong number of arguments for '{name}' command"))
}

/// Redis' words for a command it does not know: with its name as it was sent.
pub(crate) fn unknown_command(name: &[u8], rest: &[Bytes]) -> Reply {
    const SHOWN_MAX: usize = 128;
    let shown = |word: &[u8], max: usize| String::from_utf8_lossy(&word[..word.len().min(max)]).into_owned();
    let mut beginning = String::new();
    for word in rest {
        if beginning.len() >= SHOWN_MAX {
            break;
        }
        beginning.extend(["'", &shown(word, SHOWN_MAX - beginning.len()), "' "]);
    }
    Reply::error(format!(
        "unknown command '{}', with args beginning with: {beginning}",
        shown(name, SHOWN_MAX)
    ))
}

/// Redis' words for a subcommand it does not know; then those that there are.
pub(crate) fn unknown_subcommand(command: &str, what: &[u8], known: &str) -> Reply {
    let what = String::from_utf8_lossy(&what[..what.len().min(128)]);
    Reply::error(format!("unknown subcommand '{what}'. {command} knows {known}"))
}

/// Redis' words for what should have been a number.
pub(crate) fn not_an_integer() -> Reply {
    Reply::error("value is not an integer or out of range")
}

/// Whether a word is `expected`, in whatever case.
pub(crate) fn is(word: &[u8], expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected.as_bytes())
}

fn set(key: &Bytes, value: &Bytes, only: Only, report: Report) -> Result<Request, Reply> {
    Ok(Request::Write(Command::Set { key: checked(key)?, value: value.clone(), only, report }))
}

/// NX, XX and GET, in any order. This store has no expiry.
fn set_options(options: &[Bytes]) -> Result<(Only, Report), Reply> {
    let (mut only, mut report) = (Only::Always, Report::Status);
    for option in options {
        if is(option, "NX") && only != Only::IfPresent {
            only = Only::IfAbsent;
        } else if is(option, "XX") && only != Only::IfAbsent {
            only = Only::IfPresent;
        } else if is(option, "GET") {
            report = Report::Previous;
        } else {
            return Err(Reply::error("syntax error"));
        }
    }
    Ok((only, report))
}

fn set_many(pairs: &[Bytes]) -> Result<Request, Reply> {
    let pairs = pairs.chunks_exact(2).map(|pair| Ok((checked(&pair[0])?, pair[1].clone())));
    pairs.collect::<Result<_, _>>().map(|pairs| Request::Write(Command::SetMany(pairs)))
}

fn add(key: &Bytes, by: Result<i64, Reply>) -> Result<Request, Reply> {
    Ok(Request::Write(Command::Add { by: by?, key: checked(key)? }))
}

fn number(word: &[u8]) -> Result<i64, Reply> {
    integer(word).ok_or_else(not_an_integer)
}

fn negated(number: i64) -> Result<i64, Reply> {
    number.checked_neg().ok_or_else(|| Reply::error("decrement would overflow"))
}

fn read(query: fn(Bytes) -> Query, key: &Bytes) -> Result<Request, Reply> {
    checked(key).map(query).map(Request::Read)
}

fn write(command: fn(Bytes) -> Command, key: &Bytes) -> Result<Request, Reply> {
    checked(key).map(command).map(Request::Write)
}

fn keys(keys: &[Bytes]) -> Result<Vec<Bytes>, Reply> {
    keys.iter().map(checked).collect()
}

fn checked(key: &Bytes) -> Result<Bytes, Reply> {
    if key.len() > KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(Reply::error(format!(
            "the key has {bytes} bytes, more than the {KEY_BYTES_MAX} allowed"
        )));
    }
    Ok(key.clone())
}

fn bulk(value: Option<Bytes>) -> Reply {
    value.map_or(Reply::Null, Reply::Bulk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Request, String> {
        let words: Vec<_> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let asked = of_store(&words[0].to_ascii_uppercase(), &words[1..]).expect("a command of the store");
        asked.map_err(|reply| match reply {
            Reply::Error(text) => text,
            other => panic!("{other:?} is no error"),
        })
    }

    #[test]
    fn set_takes_its_options_in_any_order_and_no_others() {
        let set = |only, report| {
            let (key, value) = (Bytes::from("k"), Bytes::from("v"));
            Ok(Request::Write(Command::Set { key, value, only, report }))
        };
        assert_eq!(ask("set k v"), set(Only::Always, Report::Status));
        assert_eq!(ask("SET k v get nx"), set(Only::IfAbsent, Report::Previous));
        assert_eq!(ask("SET k v XX GET"), set(Only::IfPresent, Report::Previous));
        for wrong in ["SET k v NX XX", "SET k v EX 10", "SET k v KEEPTTL", "SET k v x"] {
            assert_eq!(ask(wrong), Err("ERR syntax error".into()), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_number_of_arguments_is_told_in_the_words_of_redis() {
        for line in
            ["GET", "get a b", "SET a", "MSET a", "MSET a b c", "DEL", "INCRBY a", "CAS a b", "DBSIZE x"]
        {
            let name = line.split(' ').next().unwrap().to_lowercase();
            assert_eq!(ask(line), Err(format!("ERR wrong number of arguments for '{name}' command")));
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_told_in_the_words_of_redis() {
        let not_an_integer = Err("ERR value is not an integer or out of range".to_owned());
        assert_eq!(ask("INCRBY k 9223372036854775808"), not_an_integer);
        assert_eq!(ask("DECRBY k 1.5"), not_an_integer);
        assert_eq!(ask("DECRBY k -9223372036854775808"), Err("ERR decrement would overflow".into()));
        let add = Command::Add { key: Bytes::from("k"), by: -7 };
        assert_eq!(ask("DECRBY k 7"), Ok(Request::Write(add)));
    }

    #[test]
    fn a_key_beyond_its_limit_is_refused_wherever_it_stands() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        for line in [format!("GET {long}"), format!("MSET a b {long} c"), format!("DEL a {long}")] {
            assert!(ask(&line).unwrap_err().contains("the key has 65537 bytes"));
        }
    }

    #[test]
    fn an_unknown_command_is_shown_with_how_it_begins() {
        let rest = [Bytes::from("a"), Bytes::from("b".repeat(200))];
        let Reply::Error(text) = unknown_command(b"NOPE", &rest) else { panic!("no error") };

        assert!(text.starts_with("ERR unknown command 'NOPE', with args beginning with: 'a' 'bbb"));
        assert!(text.len() < 300);
    }
}
