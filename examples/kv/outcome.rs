//! What a client may conclude when a request failed, by the first word of the error.

use quorate::{
    ChangeError, ChangeRefused, Outcome, ProposeError, ReadError, SnapshotNowError, StopCause, TransferError,
    TransferRefused,
};

use super::reply::Reply;

/// A command that changes the store was not answered.
pub(crate) fn write_failed(error: &ProposeError) -> Reply {
    match error {
        ProposeError::TooLarge { .. } | ProposeError::Malformed => Reply::error(error),
        ProposeError::DiskFull => read_only(error),
        ProposeError::Stopped { cause, outcome: Outcome::NotApplied } => node_stopped(cause),
        _ => match error.outcome() {
            Outcome::NotApplied => try_again(error),
            Outcome::Unknown => unknown(error),
        },
    }
}

/// A question in the log was not answered. It changes nothing, so that it may always be asked again.
pub(crate) fn ask_failed(error: &ProposeError) -> Reply {
    match error {
        ProposeError::TooLarge { .. } | ProposeError::Malformed => Reply::error(error),
        ProposeError::DiskFull => read_only(error),
        ProposeError::Stopped { cause, .. } => node_stopped(cause),
        _ => try_again(format_args!("the read was not answered: {error}")),
    }
}

/// A question was not answered.
pub(crate) fn read_failed(error: &ReadError) -> Reply {
    match error {
        ReadError::Stopped { cause } => node_stopped(cause),
        ReadError::Panicked { .. } => Reply::error(error),
        _ => try_again(error),
    }
}

/// The membership was not seen to change.
pub(crate) fn change_failed(error: &ChangeError) -> Reply {
    match error {
        // These pass by themselves; for all others somebody has to do something first.
        ChangeError::Refused(
            ChangeRefused::NotLeader
            | ChangeRefused::NotReady
            | ChangeRefused::InProgress { .. }
            | ChangeRefused::Transferring,
        ) => try_again(error),
        ChangeError::Refused(_) | ChangeError::WouldDeadlock => Reply::error(error),
        ChangeError::Stopped { cause, outcome: Outcome::NotApplied } => node_stopped(cause),
        _ => match error.outcome() {
            Outcome::NotApplied => try_again(error),
            Outcome::Unknown => unknown(error),
        },
    }
}

/// Leadership was not seen to change hands.
pub(crate) fn transfer_failed(error: &TransferError) -> Reply {
    match error {
        TransferError::NoLeader
        | TransferError::Busy
        | TransferError::Refused(TransferRefused::NotLeader | TransferRefused::InProgress { .. }) => {
            try_again(error)
        }
        TransferError::Unknown => unknown(error),
        TransferError::Stopped { cause } => node_stopped(cause),
        _ => Reply::error(error),
    }
}

/// No snapshot was seen to be taken.
pub(crate) fn snapshot_failed(error: &SnapshotNowError) -> Reply {
    match error {
        SnapshotNowError::DeadlinePassed => unknown(error),
        SnapshotNowError::Stopped { cause } => node_stopped(cause),
        _ => Reply::error(error),
    }
}

fn try_again(error: impl std::fmt::Display) -> Reply {
    Reply::Error(format!("TRYAGAIN {error}"))
}

fn unknown(error: impl std::fmt::Display) -> Reply {
    Reply::Error(format!("UNKNOWN {error}"))
}

fn read_only(error: impl std::fmt::Display) -> Reply {
    Reply::Error(format!("READONLY {error}"))
}

fn node_stopped(cause: &StopCause) -> Reply {
    match cause {
        StopCause::Shutdown => try_again("this node is shutting down: ask another one"),
        _ => read_only(format_args!(
            "this node takes no part any more ({cause}): ask another one, mend the cause and restart it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use quorate::types::{LogIndex, NodeId};

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
        assert_eq!(prefix(write_failed(&ProposeError::DiskFull)), "READONLY");
        assert_eq!(prefix(write_failed(&stopped(StopCause::Shutdown, Outcome::NotApplied))), "TRYAGAIN");
        assert_eq!(prefix(write_failed(&stopped(StopCause::Shutdown, Outcome::Unknown))), "UNKNOWN");
        assert_eq!(prefix(write_failed(&stopped(failed(), Outcome::NotApplied))), "READONLY");
        assert_eq!(prefix(write_failed(&stopped(failed(), Outcome::Unknown))), "UNKNOWN");
        assert_eq!(prefix(read_failed(&ReadError::DeadlinePassed)), "TRYAGAIN");
        assert_eq!(prefix(read_failed(&ReadError::Stopped { cause: failed() })), "READONLY");
        assert_eq!(prefix(ask_failed(&ProposeError::Unknown)), "TRYAGAIN", "a read is always safe to repeat");
    }

    #[test]
    fn an_operator_learns_whether_to_try_again_to_look_or_to_do_something_else() {
        let node = NodeId::new(4).unwrap();
        let refused = |reason| prefix(change_failed(&ChangeError::Refused(reason)));
        let stopped = |cause, outcome| prefix(change_failed(&ChangeError::Stopped { cause, outcome }));

        assert_eq!(refused(ChangeRefused::NotReady), "TRYAGAIN");
        assert_eq!(refused(ChangeRefused::InProgress { at: LogIndex(7) }), "TRYAGAIN");
        assert_eq!(refused(ChangeRefused::Lags { id: node, lag_bytes: 2, limit: 1 }), "ERR");
        assert_eq!(refused(ChangeRefused::UnknownNode(node)), "ERR");
        assert_eq!(prefix(change_failed(&ChangeError::NoLeader)), "TRYAGAIN");
        assert_eq!(prefix(change_failed(&ChangeError::Superseded)), "TRYAGAIN");
        assert_eq!(prefix(change_failed(&ChangeError::Unknown)), "UNKNOWN");
        assert_eq!(stopped(StopCause::Shutdown, Outcome::NotApplied), "TRYAGAIN");
        assert_eq!(stopped(StopCause::Storage("gone".into()), Outcome::NotApplied), "READONLY");
        assert_eq!(stopped(StopCause::Shutdown, Outcome::Unknown), "UNKNOWN");

        assert_eq!(prefix(transfer_failed(&TransferRefused::NotAVoter(node).into())), "ERR");
        assert_eq!(prefix(transfer_failed(&TransferRefused::NotLeader.into())), "TRYAGAIN");
        assert_eq!(prefix(transfer_failed(&TransferError::NotTaken { to: node })), "ERR");
        assert_eq!(prefix(transfer_failed(&TransferError::Unknown)), "UNKNOWN");

        assert_eq!(prefix(snapshot_failed(&SnapshotNowError::NothingApplied)), "ERR");
        assert_eq!(prefix(snapshot_failed(&SnapshotNowError::DeadlinePassed)), "UNKNOWN");
    }
}
