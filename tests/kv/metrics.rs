//! GET /metrics, as Prometheus asks it, and as strangers do.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::stand::{PATIENCE, Stand, free_address};

/// Sends a request; gives all that comes back until the connection ends.
fn ask(address: &str, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn with_metrics() -> (Stand, String) {
    let address = free_address();
    let stand = Stand::prepare(1).with_options(&["--metrics", &address]).start_all();
    (stand, address)
}

#[test]
fn prometheus_gets_what_raft_metrics_tells() {
    let (stand, address) = with_metrics();

    let answer = ask(&address, "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n").unwrap();

    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let names = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("# TYPE ")).map(str::to_owned).collect()
    };
    let crate::program::client::Answer::Bulk(told) = stand.ask(1, "RAFT METRICS").unwrap() else {
        panic!("RAFT METRICS replies with text")
    };
    assert!(!names(body).is_empty(), "{body}");
    assert_eq!(names(body), names(&String::from_utf8(told).unwrap()));
}

#[test]
fn whoever_asks_for_something_else_is_told_so() {
    let (_stand, address) = with_metrics();
    for (line, status) in [
        ("GET / HTTP/1.1", "404 Not Found"),
        ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        ("PING", "400 Bad Request"),
    ] {
        let answer = ask(&address, &format!("{line}\r\n\r\n")).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {answer}");
    }
}

#[test]
fn who_says_nothing_holds_nobody_up_for_long_and_no_shutdown() {
    let (mut stand, address) = with_metrics();
    let silent = TcpStream::connect(&address).unwrap();
    let mut endless = TcpStream::connect(&address).unwrap();
    // The node may have had enough before all of it is sent.
    let _ = endless.write_all(&vec![b'x'; 100_000]);

    let answer = ask(&address, "GET /metrics HTTP/1.1\r\n\r\n").unwrap();

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    let again = TcpStream::connect(&address).unwrap();
    assert_eq!(stand.terminate(1), Some(0));
    drop((silent, again));
}
