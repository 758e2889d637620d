//! What the loop knows of one other node: where it is, which connections stand with it, when to dial again.

use std::time::Instant;

use mio::Token;

use super::backoff::Backoff;
use crate::types::Incarnation;

/// One other node.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it is reached; `None` if it is known only because it dialled us.
    pub(super) address: Option<String>,
    /// The data directory that it must show, once the cluster knows.
    pub(super) expected: Option<Incarnation>,
    /// The connection that we opened, or will.
    pub(super) dial: Dial,
    /// The connection that it opened, once it stands.
    pub(super) accepted: Option<Token>,
    /// The connection of which we have said that it stands.
    pub(super) announced: Option<Token>,
    pub(super) backoff: Backoff,
    /// How often we dialled: takes turns among the addresses of one name.
    pub(super) dials: usize,
}

/// How far our own connection to a peer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// There is no address to dial.
    Never,
    /// Not before then. After a refusal even a sign of life from the peer does not shorten the wait.
    Waiting { until: Instant, refused: bool },
    /// Its name is being resolved.
    Resolving,
    /// TCP or the handshake is under way.
    Trying(Token),
    /// It stands.
    Standing(Token),
}

impl Peer {
    /// A peer of which nothing is known yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            address: None,
            expected: None,
            dial: Dial::Never,
            accepted: None,
            announced: None,
            backoff: Backoff::new(seed),
            dials: 0,
        }
    }

    /// The connection on which messages to this peer leave: the one that we dialled. Only to a peer whose address we
    /// do not know, answers take the one it came on. So messages never overtake each other on another connection.
    pub(super) fn route(&self) -> Option<Token> {
        match (&self.address, self.dial) {
            (Some(_), Dial::Standing(token)) => Some(token),
            (Some(_), _) => None,
            (None, _) => self.accepted,
        }
    }

    /// The connection that we dialled, in whatever stage.
    pub(super) fn dialled(&self) -> Option<Token> {
        match self.dial {
            Dial::Trying(token) | Dial::Standing(token) => Some(token),
            Dial::Never | Dial::Waiting { .. } | Dial::Resolving => None,
        }
    }

    /// Whether nothing is left to know of it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.address.is_none() && self.accepted.is_none() && self.dialled().is_none()
    }
}
