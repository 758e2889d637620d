//! What a client may conclude when a request failed, by the first word of the error.

use quorate::{Outcome, ProposeError, ReadError, StopCause};

use super::reply::Reply;

/// A command that changes the store was not answered.
pub(crate) fn write_failed(error: &ProposeError) -> Reply {
    match error {
        ProposeError::TooLarge { .. } | ProposeError::Malformed => Reply::error(error),
        ProposeError::Stopped { cause, outcome: Outcome::NotApplied } => node_stopped(cause),
        _ => match error.outcome() {
            Outcome::NotApplied => Reply::Error(format!("TRYAGAIN {error}")),
            Outcome::Unknown => Reply::Error(format!("UNKNOWN {error}")),
        },
    }
}

/// A question in the log was not answered. It changes nothing, so that it may always be asked again.
pub(crate) fn ask_failed(error: &ProposeError) -> Reply {
    match error {
        ProposeError::TooLarge { .. } | ProposeError::Malformed => Reply::error(error),
        ProposeError::Stopped { cause, .. } => node_stopped(cause),
        _ => Reply::Error(format!("TRYAGAIN the read was not answered: {error}")),
    }
}

/// A question was not answered.
pub(crate) fn read_failed(error: &ReadError) -> Reply {
    match error {
        ReadError::Stopped { cause } => node_stopped(cause),
        ReadError::Panicked { .. } => Reply::error(error),
        _ => Reply::Error(format!("TRYAGAIN {error}")),
    }
}

fn node_stopped(cause: &StopCause) -> Reply {
    match cause {
        StopCause::Shutdown => Reply::Error("TRYAGAIN this node is shutting down: ask another one".into()),
        _ => Reply::Error(format!(
            "READONLY this node takes no part any more ({cause}): ask another one, mend the cause and restart it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(reply: Reply) -> String {
        let Reply::Error(text) = reply else { panic!("{reply:?} is no error") };
        text.split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_first_word_says_what_a_client_may_conclude() {
        let stopped = |cause: StopCause, outcome| ProposeError::Stopped { cause, outcome };
        let failed = || StopCause::Storage("no space".into());

        assert_eq!(prefix(write_failed(&ProposeError::Busy)), "TRYAGAIN");
        assert_eq!(prefix(write_failed(&ProposeError::NoLeader)), "TRYAGAIN");
        assert_eq!(prefix(write_failed(&ProposeError::Superseded)), "TRYAGAIN");
        assert_eq!(prefix(write_failed(&ProposeError::Unknown)), "UNKNOWN");
        assert_eq!(prefix(write_failed(&stopped(StopCause::Shutdown, Outcome::NotApplied))), "TRYAGAIN");
        assert_eq!(prefix(write_failed(&stopped(StopCause::Shutdown, Outcome::Unknown))), "UNKNOWN");
        assert_eq!(prefix(write_failed(&stopped(failed(), Outcome::NotApplied))), "READONLY");
        assert_eq!(prefix(write_failed(&stopped(failed(), Outcome::Unknown))), "UNKNOWN");
        assert_eq!(prefix(read_failed(&ReadError::DeadlinePassed)), "TRYAGAIN");
        assert_eq!(prefix(read_failed(&ReadError::Stopped { cause: failed() })), "READONLY");
        assert_eq!(prefix(ask_failed(&ProposeError::Unknown)), "TRYAGAIN", "a read is always safe to repeat");
    }
}
