//! The engine thread: takes what waits, makes one turn of the replica, hands out its jobs. It never waits for anybody but
//! for the next thing to do.

use std::sync::{Arc, OnceLock};

use crossbeam_channel::Select;

use super::channels::{Arrived, Control, EngineInputs, EngineOutputs, Request};
use super::clock::{self, TickCounter};
use super::events::Observers;
use super::identity::Local;
use super::inbox::Waiting;
use super::net_end::{NetEnd, message_job};
use super::view::{Facts, View};
use crate::replica::{ApplyJob, Event, Jobs, PeersJob, Replica};
use crate::ticket::{ChangeError, Outcome, SnapshotNowError, StopCause, TransferError};
use crate::transport::{Peers, SendJob};
use crate::types::{ClusterId, GroupId, Moment, NodeId, TransferRefused};
use crate::workers::LogJob;

/// How many messages and how many requests one turn takes at most, so that neither starves the other nor the clock.
const ARRIVALS_PER_TURN_MAX: usize = 1024;
const CONTROL_PER_TURN_MAX: usize = 1024;
const REQUESTS_PER_TURN_MAX: usize = 4096;

/// One replica and the channels around it.
pub(super) struct Engine {
    pub(super) local: Local,
    /// For who asks from outside.
    pub(super) cluster: Arc<OnceLock<ClusterId>>,
    pub(super) replica: Replica,
    pub(super) inputs: EngineInputs,
    pub(super) outputs: EngineOutputs,
    pub(super) ticks: TickCounter,
    pub(super) net: NetEnd,
    pub(super) waiting: Arc<Waiting>,
    pub(super) view: Arc<View>,
    pub(super) shown: Facts,
    pub(super) observers: Observers,
}

impl Engine {
    /// Turns until it is told to stop; returns why.
    pub(super) fn run(&mut self) -> StopCause {
        let inputs = self.inputs.clone();
        let mut anything = Select::new();
        anything.recv(&inputs.completions);
        anything.recv(&inputs.arrivals);
        anything.recv(&inputs.ticks);
        anything.recv(&inputs.control);
        anything.recv(&inputs.requests);
        loop {
            match self.take_inputs() {
                Taken::Stop(cause) => return cause,
                Taken::Something => self.turn(),
                Taken::Nothing => _ = anything.ready(),
            }
        }
    }

    /// Answers everybody who waits. With the ends that are dropped here the workers learn that nothing more comes.
    pub(super) fn finish(self, cause: &StopCause) {
        self.view.end(self.replica.status());
        self.replica.stop(cause);
        for request in self.inputs.requests.try_iter() {
            match request {
                Request::Propose(proposal) => proposal.reply.stop(cause),
                Request::Read(read) => read.task.stop(cause),
                Request::ReadLocal(task) => task.stop(cause),
            }
        }
        for control in self.inputs.control.try_iter() {
            refuse(control, cause);
        }
    }

    /// Completions first, then peers, then the clock, then callers: a process that was paused hears its peers before it
    /// counts the time. The clock is read once: only the turn that follows judges deadlines, by a reading of its own.
    fn take_inputs(&mut self) -> Taken {
        let now = clock::now();
        let mut taken = Taken::Nothing;
        for completion in self.inputs.completions.try_iter() {
            self.replica.handle(completion, now);
            taken = Taken::Something;
        }
        for arrival in self.inputs.arrivals.try_iter().take(ARRIVALS_PER_TURN_MAX) {
            if self.waiting.take(arrival.bytes) {
                self.net.wake();
            }
            match arrival.what {
                Arrived::Event(event) => self.replica.handle(event, now),
                Arrived::Cluster(cluster) => self.found_in(cluster),
            }
            taken = Taken::Something;
        }
        if self.inputs.ticks.try_recv().is_ok() {
            let ticks = self.ticks.elapsed(now);
            if ticks > 0 {
                self.replica.handle(Event::Tick { ticks }, now);
                taken = Taken::Something;
            }
        }
        for _ in 0..CONTROL_PER_TURN_MAX {
            let Ok(control) = self.inputs.control.try_recv() else { break };
            let wish = match control {
                Control::Stop(cause) => return Taken::Stop(cause),
                // Who looks on changes nothing.
                Control::Status(look) => {
                    (look.0)(self.replica.status());
                    continue;
                }
                Control::Observe(observer) => {
                    self.observers.add(observer);
                    continue;
                }
                Control::StepAside(transfer) if self.replica.leader() != Some(self.local.node.id) => {
                    // Who does not lead must not ask the leader to go.
                    (transfer.answer)(Err(TransferRefused::NotLeader.into()));
                    continue;
                }
                Control::StepAside(transfer) | Control::Transfer(transfer) => Event::Transfer(transfer),
                Control::Change(change) => Event::Change(change),
                Control::SnapshotNow(wish) => Event::SnapshotNow(wish),
            };
            self.replica.handle(wish, now);
            taken = Taken::Something;
        }
        if self.take_requests(now) { Taken::Something } else { taken }
    }

    /// A node that joins knows its cluster now: its storage is founded before anything else is written there.
    fn found_in(&self, cluster: ClusterId) {
        let _ = self.cluster.set(cluster);
        let identity = self.local.identity_in(cluster);
        log::info!("node {} joins cluster {cluster}", identity.node);
        let _ = self.outputs.log.send((GroupId::MAIN, LogJob::Found(identity)));
    }

    fn take_requests(&mut self, now: Moment) -> bool {
        let mut taken = false;
        for request in self.inputs.requests.try_iter().take(REQUESTS_PER_TURN_MAX) {
            taken = true;
            match request {
                Request::Propose(proposal) => self.replica.handle(Event::Propose(proposal), now),
                Request::Read(read) => self.replica.handle(Event::Read(read), now),
                Request::ReadLocal(task) => _ = self.outputs.applies.send(ApplyJob::Read(task)),
            }
        }
        taken
    }

    fn turn(&mut self) {
        let jobs = self.replica.turn(clock::now());
        self.hand_out(jobs);
        let facts = Facts {
            term: self.replica.term(),
            leader: self.replica.leader(),
            applied: self.replica.applied(),
            ended: false,
        };
        log_leader(&self.shown, &facts);
        self.view.show(&mut self.shown, facts);
    }

    /// A worker that is gone has said why, or will: a failed send is no error here.
    fn hand_out(&mut self, jobs: Jobs) {
        let group = GroupId::MAIN;
        let peers = jobs.peers.map(|peers| SendJob::Peers(peers_of(&peers, self.local.node.id)));
        let messages = jobs.send.into_iter().map(|message| message_job(group, message));
        self.net.send_all(peers.into_iter().chain(messages));
        if let Some(write) = jobs.write {
            let _ = self.outputs.log.send((group, LogJob::Write(write)));
        }
        for fetch in jobs.fetch {
            let _ = self.outputs.fetches.send((group, fetch));
        }
        for apply in jobs.apply {
            let _ = self.outputs.applies.send(apply);
        }
        if let Some(release) = jobs.release {
            let _ = self.outputs.log.send((group, LogJob::Release(release)));
        }
        for save in jobs.save {
            let _ = self.outputs.saves.send((group, save));
        }
        if let Some(receive) = jobs.receive {
            let _ = self.outputs.receives.send((group, receive));
        }
        self.observers.tell(jobs.notices);
    }
}

/// The node stops before this was looked at.
fn refuse(control: Control, cause: &StopCause) {
    let cause = cause.clone();
    match control {
        Control::Change(change) => {
            (change.answer)(Err(ChangeError::Stopped { cause, outcome: Outcome::NotApplied }));
        }
        Control::Transfer(transfer) | Control::StepAside(transfer) => {
            (transfer.answer)(Err(TransferError::Stopped { cause }));
        }
        Control::SnapshotNow(wish) => (wish.answer)(Err(SnapshotNowError::Stopped { cause })),
        // The status at the end is there for all, observers hear the end, and the stop is under way.
        Control::Status(_) | Control::Observe(_) | Control::Stop(_) => {}
    }
}

/// The one thing that every operator wants to see in the log.
fn log_leader(before: &Facts, now: &Facts) {
    if (before.term, before.leader) == (now.term, now.leader) {
        return;
    }
    match now.leader {
        Some(leader) => log::info!("node {leader} leads in term {}", now.term),
        None if before.leader.is_some() => log::info!("no leader is known in term {}", now.term),
        None => {}
    }
}

enum Taken {
    Nothing,
    Something,
    Stop(StopCause),
}

/// Whom the transport talks to, and what they must show.
fn peers_of(job: &PeersJob, me: NodeId) -> Peers {
    let others = job.membership.members().filter(|&(id, _)| id != me);
    let known = others.map(|(id, member)| (id, (member.address.clone(), member.incarnation))).collect();
    Peers { known, may_be_former: !job.is_newest }
}
