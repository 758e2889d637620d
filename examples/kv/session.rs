//! What a connection can ask without the store: about itself, and about the server.

use bytes::Bytes;
use quorate::Node;

use super::info;
use super::parser::integer;
use super::reply::Reply;
use super::request::{is, not_an_integer, unknown_subcommand, wrong_arity};
use super::store::Store;

/// What a connection remembers of its client.
pub(crate) struct Session {
    id: i64,
    name: Bytes,
}

impl Session {
    pub(crate) fn new(id: u64) -> Self {
        Self { id: id.cast_signed(), name: Bytes::new() }
    }

    /// Answers at once. Whatever is no command of the store comes here; `None` if it is no command at all.
    pub(crate) fn answer(&mut self, node: &Node<Store>, name: &[u8], rest: &[Bytes]) -> Option<Reply> {
        Some(match (name, rest) {
            (b"PING", []) => Reply::Status("PONG"),
            (b"PING" | b"ECHO", [text]) => Reply::Bulk(text.clone()),
            (b"QUIT", _) => Reply::Status("OK"),
            (b"SELECT", [database]) => match integer(database) {
                Some(0) => Reply::Status("OK"),
                Some(_) => Reply::error("DB index is out of range"),
                None => not_an_integer(),
            },
            (b"COMMAND", [what, ..]) if is(what, "COUNT") => Reply::Integer(0),
            (b"COMMAND", _) => Reply::Array(Vec::new()),
            (b"CLIENT", [what, rest @ ..]) => self.client(what, rest),
            (b"CONFIG", [what, names @ ..]) => config(what, names),
            (b"HELLO", rest) => self.hello(rest),
            (b"INFO", sections) => {
                let lower = |name: &Bytes| String::from_utf8_lossy(name).to_lowercase();
                let sections: Vec<_> = sections.iter().map(lower).collect();
                Reply::text(info::info(&node.status(), &sections))
            }
            (b"PING" | b"ECHO" | b"SELECT" | b"CLIENT" | b"CONFIG", _) => wrong_arity(name),
            _ => return None,
        })
    }

    fn client(&mut self, what: &[u8], rest: &[Bytes]) -> Reply {
        match (&what.to_ascii_uppercase()[..], rest) {
            (b"ID", []) => Reply::Integer(self.id),
            (b"GETNAME", []) if self.name.is_empty() => Reply::Null,
            (b"GETNAME", []) => Reply::Bulk(self.name.clone()),
            (b"SETNAME", [name]) => self.rename(name),
            (b"SETINFO", [_, _]) => Reply::Status("OK"),
            (b"ID" | b"GETNAME" | b"SETNAME" | b"SETINFO", _) => wrong_arity(&[b"client|", what].concat()),
            _ => unknown_subcommand("CLIENT", what, "ID, GETNAME, SETNAME and SETINFO"),
        }
    }

    fn rename(&mut self, name: &Bytes) -> Reply {
        if !name.iter().all(u8::is_ascii_graphic) {
            return Reply::error("Client names cannot contain spaces, newlines or special characters.");
        }
        // A copy: the word would keep alive all that arrived with it.
        self.name = Bytes::copy_from_slice(name);
        Reply::Status("OK")
    }

    /// The protocol is RESP2, and there is nothing to log in to.
    fn hello(&mut self, rest: &[Bytes]) -> Reply {
        let options = match rest {
            [] => &[],
            [version, options @ ..] => match integer(version) {
                Some(2) => options,
                Some(_) => return Reply::Error("NOPROTO unsupported protocol version".into()),
                None => return Reply::error("Protocol version is not an integer or out of range"),
            },
        };
        match options {
            [] => {}
            [option, name] if is(option, "SETNAME") => {
                let renamed = self.rename(name);
                if renamed != Reply::Status("OK") {
                    return renamed;
                }
            }
            [option, ..] => {
                let option = String::from_utf8_lossy(option);
                return Reply::error(format!("Syntax error in HELLO option '{option}'"));
            }
        }
        Reply::Array(vec![
            Reply::text("server"),
            Reply::text("quorate-kv"),
            Reply::text("version"),
            Reply::text(env!("CARGO_PKG_VERSION")),
            Reply::text("proto"),
            Reply::Integer(2),
            Reply::text("id"),
            Reply::Integer(self.id),
            Reply::text("mode"),
            Reply::text("standalone"),
            Reply::text("role"),
            Reply::text("master"),
            Reply::text("modules"),
            Reply::Array(Vec::new()),
        ])
    }
}

/// What benchmark tools ask: nothing is saved by the clock, and every write is logged.
fn config(what: &[u8], names: &[Bytes]) -> Reply {
    const KNOWN: [(&str, &str); 3] = [("save", ""), ("appendonly", "yes"), ("databases", "1")];
    if !is(what, "GET") {
        return unknown_subcommand("CONFIG", what, "GET");
    }
    if names.is_empty() {
        return wrong_arity(b"config|get");
    }
    let asked = |known: &str| names.iter().any(|name| is(name, known) || &name[..] == b"*");
    let known = KNOWN.iter().filter(|(name, _)| asked(name));
    Reply::Array(known.flat_map(|&(name, value)| [Reply::text(name), Reply::text(value)]).collect())
}
