//! Random walks: commands, reads and operators' wishes anywhere while messages are lost, workers stall, logs are compacted
//! and nodes crash. Whatever happens, everybody is answered, and every answer is true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use super::cluster::{Answer, Cluster, Held, PATIENCE, Seen, Told};
use super::{id, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, ReplicaConfig};
use crate::ticket::{ChangeError, Outcome, ProposeError, SnapshotNowError, TransferError};
use crate::types::{ChangeReceipt, LogPosition, Membership, MembershipChange, NodeId, SnapshotMeta};

/// `SplitMix64`: the walk of a seed is always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn node(&mut self) -> u64 {
        1 + self.below(4)
    }
}

fn tight_limits(config: &mut ReplicaConfig) {
    config.tail_bytes_max = 600;
    config.apply_bytes_in_flight_max = 800;
    config.proposals_max = 64;
    config.raft.append_entries_max = 3;
    config.snapshot_entries = 15;
    config.trailing_entries = 4;
}

struct Walk {
    cluster: Cluster,
    chance: Chance,
    proposed: u64,
    waiting: Vec<(String, Answer)>,
    /// With the commands that were answered before the read began.
    reading: Vec<(Vec<String>, Seen)>,
    applied: Vec<(String, String)>,
    refused: Vec<(String, ProposeError)>,
    seen: Vec<(Vec<String>, String)>,
    changing: Vec<Told<ChangeReceipt, ChangeError>>,
    handing_over: Vec<Told<NodeId, TransferError>>,
    picturing: Vec<Told<SnapshotMeta, SnapshotNowError>>,
    changed: BTreeMap<LogPosition, Arc<Membership>>,
    transfers: usize,
    snapshots: usize,
}

impl Walk {
    /// Every other walk is calm enough for leaders to stay: candidates ask first, and are ignored while a leader lives.
    fn of(seed: u64) -> Self {
        let mut cluster = three_nodes_with(match seed % 2 {
            0 => tight_limits,
            _ => |config| {
                tight_limits(config);
                (config.raft.pre_vote, config.raft.check_quorum) = (true, true);
            },
        });
        cluster.join(4, 4);
        cluster.connect_all();
        Self {
            cluster,
            chance: Chance(seed),
            proposed: 0,
            waiting: Vec::new(),
            reading: Vec::new(),
            applied: Vec::new(),
            refused: Vec::new(),
            seen: Vec::new(),
            changing: Vec::new(),
            handing_over: Vec::new(),
            picturing: Vec::new(),
            changed: BTreeMap::new(),
            transfers: 0,
            snapshots: 0,
        }
    }

    fn step(&mut self) {
        let (one, other) = (self.chance.node(), self.chance.node());
        match self.chance.below(1_000) {
            0..400 => {
                let nth = self.chance.below(1 << 20) as usize;
                self.cluster.deliver_nth(nth);
            }
            400..800 => drop(self.cluster.turn(one)),
            800..860 => {
                let ticks = 1 + self.chance.below(6) as u32;
                self.cluster.pass_time(one, ticks);
            }
            860..920 => self.propose(one),
            920..930 => self.wish(one, other),
            930..960 => {
                let before = self.applied.iter().map(|(command, _)| command.clone()).collect();
                self.reading.push((before, self.cluster.submit_read(one)));
            }
            960..968 => self.cluster.cut(one, other),
            968..974 => self.cluster.disconnect(one, other),
            974..980 => self.cluster.handle(one, Event::PeerLost { peer: id(other) }),
            980..988 => self.cluster.heal(),
            988..997 => {
                let held = &mut self.cluster.node(one).held;
                held.writer = self.chance.below(3) == 0;
                held.applier = self.chance.below(3) == 0;
                held.fetcher = self.chance.below(3) == 0;
                held.saver = self.chance.below(3) == 0;
                held.mover = self.chance.below(3) == 0;
            }
            _ => {
                self.cluster.restart(one);
                self.cluster.reconnect(one);
            }
        }
        self.collect();
    }

    fn propose(&mut self, at: u64) {
        self.proposed += 1;
        let (command, patience) = (format!("c{}", self.proposed), 20 + self.chance.below(400));
        let answer = self.cluster.submit_within(patience, at, &command);
        self.waiting.push((command, answer));
    }

    fn wish(&mut self, at: u64, about: u64) {
        let address = || format!("host:{about}");
        let change = match self.chance.below(8) {
            0 | 1 => MembershipChange::AddLearner { id: id(about), address: address() },
            2 | 3 => MembershipChange::Promote { id: id(about) },
            4 => MembershipChange::Demote { id: id(about) },
            5 => MembershipChange::Remove { id: id(about) },
            6 => return self.handing_over.push(self.cluster.submit_transfer(at, Some(about))),
            _ => return self.picturing.push(self.cluster.submit_snapshot(at)),
        };
        self.changing.push(self.cluster.submit_change(at, change, None));
    }

    fn collect(&mut self) {
        for (command, answer) in self.waiting.extract_if(.., |(_, answer)| answer.is_done()) {
            match answer.try_wait().unwrap() {
                Ok(response) => self.applied.push((command, response)),
                Err(error) if error.outcome() == Outcome::NotApplied => self.refused.push((command, error)),
                Err(_) => {}
            }
        }
        self.changing.retain(|told| match told.try_recv() {
            Ok(Ok(ChangeReceipt { position, membership })) => {
                let known = self.changed.entry(position).or_insert_with(|| Arc::clone(&membership));
                assert_eq!(*known, membership, "two operators were told different outcomes of one entry");
                false
            }
            answer => answer == Err(TryRecvError::Empty),
        });
        self.handing_over.retain(|told| match told.try_recv() {
            Ok(outcome) => {
                self.transfers += usize::from(outcome.is_ok());
                false
            }
            answer => answer == Err(TryRecvError::Empty),
        });
        self.picturing.retain(|told| match told.try_recv() {
            Ok(outcome) => {
                self.snapshots += usize::from(outcome.is_ok());
                false
            }
            answer => answer == Err(TryRecvError::Empty),
        });
        for (before, seen) in self.reading.extract_if(.., |(_, seen)| seen.is_done()) {
            if let Ok(seen) = seen.try_wait().unwrap() {
                self.seen.push((before, seen));
            }
        }
    }

    /// Everything works again: somebody leads, and everybody gets everything.
    fn calm_down(&mut self) {
        self.cluster.heal();
        for number in self.cluster.numbers() {
            self.cluster.node(number).held = Held::default();
        }
        self.cluster.connect_all();
        self.cluster.ticks(100);
        self.gather_all();
        let last = self.cluster.propose(1, "the last");
        self.cluster.ticks(PATIENCE);
        self.collect();
        assert!(last.try_wait().unwrap().is_ok(), "the cluster does not work again");
    }

    /// Everybody belongs to the group again: only members get its log.
    fn gather_all(&mut self) {
        for _ in 0..20 {
            let leader = (1..=4).find(|&number| self.cluster.status(number).role == RoleName::Leader);
            let Some(leader) = leader else {
                self.cluster.ticks(50);
                continue;
            };
            let membership = self.cluster.status(leader).membership;
            let Some(missing) = (1..=4).find(|&number| !membership.contains(id(number))) else {
                return;
            };
            let address = format!("host:{missing}");
            drop(self.cluster.change(leader, MembershipChange::AddLearner { id: id(missing), address }));
            self.cluster.ticks(50);
        }
        panic!("the group does not take everybody back");
    }

    fn judge(&self) {
        let journal = self.cluster.journal(1);
        for number in self.cluster.numbers() {
            assert_eq!(self.cluster.journal(number), journal, "node {number} applied something else");
        }
        assert!(self.waiting.is_empty() && self.reading.is_empty(), "somebody waits for ever");
        let operators = self.changing.len() + self.handing_over.len() + self.picturing.len();
        assert_eq!(operators, 0, "an operator waits for ever");
        let commands: Vec<_> = journal.split(", ").collect();
        let place = |command: &str| commands.iter().position(|applied| *applied == command);
        for (command, response) in &self.applied {
            let place = place(command).unwrap_or_else(|| panic!("{command} was answered and is lost"));
            assert_eq!(response, &format!("{}: {command}", place + 1), "another command's response");
        }
        for (command, error) in &self.refused {
            assert_eq!(
                place(command),
                None,
                "{command} was applied although its caller was told it never is: {error}"
            );
        }
        for (before, seen) in &self.seen {
            assert!(journal.starts_with(seen.as_str()), "a read saw what never was");
            for command in before {
                assert!(seen.split(", ").any(|seen| seen == command), "a read missed {command}");
            }
        }
        let mut once = commands.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), commands.len(), "a command was applied twice");
    }
}

/// How many walks; `QUORATE_WALK_SEEDS=1000` walks further.
fn seeds() -> u64 {
    let asked = std::env::var("QUORATE_WALK_SEEDS").ok();
    asked.map_or(24, |asked| asked.parse().expect("QUORATE_WALK_SEEDS is a number"))
}

#[test]
fn whatever_happens_every_answer_is_true() {
    let mut applied = 0;
    let mut refused = 0;
    let mut seen = 0;
    let (mut changed, mut transfers, mut snapshots, mut installed) = (0, 0, 0, 0);
    for seed in 0..seeds() {
        let mut walk = Walk::of(seed);
        (0..3_000).for_each(|_| walk.step());
        walk.calm_down();
        walk.judge();
        applied += walk.applied.len();
        refused += walk.refused.len();
        seen += walk.seen.len();
        changed += walk.changed.len();
        transfers += walk.transfers;
        snapshots += walk.snapshots;
        installed += walk.cluster.installs();
    }
    assert!(
        applied > 1_000 && refused > 100 && seen > 100,
        "{applied}, {refused}, {seen}: too little happened"
    );
    assert!(
        changed > 20 && transfers > 5 && snapshots > 20 && installed > 5,
        "{changed}, {transfers}, {snapshots}, {installed}: too little happened"
    );
}
