//! Inline commands: a line of words, as a human types it.

use bytes::Bytes;

use super::parser::Garbage;

/// The words of an inline command. Words in quotes may hold blanks and, in double quotes, escapes.
pub(crate) fn words(line: &[u8]) -> Result<Vec<Bytes>, Garbage> {
    let text = std::str::from_utf8(line).ok();
    let text = text.filter(|text| !text.contains(|c: char| c.is_control() && c != '\t'));
    let text = text.ok_or_else(|| Garbage("an inline command must be text".into()))?;
    let unbalanced = || Garbage("unbalanced quotes in request".into());

    let mut words = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return Ok(words) };
        let (word, behind) = match first {
            b'"' => double_quoted(&rest[1..]).ok_or_else(unbalanced)?,
            b'\'' => single_quoted(&rest[1..]).ok_or_else(unbalanced)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if !behind.first().is_none_or(u8::is_ascii_whitespace) {
            return Err(unbalanced());
        }
        // A browser that was led here speaks HTTP: it must not get to its body, which could hold commands.
        if words.is_empty() && matches!(&word.to_ascii_lowercase()[..], b"post" | b"host:") {
            return Err(Garbage("this is no HTTP server".into()));
        }
        words.push(word.into());
        rest = behind;
    }
}

/// What stands before the closing quote, and what comes behind it.
fn double_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return Some((word, behind)),
            [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, behind)
            }
            [b'\\', escaped, behind @ ..] => (unescape(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        word.push(byte);
        rest = behind;
    }
}

fn unescape(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn single_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        let (byte, behind) = match rest {
            [b'\'', behind @ ..] => return Some((word, behind)),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        word.push(byte);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_blanks_and_may_be_quoted() {
        let line = b"  set \"a b\\x00\\n\"\t'it\\'s'  x ";

        assert_eq!(words(line).unwrap(), [&b"set"[..], b"a b\x00\n", b"it's", b"x"]);
    }

    #[test]
    fn a_line_that_is_no_text_or_no_redis_is_garbage() {
        for line in [
            &b"set \"a"[..],
            b"set 'a",
            b"set \"a\"b",
            b"\x16\x03\x01",
            b"\xFF\xFE",
            b"POST / HTTP/1.1",
            b"Host: a",
        ] {
            assert!(words(line).is_err(), "{:?}", String::from_utf8_lossy(line));
        }
    }
}
