//! What holds of the requests in any stream of bytes that a client of the example may send.

#[path = "../../examples/kv/inline.rs"]
mod inline;
#[path = "../../examples/kv/limits.rs"]
#[allow(dead_code, reason = "the parser asks for some of them")]
mod limits;
#[path = "../../examples/kv/parser.rs"]
mod parser;

use parser::{Garbage, Parsed, Parser};

/// The same requests stand in a stream in whatever pieces it comes, and each of them comes back when it is sent again.
///
/// Two bytes: the length of the pieces; then the stream.
pub(crate) fn resp(bytes: &[u8]) {
    let (step, stream) = bytes.split_at(bytes.len().min(2));
    let step = step.iter().fold(0, |step, &byte| step << 8 | usize::from(byte));
    let whole = requests(stream, stream.len().max(1));
    assert_eq!(requests(stream, 1 + step % 4096), whole, "in pieces of {step}");
    for parsed in whole.0 {
        let Parsed::Request { arguments, bytes } = parsed else { continue };
        assert!(!arguments.is_empty(), "a request without a name");
        assert!(bytes <= limits::REQUEST_BYTES_MAX, "a request beyond the limit was taken");
        let again = requests(&sent(&arguments), 7).0;
        let [Parsed::Request { arguments: found, .. }] = &again[..] else { panic!("sent again: {again:?}") };
        assert_eq!(found, &arguments);
    }
}

fn requests(stream: &[u8], step: usize) -> (Vec<Parsed>, Option<Garbage>) {
    let (mut parser, mut found) = (Parser::default(), Vec::new());
    for piece in stream.chunks(step) {
        parser.feed(piece);
        loop {
            match parser.next() {
                Ok(Some(parsed)) => found.push(parsed),
                Ok(None) => break,
                Err(garbage) => return (found, Some(garbage)),
            }
        }
    }
    (found, None)
}

fn sent(arguments: &[bytes::Bytes]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}
