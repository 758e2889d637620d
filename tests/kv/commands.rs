//! Every command over one node, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::stand::{PATIENCE, Stand};

/// Sends a line as an array of its words and compares the bytes that come back.
fn converse(stand: &Stand, lines: &[(&str, &str)]) {
    let mut stream = TcpStream::connect(stand.redis(1)).expect("the node takes clients");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    for (line, expected) in lines {
        let words: Vec<_> = line.split(' ').collect();
        write!(stream, "*{}\r\n", words.len()).expect("the node reads");
        for word in words {
            // An empty value is written as "".
            let word = if word == "\"\"" { "" } else { word };
            write!(stream, "${}\r\n{word}\r\n", word.len()).expect("the node reads");
        }
        let mut reply = vec![0; expected.len()];
        let read = stream.read_exact(&mut reply);
        assert!(read.is_ok(), "{line}: {read:?} after {:?}", String::from_utf8_lossy(&reply));
        assert_eq!(String::from_utf8_lossy(&reply), *expected, "the reply to {line}");
    }
}

#[test]
fn keys_are_set_read_changed_and_deleted_as_in_redis() {
    let stand = Stand::start(1);
    converse(
        &stand,
        &[
            ("GET k", "$-1\r\n"),
            ("SET k v", "+OK\r\n"),
            ("get k", "$1\r\nv\r\n"),
            ("SET k w NX", "$-1\r\n"),
            ("SET k w xx get", "$1\r\nv\r\n"),
            ("SET k x GET", "$1\r\nw\r\n"),
            ("SET new x XX", "$-1\r\n"),
            ("SET new x GET NX", "$-1\r\n"),
            ("SET k v EX 10", "-ERR syntax error\r\n"),
            ("SETNX k y", ":0\r\n"),
            ("SETNX other y", ":1\r\n"),
            ("GETSET k z", "$1\r\nx\r\n"),
            ("GETDEL k", "$1\r\nz\r\n"),
            ("GETDEL k", "$-1\r\n"),
            ("APPEND k ab", ":2\r\n"),
            ("APPEND k cd", ":4\r\n"),
            ("STRLEN k", ":4\r\n"),
            ("STRLEN nothing", ":0\r\n"),
            ("SET empty \"\"", "+OK\r\n"),
            ("GET empty", "$0\r\n\r\n"),
            ("MSET a 1 b 2 a 3", "+OK\r\n"),
            ("MGET a nothing b", "*3\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n"),
            ("EXISTS a b a nothing", ":3\r\n"),
            ("DBSIZE", ":6\r\n"),
            ("DEL a b a nothing", ":2\r\n"),
            ("FLUSHALL", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
        ],
    );
}

#[test]
fn numbers_are_counted_and_refused_as_in_redis() {
    let stand = Stand::start(1);
    converse(
        &stand,
        &[
            ("INCR n", ":1\r\n"),
            ("INCRBY n 10", ":11\r\n"),
            ("DECR n", ":10\r\n"),
            ("DECRBY n 20", ":-10\r\n"),
            ("GET n", "$3\r\n-10\r\n"),
            ("SET n 9223372036854775807", "+OK\r\n"),
            ("INCR n", "-ERR increment or decrement would overflow\r\n"),
            ("SET n -9223372036854775808", "+OK\r\n"),
            ("DECR n", "-ERR increment or decrement would overflow\r\n"),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"),
            ("INCRBY n 1.5", "-ERR value is not an integer or out of range\r\n"),
            ("SET n 007", "+OK\r\n"),
            ("INCR n", "-ERR value is not an integer or out of range\r\n"),
            ("GET n", "$3\r\n007\r\n"),
        ],
    );
}

#[test]
fn a_swap_happens_only_from_the_expected_value() {
    let stand = Stand::start(1);
    converse(
        &stand,
        &[
            ("CAS k \"\" 1", ":0\r\n"),
            ("SET k 1", "+OK\r\n"),
            ("CAS k 1 2", ":1\r\n"),
            ("CAS k 1 3", ":0\r\n"),
            ("GET k", "$1\r\n2\r\n"),
        ],
    );
}

#[test]
fn what_clients_and_tools_ask_first_is_answered() {
    let stand = Stand::start(1);
    converse(
        &stand,
        &[
            ("PING", "+PONG\r\n"),
            ("PING hello", "$5\r\nhello\r\n"),
            ("ECHO hello", "$5\r\nhello\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("SELECT 1", "-ERR DB index is out of range\r\n"),
            ("COMMAND", "*0\r\n"),
            ("COMMAND DOCS", "*0\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
            ("CLIENT SETNAME me", "+OK\r\n"),
            ("CLIENT SETINFO LIB-NAME test", "+OK\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            (
                "CLIENT KILL x",
                "-ERR unknown subcommand 'KILL'. CLIENT knows ID, GETNAME, SETNAME and SETINFO\r\n",
            ),
            ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("CONFIG GET maxmemory", "*0\r\n"),
            ("HELLO 3", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO 2 SETNAME you", "*14\r\n$6\r\nserver\r\n$10\r\nquorate-kv\r\n"),
        ],
    );
}

#[test]
fn what_is_not_known_or_not_well_formed_is_told_in_the_words_of_redis() {
    let stand = Stand::start(1);
    converse(
        &stand,
        &[
            ("LPUSH l a", "-ERR unknown command 'LPUSH', with args beginning with: 'l' 'a' \r\n"),
            ("lpush l a", "-ERR unknown command 'lpush', with args beginning with: 'l' 'a' \r\n"),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("MSET a", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n"),
            ("RAFT ADD 4", "-ERR wrong number of arguments for 'raft|add' command\r\n"),
            ("raft transfer one", "-ERR value is not an integer or out of range\r\n"),
            ("RAFT ADD 4 a", "-ERR \"a\" is no address: expected HOST:PORT\r\n"),
            (
                "RAFT FORGET 4",
                "-ERR unknown subcommand 'FORGET'. \
                 RAFT knows STATUS, ADD, PROMOTE, REMOVE, REPLACE, TRANSFER, SNAPSHOT and METRICS\r\n",
            ),
            ("PING", "+PONG\r\n"),
        ],
    );
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let stand = Stand::start(1);
    let mut stream = TcpStream::connect(stand.redis(1)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();

    stream.write_all(b"SET k v\r\nQUIT\r\nSET k w\r\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();

    assert_eq!(replies, "+OK\r\n+OK\r\n");
    converse(&stand, &[("GET k", "$1\r\nv\r\n")]);
}

#[test]
fn status_info_and_metrics_tell_the_same_facts() {
    let stand = Stand::start(1);
    let status = stand.status(1).unwrap();
    let mut client = stand.client(1);
    let mut text = |words: &[&[u8]]| match client.call(words).unwrap() {
        crate::program::client::Answer::Bulk(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };

    assert_eq!((status["id"].as_u64(), status["leader"].as_u64()), (Some(1), Some(1)));
    assert_eq!(status["voters"], serde_json::json!([1]));
    let mut keys: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = "applied commit first_index id joint last_index leader learners peers role snapshot_index term voters";
    assert_eq!(keys.join(" "), expected);
    for field in ["term", "commit", "applied", "last_index", "first_index", "snapshot_index"] {
        assert!(status[field].is_u64(), "{field} in {status}");
    }
    let info = text(&[b"INFO", b"raft"]);
    assert!(info.starts_with("# Raft\r\n"), "{info}");
    for (name, fact) in
        [("id", "1"), ("role", "leader"), ("leader", "1"), ("voters", "1"), ("joint", "false")]
    {
        assert!(info.contains(&format!("\r\nraft_{name}:{fact}\r\n")), "{name} in {info}");
    }
    assert!(info.contains(&format!("raft_term:{}\r\n", status["term"])));
    assert!(text(&[b"INFO"]).starts_with("# Server\r\n"));
    let metrics = text(&[b"RAFT", b"METRICS"]);
    assert!(metrics.lines().any(|line| line.starts_with("# TYPE ")), "{metrics}");
}
