//! Operators: they change the membership, move the leadership, ask for snapshots; and when a node has lost its disk they
//! remove it, start it anew, and add it again. They lose one disk at a time, as the guarantees ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::chance::Chance;
use super::super::plan::{Act, SECOND};
use super::super::process::ELECTION;
use super::super::shape::Rot;
use super::super::trace::What;
use super::callers::Answer;
use super::{Next, World};
use crate::replica::{Change, Event, SnapshotNow, Transfer};
use crate::storage::disk::surely_durable;
use crate::ticket::ChangeError;
use crate::types::{ChangeReceipt, Membership, MembershipChange, Moment, NodeId};

const PATIENCE: u64 = 6 * ELECTION;

/// What the operators have in mind.
pub(super) struct Operators {
    chance: Chance,
    /// The changes they wait for, and whom they asked.
    changing: BTreeMap<u64, (NodeId, MembershipChange)>,
    wishes: u64,
    /// Nodes whose disk is lost: to be removed, started anew, added again.
    lost: BTreeSet<NodeId>,
    /// Nodes that were removed, as the operators were told: they get an empty disk.
    removed: BTreeSet<NodeId>,
    /// Disks on which something has rotted.
    damaged: BTreeSet<NodeId>,
    /// Nodes whose next sync is refused.
    stopping: BTreeSet<NodeId>,
}

impl Operators {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::stream(seed, "operators"),
            changing: BTreeMap::new(),
            wishes: 0,
            lost: BTreeSet::new(),
            removed: BTreeSet::new(),
            damaged: BTreeSet::new(),
            stopping: BTreeSet::new(),
        }
    }

    pub(super) fn is_damaged(&self, node: NodeId) -> bool {
        self.damaged.contains(&node)
    }

    pub(super) fn expect_stop(&mut self, node: NodeId) {
        self.stopping.insert(node);
    }

    pub(super) fn expects_stop(&self, node: NodeId) -> bool {
        self.stopping.contains(&node) || self.damaged.contains(&node)
    }

    /// Its process is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.stopping.remove(&node);
        self.changing.retain(|_, (asked, _)| *asked != node);
    }
}

impl World {
    /// Who leads now, and to which membership.
    fn lead(&self) -> Option<(NodeId, Arc<Membership>)> {
        let leader = self.leader()?;
        let status = self.processes[&leader].replica.status();
        (status.membership_index <= status.commit).then_some((leader, status.membership))
    }

    /// Now and then the operators look after what they have begun.
    pub(super) fn operate(&mut self) {
        self.plan_in(SECOND, Next::Operate);
        let Some((leader, membership)) = self.lead() else { return };
        let removed = std::mem::take(&mut self.operators.removed);
        for node in removed {
            if membership.contains(node) {
                continue;
            }
            self.note(node, || "was removed, and gets an empty disk".to_owned());
            self.empty_disk(node, true);
            self.plan_in(SECOND, Next::Start(node));
        }
        self.notice_strangers(&membership);
        let Some(&node) = self.operators.lost.first() else { return };
        if !self.operators.changing.is_empty() {
            return;
        }
        let incarnation = self.processes.get(&node).map(|process| process.incarnation);
        let known = membership.member(node).and_then(|member| member.incarnation);
        if !membership.contains(node) && !self.hosts[&node].joins {
            // It came back as the founder it once was. Now that it is removed it joins, as it should have.
            self.empty_disk(node, true);
            self.plan_in(SECOND, Next::Start(node));
            return;
        }
        let change = if !membership.contains(node) {
            MembershipChange::AddLearner { id: node, address: format!("host:{node}") }
        } else if incarnation.is_none()
            || (known.is_some() && known != incarnation)
            || (known.is_none() && membership.is_voter(node))
        {
            MembershipChange::Remove { id: node }
        } else if membership.learners().contains(&node) {
            MembershipChange::Promote { id: node }
        } else {
            self.note(node, || "is a voter again".to_owned());
            self.operators.lost.remove(&node);
            self.hosts.get_mut(&node).expect("a host of this world").former = None;
            return;
        };
        self.ask_for(leader, change);
    }

    /// A member shows another directory than the group knows: it went down after its first hello and before its log was
    /// founded. It is treated as one whose disk is lost.
    fn notice_strangers(&mut self, membership: &Membership) {
        for (&node, process) in &self.processes {
            let known = membership.member(node).and_then(|member| member.incarnation);
            if known.is_some_and(|known| known != process.incarnation) {
                self.operators.lost.insert(node);
            }
        }
    }

    fn ask_for(&mut self, node: NodeId, change: MembershipChange) {
        self.trace.add(self.now, || What::World(format!("an operator asks {node}: {change:?}")));
        self.operators.wishes += 1;
        let wish = self.operators.wishes;
        self.operators.changing.insert(wish, (node, change.clone()));
        let mailbox = Arc::clone(&self.mailbox);
        let answer = Box::new(move |outcome| mailbox.lock().push(Answer::Changed { wish, outcome }));
        let deadline = self.deadline(node);
        self.handle(node, Event::Change(Change { change, expected: None, answer, deadline }));
    }

    fn deadline(&self, node: NodeId) -> Moment {
        Moment(self.hosts[&node].clock(self.now).0 + PATIENCE)
    }

    pub(super) fn was_changed(&mut self, wish: u64, outcome: Result<ChangeReceipt, ChangeError>) {
        self.trace.add(self.now, || What::World(format!("change: {outcome:?}")));
        let Some((_, change)) = self.operators.changing.remove(&wish) else { return };
        let Ok(receipt) = outcome else { return };
        self.tally.changes += 1;
        let gone: Vec<NodeId> =
            self.hosts.keys().copied().filter(|id| !receipt.membership.contains(*id)).collect();
        match change {
            MembershipChange::Remove { id } if !self.operators.lost.contains(&id) => {
                self.operators.removed.insert(id);
            }
            MembershipChange::Replace { old, .. } if gone.contains(&old) => {
                self.operators.removed.insert(old);
            }
            MembershipChange::Set { .. } => {
                let lost = &self.operators.lost;
                let left: Vec<_> = gone.into_iter().filter(|id| !lost.contains(id)).collect();
                self.operators.removed.extend(left);
            }
            _ => {}
        }
    }

    /// Somebody wants another membership.
    pub(super) fn change(&mut self, node: NodeId, act: Act) {
        // What has rotted may be lost at its next start: until then the operators count on it no more.
        let Operators { changing, lost, damaged, .. } = &self.operators;
        let is_quiet = changing.is_empty() && lost.is_empty() && damaged.is_empty();
        let Some((_, membership)) = self.lead().filter(|_| is_quiet) else { return };
        if !self.processes.contains_key(&node) {
            return;
        }
        let spare: Vec<NodeId> =
            self.processes.keys().copied().filter(|id| !membership.contains(*id)).collect();
        let pick = |of: &[NodeId]| {
            if of.is_empty() { None } else { Some(of[(act.choice >> 8) as usize % of.len()]) }
        };
        let address = |id: NodeId| format!("host:{id}");
        let voters = membership.voters();
        let change = match act.choice % 7 {
            0 | 1 => pick(&spare).map(|id| MembershipChange::AddLearner { id, address: address(id) }),
            2 => pick(membership.learners()).map(|id| MembershipChange::Promote { id }),
            3 => pick(voters).map(|id| MembershipChange::Demote { id }),
            4 => pick(voters).filter(|_| voters.len() > 2).map(|id| MembershipChange::Remove { id }),
            5 => Some(Self::reshuffled(&membership, &spare, act)),
            _ => pick(&spare).zip(pick(voters)).map(|(new, old)| MembershipChange::Replace {
                old,
                new,
                address: address(new),
            }),
        };
        let Some(change) = change else { return };
        self.ask_for(node, change);
        // Two operators at once: one of them has to wait, or is refused.
        if act.choice & 128 != 0
            && let Some(id) = pick(&spare)
            && self.processes.contains_key(&node)
        {
            self.ask_for(node, MembershipChange::AddLearner { id, address: address(id) });
        }
    }

    /// Any of those who are there: some vote, some learn, some leave.
    fn reshuffled(membership: &Membership, spare: &[NodeId], act: Act) -> MembershipChange {
        let all = membership.members().map(|(id, _)| id).chain(spare.iter().copied());
        let (mut voters, mut learners) = (BTreeMap::new(), BTreeMap::new());
        for (place, id) in all.enumerate() {
            let address = format!("host:{id}");
            match (act.choice >> (8 + 3 * place)) & 7 {
                0..=4 => voters.insert(id, address),
                5 => learners.insert(id, address),
                _ => None,
            };
        }
        MembershipChange::Set { voters, learners }
    }

    pub(super) fn transfer(&mut self, node: NodeId, act: Act) {
        if !self.processes.contains_key(&node) {
            return;
        }
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let to = (!act.choice.is_multiple_of(3)).then(|| nodes[(act.choice >> 8) as usize % nodes.len()]);
        let mailbox = Arc::clone(&self.mailbox);
        let answer = Box::new(move |outcome| mailbox.lock().push(Answer::Transferred(outcome)));
        let deadline = self.deadline(node);
        self.handle(node, Event::Transfer(Transfer { to, answer, deadline }));
    }

    pub(super) fn snapshot_now(&mut self, node: NodeId) {
        if !self.processes.contains_key(&node) {
            return;
        }
        let mailbox = Arc::clone(&self.mailbox);
        let answer = Box::new(move |outcome| mailbox.lock().push(Answer::Saved(outcome)));
        let deadline = self.deadline(node);
        self.handle(node, Event::SnapshotNow(SnapshotNow { answer, deadline }));
    }

    /// Whether a disk may be lost now: the others, by themselves, hold everything and go on.
    fn may_lose_disk(&self, node: NodeId) -> bool {
        let quiet = self.operators.lost.is_empty()
            && self.operators.changing.is_empty()
            && self.operators.damaged.is_empty()
            && self.operators.removed.is_empty();
        // Whoever went down between its first hello and the founding of its log is a stranger to the group, and as good as
        // lost; and until all directories are known to the group, it cannot tell a wiped node from one that never was there.
        let is_here = |id: NodeId, membership: &Membership| {
            let shown = self.processes.get(&id).map(|process| process.incarnation);
            let agreed = membership.member(id).and_then(|member| member.incarnation);
            shown.is_some() && shown == agreed && self.hosts[&id].image.lock().founded
        };
        // Everybody must know of everybody, for good: a majority of those who do not, or who forget it with what their disks had
        // not written yet, would let the wiped one in. And nobody may have begun another configuration: who believes to lead may
        // be deposed, and the change of its successor may stand in logs, where it counts already (§6): from {2, 3, 5} to {2, 3}
        // no disk may be lost, for of two voters none may.
        let knows_all = |id: NodeId, agreed: &Membership| {
            let Some(process) = self.processes.get(&id) else { return false };
            let raft = process.replica.raft();
            let is_durable = self.hosts[&id].image.lock().last().index >= raft.membership_index();
            let knows = raft.membership().members().all(|(_, member)| member.incarnation.is_some());
            is_durable && knows && **raft.membership() == *agreed
        };
        let all_are_here = |membership: &Membership| {
            membership.members().all(|(id, _)| is_here(id, membership) && knows_all(id, membership))
        };
        quiet
            && self.lead().is_some_and(|(_, membership)| {
                membership.is_voter(node)
                    && membership.voters().len() >= 3
                    && !membership.is_joint()
                    && all_are_here(&membership)
            })
    }

    /// A member comes back with an empty disk: to join, or, by mistake, as the founder it once was.
    pub(super) fn wipe(&mut self, node: NodeId, act: Act) {
        if self.may_lose_disk(node) {
            // Not of a cluster of one founder: nothing could tell that one, founded again, from a new cluster, as the docs of
            // `Config::bootstrap` say.
            let founds = self.plan.nodes > 1 && node.get() <= self.plan.nodes && act.choice & 1 == 0;
            self.lose_disk_and_come_back(node, !founds);
        }
    }

    /// The disk of a member is lost: the operators know, and begin.
    pub(super) fn lose_disk(&mut self, node: NodeId) {
        self.lose_disk_and_come_back(node, true);
    }

    fn lose_disk_and_come_back(&mut self, node: NodeId, joins: bool) {
        self.note(node, || "loses its disk".to_owned());
        self.tally.lost_disks += 1;
        self.empty_disk(node, joins);
        self.operators.damaged.remove(&node);
        self.operators.lost.insert(node);
        self.plan_in(SECOND, Next::Start(node));
    }

    fn empty_disk(&mut self, node: NodeId, joins: bool) {
        self.end_process(node, false);
        let seed = self.operators.chance.next();
        self.hosts.get_mut(&node).expect("a host of this world").wipe(seed, joins);
    }

    /// While a node is down, a byte of its disk changes: in a snapshot, or in a segment that is complete.
    pub(super) fn rot(&mut self, node: NodeId, act: Act) {
        if !self.may_lose_disk(node) {
            return;
        }
        self.end_process(node, false);
        let disk = self.hosts[&node].disk.clone();
        disk.restart_process();
        let names = disk.names();
        let is = |name: &std::path::Path, extension: &str| name.extension().is_some_and(|is| is == extension);
        let mut segments: Vec<_> = names.iter().filter(|name| is(name, "log")).collect();
        segments.sort();
        let snapshots: Vec<_> = names.iter().filter(|name| is(name, "snapshot")).collect();
        let files = match Rot::of(act.choice) {
            Rot::Snapshot if !snapshots.is_empty() => &snapshots[..],
            Rot::Newest => &segments[segments.len().saturating_sub(1)..],
            _ => &segments[..],
        };
        if let Some(file) = files.get(act.choice as usize % files.len().max(1)) {
            self.note(node, || format!("a byte of {} rots", file.display()));
            self.operators.damaged.insert(node);
            disk.alter(file, |bytes| {
                // Of the last batch rot looks like a tear; that limit is known.
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let most = if Some(file) == segments.last() { surely_durable(bytes) as usize } else { used };
                if most > 0 {
                    let at = (act.choice >> 8) as usize % most;
                    bytes[at] ^= 1 << (act.choice % 8);
                }
            });
        }
        self.plan_in(act.lasts, Next::Start(node));
    }

    /// What the operators have not brought to an end.
    pub(super) fn operators_lack(&self) -> Option<String> {
        if let Some(node) = self.operators.lost.first() {
            return Some(format!("{node} has lost its disk and is not a voter again"));
        }
        self.operators.changing.values().next().map(|(_, change)| format!("{change:?} is not answered"))
    }
}
