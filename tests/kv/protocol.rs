//! Pipelines, limits, and what is no protocol at all.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::program::client::{Answer, Client};
use crate::random::Random;
use crate::stand::{PATIENCE, Stand};

const MIB: usize = 1 << 20;

fn connect(stand: &Stand) -> TcpStream {
    let stream = TcpStream::connect(stand.redis(1)).expect("the node takes clients");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn error(answer: io::Result<Answer>) -> String {
    match answer {
        Ok(Answer::Error(text)) => text,
        other => panic!("no error but {other:?}"),
    }
}

/// Whether the node ended the connection; whatever it said before is in the text.
fn ends(mut stream: TcpStream) -> String {
    let mut said = String::new();
    // It may end it with a reset, if it did not read everything that was sent.
    if let Err(error) = stream.read_to_string(&mut said) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "the node keeps the connection");
    }
    said
}

#[test]
fn pipelined_commands_take_effect_in_the_order_in_which_they_were_sent() {
    const REQUESTS: usize = 2_000;
    let stand = Stand::start(3);
    let leader = stand.leader();
    for node in [leader, leader % 3 + 1] {
        let mut random = Random::new(Random::seed());
        let mut client = stand.client(node);
        let mut expected = Vec::new();
        let mut value: Option<usize> = None;
        assert!(matches!(client.call(&[b"DEL", b"k"]), Ok(Answer::Integer(_))));
        for number in 0..REQUESTS {
            match random.below(5) {
                0 | 1 => {
                    value = Some(number);
                    client.send(&[b"SET", b"k", number.to_string().as_bytes()]).unwrap();
                    expected.push(Answer::Status("OK".into()));
                }
                2 => {
                    client.send(&[b"DEL", b"k"]).unwrap();
                    expected.push(Answer::Integer(value.take().map_or(0, |_| 1)));
                }
                _ => {
                    client.send(&[b"GET", b"k"]).unwrap();
                    expected.push(value.map_or(Answer::Null, |value| Answer::Bulk(value.to_string().into())));
                }
            }
        }
        for (number, expected) in expected.into_iter().enumerate() {
            assert_eq!(client.receive().unwrap(), expected, "request {number} through node {node}");
        }
    }
}

#[test]
fn a_pipeline_far_longer_than_what_is_taken_at_once_is_answered_whole() {
    const REQUESTS: usize = 20_000;
    let stand = Stand::start(1);
    let mut stream = connect(&stand);
    let mut sender = stream.try_clone().unwrap();
    let sends = thread::spawn(move || {
        for _ in 0..REQUESTS {
            sender.write_all(b"INCR n\r\n").unwrap();
        }
        // Half a connection is enough to be answered.
        sender.shutdown(Shutdown::Write).unwrap();
    });

    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    sends.join().unwrap();

    assert!(replies.lines().eq((1..=REQUESTS).map(|number| format!(":{number}"))));
}

#[test]
fn keys_and_values_are_bytes_up_to_their_limits() {
    let stand = Stand::start(1);
    let mut client = stand.client(1);
    let key: Vec<u8> = (0..64 * 1024_usize).map(|at| at as u8).collect();
    let value: Vec<u8> = (0..8 * MIB).map(|at| ((at * 31) >> 3) as u8).collect();

    assert_eq!(client.call(&[b"SET", &key, &value]).unwrap(), Answer::Status("OK".into()));
    assert_eq!(client.call(&[b"GET", &key]).unwrap(), Answer::Bulk(value));
}

#[test]
fn a_request_beyond_a_limit_is_refused_by_name_and_the_connection_goes_on() {
    let stand = Stand::start(1);
    let mut client = stand.client(1);
    let long_key = vec![b'k'; 64 * 1024 + 1];
    let long_value = vec![b'v'; 8 * MIB + 1];
    let half = vec![b'v'; 6 * MIB + 1];
    let many = vec![&b"k"[..]; 1_000_001];

    assert!(error(client.call(&[b"GET", &long_key])).contains("the key has 65537 bytes"));
    assert!(error(client.call(&[b"SET", b"k", &long_value])).contains("an argument has 8388609 bytes"));
    assert!(error(client.call(&[b"MSET", b"a", &half, b"b", &half])).contains("12582912 bytes allowed"));
    assert!(error(client.call(&many)).contains("1000001 arguments"));
    assert_eq!(client.call(&[b"DBSIZE"]).unwrap(), Answer::Integer(0), "nothing of it took effect");
}

#[test]
fn neither_a_reply_nor_an_appended_value_grows_beyond_its_limit() {
    let stand = Stand::start(1);
    let mut client = stand.client(1);
    let value = vec![b'v'; 8 * MIB];
    assert_eq!(client.call(&[b"SET", b"k", &value]).unwrap(), Answer::Status("OK".into()));

    assert!(error(client.call(&[b"APPEND", b"k", b"v"])).contains("maximum allowed size"));
    let eight = [&[&b"MGET"[..]][..], &[&b"k"[..]; 8]].concat();
    assert!(error(client.call(&eight)).contains("more than the 67108864 bytes allowed"));
    assert_eq!(client.call(&[b"STRLEN", b"k"]).unwrap(), Answer::Integer(8 << 20));
}

#[test]
fn garbage_ends_the_connection_and_no_other() {
    let stand = Stand::start(1);
    let mut bystander = stand.client(1);
    let long_line = vec![b'a'; 70_000];
    let cases: [&[u8]; 7] = [
        b"*1\r\n:1\r\n",
        b"*-x\r\n",
        b"*1\r\n$-7\r\n",
        b"*1\r\n$99999999999999\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\nFLUSHALL\r\n",
        &long_line,
    ];
    for case in cases {
        let mut stream = connect(&stand);
        stream.write_all(case).unwrap();
        let said = ends(stream);
        assert!(said.is_empty() || said.starts_with("-ERR Protocol error"), "{said}");
    }
    assert_eq!(bystander.call(&[b"PING"]).unwrap(), Answer::Status("PONG".into()));
}

#[test]
fn random_bytes_never_harm_a_node() {
    let mut stand = Stand::start(1);
    let mut random = Random::new(Random::seed());
    for _ in 0..200 {
        let mut stream = connect(&stand);
        let mut bytes: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        if random.below(2) == 0 {
            bytes.splice(0..0, format!("*{}\r\n${}\r\n", random.below(5), random.below(50)).into_bytes());
        }
        // The node may have hung up already.
        let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        ends_somehow(stream);
    }
    assert!(stand.runs(1));
    assert_eq!(stand.client(1).call(&[b"PING"]).unwrap(), Answer::Status("PONG".into()));
}

/// Whatever the node says to random bytes, it comes to an end.
fn ends_somehow(mut stream: TcpStream) {
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn clients_that_hang_half_way_do_not_hold_up_the_others() {
    let stand = Stand::start(1);
    let held: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = connect(&stand);
            stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388608\r\nabc").unwrap();
            stream
        })
        .collect();

    let mut client = Client::connect(stand.redis(1)).unwrap();
    assert_eq!(client.call(&[b"SET", b"k", b"v"]).unwrap(), Answer::Status("OK".into()));
    drop(held);
}
