//! Ambushes: faults that wait for a certain moment, wherever it comes, and strike there.

use super::super::plan::Act;
use super::super::shape::{Await, Blow, Shape, operations};
use super::super::trace::What;
use super::{Next, World};
use crate::types::NodeId;

impl World {
    /// From now on an act lies in wait, until it strikes or the faults end.
    pub(super) fn lie_in_wait(&mut self, place: usize) {
        self.in_wait.push(place);
    }

    /// Something happened at `node`: whoever waited for that strikes before anything else happens.
    pub(super) fn came(&mut self, moment: Await, node: NodeId) {
        if self.in_wait.is_empty() || self.is_over {
            return;
        }
        let acts = &self.plan.acts;
        let waits = |place: &usize| Await::of(acts[*place].choice) == moment;
        let Some(at) = self.in_wait.iter().position(waits) else { return };
        let place = self.in_wait.remove(at);
        self.plan_in(0, Next::Strike(place, node));
    }

    pub(super) fn strike(&mut self, place: usize, node: NodeId) {
        if self.is_over || !self.processes.contains_key(&node) {
            return;
        }
        let act = self.plan.acts[place];
        let blow = Blow::of(act.choice);
        self.trace.add(self.now, || What::World(format!("an ambush at {node}: {blow:?}")));
        self.struck.insert(place, node);
        self.plan_in(act.lasts, Next::Undo(place));
        match blow {
            Blow::Kill => self.kill(node, act),
            Blow::Power => self.hosts[&node].disk.fail_power_after(operations(act.choice)),
            Blow::Deaf => self.cut_off(place, Shape::Deaf, act),
            Blow::Dumb => self.cut_off(place, Shape::Dumb, act),
            Blow::Alone => self.cut_off(place, Shape::Alone, act),
            Blow::DumbButToOne => self.leave_one(place, node),
            Blow::Pause => self.pause(node, act),
            Blow::KillTheLeader => self.kill(self.leader().unwrap_or(node), act),
        }
    }

    fn cut_off(&mut self, place: usize, shape: Shape, act: Act) {
        self.partition(place, Act { choice: shape.choice(), ..act });
    }

    /// Only one of the others still hears `node`.
    fn leave_one(&mut self, place: usize, node: NodeId) {
        let others = || self.hosts.keys().copied().filter(|other| *other != node);
        let hears = self.led_before.filter(|led| *led != node).or_else(|| others().next());
        let links: Vec<_> =
            others().filter(|other| Some(*other) != hears).map(|other| (node, other)).collect();
        self.cut_all(place, links);
    }
}
