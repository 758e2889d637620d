//! Requests out of a stream of bytes: RESP2 arrays of bulk strings, and inline commands.
//!
//! The parser keeps what it has understood of a request, so that a request which arrives in a thousand pieces is still
//! read once. Lengths are judged before anything is stored. A request beyond the limits is skipped without being stored
//! and then refused by name; what is no request at all ends the connection.

use bytes::{Buf, Bytes, BytesMut};

use super::inline;
use super::limits::{ARGUMENTS_MAX, LINE_BYTES_MAX, REQUEST_BYTES_MAX, SKIPPED_BYTES_MAX, VALUE_BYTES_MAX};

/// What stood in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A request: its name and arguments, never empty, and how many bytes it took.
    Request { arguments: Vec<Bytes>, bytes: usize },
    /// A request beyond a limit. The ones behind it are fine.
    Refused { reason: String },
}

/// What no client sends: nothing behind it can be understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Garbage(pub(crate) String);

/// Reads one connection's requests.
#[derive(Default)]
pub(crate) struct Parser {
    input: BytesMut,
    /// Bytes at the start of `input` in which no line ends: they are not searched again.
    searched: usize,
    array: Option<Array>,
}

/// An array of bulk strings of which a part has arrived.
struct Array {
    arguments: Vec<Bytes>,
    missing: usize,
    /// The length of the bulk string whose head has arrived.
    bulk: Option<usize>,
    bytes: usize,
    /// Why it will be refused: from then on nothing of it is stored.
    refusal: Option<String>,
}

impl Parser {
    /// Takes what arrived.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next request, if all of it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Parsed>, Garbage> {
        loop {
            if let Some(array) = &mut self.array {
                if !array.advance(&mut self.input, &mut self.searched)? {
                    return Ok(None);
                }
                return Ok(self.array.take().map(Array::finish));
            }
            let Some(line) = take_line(&mut self.input, &mut self.searched)? else { return Ok(None) };
            let bytes = line.len() + 2;
            if let [b'*', count @ ..] = &line[..] {
                let count = integer(count).filter(|&count| count <= i64::from(i32::MAX));
                let count = count.ok_or_else(|| Garbage("invalid multibulk length".into()))?;
                // Redis takes an empty array for no request at all.
                if let Some(count) = usize::try_from(count).ok().filter(|&count| count > 0) {
                    self.array = Some(Array::new(count, bytes));
                }
            } else {
                let arguments = inline::words(&line)?;
                if !arguments.is_empty() {
                    return Ok(Some(Parsed::Request { arguments, bytes }));
                }
            }
        }
    }
}

impl Array {
    fn new(count: usize, bytes: usize) -> Self {
        let refusal = (count > ARGUMENTS_MAX)
            .then(|| format!("the request has {count} arguments, more than the {ARGUMENTS_MAX} allowed"));
        let arguments = Vec::with_capacity(count.min(16));
        Self { arguments, missing: count, bulk: None, bytes, refusal }
    }

    /// Takes what has arrived; `true` when the array is complete.
    fn advance(&mut self, input: &mut BytesMut, searched: &mut usize) -> Result<bool, Garbage> {
        while self.missing > 0 {
            let Some(length) = self.bulk else {
                let Some(line) = take_line(input, searched)? else { return Ok(false) };
                let length = bulk_length(&line)?;
                self.charge(line.len() + 2, length);
                self.bulk = Some(length);
                continue;
            };
            let complete =
                if self.refusal.is_some() { self.skip(length, input) } else { self.store(length, input) };
            if !complete {
                return Ok(false);
            }
            if input.len() < 2 {
                return Ok(false);
            }
            if &input[..2] != b"\r\n" {
                return Err(Garbage("a bulk string does not end where it said".into()));
            }
            input.advance(2);
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(true)
    }

    /// Judges a bulk string by its head.
    fn charge(&mut self, head: usize, length: usize) {
        self.bytes = self.bytes.saturating_add(head + length + 2);
        if self.refusal.is_some() {
            return;
        }
        if length > VALUE_BYTES_MAX {
            self.refuse(format!("an argument has {length} bytes, more than the {VALUE_BYTES_MAX} allowed"));
        } else if self.bytes > REQUEST_BYTES_MAX {
            self.refuse(format!("the request has more than the {REQUEST_BYTES_MAX} bytes allowed"));
        }
    }

    fn refuse(&mut self, reason: String) {
        self.refusal = Some(reason);
        self.arguments = Vec::new();
    }

    /// Takes a bulk string with its line end, or nothing.
    fn store(&mut self, length: usize, input: &mut BytesMut) -> bool {
        if input.len() < length + 2 {
            return false;
        }
        self.arguments.push(input.split_to(length).freeze());
        true
    }

    /// Drops as much of a bulk string as is there.
    fn skip(&mut self, length: usize, input: &mut BytesMut) -> bool {
        let there = length.min(input.len());
        input.advance(there);
        self.bulk = Some(length - there);
        there == length
    }

    fn finish(self) -> Parsed {
        match self.refusal {
            Some(reason) => Parsed::Refused { reason },
            None => Parsed::Request { arguments: self.arguments, bytes: self.bytes },
        }
    }
}

/// The next line without its end, if it is there.
fn take_line(input: &mut BytesMut, searched: &mut usize) -> Result<Option<BytesMut>, Garbage> {
    let end = input[*searched..].iter().position(|&byte| byte == b'\n').map(|at| *searched + at);
    if end.unwrap_or(input.len()) > LINE_BYTES_MAX {
        return Err(Garbage("too big inline request".into()));
    }
    let Some(end) = end else {
        *searched = input.len();
        return Ok(None);
    };
    *searched = 0;
    let mut line = input.split_to(end);
    input.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(end - 1);
    }
    Ok(Some(line))
}

fn bulk_length(line: &[u8]) -> Result<usize, Garbage> {
    let [b'$', length @ ..] = line else {
        let found = line.first().map_or("an empty line".into(), |&byte| format!("'{}'", byte.escape_ascii()));
        return Err(Garbage(format!("expected '$', got {found}")));
    };
    let length = integer(length).and_then(|length| usize::try_from(length).ok());
    length.filter(|&length| length <= SKIPPED_BYTES_MAX).ok_or_else(|| Garbage("invalid bulk length".into()))
}

/// A decimal number in the one form in which Redis writes it: no plus, no leading zeros, no blanks.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    fn all(parser: &mut Parser) -> Result<Vec<Vec<Vec<u8>>>, Garbage> {
        let mut requests = Vec::new();
        while let Some(parsed) = parser.next()? {
            requests.push(match parsed {
                Parsed::Request { arguments, .. } => arguments.iter().map(|word| word.to_vec()).collect(),
                Parsed::Refused { reason } => vec![b"refused".to_vec(), reason.into_bytes()],
            });
        }
        Ok(requests)
    }

    fn parse(bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, Garbage> {
        let mut parser = Parser::default();
        parser.feed(bytes);
        all(&mut parser)
    }

    #[test]
    fn requests_are_the_same_in_whatever_pieces_they_arrive() {
        let mut stream = request(&[b"SET", b"k\r\n", b""]);
        stream.extend_from_slice(b"PING\r\n*0\r\n\r\n");
        stream.extend_from_slice(&request(&[b"GET", b"\x00\xFF"]));
        let whole = parse(&stream).unwrap();
        assert_eq!(whole.len(), 3);

        for piece in 1..stream.len() {
            let mut parser = Parser::default();
            let mut requests = Vec::new();
            for bytes in stream.chunks(piece) {
                parser.feed(bytes);
                requests.extend(all(&mut parser).unwrap());
            }
            assert_eq!(requests, whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_request_is_garbage() {
        let long = vec![b'a'; LINE_BYTES_MAX + 1];
        let cases: [&[u8]; 10] = [
            b"*x\r\n",
            b"*2147483648\r\n",
            b"*99999999999999999999\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$x\r\n",
            b"*1\r\n$536870913\r\n",
            b"*1\r\n$1\r\nabc\r\n",
            b"\x16\x03\x01\n",
        ];
        for case in cases.into_iter().chain([&long[..]]) {
            assert!(parse(case).is_err(), "{:?}", String::from_utf8_lossy(case));
        }
    }

    #[test]
    fn a_request_beyond_a_limit_is_refused_and_the_next_one_served() {
        let value = vec![b'v'; VALUE_BYTES_MAX];
        let longer = vec![b'v'; VALUE_BYTES_MAX + 1];
        let many = vec![&b"x"[..]; ARGUMENTS_MAX + 1];
        for words in [vec![&b"SET"[..], b"k", &longer], vec![&b"MSET"[..], b"a", &value, b"b", &value], many]
        {
            let mut stream = request(&words);
            stream.extend_from_slice(&request(&[b"PING"]));
            let mut parser = Parser::default();
            let mut requests = Vec::new();
            for piece in stream.chunks(100_000) {
                parser.feed(piece);
                requests.extend(all(&mut parser).unwrap());
                assert!(parser.input.len() <= REQUEST_BYTES_MAX, "what is refused is not stored");
            }

            assert_eq!(requests.len(), 2);
            assert_eq!(requests[0][0], b"refused");
            assert_eq!(requests[1], [b"PING"]);
        }
        assert!(parse(&request(&[b"SET", b"k", &value])).unwrap()[0][0] == b"SET");
    }

    #[test]
    fn lengths_alone_allocate_nothing() {
        let mut parser = Parser::default();
        parser.feed(b"*1000000\r\n$8388608\r\n");

        assert_eq!(parser.next(), Ok(None));
        assert!(parser.input.capacity() < 1 << 16);
        assert!(parser.array.unwrap().arguments.capacity() <= 16);
    }

    #[test]
    fn an_integer_has_one_form() {
        for (text, number) in [("0", 0), ("-1", -1), ("10", 10), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }
}
