//! Handing leadership over: thesis §3.10.
//!
//! The leader takes no more proposals, waits until the successor has all of its log, and tells it to stand for election
//! at once. Its lease ends before that message can leave, for good: the message may arrive at any time. After an election timeout without
//! a new leader it goes on as before.

use super::Raft;
use crate::types::{NodeId, TransferRefused};

impl Raft {
    /// Begins to hand leadership to `to`, or, if `None`, to the voter that answers and has most of the log. Who it is.
    pub fn transfer_leadership(&mut self, to: Option<NodeId>) -> Result<NodeId, TransferRefused> {
        let _ = to;
        unimplemented!("contract")
    }

    /// To whom leadership is being handed over; `None` once it has happened, or was given up.
    pub fn transferring_to(&self) -> Option<NodeId> {
        unimplemented!("contract")
    }

    /// The host cannot write (its disk is full, or hangs), or can again. While it cannot, this replica hands leadership
    /// over, or steps down if nobody can take it, and does not stand for election.
    pub fn set_impaired(&mut self, impaired: bool) {
        let _ = impaired;
        unimplemented!("contract")
    }
}
