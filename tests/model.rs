//! Not some schedules but all of them: every state that three real replicas can reach in a small world is visited, and in each
//! one the laws hold.
//!
//! A world ([`world`]) is three nodes, what is under way between them, and what has happened so far. A node ([`host`]) is the
//! real `Raft`, its durable image and the writes on their way there; a crash leaves the image and any beginning of those
//! writes. What may happen stands in [`actions`], how often in [`configurations`], what must hold in [`laws`]. The search is
//! our own ([`explorer`]): breadth first, so that a broken law comes with the shortest way there, and the same numbers come out
//! however many threads take part.
//!
//! Each law is broken by a mutant ([`mutants`]): the same replica with a host, a disk or a network that breaks one rule.
//!
//! ```text
//! cargo test --test model                                              the small worlds and the mutants
//! QUORATE_MODEL=large cargo test --release --test model -- --nocapture     the large ones
//! QUORATE_MODEL="figure 8,removal" cargo test --release --test model -- --nocapture     these
//! ```
//!
//! | world | different worlds | steps | depth |
//! | --- | ---: | ---: | ---: |
//! | elections | 39,780 | 152,529 | 22 |
//! | pre-votes | 14,559 | 38,265 | 23 |
//! | replication | 30,341 | 82,794 | 26 |
//! | votes on disks | 15,085 | 54,795 | 21 |
//! | entries on disks | 17,575 | 51,240 | 25 |
//! | turns | 12,512 | 35,446 | 35 |
//! | reads | 3,016 | 7,049 | 16 |
//! | snapshots | 23,012 | 62,900 | 24 |
//! | transfer | 5,109 | 12,265 | 19 |
//! | removal | 22,428 | 58,183 | 28 |
//! | growth | 16,111 | 39,851 | 31 |
//! | elections with a duplicate (large) | 660,484 | 3,104,500 | 23 |
//! | pre-votes with a tick (large) | 379,820 | 1,067,531 | 27 |
//! | replication on long links (large) | 65,784 | 249,632 | 26 |
//! | replication with a crash (large) | 124,900 | 375,593 | 24 |
//! | successions on disks (large) | 132,654 | 479,447 | 36 |
//! | reads that are lost (large) | 182,635 | 476,685 | 23 |
//! | snapshots with a crash (large) | 96,711 | 286,548 | 24 |
//! | transfer and timeout (large) | 140,610 | 378,532 | 26 |
//! | removal of anybody (large) | 172,375 | 453,762 | 30 |
//! | growth with a crash (large) | 103,712 | 296,015 | 32 |
//! | replacement (large) | 6,107 | 12,806 | 37 |
//! | figure 8 (large) | 2,504,779 | 6,751,366 | 40 |
//!
//! A debug build takes some 50,000 steps in a second of one core, a release build some 200,000. The search prints a line
//! like these for each world.
//!
//! What no world has: leases (they rest on time, which has no place here), nodes that lose their disks, more than three
//! nodes, and more than one of most things at once.

#[path = "model/actions.rs"]
mod actions;
#[path = "model/configurations.rs"]
mod configurations;
#[path = "model/disk.rs"]
mod disk;
#[path = "model/explorer.rs"]
mod explorer;
#[path = "model/history.rs"]
mod history;
#[path = "model/host.rs"]
mod host;
#[path = "model/laws.rs"]
mod laws;
#[path = "model/mutants.rs"]
mod mutants;
#[path = "model/network.rs"]
mod network;
#[path = "model/shared.rs"]
mod shared;
#[path = "model/sights.rs"]
mod sights;
#[path = "model/world.rs"]
mod world;

use std::env;

use quorate::types::MembershipChange;

use self::actions::id;
use self::configurations::{Budget, NOTHING, Rules, figure_8_from_b, large, rules, small};
use self::explorer::{search, search_within, tell};
use self::laws::{Law, Laws};
use self::mutants::Mutant;
use self::sights::Sights;

/// The worlds that are asked for by name, else the small ones.
fn worlds() -> Vec<Rules> {
    match env::var("QUORATE_MODEL").as_deref() {
        Err(_) => small(),
        Ok("large") => large(),
        Ok(names) => {
            let is_named = |rules: &Rules| names.split(',').any(|name| name == rules.name);
            let named: Vec<_> = small().into_iter().chain(large()).filter(is_named).collect();
            assert!(!named.is_empty(), "no world has the name {names}");
            named
        }
    }
}

#[test]
fn no_schedule_of_any_world_breaks_a_law() {
    for rules in worlds() {
        let found = search(&rules, Laws::ALL);
        let name = rules.name;
        println!("| {name} | {} | {} | {} |", found.worlds, found.steps, found.depth);

        if let Some(broken) = found.broken {
            panic!("in the world {name} {:?} is broken:\n{}", broken.laws, tell(&broken.way, &rules));
        }
        let missed = Sights::of(&rules.sights).without(found.sights);
        assert!(missed.is_empty(), "the world {name} never came across {missed:?}");
    }
}

/// With the mutant the law is broken; without it, nothing is broken in what is as near to the beginning.
fn shows(rules: &Rules, mutant: Mutant, laws: &[Law]) {
    for &law in laws {
        let found = search(&rules.clone().with(|rules| rules.mutant = mutant), Laws::only(law));
        println!("{mutant:?} breaks {law:?} after {} steps, among {} worlds", found.depth, found.worlds);

        assert!(found.broken.is_some(), "{mutant:?} does not break {law:?}");
        let without = search_within(found.depth, rules, Laws::ALL);
        assert!(without.broken.is_none(), "{law:?} is broken without {mutant:?} too");
    }
}

/// A world for a mutant: these nodes stand for election, those crash.
fn scene(budget: Budget, standing: &'static [usize], crashing: &'static [usize]) -> Rules {
    rules("scene", budget, &[]).with(|rules| (rules.standing, rules.crashing) = (standing, crashing))
}

#[test]
fn a_voter_that_forgets_its_vote_gives_one_term_two_leaders() {
    let one_term =
        scene(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 1], &[2]).with(|rules| rules.term_max = 1);

    shows(&one_term, Mutant::ForgetsItsVote, &[Law::OneVotePerTerm, Law::OneLeaderPerTerm]);
}

#[test]
fn a_node_that_forgets_its_term_goes_back() {
    let scene = scene(Budget { timeouts: 1, crashes: 1, ..NOTHING }, &[0], &[0]);

    shows(&scene, Mutant::ForgetsItsTerm, &[Law::NothingGoesBack]);
}

#[test]
fn a_host_that_speaks_before_it_is_durable_is_seen_at_once_and_gives_one_term_two_leaders() {
    let one_term = scene(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 1], &[2])
        .with(|rules| (rules.disks_are_instant, rules.term_max) = (false, 1));

    shows(&one_term, Mutant::SpeaksBeforeItIsDurable, &[Law::SpokenIsDurable, Law::OneLeaderPerTerm]);
}

#[test]
fn a_host_that_reports_a_write_too_early_commits_what_no_majority_holds() {
    let late =
        scene(Budget { timeouts: 1, ..NOTHING }, &[0], &[]).with(|rules| rules.disks_are_instant = false);

    shows(&late, Mutant::ReportsBeforeItIsDurable, &[Law::CommittedIsDurable]);
}

#[test]
fn a_host_that_reports_more_than_it_wrote_is_stopped() {
    let scene = scene(Budget { timeouts: 1, ..NOTHING }, &[0], &[]);

    shows(&scene, Mutant::ReportsWhatItNeverGot, &[Law::AssertionsHold]);
}

#[test]
fn a_disk_that_loses_what_was_acknowledged_loses_what_was_committed() {
    let scene = scene(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 2], &[1]);

    let laws = [Law::CommittedIsDurable, Law::LeaderCompleteness, Law::CommittedIsForever];
    shows(&scene, Mutant::LosesItsLastEntry, &laws);
}

#[test]
fn a_disk_that_loses_its_snapshot_does_not_start_behind_it() {
    let scene = scene(Budget { timeouts: 1, snapshots: 1, crashes: 1, ..NOTHING }, &[0], &[0]);

    shows(&scene, Mutant::LosesItsSnapshots, &[Law::DisksRestore]);
}

#[test]
fn a_disk_that_keeps_what_stood_behind_an_overwritten_entry_holds_no_log() {
    let scene = scene(Budget { timeouts: 2, proposals: 1, crashes: 1, ..NOTHING }, &[0, 1], &[0]);

    shows(&scene, Mutant::KeepsOverwrittenEntries, &[Law::DisksRestore]);
}

#[test]
fn a_host_that_applies_what_is_appended_applies_what_is_not_committed() {
    let scene = scene(Budget { timeouts: 1, ..NOTHING }, &[0], &[]);

    shows(&scene, Mutant::AppliesWhatIsAppended, &[Law::AppliedIsCommitted]);
}

#[test]
fn a_leader_that_answers_reads_at_once_misses_what_the_next_one_committed() {
    let scene = scene(Budget { timeouts: 2, reads: 1, ..NOTHING }, &[0, 1], &[]);

    shows(&scene, Mutant::AnswersReadsAtOnce, &[Law::ReadsAreFresh]);
}

#[test]
fn a_host_that_writes_a_configuration_of_its_own_has_two_under_way() {
    let scene = scene(Budget { timeouts: 1, changes: 1, crashes: 1, ..NOTHING }, &[0], &[0])
        .with(|rules| rules.changes = vec![MembershipChange::Demote { id: id(2) }]);

    shows(&scene, Mutant::WritesItsOwnConfiguration, &[Law::OneChangeAtATime]);
}

#[test]
fn a_network_that_alters_entries_makes_logs_that_do_not_match() {
    let scene = scene(Budget { timeouts: 1, duplicates: 1, ..NOTHING }, &[0], &[]);

    shows(&scene, Mutant::AltersEntries, &[Law::LogMatching]);
}

#[test]
fn an_old_entry_that_is_committed_by_counting_is_lost_as_in_figure_8() {
    let laws = [Law::LeaderCompleteness, Law::CommittedIsForever];

    shows(&figure_8_from_b(), Mutant::CountsOldTerms, &laws);
}
