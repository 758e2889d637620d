//! What an operator may ask of a group: other members, another leader. And why it is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{LogIndex, LogPosition, Membership, MembershipError, NodeId};

/// A change of a group's configuration. Whatever touches voters goes through a joint configuration (§6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipChange {
    /// A new member that receives the log and does not vote.
    AddLearner {
        /// Its id: never used before, or removed since.
        id: NodeId,
        /// Where the others reach it.
        address: String,
    },
    /// A learner becomes a voter; refused while it lags too far behind.
    Promote {
        /// The learner.
        id: NodeId,
    },
    /// A voter becomes a learner.
    Demote {
        /// The voter.
        id: NodeId,
    },
    /// A member of any role leaves the group.
    Remove {
        /// The member.
        id: NodeId,
    },
    /// One member leaves and another takes over its role. A node that shall vote and was never met comes as a learner first,
    /// and takes the voter's place when it has shown its data directory and caught up.
    Replace {
        /// Who leaves.
        old: NodeId,
        /// Who comes: a learner, or a new node.
        new: NodeId,
        /// Where the others reach the new one.
        address: String,
    },
    /// A member is reached elsewhere from now on.
    Readdress {
        /// The member.
        id: NodeId,
        /// Its new address.
        address: String,
    },
    /// Exactly these members, whatever there was before. Voters who were never met come as learners first, as with
    /// [`MembershipChange::Replace`].
    Set {
        /// The voters and where they are reached.
        voters: BTreeMap<NodeId, String>,
        /// The learners and where they are reached.
        learners: BTreeMap<NodeId, String>,
    },
}

/// A change that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeReceipt {
    /// The entry that completed it.
    pub position: LogPosition,
    /// The configuration from then on.
    pub membership: Arc<Membership>,
}

/// Why a change was not begun. Nothing was changed; only the new voters of a [`MembershipChange::Replace`] or a
/// [`MembershipChange::Set`] may be learners by now, and the same change goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefused {
    /// Only a leader changes the membership.
    #[error("this node does not lead")]
    NotLeader,
    /// A new leader must commit an entry of its own term first; it does so within a round trip.
    #[error("the leader has not committed an entry of its term yet: retry in a moment")]
    NotReady,
    /// One change at a time.
    #[error("another change of the membership is under way since entry {at}: wait for it")]
    InProgress {
        /// The entry to wait for.
        at: LogIndex,
    },
    /// Somebody changed the membership after the caller looked at it.
    #[error("the membership was changed in entry {current}: look at it again")]
    Changed {
        /// The entry of the last change.
        current: LogIndex,
    },
    /// No such member.
    #[error("node {0} is not a member")]
    UnknownNode(NodeId),
    /// It is a member already.
    #[error("node {0} is a member already: remove it first if it lost its data directory")]
    AlreadyMember(NodeId),
    /// Only learners are promoted.
    #[error("node {0} is not a learner")]
    NotALearner(NodeId),
    /// Only voters are demoted.
    #[error("node {0} is not a voter")]
    NotAVoter(NodeId),
    /// It would hold up every commit until it has caught up.
    #[error("node {id} lacks {lag_bytes} bytes of the log and may lack {limit}: wait until it has caught up")]
    Lags {
        /// The learner.
        id: NodeId,
        /// How much it lacks, in bytes.
        lag_bytes: u64,
        /// How much it may lack: what is configured, and no more than what came after the membership in force.
        limit: u64,
    },
    /// It shall vote, and has not shown its data directory yet: a node that joined gives no vote before the group knows it.
    #[error(
        "node {id} has not shown its data directory yet, without which it gives no vote: see whether it runs, is \
         reached at its address and was started to join; it is a learner until then"
    )]
    UnknownDirectory {
        /// The node.
        id: NodeId,
        /// The entry that changed the membership last: it is a learner since then at the latest.
        since: LogIndex,
    },
    /// With the nodes that answer now, the new configuration could not commit anything.
    #[error(
        "of the voters this would leave, only {connected} answer now and {needed} are needed: nothing could be committed"
    )]
    WouldLoseQuorum {
        /// How many voters answer.
        connected: u64,
        /// How many must.
        needed: u64,
    },
    /// Nothing would change.
    #[error("the membership is so already")]
    NoChange,
    /// What would result is no configuration.
    #[error(transparent)]
    Invalid(#[from] MembershipError),
    /// Leadership is being handed over.
    #[error("leadership is being handed over: ask the next leader")]
    Transferring,
}

/// Why leadership was not handed over. In every case the leader goes on as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferRefused {
    /// Only a leader can hand over.
    #[error("this node does not lead")]
    NotLeader,
    /// Only a voter can lead.
    #[error("node {0} is not a voter")]
    NotAVoter(NodeId),
    /// It leads already.
    #[error("node {0} leads already")]
    LeadsAlready(NodeId),
    /// Another transfer is under way.
    #[error("leadership is being handed to node {to} already")]
    InProgress {
        /// To whom.
        to: NodeId,
    },
    /// Nobody else could lead now.
    #[error("no other voter answers")]
    Nobody,
}
