//! The envelope: what a node puts around a caller's command before it goes into the log, so that sessions can stand there
//! beside commands.
//!
//! The first byte says what follows; a form that changes gets a first byte of its own.
//!
//! | first byte | what | then |
//! |---|---|---|
//! | 0 | a command outside of any session | the command |
//! | 1 | open a session | the bounds: 4 bytes how many sessions may stand, 4 how many unanswered commands one may have, 4 how many all together, 4 how many bytes a kept answer may have, 8 how many all of them together |
//! | 2 | a command in a session | 8 bytes session, 8 its number, 8 the number below which all are answered or given up; the command |
//! | 3 | close a session | 8 bytes session |
//!
//! All numbers are little endian. The bounds travel with the entry that opens a session, so that all replicas keep to the same
//! ones, however their nodes are configured; they hold for all sessions from there on.

use std::cell::Cell;

use bytes::Bytes;

use super::DecodeError;
use crate::types::{SessionId, SessionTag};
use crate::wire::{Reader, WireError, Writer};

const PLAIN: u8 = 0;
const OPEN: u8 = 1;
const IN_SESSION: u8 = 2;
const CLOSE: u8 = 3;

/// The longest envelope, without the command.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 25;

/// What an entry of the log asks of the state machine and its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope<'a> {
    /// A command outside of any session.
    Plain(&'a [u8]),
    /// Open a session.
    Open(SessionBounds),
    /// A command in a session.
    InSession(SessionTag, &'a [u8]),
    /// Close a session.
    Close(SessionId),
}

/// What sessions may take on every replica alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "each is the most of something")]
pub(crate) struct SessionBounds {
    /// How many sessions may stand. Beyond it the least recently used goes.
    pub(crate) sessions_max: u32,
    /// How many commands of one session may be executed whose answers it has not acknowledged. Beyond it none is executed.
    pub(crate) unanswered_max: u32,
    /// How many of all sessions together. Beyond it the least recently used sessions go.
    pub(crate) answers_max: u32,
    /// The longest answer that is kept.
    pub(crate) answer_bytes_max: u32,
    /// How long all kept answers may be together. Beyond it the answers of the least recently used sessions go.
    pub(crate) answers_bytes_max: u64,
}

impl SessionBounds {
    /// No table of sessions is larger than these.
    pub(crate) const LARGEST: Self = Self {
        sessions_max: 1_000_000,
        unanswered_max: 65_536,
        answers_max: 8_000_000,
        answer_bytes_max: 16 << 20,
        answers_bytes_max: 256 << 20,
    };

    /// The bounds that a node proposes unless it is told otherwise, for `sessions_max` sessions.
    pub(crate) const fn of(sessions_max: u32) -> Self {
        Self {
            sessions_max,
            unanswered_max: 1024,
            answers_max: 65_536 + 4 * sessions_max,
            answer_bytes_max: 64 << 10,
            answers_bytes_max: 16 << 20,
        }
    }

    /// As they travel and rest: 24 bytes.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let Self { sessions_max, unanswered_max, answers_max, answer_bytes_max, answers_bytes_max } = self;
        let mut writer = Writer::new(out);
        writer.u32(sessions_max).u32(unanswered_max).u32(answers_max);
        writer.u32(answer_bytes_max).u64(answers_bytes_max);
    }

    /// Takes none that would let nothing stand, or more than the largest.
    pub(super) fn decode(reader: &mut Reader<&[u8]>) -> Result<Self, WireError> {
        let bounds = Self {
            sessions_max: reader.u32()?,
            unanswered_max: reader.u32()?,
            answers_max: reader.u32()?,
            answer_bytes_max: reader.u32()?,
            answers_bytes_max: reader.u64()?,
        };
        let largest = Self::LARGEST;
        let are_good = (1..=largest.sessions_max).contains(&bounds.sessions_max)
            && (1..=largest.unanswered_max).contains(&bounds.unanswered_max)
            && (bounds.unanswered_max..=largest.answers_max).contains(&bounds.answers_max)
            && bounds.answer_bytes_max <= largest.answer_bytes_max
            && bounds.answers_bytes_max <= largest.answers_bytes_max;
        if are_good { Ok(bounds) } else { Err(WireError::Invalid { what: "bounds of sessions" }) }
    }
}

impl<'a> Envelope<'a> {
    /// Opens an entry. The command inside is not looked at.
    pub(crate) fn open(entry: &'a [u8]) -> Result<Self, DecodeError> {
        if let Some((&PLAIN, command)) = entry.split_first() {
            return Ok(Self::Plain(command));
        }
        open_other(entry).map_err(|error| DecodeError::new(format!("in the envelope: {error}")))
    }

    /// The command, if there is one.
    pub(crate) fn command(self) -> Option<&'a [u8]> {
        match self {
            Self::Plain(command) | Self::InSession(_, command) => Some(command),
            Self::Open(_) | Self::Close(_) => None,
        }
    }
}

fn open_other(entry: &[u8]) -> Result<Envelope<'_>, WireError> {
    let mut reader = Reader::new(entry);
    let envelope = match reader.u8()? {
        OPEN => Envelope::Open(SessionBounds::decode(&mut reader)?),
        IN_SESSION => {
            let session = SessionId(reader.u64()?);
            let tag = SessionTag { session, sequence: reader.u64()?, answered_below: reader.u64()? };
            if tag.answered_below > tag.sequence {
                return Err(WireError::Invalid { what: "number of a session's command" });
            }
            return Ok(Envelope::InSession(tag, reader.into_rest()));
        }
        CLOSE => Envelope::Close(SessionId(reader.u64()?)),
        _ => return Err(WireError::Invalid { what: "kind of entry" }),
    };
    reader.finish("entry")?;
    Ok(envelope)
}

/// A command outside of any session; `command` writes it.
pub(crate) fn seal_plain(command: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    behind(&[PLAIN], command)
}

/// A command in a session; `command` writes it.
///
/// # Panics
/// If the tag counts its own command as answered.
pub(crate) fn seal_in_session(tag: SessionTag, command: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let SessionTag { session, sequence, answered_below } = tag;
    assert!(answered_below <= sequence, "a command that is sent is not answered");
    let mut envelope = Vec::with_capacity(ENVELOPE_BYTES_MAX);
    Writer::new(&mut envelope).u8(IN_SESSION).u64(session.0).u64(sequence).u64(answered_below);
    behind(&envelope, command)
}

/// The wish for a session.
pub(crate) fn seal_open(bounds: SessionBounds) -> Bytes {
    behind(&[OPEN], |out| bounds.encode(out))
}

/// The end of a session.
pub(crate) fn seal_close(session: SessionId) -> Bytes {
    behind(&[CLOSE], |out| _ = Writer::new(out).u64(session.0))
}

/// What `write` writes, behind `head`, in one allocation of just that size. It is written where the thread writes all
/// of them, and begins with nothing, so that no codec can touch the head. `write` may come here again.
pub(super) fn behind(head: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    /// More than this is not kept for the next.
    const KEPT_BYTES_MAX: usize = 64 << 10;
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    scratch.clear();
    write(&mut scratch);
    let mut whole = Vec::with_capacity(head.len() + scratch.len());
    whole.extend_from_slice(head);
    whole.extend_from_slice(&scratch);
    if scratch.capacity() <= KEPT_BYTES_MAX {
        SCRATCH.set(scratch);
    }
    Bytes::from(whole)
}

const _: () =
    assert!(SessionBounds::LARGEST.answers_bytes_max <= u32::MAX as u64, "a table fits into memory");

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: SessionTag = SessionTag { session: SessionId(7), sequence: 3, answered_below: 2 };

    fn sealed() -> Vec<Bytes> {
        let command = |out: &mut Vec<u8>| out.extend_from_slice(b"set a 1");
        vec![
            seal_plain(command),
            seal_open(SessionBounds::of(10)),
            seal_in_session(TAG, command),
            seal_close(SessionId(7)),
        ]
    }

    #[test]
    fn what_is_sealed_is_opened_again() {
        let sealed = sealed();
        let opened: Vec<_> = sealed.iter().map(|entry| Envelope::open(entry).unwrap()).collect();

        assert_eq!(
            opened,
            [
                Envelope::Plain(b"set a 1"),
                Envelope::Open(SessionBounds::of(10)),
                Envelope::InSession(TAG, b"set a 1"),
                Envelope::Close(SessionId(7)),
            ]
        );
    }

    #[test]
    fn a_plain_command_has_one_byte_more_and_is_not_copied_when_it_is_opened() {
        let sealed = seal_plain(|out| out.extend_from_slice(b"command"));

        let Ok(Envelope::Plain(command)) = Envelope::open(&sealed) else { panic!("a plain command") };

        assert_eq!((sealed.len(), command.as_ptr()), (8, sealed[1..].as_ptr()));
    }

    #[test]
    fn no_envelope_is_longer_than_the_longest() {
        let longest = seal_in_session(TAG, |_| ()).len().max(seal_open(SessionBounds::LARGEST).len());
        assert_eq!(longest, ENVELOPE_BYTES_MAX);
    }

    #[test]
    fn entries_that_mean_nothing_are_refused() {
        let refused = |entry: &[u8]| assert!(Envelope::open(entry).is_err(), "{entry:?}");

        refused(&[]);
        refused(&[4]);
        refused(&[CLOSE, 1, 2, 3]);
        for entry in &sealed()[1..] {
            refused(&entry[..entry.len().min(9) - 1]);
        }
        for entry in [&sealed()[1], &sealed()[3]] {
            refused(&[entry, &[0][..]].concat());
        }
        let ahead = [&[IN_SESSION][..], &7_u64.to_le_bytes(), &2_u64.to_le_bytes(), &3_u64.to_le_bytes()];
        refused(&ahead.concat());
        for bounds in [
            SessionBounds { sessions_max: 0, ..SessionBounds::of(1) },
            SessionBounds { unanswered_max: 0, ..SessionBounds::of(1) },
            SessionBounds { sessions_max: 1_000_001, ..SessionBounds::of(1) },
            SessionBounds { unanswered_max: u32::MAX, ..SessionBounds::of(1) },
            SessionBounds { answers_max: 1023, ..SessionBounds::of(1) },
            SessionBounds { answers_max: 8_000_001, ..SessionBounds::of(1) },
            SessionBounds { answer_bytes_max: u32::MAX, ..SessionBounds::of(1) },
            SessionBounds { answers_bytes_max: u64::MAX, ..SessionBounds::of(1) },
        ] {
            refused(&seal_open(bounds));
        }
    }

    #[test]
    fn a_codec_that_does_not_append_harms_only_itself() {
        let sealed = seal_plain(|out| {
            out.extend_from_slice(b"ab");
            *out = b"cd".to_vec();
        });
        assert_eq!(Envelope::open(&sealed), Ok(Envelope::Plain(b"cd")));
    }

    #[test]
    fn a_codec_may_seal_something_itself() {
        let outer = seal_plain(|out| out.extend_from_slice(&seal_plain(|inner| inner.push(9))));
        assert_eq!(outer.as_ref(), [0, 0, 9]);
    }
}
