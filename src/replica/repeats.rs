//! Forwards that arrive again. A transport may deliver a message twice when a connection is replaced; what was appended
//! once must neither be appended again, nor be refused in a later term as if it had not been.

use std::collections::BTreeMap;

use crate::planted::{Bug, planted};
use crate::types::{Boot, Forward, NodeId};

/// The last request that each node forwarded here: each numbers its own, and hands them over in that order.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    last: BTreeMap<NodeId, (Boot, u64)>,
}

impl Repeats {
    /// Notes `forward`; `false` if it, or one that its sender handed over later, was noted before. To such a one no
    /// answer can be true: its callers learn their fate from the log, or at their deadline.
    pub(super) fn is_first(&mut self, from: NodeId, forward: &Forward) -> bool {
        let (Some(first), Some(last)) = (forward.commands.first(), forward.commands.last()) else {
            return true;
        };
        let noted = self.last.get(&from).filter(|(boot, _)| *boot == first.origin.boot);
        let is_repeated = noted.is_some_and(|&(_, noted)| first.origin.request <= noted);
        if is_repeated && !planted(Bug::AppendsForwardsTwice) {
            return false;
        }
        self.last.insert(from, (last.origin.boot, last.origin.request));
        true
    }
}
