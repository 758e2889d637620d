//! Figure 8 once more, played out between five servers, with a crash at each of its steps: what was committed at any
//! moment stays.

use std::collections::BTreeMap;

use quorate::consensus::RoleName;
use quorate::types::{LogIndex, Term};

use crate::cluster::Cluster;
use crate::fixture::*;

/// The steps (a) to (e) of the figure.
const STEPS: u32 = 5;

/// The entry of S1 that the figure is about: behind the founding entry and the no-op of term 1.
const DISPUTED: LogIndex = LogIndex(3);

struct Play {
    servers: Cluster,
    /// In this step this server crashes and comes back.
    crash: (u32, u64),
    /// Whatever any server has ever known to be committed.
    committed: BTreeMap<LogIndex, Term>,
}

impl Play {
    fn new(crash: (u32, u64)) -> Self {
        let one_by_one = |id| replica(id, 5).with(|config| config.append_entries_max = 1);
        let mut servers = Cluster::of((1..=5).map(one_by_one));
        servers.elect(1);
        Self { servers, crash, committed: BTreeMap::new() }
    }

    /// The end of a step: who is to crash does, and nobody contradicts what was committed.
    fn end(&mut self, step: u32) {
        self.note_commits();
        if self.crash.0 == step {
            self.servers.restart(self.crash.1);
        }
        self.note_commits();
    }

    fn note_commits(&mut self) {
        for id in 1..=5 {
            let raft = self.servers.raft(id);
            for index in (1..=raft.commit().0).map(LogIndex) {
                let term = raft.term_at(index).expect("no log is compacted here");
                let first = *self.committed.entry(index).or_insert(term);
                assert_eq!(first, term, "server {id} has another entry {index} than was committed");
            }
        }
    }

    /// Only votes pass, until `id` leads or has lost `tries` elections.
    fn stands(&mut self, id: u64, tries: u32) -> bool {
        self.servers.lose_appends(true);
        for _ in 0..tries {
            for voter in (1..=5).filter(|&voter| voter != id) {
                pass(self.servers.raft(voter), 10); // they miss their leader
            }
            self.servers.raft(id).campaign();
            self.servers.settle();
            if self.servers.raft(id).role() == RoleName::Leader {
                break;
            }
        }
        self.servers.lose_appends(false);
        self.servers.raft(id).role() == RoleName::Leader
    }
}

/// What became of the disputed entry when S1 crashed after so many messages of step (c).
#[derive(Default)]
struct Outcome {
    /// S1 had it committed.
    was_committed: bool,
    /// S5 was elected, and put its own in its place.
    was_overwritten: bool,
    /// Nothing was left to say in step (c).
    was_quiet: bool,
}

fn play(crash: (u32, u64), messages: usize) -> Outcome {
    let mut play = Play::new(crash);
    // (a) S1 leads and replicates an entry to S2 alone.
    play.servers.split(&[1], &[3, 4, 5]);
    play.servers.raft(1).propose([10]).expect("it leads");
    play.servers.settle();
    play.servers.mend();
    assert_eq!(play.servers.raft(2).last().index, DISPUTED);
    play.end(1);

    // (b) S1 crashes; S5 is elected by S3 and S4, and writes another entry, on its own disk alone.
    play.servers.restart(1);
    play.servers.down(&[1, 2]);
    assert!(play.stands(5, 3), "S3 and S4 vote for it");
    play.end(2);

    // (c) S5 crashes; S1 is elected again and goes on replicating, for so many messages.
    play.servers.restart(5);
    play.servers.down(&[5]);
    play.servers.up(&[1, 2]);
    assert!(play.stands(1, 5), "S2, S3 and S4 vote for it");
    play.servers.raft(1).tick(2);
    let was_quiet = !play.servers.settle_for(messages);
    play.end(3);
    let ours = play.servers.raft(1).term_at(DISPUTED);
    let was_committed = play.committed.contains_key(&DISPUTED);

    // (d) S1 crashes; S5 stands for election, and if it wins the others take its log.
    play.servers.restart(1);
    play.servers.down(&[1]);
    play.servers.up(&[5]);
    let s5_won = play.stands(5, 5);
    play.servers.tick_all(6);
    play.end(4);
    assert!(!(was_committed && s5_won), "S5 was elected without an entry that is committed");

    // (e) Everybody is back: one leads, and all agree.
    play.servers.up(&[1]);
    play.servers.tick_all(120);
    play.end(STEPS);
    play.servers.tick_all(60);
    play.note_commits();
    let leader = play.servers.leader().expect("somebody is elected");
    let expected = log_of(play.servers.raft(leader));
    assert!((1..=5).all(|id| log_of(play.servers.raft(id)) == expected), "they differ");
    assert!(play.committed.contains_key(&DISPUTED), "nothing was decided");
    Outcome { was_committed, was_overwritten: play.servers.raft(1).term_at(DISPUTED) != ours, was_quiet }
}

#[test]
fn whoever_crashes_at_whichever_step_of_figure_8_nothing_that_was_committed_is_lost() {
    let (mut committed, mut overwritten) = (0, 0);
    for crash in (1..=STEPS).flat_map(|step| (1..=5).map(move |server| (step, server))) {
        for messages in 0.. {
            assert!(messages < 200, "S1 never stops talking");
            let outcome = play(crash, messages);
            committed += u32::from(outcome.was_committed);
            overwritten += u32::from(outcome.was_overwritten);
            assert!(!(outcome.was_committed && outcome.was_overwritten));
            if outcome.was_quiet {
                break;
            }
        }
    }
    assert!(committed > 0 && overwritten > 0, "{committed} were committed, {overwritten} overwritten");
}
