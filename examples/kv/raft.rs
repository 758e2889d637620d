//! RAFT …: what an operator asks of the node.

use bytes::Bytes;
use quorate::Node;

use super::arguments::address;
use super::info;
use super::outcome::{change_failed, snapshot_failed, transfer_failed};
use super::reply::Reply;
use super::request::{not_an_integer, unknown_subcommand, wrong_arity};
use super::store::Store;

/// One of the commands that begin with RAFT.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Raft {
    Question(Question),
    Wish(Wish),
}

/// What is answered at once, from what this node knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Status,
    Metrics,
}

/// What takes its time: the cluster has to agree, or the disk to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Add { id: u64, address: String },
    Promote { id: u64 },
    Remove { id: u64 },
    Replace { old: u64, new: u64, address: String },
    Transfer { to: u64 },
    Snapshot,
}

impl Raft {
    /// The words behind RAFT.
    pub(crate) fn parse(words: &[Bytes]) -> Result<Self, Reply> {
        const KNOWN: &str = "STATUS, ADD, PROMOTE, REMOVE, REPLACE, TRANSFER, SNAPSHOT and METRICS";
        let Some((what, rest)) = words.split_first() else { return Err(wrong_arity(b"raft")) };
        let name = what.to_ascii_uppercase();
        Ok(match (&name[..], rest) {
            (b"STATUS", []) => Self::Question(Question::Status),
            (b"METRICS", []) => Self::Question(Question::Metrics),
            (b"ADD", [id, at]) => Self::Wish(Wish::Add { id: node_id(id)?, address: place(at)? }),
            (b"PROMOTE", [id]) => Self::Wish(Wish::Promote { id: node_id(id)? }),
            (b"REMOVE", [id]) => Self::Wish(Wish::Remove { id: node_id(id)? }),
            (b"REPLACE", [old, new, at]) => {
                let (old, new) = (node_id(old)?, node_id(new)?);
                Self::Wish(Wish::Replace { old, new, address: place(at)? })
            }
            (b"TRANSFER", [to]) => Self::Wish(Wish::Transfer { to: node_id(to)? }),
            (b"SNAPSHOT", []) => Self::Wish(Wish::Snapshot),
            (
                b"STATUS" | b"METRICS" | b"ADD" | b"PROMOTE" | b"REMOVE" | b"REPLACE" | b"TRANSFER"
                | b"SNAPSHOT",
                _,
            ) => return Err(wrong_arity(&[b"raft|", &name[..]].concat())),
            _ => return Err(unknown_subcommand("RAFT", what, KNOWN)),
        })
    }
}

impl Question {
    pub(crate) fn answer(&self, node: &Node<Store>) -> Reply {
        match self {
            Self::Status => Reply::text(info::status(&node.status()).to_string()),
            Self::Metrics => Reply::text(node.metrics().to_prometheus()),
        }
    }
}

impl Wish {
    /// Does it, and waits until it is done or certain not to be; at most for the node's call timeout.
    pub(crate) fn carry_out(self, node: &Node<Store>) -> Reply {
        let changed = match self {
            Self::Add { id, address } => node.add_learner(id, address),
            Self::Promote { id } => node.promote(id),
            Self::Remove { id } => node.remove(id),
            Self::Replace { old, new, address } => node.replace(old, new, address),
            Self::Transfer { to } => {
                let taken = node.transfer_leadership(Some(to));
                return taken.map_or_else(|error| transfer_failed(&error), |_| Reply::Status("OK"));
            }
            Self::Snapshot => {
                let taken = node.snapshot_now();
                return taken.map_or_else(
                    |error| snapshot_failed(&error),
                    |index| Reply::Integer(index.cast_signed()),
                );
            }
        };
        changed.map_or_else(|error| change_failed(&error), |_| Reply::Status("OK"))
    }
}

/// Whether such a node is a member is for the leader to say.
fn node_id(word: &[u8]) -> Result<u64, Reply> {
    let is_plain = word.first().is_some_and(|digit| (b'1'..=b'9').contains(digit));
    let digits = std::str::from_utf8(word).ok().filter(|_| is_plain);
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(not_an_integer)
}

fn place(word: &[u8]) -> Result<String, Reply> {
    address(String::from_utf8_lossy(word).into_owned()).map_err(Reply::error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Raft, String> {
        let words: Vec<_> =
            line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        Raft::parse(&words).map_err(|reply| match reply {
            Reply::Error(text) => text,
            other => panic!("{other:?} is no error"),
        })
    }

    #[test]
    fn wishes_are_understood_in_any_case() {
        let address = || "h:1".to_owned();
        for (line, wish) in [
            ("ADD 4 h:1", Wish::Add { id: 4, address: address() }),
            ("add 18446744073709551615 h:1", Wish::Add { id: u64::MAX, address: address() }),
            ("Promote 4", Wish::Promote { id: 4 }),
            ("remove 4", Wish::Remove { id: 4 }),
            ("replace 4 5 h:1", Wish::Replace { old: 4, new: 5, address: address() }),
            ("transfer 4", Wish::Transfer { to: 4 }),
            ("SNAPSHOT", Wish::Snapshot),
        ] {
            assert_eq!(parsed(line), Ok(Raft::Wish(wish)));
        }
        assert_eq!(parsed("status"), Ok(Raft::Question(Question::Status)));
        assert_eq!(parsed("Metrics"), Ok(Raft::Question(Question::Metrics)));
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_redis() {
        assert_eq!(parsed(""), Err("ERR wrong number of arguments for 'raft' command".into()));
        for (line, name) in [
            ("ADD 4", "add"),
            ("STATUS now", "status"),
            ("REPLACE 1 h:1", "replace"),
            ("TRANSFER", "transfer"),
            ("snapshot 1", "snapshot"),
        ] {
            let words = format!("ERR wrong number of arguments for 'raft|{name}' command");
            assert_eq!(parsed(line), Err(words), "{line}");
        }
        for line in ["REMOVE 0", "REMOVE -1", "REMOVE +1", "REMOVE 01", "REMOVE one", "ADD 1.5 h:1"] {
            assert_eq!(parsed(line), Err("ERR value is not an integer or out of range".into()), "{line}");
        }
        assert!(parsed("FORGET 1").unwrap_err().starts_with("ERR unknown subcommand 'FORGET'. RAFT knows "));
        assert!(parsed("ADD 4 h").unwrap_err().starts_with("ERR \"h\" is no address: expected HOST:PORT"));
    }
}
