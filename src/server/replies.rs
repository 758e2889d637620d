//! What became of a request, in the words that clients are told.

use bytes::Bytes;

use crate::ticket::{Outcome, ProposeError, ReadError};
use crate::types::{ClientAnswer, ClientRefused};
use crate::wire::client::RESPONSE_BYTES_MAX;

/// To a command.
pub(super) fn proposed(outcome: Result<Bytes, ProposeError>) -> Result<ClientAnswer, ClientRefused> {
    let response = outcome.map_err(not_proposed)?;
    // It took effect, and no client would take the frame.
    if response.len() > RESPONSE_BYTES_MAX {
        return Err(ClientRefused::AnswerForgotten);
    }
    Ok(ClientAnswer::Response(response))
}

/// To a query.
pub(super) fn asked(outcome: Result<Bytes, ReadError>) -> Result<ClientAnswer, ClientRefused> {
    let response = outcome.map_err(not_asked)?;
    if response.len() > RESPONSE_BYTES_MAX {
        let (bytes, limit) = (response.len() as u64, RESPONSE_BYTES_MAX as u64);
        return Err(ClientRefused::TooLarge { bytes, limit });
    }
    Ok(ClientAnswer::Response(response))
}

/// Never says less than `Unknown` of what may have taken effect.
pub(super) fn not_proposed(error: ProposeError) -> ClientRefused {
    match error {
        ProposeError::NotLeader { leader } => ClientRefused::NotLeader { leader },
        ProposeError::NoLeader => ClientRefused::NoLeader,
        ProposeError::DeadlinePassed => ClientRefused::DeadlinePassed,
        ProposeError::Busy => ClientRefused::Busy,
        ProposeError::DiskFull => ClientRefused::DiskFull,
        ProposeError::TooLarge { bytes, limit } => {
            ClientRefused::TooLarge { bytes: bytes as u64, limit: limit as u64 }
        }
        ProposeError::Malformed => ClientRefused::Malformed,
        ProposeError::Superseded => ClientRefused::Superseded,
        ProposeError::SessionExpired => ClientRefused::SessionExpired,
        ProposeError::AnswerForgotten => ClientRefused::AnswerForgotten,
        ProposeError::SessionFull => ClientRefused::SessionFull,
        ProposeError::Stopped { outcome: Outcome::NotApplied, .. } => ClientRefused::Stopped,
        ProposeError::Stopped { outcome: Outcome::Unknown, .. }
        | ProposeError::Unknown
        | ProposeError::BadResponse { .. }
        | ProposeError::WouldDeadlock => ClientRefused::Unknown,
    }
}

fn not_asked(error: ReadError) -> ClientRefused {
    match error {
        ReadError::NoLeader => ClientRefused::NoLeader,
        ReadError::DeadlinePassed => ClientRefused::DeadlinePassed,
        ReadError::Busy | ReadError::WouldDeadlock => ClientRefused::Busy,
        ReadError::Malformed => ClientRefused::Malformed,
        ReadError::Panicked { message } => ClientRefused::Panicked { message },
        ReadError::Stopped { .. } => ClientRefused::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::StopCause;

    #[test]
    fn what_may_have_taken_effect_is_never_told_as_failed() {
        let stopped = |outcome| not_proposed(ProposeError::Stopped { cause: StopCause::Shutdown, outcome });

        assert_eq!(stopped(Outcome::NotApplied), ClientRefused::Stopped);
        assert_eq!(stopped(Outcome::Unknown), ClientRefused::Unknown);
        let bad = ProposeError::BadResponse { reason: String::new() };
        assert_eq!(not_proposed(bad), ClientRefused::Unknown);
    }

    #[test]
    fn an_answer_that_no_frame_holds_is_told_by_what_it_means() {
        let long = Bytes::from(vec![0; RESPONSE_BYTES_MAX + 1]);
        let (bytes, limit) = (long.len() as u64, RESPONSE_BYTES_MAX as u64);

        assert_eq!(proposed(Ok(long.clone())), Err(ClientRefused::AnswerForgotten));
        assert_eq!(asked(Ok(long.clone())), Err(ClientRefused::TooLarge { bytes, limit }));
        assert!(proposed(Ok(long.slice(1..))).is_ok() && asked(Ok(long.slice(1..))).is_ok());
    }
}
