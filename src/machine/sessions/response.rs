//! What a command in a session is answered: one byte that says what became of it, and the state machine's response if there
//! is one.
//!
//! | first byte | what | then |
//! |---|---|---|
//! | 0 | it took effect, now or before | the response |
//! | 1 | the session does not stand | nothing |
//! | 2 | the response is not kept | nothing |
//! | 3 | too many commands of the session are unanswered | nothing |

use bytes::Bytes;

/// What stands before the response of a command that was executed.
pub(super) const ANSWERED: u8 = 0;
const EXPIRED: u8 = 1;
/// All that is left of a response which is not kept.
pub(super) const FORGOTTEN: u8 = 2;
const FULL: u8 = 3;

/// What stands before a response.
pub(super) const STATUS_BYTES: usize = 1;

/// Why a command in a session has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its session does not stand. It was not executed now.
    Expired,
    /// It was executed, or given up, before; its response is not kept.
    Forgotten,
    /// It was not executed: its session must first say which responses have arrived.
    Full,
}

/// Why bytes are no response of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoResponse {
    /// The session refused.
    Refused(Refusal),
    /// They mean nothing: never written here.
    Malformed,
}

/// The response to a command in a session, without the byte before it.
pub(crate) fn session_response(bytes: &[u8]) -> Result<&[u8], NoResponse> {
    match bytes {
        [ANSWERED, response @ ..] => Ok(response),
        [EXPIRED] => Err(NoResponse::Refused(Refusal::Expired)),
        [FORGOTTEN] => Err(NoResponse::Refused(Refusal::Forgotten)),
        [FULL] => Err(NoResponse::Refused(Refusal::Full)),
        _ => Err(NoResponse::Malformed),
    }
}

/// A refusal as a response.
pub(super) fn refused(refusal: Refusal) -> Bytes {
    Bytes::from_static(match refusal {
        Refusal::Expired => &[EXPIRED],
        Refusal::Forgotten => &[FORGOTTEN],
        Refusal::Full => &[FULL],
    })
}
