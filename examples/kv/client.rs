//! A blocking client of one node, as small as it can be.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than a node takes for its own deadline.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Far more than this program ever asks for at once.
const BULK_BYTES_MAX: usize = 64 << 20;

/// A connection to a node's Redis port.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// What a node replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Answer>),
}

impl Client {
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> io::Result<Answer> {
        self.send(words)?;
        self.receive()
    }

    /// Asks.
    pub(crate) fn send(&mut self, words: &[&[u8]]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Waits for the answer to the oldest question that has none.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| strange(line))?;
        Ok(match kind {
            "+" => Answer::Status(rest.to_owned()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Integer(rest.parse().map_err(|_| strange(line))?),
            "$" if rest == "-1" => Answer::Null,
            "$" => Answer::Bulk(self.bulk(rest.parse().map_err(|_| strange(line))?)?),
            "*" => {
                let count: usize = rest.parse().map_err(|_| strange(line))?;
                Answer::Array((0..count).map(|_| self.receive()).collect::<io::Result<_>>()?)
            }
            _ => return Err(strange(line)),
        })
    }

    fn bulk(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > BULK_BYTES_MAX {
            return Err(io::Error::other("a reply beyond all measure"));
        }
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn strange(line: &str) -> io::Error {
    io::Error::other(format!("no reply of RESP2: {line:?}"))
}
