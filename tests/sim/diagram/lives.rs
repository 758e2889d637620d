//! What each node was, and when: its line in the colour of its role, nothing while it was down, hatched while it stood
//! still; beside it what befell it.

use std::collections::BTreeMap;

use super::marks::Marks;
use super::{LIFE, Picture, TEXT_HEIGHT};
use crate::consensus::RoleName;
use crate::sim::plan::Fault;
use crate::sim::trace::{Line, What};
use crate::types::{NodeId, Term};

/// A text that finds no room within this distance is left to the dot beside it.
const PUSHED_MOST: f64 = 3.0 * TEXT_HEIGHT;

/// A node in one role, in one term.
#[derive(Clone, Copy)]
struct Part {
    since: u64,
    role: RoleName,
    term: Term,
}

impl Picture<'_> {
    pub(super) fn lives(&self, marks: &mut Marks) {
        for x in self.columns.nodes.values() {
            marks.line("life", (*x, 0.0), (*x, self.time.y(self.time.end)), "");
        }
        self.parts(marks);
        self.pauses(marks);
        self.illnesses(marks);
    }

    fn parts(&self, marks: &mut Marks) {
        let mut playing: BTreeMap<NodeId, Part> = BTreeMap::new();
        for line in self.lines {
            let (node, next) = match &line.what {
                What::Starts { node, term, .. } => (node, Some((RoleName::Follower, *term))),
                What::Role { node, role, term } => (node, Some((*role, *term))),
                What::Ends(node) => (node, None),
                _ => continue,
            };
            if let Some(part) = playing.remove(node) {
                self.part(marks, *node, part, line.at);
            }
            if let Some((role, term)) = next {
                playing.insert(*node, Part { since: line.at, role, term });
            }
        }
        for (node, part) in playing {
            self.part(marks, node, part, self.time.end);
        }
    }

    fn part(&self, marks: &mut Marks, node: NodeId, part: Part, until: u64) {
        if until < self.time.start {
            return;
        }
        let Part { since, role, term } = part;
        let (top, bottom) = (self.time.y(since), self.time.y(until));
        let class = format!("role {}", format!("{role:?}").to_lowercase());
        let left = self.columns.nodes[&node] - LIFE / 2.0;
        marks.block(
            &class,
            (left, top),
            (LIFE, bottom - top),
            &format!("node {node}: {role:?} in term {term}"),
        );
    }

    /// A process that stands still does so until its time is over, or its end.
    fn pauses(&self, marks: &mut Marks) {
        for (place, line) in self.lines.iter().enumerate() {
            let What::Fault { node, act } = &line.what else { continue };
            if act.fault != Fault::Pause {
                continue;
            }
            let ends = |later: &&Line| matches!(&later.what, What::Ends(gone) if gone == node);
            let gone = self.lines[place..].iter().find(ends).map_or(u64::MAX, |line| line.at);
            let until = self.ends(*act).min(gone);
            if until >= self.time.start {
                let (top, bottom) = (self.time.y(line.at), self.time.y(until));
                let left = self.columns.nodes[node] - LIFE / 2.0;
                marks.block("paused", (left, top), (LIFE, bottom - top), &line.to_string());
            }
        }
    }

    /// A band beside it while its disk is slow or full.
    fn illnesses(&self, marks: &mut Marks) {
        for line in self.lines {
            let What::Fault { node, act } = &line.what else { continue };
            let until = self.ends(*act);
            if matches!(act.fault, Fault::SlowDisk | Fault::FullDisk) && until >= self.time.start {
                let (top, bottom) = (self.time.y(line.at), self.time.y(until));
                let left = self.columns.nodes[node] - LIFE / 2.0 - 7.0;
                marks.block("ill", (left, top), (5.0, bottom - top), &line.to_string());
            }
        }
    }

    /// What happened at a node: at the left what was done to it, at the right what it did. Commits are ticks.
    pub(super) fn events(&self, marks: &mut Marks) {
        let mut left: BTreeMap<NodeId, Words> = BTreeMap::new();
        let mut right = left.clone();
        for line in self.drawn() {
            let y = self.time.y(line.at);
            let told = line.to_string();
            match &line.what {
                What::Fault { node, act } if act.fault.is_at_one_node() => {
                    if let Some(y) = left.entry(*node).or_default().room(y) {
                        let x = self.columns.nodes[node] - LIFE / 2.0 - 10.0;
                        marks.text("fault", x, y, in_words(act.fault), &told);
                    }
                }
                What::Commits { node, .. } => {
                    let x = self.columns.nodes[node];
                    marks.line("commits", (x - LIFE / 2.0, y), (x + LIFE / 2.0 + 4.0, y), &told);
                }
                What::Node(node, _) => {
                    marks.dot("notes", self.columns.nodes[node] + LIFE / 2.0 + 4.0, y, &told);
                }
                what => {
                    let Some((node, class, text)) = turning_point(what) else { continue };
                    let x = self.columns.nodes[&node] + LIFE / 2.0;
                    marks.dot(class, x + 4.0, y, &told);
                    if let Some(y) = right.entry(node).or_default().room(y) {
                        marks.text(&format!("event {class}"), x + 10.0, y, &text, &told);
                    }
                }
            }
        }
    }
}

/// What is said in words beside a life, and its class.
fn turning_point(what: &What) -> Option<(NodeId, &'static str, String)> {
    let (node, class, text) = match what {
        What::Starts { node, life, .. } => (node, "starts", format!("start {life}")),
        What::Ends(node) => (node, "ends", "down".to_owned()),
        What::Role { node, role: RoleName::Leader, term } => (node, "leads", format!("leads term {term}")),
        What::Role { node, role: RoleName::Candidate, term } => {
            (node, "stands", format!("candidate, term {term}"))
        }
        What::Role { node, role: RoleName::PreCandidate, .. } => (node, "stands", "would stand".to_owned()),
        _ => return None,
    };
    Some((*node, class, text))
}

/// Texts of one column, from top to bottom, none on top of another.
#[derive(Clone)]
struct Words {
    free: f64,
}

impl Default for Words {
    fn default() -> Self {
        Self { free: f64::MIN }
    }
}

impl Words {
    /// Where a text goes that belongs at `y`, if there is room not far from it.
    fn room(&mut self, y: f64) -> Option<f64> {
        let room = y.max(self.free);
        (room - y <= PUSHED_MOST).then(|| {
            self.free = room + TEXT_HEIGHT;
            room
        })
    }
}

fn in_words(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "kill",
        Fault::Power => "power",
        Fault::Pause => "pause",
        Fault::SlowDisk => "slow disk",
        Fault::FailedSync => "failed sync",
        Fault::FullDisk => "full disk",
        Fault::Rot => "rot",
        Fault::Wipe => "wipe",
        Fault::Change => "change",
        Fault::Transfer => "transfer",
        Fault::Snapshot => "snapshot",
        Fault::Drift => "clock drifts",
        Fault::Burst => "many commands",
        Fault::Loss
        | Fault::Doubles
        | Fault::Disorder
        | Fault::Delay
        | Fault::Cut
        | Fault::Slow
        | Fault::Ambush => "network",
    }
}
