//! Sessions: what makes a command that is sent again take effect once (thesis §6.3).

use std::fmt;

/// Names a session: the index of the log entry that opened it. No other session of the cluster ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which command of which session this is. Sent again with the same tag, it is the same command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionTag {
    /// The session.
    pub session: SessionId,
    /// The command's number in it. Commands of one session may take effect in another order than that of their numbers; but
    /// no number is used that is as far above the lowest unanswered one as a session may have unanswered commands, or these
    /// could fill the session so that the lowest finds no room.
    pub sequence: u64,
    /// All answers below this number have reached their callers, or are given up: they need not be kept, and no command
    /// with such a number is ever executed again. At most `sequence`.
    pub answered_below: u64,
}
