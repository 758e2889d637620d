//! What goes wrong, and how it is put right again.

use super::super::network::{Link, Noise};
use super::super::plan::{Act, Fault, MILLISECOND, Reads, SECOND};
use super::super::process::{DRIFT_PERCENT, ELECTION};
use super::super::shape::{Shape, Slowness, side};
use super::super::trace::What;
use super::{AGREES_WITHIN, Judged, Next, World};
use crate::storage::disk::simulated::losses::Cache;
use crate::types::NodeId;

use super::super::law::Broken;

impl World {
    /// The fault that was planned for now.
    pub(super) fn act(&mut self, place: usize) {
        if self.is_over {
            return;
        }
        let act = self.plan.acts[place];
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let node = self.place_of(act, &nodes);
        self.trace.add(self.now, || What::Fault { node, act });
        if act.fault == Fault::Ambush {
            return self.lie_in_wait(place);
        }
        self.struck.insert(place, node);
        self.plan_in(act.lasts, Next::Undo(place));
        match act.fault {
            Fault::Loss => self.network.noise.lost = self.plan.noise,
            Fault::Doubles => self.network.noise.doubled = self.plan.noise,
            Fault::Disorder => self.network.noise.disordered = self.plan.noise,
            Fault::Delay => self.network.noise.delay = act.lasts,
            Fault::Cut => self.partition(place, act),
            Fault::Slow => self.slow_down(place, act),
            Fault::Kill => self.kill(node, act),
            Fault::Power => self.cut_power(node, act),
            Fault::Pause => self.pause(node, act),
            Fault::SlowDisk => {
                let factor = 1 << (act.choice % 12);
                self.slow_disks.insert(node, (factor, self.now + act.lasts));
            }
            Fault::FailedSync => self.refuse_sync(node, act),
            Fault::FullDisk => self.hosts[&node].disk.set_full(true),
            Fault::Rot => self.rot(node, act),
            Fault::Wipe => self.wipe(node, act),
            Fault::Change => self.change(node, act),
            Fault::Transfer => self.transfer(node, act),
            Fault::Snapshot => self.snapshot_now(node),
            Fault::Drift => self.drift(node, act),
            Fault::Burst => self.burst(node, act),
            Fault::Ambush => unreachable!("it lies in wait"),
        }
    }

    /// It is over.
    pub(super) fn undo(&mut self, place: usize) {
        let act = self.plan.acts[place];
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let node = self.struck.remove(&place).unwrap_or(nodes[0]);
        match act.fault {
            Fault::Loss => self.network.noise.lost = 0,
            Fault::Doubles => self.network.noise.doubled = 0,
            Fault::Disorder => self.network.noise.disordered = 0,
            Fault::Delay => self.network.noise.delay = 0,
            Fault::Cut | Fault::Ambush => {
                for link in self.cuts.remove(&place).unwrap_or_default() {
                    self.network.mend(link);
                }
            }
            Fault::Slow => {
                for link in self.cuts.remove(&place).unwrap_or_default() {
                    self.network.speed_up(link);
                }
            }
            Fault::FullDisk => self.hosts[&node].disk.set_full(false),
            Fault::Power | Fault::Kill => self.plan_in(0, Next::Start(node)),
            _ => {}
        }
    }

    /// Whom a fault strikes: every other time whoever leads.
    fn place_of(&self, act: Act, nodes: &[NodeId]) -> NodeId {
        let anybody = nodes[(act.place >> 1) as usize % nodes.len()];
        self.leader().filter(|_| act.place & 1 == 0).unwrap_or(anybody)
    }

    /// Those that an act means which strikes `node`.
    fn links_of(&self, node: NodeId, act: Act) -> Vec<Link> {
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let place = |node: &NodeId| nodes.iter().position(|other| other == node).unwrap_or(0) as u64;
        let (lonely, shape) = (place(&node), Shape::of(act.choice));
        let leader = self.leader().map(|leader| place(&leader));
        let all = nodes.iter().flat_map(|one| nodes.iter().map(|other| (*one, *other)));
        let is_meant = |&(one, other): &Link| {
            let (one, other) = (place(&one), place(&other));
            let side = |place: u64| side(act.choice, place);
            match shape {
                Shape::Alone => one == lonely || other == lonely,
                Shape::Deaf => other == lonely,
                Shape::Dumb => one == lonely,
                Shape::Sides => side(one) != side(other),
                Shape::Ring => {
                    (one + 1) % nodes.len() as u64 != other && (other + 1) % nodes.len() as u64 != one
                }
                Shape::Bridge => side(one) != side(other) && one != lonely && other != lonely,
                Shape::FromTheLeader => {
                    let is_one = |this| one == this || other == this;
                    is_one(lonely) && leader.is_some_and(is_one)
                }
                Shape::OneWay => side(one) == 1 && side(other) == 0,
                Shape::Everybody => true,
            }
        };
        all.filter(|(one, other)| one != other).filter(is_meant).collect()
    }

    pub(super) fn partition(&mut self, place: usize, act: Act) {
        let links = self.links_of(self.struck[&place], act);
        self.cut_all(place, links);
    }

    pub(super) fn cut_all(&mut self, place: usize, links: Vec<Link>) {
        for link in &links {
            self.cut(*link);
        }
        self.cuts.insert(place, links);
    }

    fn slow_down(&mut self, place: usize, act: Act) {
        let links = self.links_of(self.struck[&place], act);
        let slowness = Slowness::of(act.choice, self.now);
        for link in &links {
            self.network.slow_down(*link, slowness);
        }
        self.cuts.insert(place, links);
    }

    pub(super) fn pause(&mut self, node: NodeId, act: Act) {
        let paused_already = self.paused.get(&node).copied().unwrap_or(0);
        let until = paused_already.max(self.now + act.lasts);
        self.paused.insert(node, until);
        self.wait_anew(node, until);
    }

    /// Whom it has not heard since is no reason to step down before `at`: it stands still until then, or what has passed it has
    /// measured by another speed of its clock. Of both the later counts.
    fn wait_anew(&mut self, node: NodeId, at: u64) {
        let since = self.awake_since.entry(node).or_insert(at);
        *since = at.max(*since);
    }

    pub(super) fn kill(&mut self, node: NodeId, act: Act) {
        if self.processes.contains_key(&node) {
            self.note(node, || "is killed".to_owned());
            self.end_process(node, false);
            self.hosts[&node].disk.restart_process();
            self.plan_in(act.lasts, Next::Start(node));
        }
    }

    /// Now, or in the middle of one of the next things that the disk is asked for.
    fn cut_power(&mut self, node: NodeId, act: Act) {
        if !self.processes.contains_key(&node) {
            return;
        }
        if act.choice.is_multiple_of(4) {
            self.fall(node, true);
        } else {
            self.hosts[&node].disk.fail_power_after(act.choice % 24);
        }
    }

    /// The machine under `node` goes down, and comes back after a while.
    pub(super) fn fall(&mut self, node: NodeId, with_power: bool) {
        self.end_process(node, with_power);
        let (disk, chance) = (&self.hosts[&node].disk, &mut self.disk);
        if with_power {
            disk.restart(&mut |limit| chance.below(limit));
            if self.plan.on_disk {
                self.hosts[&node].shelf.lock().lose(&mut |limit| chance.below(limit));
            }
        } else {
            disk.restart_process();
        }
        self.note(node, || if with_power { "has no power".to_owned() } else { "has ended".to_owned() });
        let back = self.schedule.spread(10 * MILLISECOND..4 * SECOND);
        self.plan_in(back, Next::Start(node));
    }

    /// Its process is gone without a word.
    pub(super) fn end_process(&mut self, node: NodeId, silently: bool) {
        self.tally.crashes += 1;
        if self.processes.remove(&node).is_some() {
            self.is_gone(node, silently);
        }
        // What its parts said when they were dropped, nobody has heard.
        self.mailbox.lock().clear();
    }

    pub(super) fn is_gone(&mut self, node: NodeId, silently: bool) {
        self.trace.ends(self.now, node);
        self.callers_are_gone(node);
        self.hang_up(node, silently);
        self.ledger.forget(node);
        self.paused.remove(&node);
        self.hosts[&node].refuse_no_sync();
        self.operators.forget(node);
    }

    fn refuse_sync(&mut self, node: NodeId, act: Act) {
        if self.processes.contains_key(&node) {
            self.operators.expect_stop(node);
            let cache = if act.choice & 1 == 0 { Cache::Kept } else { Cache::Dropped };
            self.hosts[&node].refuse_sync_after((act.choice >> 1) % 8, cache);
        }
    }

    fn drift(&mut self, node: NodeId, act: Act) {
        let ppm = match self.plan.reads {
            // Within what leases allow for.
            Reads::Lease => {
                let most = 10_000 * DRIFT_PERCENT;
                1_000_000 - most + act.choice % (2 * most)
            }
            // Beyond all bounds: reads by rounds do not care.
            Reads::Rounds => {
                [200_000, 500_000, 900_000, 1_100_000, 2_000_000, 5_000_000][(act.choice % 6) as usize]
            }
        };
        let now = self.now;
        self.hosts.get_mut(&node).expect("a host of this world").set_clock(ppm, now);
        self.wait_anew(node, now);
    }

    /// Whether faults are over, and, if so, whether everybody agrees.
    pub(super) fn look(&mut self) -> Judged {
        if !self.is_over {
            self.end_faults();
        }
        if self.everybody_agrees() {
            self.is_done = true;
            return Ok(());
        }
        if self.now > self.plan.ends + AGREES_WITHIN {
            return Err(Broken::NotLive { what: self.what_lacks() });
        }
        self.plan_in(SECOND / 4, Next::Look);
        Ok(())
    }

    fn end_faults(&mut self) {
        self.trace.add(self.now, || What::World("the faults are over".to_owned()));
        self.is_over = true;
        self.network.heal();
        self.network.noise = Noise::default();
        let now = self.now;
        let paused = std::mem::take(&mut self.paused);
        // What waited for them comes when it was to come; from now on nobody is held up.
        self.late_until = paused.values().copied().max().unwrap_or(now);
        for host in self.hosts.values_mut() {
            host.disk.set_full(false);
            host.set_clock(1_000_000, now);
        }
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        for node in nodes {
            self.slow_disks.remove(&node);
            self.plan_in(MILLISECOND, Next::Start(node));
        }
        self.last_wishes();
        self.last_wishes_of_clients();
    }

    fn everybody_agrees(&self) -> bool {
        self.what_lacks().is_empty()
    }

    /// What is missing before the run may end; empty if nothing is.
    fn what_lacks(&self) -> String {
        if self.now < self.late_until + ELECTION {
            return "some have just come back".to_owned();
        }
        if !self.are_callers_content() || !self.are_clients_content() {
            return "a caller has not had its last wish".to_owned();
        }
        if let Some(lacks) = self.operators_lack() {
            return lacks;
        }
        let Some(leader) = self.leader() else { return "nobody leads".to_owned() };
        let status = self.processes[&leader].replica.status();
        if status.membership.is_joint() {
            return "the configuration is a joint one".to_owned();
        }
        for (member, _) in status.membership.members() {
            let Some(process) = self.processes.get(&member) else { return format!("{member} does not run") };
            let there = process.replica.status();
            if (there.commit, there.applied) != (status.commit, status.commit) {
                let (applied, commit) = (there.applied, status.commit);
                return format!("{member} has applied {applied} of {commit} entries");
            }
            if process.machine().state().digest != self.ledger.digest() {
                return format!("the state of {member} differs");
            }
        }
        String::new()
    }

    /// Who leads, as its own followers see it.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let leads = |(&id, process): (&NodeId, &super::Process)| {
            let raft = process.replica.raft();
            (raft.role() == crate::consensus::RoleName::Leader).then(|| (raft.term(), id))
        };
        self.processes.iter().filter_map(leads).max().map(|(_, id)| id)
    }
}
