//! Replies as RESP2 writes them.

use bytes::Bytes;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+…`
    Status(&'static str),
    /// `-…`: begins with a word in capitals by which clients tell errors apart.
    Error(String),
    /// `:…`
    Integer(i64),
    /// `$…`
    Bulk(Bytes),
    /// `$-1`: there is no value.
    Null,
    /// `*…`
    Array(Vec<Reply>),
}

impl Reply {
    /// Text that a client shows as it is.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// An error without a prefix of its own.
    pub(crate) fn error(text: impl std::fmt::Display) -> Self {
        Self::Error(format!("ERR {text}"))
    }

    /// Appends the reply to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status(text) => line(out, b'+', text),
            Self::Error(text) => line(out, b'-', &text.replace(['\r', '\n'], " ")),
            Self::Integer(number) => line(out, b':', &number.to_string()),
            Self::Bulk(bytes) => {
                line(out, b'$', &bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
            Self::Array(replies) => {
                line(out, b'*', &replies.len().to_string());
                for reply in replies {
                    reply.encode(out);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_have_the_form_of_resp2() {
        let all = Reply::Array(vec![
            Reply::Status("OK"),
            Reply::error("no"),
            Reply::Integer(-7),
            Reply::text("ab"),
            Reply::Null,
            Reply::Array(Vec::new()),
        ]);

        assert_eq!(encoded(&all), "*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$2\r\nab\r\n$-1\r\n*0\r\n");
    }

    #[test]
    fn an_error_is_one_line_whatever_the_client_sent() {
        assert_eq!(encoded(&Reply::error("bad 'a\r\nb'")), "-ERR bad 'a  b'\r\n");
    }
}
