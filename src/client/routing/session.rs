//! The session in which commands are sent: opened when one is first needed, and again when it was lost.

use std::time::Instant;

use super::window::Window;
use crate::types::{SessionId, SessionTag};

/// What there is of a session.
#[derive(Debug)]
pub(super) enum Session {
    /// None: one may be asked for from then on.
    None {
        /// Not before.
        not_before: Instant,
        /// How often it was asked for in vain.
        refusals: u32,
    },
    /// A node was asked for one.
    Asked {
        /// As above.
        refusals: u32,
    },
    /// It stands, as far as is known.
    Open {
        /// Its name.
        id: SessionId,
        /// The numbers of its commands.
        window: Window,
    },
}

impl Session {
    /// The name of the session that stands.
    pub(super) fn id(&self) -> Option<SessionId> {
        match self {
            Self::Open { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The tag with which a command is sent now: under the number that it has, or gets.
    ///
    /// # Panics
    /// If no session stands, or the number is of another one: then nothing is sent.
    pub(super) fn tag(&mut self, number: &mut Option<(SessionId, u64)>) -> SessionTag {
        let Self::Open { id, window } = self else { panic!("a command is sent within a session") };
        let (session, sequence) = *number.get_or_insert_with(|| (*id, window.begin()));
        assert_eq!(session, *id, "a command keeps its number, and its number its session");
        SessionTag { session, sequence, answered_below: window.answered_below() }
    }

    /// The numbers of this session, if it is the one that stands.
    pub(super) fn window_of(&mut self, session: SessionId) -> Option<&mut Window> {
        match self {
            Self::Open { id, window } if *id == session => Some(window),
            _ => None,
        }
    }
}
