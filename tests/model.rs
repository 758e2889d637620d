//! Model.

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

use self::configurations::{Budget, NOTHING, Order, Rules, figure_8, large, small};
use self::explorer::{search, tell};
use self::laws::{Law, Laws};
use self::mutants::Mutant;
use self::sights::Sights;
use quorate::types::MembershipChange;

/// The worlds that are asked for by name, else the small ones.
fn worlds() -> Vec<Rules> {
    match env::var("QUORATE_MODEL").as_deref() {
        Err(_) => small(),
        Ok("large") => large(),
        Ok(names) => {
            let is_named = |rules: &Rules| names.split(',').any(|name| name == rules.name);
            let named: Vec<_> = large().into_iter().filter(is_named).collect();
            assert!(!named.is_empty(), "no world is named {names}");
            named
        }
    }
}

#[test]
fn no_schedule_of_any_world_breaks_a_law() {
    for rules in worlds() {
        let began = std::time::Instant::now();
        let found = search(&rules, Laws::ALL);
        println!("{}: {} worlds, {} steps, {} deep, {:?} {:?}", rules.name, found.worlds, found.steps, found.depth, found.sights, began.elapsed());

        let broken = found.broken.map(|broken| format!("{:?} broken by\n{}", broken.laws, tell(&broken.way, &rules)));
        assert_eq!(broken, None, "{}", rules.name);
        let missed = Sights::of(&rules.sights).without(found.sights);
        assert!(missed.is_empty(), "{} never came across {missed:?}", rules.name);
    }
}

/// The mutant breaks the law, and without it nothing does.
fn shows(rules: Rules, mutant: Mutant, law: Law) {
    let with_mutant = rules.clone().with(|rules| rules.mutant = mutant);
    let found = search(&with_mutant, Laws::only(law));
    println!("{mutant:?} breaks {law:?}: {} worlds, {} steps, depth {}", found.worlds, found.steps, found.depth);
    assert!(found.broken.is_some(), "{mutant:?} does not break {law:?}");
    let control = search(&rules, Laws::ALL);
    println!("   control: {} worlds, {} steps", control.worlds, control.steps);
    assert!(control.broken.is_none());
}

fn narrow(budget: Budget, standing: &'static [usize], crashing: &'static [usize]) -> Rules {
    Rules::new("narrow", budget, &[])
        .with(|rules| (rules.standing, rules.crashing, rules.link_messages) = (standing, crashing, 1))
}

#[test]
fn a_voter_that_forgets_its_vote_gives_one_term_two_leaders() {
    let rules = narrow(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 1], &[2]).with(|rules| rules.term_max = 1);

    shows(rules.clone(), Mutant::ForgetsItsVote, Law::OneLeaderPerTerm);
    shows(rules, Mutant::ForgetsItsVote, Law::OneVotePerTerm);
}

#[test]
fn a_node_that_forgets_its_term_goes_back() {
    shows(narrow(Budget { timeouts: 1, crashes: 1, ..NOTHING }, &[0], &[0]), Mutant::ForgetsItsTerm, Law::NothingGoesBack);
}

#[test]
fn a_host_that_speaks_before_it_is_durable_is_caught_at_once_and_would_give_one_term_two_leaders() {
    let rules = narrow(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 1], &[2])
        .with(|rules| (rules.disks_are_instant, rules.term_max) = (false, 1));

    shows(rules.clone(), Mutant::SpeaksBeforeItIsDurable, Law::SpokenIsDurable);
    shows(rules, Mutant::SpeaksBeforeItIsDurable, Law::OneLeaderPerTerm);
}

#[test]
fn a_host_that_reports_a_write_too_early_commits_what_no_majority_has() {
    let rules = narrow(Budget { timeouts: 2, ..NOTHING }, &[0], &[])
        .with(|rules| (rules.disks_are_instant, rules.term_max) = (false, 1));

    shows(rules, Mutant::ReportsBeforeItIsDurable, Law::CommittedIsDurable);
}

#[test]
fn a_host_that_reports_more_than_it_wrote_is_stopped() {
    shows(narrow(Budget { timeouts: 1, ..NOTHING }, &[0], &[]), Mutant::ReportsWhatItNeverGot, Law::AssertionsHold);
}

#[test]
fn a_disk_that_loses_what_was_acknowledged_loses_what_was_committed() {
    let rules = narrow(Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[0, 2], &[1]).with(|rules| rules.alike = false);

    shows(rules.clone(), Mutant::LosesItsLastEntry, Law::CommittedIsDurable);
    shows(rules.clone(), Mutant::LosesItsLastEntry, Law::LeaderCompleteness);
    shows(rules, Mutant::LosesItsLastEntry, Law::CommittedIsForever);
}

#[test]
fn a_disk_that_loses_its_snapshot_does_not_start_behind_it() {
    let rules = narrow(Budget { timeouts: 1, snapshots: 1, crashes: 1, ..NOTHING }, &[0], &[0]);

    shows(rules, Mutant::LosesItsSnapshots, Law::DisksRestore);
}

#[test]
fn a_disk_that_keeps_what_was_overwritten_holds_no_log() {
    let rules = narrow(Budget { timeouts: 2, proposals: 1, crashes: 1, ..NOTHING }, &[0, 1], &[0]);

    shows(rules, Mutant::KeepsOverwrittenEntries, Law::DisksRestore);
}

#[test]
fn a_host_that_applies_what_is_appended_applies_what_is_not_committed() {
    shows(narrow(Budget { timeouts: 1, ..NOTHING }, &[0], &[]), Mutant::AppliesWhatIsAppended, Law::AppliedIsCommitted);
}

#[test]
fn a_leader_that_answers_reads_at_once_misses_what_the_next_one_committed() {
    let rules = narrow(Budget { timeouts: 2, reads: 1, ..NOTHING }, &[0, 1], &[]);

    shows(rules, Mutant::AnswersReadsAtOnce, Law::ReadsAreFresh);
}

#[test]
fn a_host_that_writes_a_configuration_of_its_own_has_two_under_way() {
    let rules = narrow(Budget { timeouts: 1, changes: 1, crashes: 1, ..NOTHING }, &[0], &[0])
        .with(|rules| rules.changes = vec![MembershipChange::Demote { id: actions::id(2) }]);

    shows(rules, Mutant::WritesItsOwnConfiguration, Law::OneChangeAtATime);
}

#[test]
fn a_network_that_alters_entries_makes_logs_that_do_not_match() {
    shows(narrow(Budget { timeouts: 1, duplicates: 1, ..NOTHING }, &[0], &[]), Mutant::AltersEntries, Law::LogMatching);
}

#[test]
fn an_old_entry_that_is_committed_by_counting_is_lost_as_in_figure_8() {
    shows(figure_8(), Mutant::CountsOldTerms, Law::LeaderCompleteness);
}
