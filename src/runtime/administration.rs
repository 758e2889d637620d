//! What operators ask of a node: other members, another leader, a snapshot, and word of what happens.
//!
//! Any node takes these wishes; those that are the leader's it hands on. They go beside the callers' requests and pass no
//! gate: a node that is too busy for its callers still obeys its operator.

use std::time::Duration;

use super::channels::{self, Control, answer};
use super::clock::{deadline_after, later};
use super::events::{Events, Observer};
use super::node::Node;
use super::running::Running;
use crate::machine::StateMachine;
use crate::replica::{Answer, Change, SnapshotNow, Transfer};
use crate::ticket::{ChangeError, Outcome, SnapshotNowError, StopCause, TransferError, on_runtime_thread};
use crate::types::{ChangeReceipt, LogIndex, MembershipChange, Moment, NodeId};

/// The engine answers at the deadline, by its own clock and between two ticks: so much later a caller gives up on it.
const GRACE: Duration = Duration::from_secs(1);

impl<S: StateMachine> Node<S> {
    /// Adds node `id`, never used before or removed since, which is reached at `address` and runs with
    /// [`Config::join`](super::Config::join) on an empty directory. It receives the log and does not vote:
    /// [`Node::promote`] it when it has caught up.
    ///
    /// This and the other changes block until the change is committed, at most for the configured call timeout. They need
    /// not be asked of the leader. What is [`Refused`](ChangeError::Refused) was not begun; [`ChangeError::outcome`] says
    /// so of every error.
    ///
    /// ```no_run
    /// use std::error::Error;
    /// use std::time::Duration;
    ///
    /// use quorate::{Node, StateMachine};
    ///
    /// /// `fourth` was started with `Config::join`; from another process `Config::auto_promote` does the last step.
    /// fn grow<S: StateMachine>(member: &Node<S>, fourth: &Node<S>) -> Result<(), Box<dyn Error>> {
    ///     let added = member.add_learner(4, "10.0.0.4:7001")?;
    ///     fourth.wait_applied(added.position.index.0, Duration::from_secs(60))?; // it has caught up
    ///     member.promote(4)?;
    ///     Ok(())
    /// }
    /// ```
    pub fn add_learner(&self, id: u64, address: impl Into<String>) -> Result<ChangeReceipt, ChangeError> {
        let address = address.into();
        self.change_membership(MembershipChange::AddLearner { id: named(id)?, address }, None)
    }

    /// Makes a voter of a learner that has caught up, by
    /// [`Config::promote_lag_bytes_max`](super::Config::promote_lag_bytes_max).
    pub fn promote(&self, id: u64) -> Result<ChangeReceipt, ChangeError> {
        self.change_membership(MembershipChange::Promote { id: named(id)? }, None)
    }

    /// Makes a learner of a voter. A leader that demotes itself hands over.
    pub fn demote(&self, id: u64) -> Result<ChangeReceipt, ChangeError> {
        self.change_membership(MembershipChange::Demote { id: named(id)? }, None)
    }

    /// Removes a member of any role. A leader that removes itself leads until that is committed, then hands over.
    ///
    /// The member that was removed goes on running, learns of it if it is reached
    /// ([`NodeEvent::Removed`](super::NodeEvent::Removed), [`Status::removed`](super::Status::removed)), and is sent nothing
    /// after that: its calls find no leader. Shut it down.
    pub fn remove(&self, id: u64) -> Result<ChangeReceipt, ChangeError> {
        self.change_membership(MembershipChange::Remove { id: named(id)? }, None)
    }

    /// Removes node `old` and gives its role to `new`, reached at `address`: a learner, or a node that runs with
    /// [`Config::join`](super::Config::join) on an empty directory. If `old` votes, `new` becomes a learner first, unless it
    /// is one, and takes the place when the group knows its data directory and it has caught up: all within this call, also
    /// if the leader changes meanwhile. If that takes too long, the answer is
    /// [`UnknownDirectory`](crate::ChangeRefused::UnknownDirectory), or [`Lags`](crate::ChangeRefused::Lags); `old` is as it was, `new` is a
    /// learner and catches up, and the same call later goes on from there.
    pub fn replace(
        &self,
        old: u64,
        new: u64,
        address: impl Into<String>,
    ) -> Result<ChangeReceipt, ChangeError> {
        let (old, new, address) = (named(old)?, named(new)?, address.into());
        self.change_membership(MembershipChange::Replace { old, new, address }, None)
    }

    /// Tells all members that node `id` is reached at `address` from now on.
    pub fn readdress(&self, id: u64, address: impl Into<String>) -> Result<ChangeReceipt, ChangeError> {
        let address = address.into();
        self.change_membership(MembershipChange::Readdress { id: named(id)?, address }, None)
    }

    /// Changes the membership. With `expected`, only if nobody has changed it behind that entry, up to which the caller has
    /// seen it, as [`ChangeReceipt::position`] and [`Status::membership_index`](super::Status::membership_index) say: so two
    /// operators do not undo each other's work. (That the group learns a member's data directory is no change.) New voters of
    /// a [`MembershipChange::Set`] come as learners first, as with [`Node::replace`].
    pub fn change_membership(
        &self,
        change: MembershipChange,
        expected: Option<u64>,
    ) -> Result<ChangeReceipt, ChangeError> {
        self.change_membership_within(change, expected, self.running().call_timeout)
    }

    /// As [`Node::change_membership`], with a deadline of its own.
    pub fn change_membership_within(
        &self,
        change: MembershipChange,
        expected: Option<u64>,
        within: Duration,
    ) -> Result<ChangeReceipt, ChangeError> {
        let expected = expected.map(LogIndex);
        self.running()
            .ask(within, |answer, deadline| Control::Change(Change { change, expected, answer, deadline }))
    }

    /// Hands leadership to node `to`, or, if `None`, to the voter that is best prepared. Blocks until that node leads, and
    /// names it; meanwhile proposals wait or are refused. After an election timeout without success the leader goes on.
    pub fn transfer_leadership(&self, to: Option<u64>) -> Result<u64, TransferError> {
        let to = match to {
            Some(to) => Some(NodeId::new(to).ok_or(TransferError::ZeroId)?),
            None => None,
        };
        let within = self.running().call_timeout;
        let transfer = |answer, deadline| Control::Transfer(Transfer { to, answer, deadline });
        self.running().ask(within, transfer).map(NodeId::get)
    }

    /// Takes a snapshot of this node's state machine now, leader or not. Blocks until it is durable, at most for the
    /// configured call timeout, and names the last entry in it. The log before it is released soon after, but for
    /// [`Config::trailing_entries`](super::Config::trailing_entries).
    pub fn snapshot_now(&self) -> Result<u64, SnapshotNowError> {
        self.snapshot_now_within(self.running().call_timeout)
    }

    /// As [`Node::snapshot_now`], with a deadline of its own; beyond it the snapshot goes on.
    pub fn snapshot_now_within(&self, within: Duration) -> Result<u64, SnapshotNowError> {
        let wish = |answer, deadline| Control::SnapshotNow(SnapshotNow { answer, deadline });
        self.running().ask(within, wish).map(|snapshot| snapshot.position.index.0)
    }

    /// What happens to this node from now on. An observer that falls 1024 events behind loses some, and learns how many;
    /// the node never waits for it.
    pub fn events(&self) -> Events {
        let (observer, events) = Observer::pair(channels::events());
        self.running().control(Control::Observe(observer));
        events
    }
}

fn named(id: u64) -> Result<NodeId, ChangeError> {
    NodeId::new(id).ok_or(ChangeError::ZeroId)
}

impl Running {
    /// Tells the engine a wish and waits for the answer.
    fn ask<T: Send + 'static, E: AdminError>(
        &self,
        within: Duration,
        wish: impl FnOnce(Answer<T, E>, Moment) -> Control,
    ) -> Result<T, E> {
        if on_runtime_thread() {
            return Err(E::WOULD_DEADLOCK);
        }
        let stopped = |outcome| {
            let cause = self.stop_cause().unwrap_or(StopCause::Shutdown);
            Err(E::stopped(cause, outcome))
        };
        let (sender, answered) = answer();
        let (deadline, _) = deadline_after(within);
        // Who does not wait any more needs no answer.
        let wish = wish(Box::new(move |outcome| _ = sender.try_send(outcome)), deadline);
        if self.stop_cause().is_some() || !self.control(wish) {
            return stopped(Outcome::NotApplied);
        }
        match answered.recv_deadline(later(within.saturating_add(GRACE))) {
            Ok(outcome) => outcome,
            Err(error) if error.is_timeout() => Err(E::UNANSWERED),
            Err(_) => stopped(Outcome::Unknown),
        }
    }

    /// A leader that is about to stop lets another one take over. If nobody does in time, it stops all the same.
    pub(super) fn step_aside(&self, within: Duration) {
        let transfer = |answer, deadline| Control::StepAside(Transfer { to: None, answer, deadline });
        match self.ask(within, transfer) {
            Ok(next) => log::info!("node {next} leads from now on"),
            Err(error) => log::info!("the node stops as leader: {error}"),
        }
    }
}

/// What [`Running::ask`] must be able to say in each operation's own words.
trait AdminError: Send + 'static {
    const WOULD_DEADLOCK: Self;
    /// The engine did not answer in time, not even that it was too late.
    const UNANSWERED: Self;

    fn stopped(cause: StopCause, outcome: Outcome) -> Self;
}

impl AdminError for ChangeError {
    const WOULD_DEADLOCK: Self = Self::WouldDeadlock;
    const UNANSWERED: Self = Self::Unknown;

    fn stopped(cause: StopCause, outcome: Outcome) -> Self {
        Self::Stopped { cause, outcome }
    }
}

impl AdminError for TransferError {
    const WOULD_DEADLOCK: Self = Self::WouldDeadlock;
    const UNANSWERED: Self = Self::Unknown;

    fn stopped(cause: StopCause, _outcome: Outcome) -> Self {
        Self::Stopped { cause }
    }
}

impl AdminError for SnapshotNowError {
    const WOULD_DEADLOCK: Self = Self::WouldDeadlock;
    const UNANSWERED: Self = Self::DeadlinePassed;

    fn stopped(cause: StopCause, _outcome: Outcome) -> Self {
        Self::Stopped { cause }
    }
}
