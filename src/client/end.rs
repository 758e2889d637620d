//! The caller's end of a call: a ticket's other half, of whichever type.

use super::routing::{CallEnd, Verdict};
use super::{ClientError, ClientReadError};
use crate::ticket::{Reply, StopCause};
use crate::types::ClientAnswer;

/// See the top of this file.
#[derive(Debug)]
pub(super) enum End {
    /// Of a command.
    Command(Reply<ClientError, ClientAnswer>),
    /// Of whatever changes nothing.
    Read(Reply<ClientReadError, ClientAnswer>),
}

impl End {
    /// Tells the caller.
    pub(super) fn finish(self, verdict: Verdict) {
        match (self, verdict) {
            (Self::Command(reply), Verdict::Answered(answer)) => reply.answer(&answer),
            (Self::Read(reply), Verdict::Answered(answer)) => reply.answer(&answer),
            // Whoever only wanted to be connected looks at no answer.
            (Self::Read(reply), Verdict::Met) => reply.answer(&ClientAnswer::SessionClosed),
            (Self::Command(reply), Verdict::Failed(failure)) => reply.fail(failure.into()),
            (Self::Read(reply), Verdict::Failed(failure)) => reply.fail(failure.into()),
            (Self::Command(_), Verdict::Met) => unreachable!("a command is answered"),
        }
    }

    /// The client stops.
    pub(super) fn stop(self, cause: &StopCause) {
        match self {
            Self::Command(reply) => reply.stop(cause),
            Self::Read(reply) => reply.stop(cause),
        }
    }
}

impl CallEnd for End {
    fn take(&self) -> bool {
        match self {
            Self::Command(reply) => reply.take(),
            Self::Read(reply) => reply.take(),
        }
    }

    fn put_back(&self) {
        match self {
            Self::Command(reply) => reply.put_back(),
            Self::Read(reply) => reply.put_back(),
        }
    }
}
