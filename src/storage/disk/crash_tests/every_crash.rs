//! Recorded workloads: power fails before each operation of each, and everything unsynced is on the disk or not. The
//! dials stand in [`recorded`].

use super::recorded::{crashes, depth, require_goes_on, require_same_after_interruptions};
use super::*;

/// Runs a workload of at least so many crashes, and tries what each may leave.
fn survives(steps: &[Step], crashes_min: usize) {
    let crashes = crashes(steps);
    let depth = depth();
    let outcomes: u64 = crashes.iter().zip(1..).map(|(crash, seed)| crash.check(depth, seed)).sum();
    println!("{} crashes, {outcomes} outcomes", crashes.len());
    assert!(crashes.len() >= crashes_min, "{} crashes only", crashes.len());
    assert!(outcomes > crashes.len() as u64 * 2, "{outcomes} outcomes only");
}

pub(super) fn main(term: u64, first: u64, sizes: &[usize]) -> GroupWrite {
    append(GroupId::MAIN, term, first, sizes)
}

pub(super) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), LogIndex(index))
}

/// A vote, and what was appended with it.
pub(super) fn vote(term: u64, voted_for: u64, write: GroupWrite) -> GroupWrite {
    GroupWrite {
        hard_state: Some(HardState { term: Term(term), voted_for: NodeId::new(voted_for) }),
        ..write
    }
}

pub(super) fn restart(position: LogPosition, write: GroupWrite) -> GroupWrite {
    GroupWrite { restart: Some((position, membership())), ..write }
}

/// The log of both groups released up to `index`.
pub(super) fn release_both(term: u64, index: u64) -> [Step; 2] {
    GROUPS.map(|group| Step::Release(group, at(term, index)))
}

#[test]
fn a_founding_happened_or_did_not() {
    survives(&[Step::Found], 20);
}

#[test]
fn appended_entries_are_there_from_the_first_to_some_last() {
    let both = |first, sizes: &[usize]| Step::Write(GROUPS.map(|id| append(id, 1, first, sizes)).into());
    survives(
        &[
            Step::Found,
            Step::Upkeep,
            both(2, &[100]),
            Step::Write(vec![main(1, 3, &[6000, 6000, 6000])]),
            Step::Write(vec![main(1, 6, &[0])]),
            both(3, &[4000, 4100]),
            Step::Settle,
            Step::Write(vec![main(1, 5, &[12_000])]),
        ],
        30,
    );
}

#[test]
fn a_term_and_a_vote_never_go_back() {
    survives(
        &[
            Step::Found,
            Step::Write(vec![vote(1, 1, main(1, 2, &[]))]),
            Step::Write(vec![vote(1, 2, main(1, 2, &[50])), vote(3, 0, append(GROUPS[1], 3, 2, &[]))]),
            Step::Settle,
            Step::Write(vec![vote(2, 3, main(2, 3, &[5000]))]),
            Step::Write(vec![vote(4, 1, main(2, 4, &[]))]),
        ],
        30,
    );
}

#[test]
fn replaced_entries_never_come_back() {
    survives(
        &[
            Step::Found,
            Step::Write(vec![main(1, 2, &[700; 30])]),
            Step::Write(vec![main(2, 5, &[60])]),
            Step::Write(vec![main(2, 6, &[9000])]),
            Step::Write(vec![vote(3, 1, main(3, 3, &[10]))]),
            Step::Settle,
            Step::Write(vec![main(4, 2, &[20, 30])]),
            Step::Write(vec![main(5, 2, &[5000])]),
        ],
        30,
    );
}

#[test]
fn from_one_segment_to_the_next_nothing_is_lost() {
    let mut steps = vec![Step::Found, Step::Upkeep];
    steps.extend((0..12).map(|nth| Step::Write(vec![main(1, 2 + nth, &[9000])])));
    steps.push(Step::Settle);
    steps.push(Step::Write(vec![vote(2, 1, main(1, 14, &[9000; 3]))]));
    survives(&steps, 50);
}

#[test]
fn a_write_of_many_segments_is_there_up_to_some_entry() {
    let giant = Step::Write(vec![vote(2, 1, main(2, 2, &[9000; 14]))]);
    survives(&[Step::Found, Step::Upkeep, giant, Step::Write(vec![main(2, 16, &[10])])], 50);
}

#[test]
fn what_was_released_may_go_and_the_rest_stays() {
    let mut steps = vec![Step::Found];
    steps.extend((0..8).map(|nth| Step::Write(vec![main(1, 2 + nth, &[9000])])));
    steps.push(Step::Release(GroupId::MAIN, at(1, 3)));
    steps.push(Step::Upkeep);
    steps.push(Step::Write(vec![main(1, 10, &[5000])]));
    steps.extend(release_both(1, 12));
    steps.push(Step::Upkeep);
    survives(&steps, 50);
}

#[test]
fn recycled_segments_hold_nothing_of_what_they_held() {
    let mut steps = vec![Step::Found];
    for round in 0..4 {
        let first = 2 + round * 5;
        steps.extend((first..first + 5).map(|index| Step::Write(vec![main(1, index, &[9000])])));
        steps.extend(release_both(1, first + 4));
        steps.push(Step::Upkeep);
    }
    survives(&steps, 100);
}

#[test]
fn a_log_that_begins_anew_after_a_snapshot_is_the_old_one_or_the_new_one() {
    let offer = &Offer::of(GroupId::MAIN)[1];
    let index = offer.meta.position.index.0;
    survives(
        &[
            Step::Found,
            Step::Write(vec![main(1, 2, &[3000, 3000])]),
            Step::Snapshot(GroupId::MAIN, LogIndex(3)),
            Step::Receive(GroupId::MAIN, offer, 4100),
            Step::Receive(GroupId::MAIN, offer, offer.file.len()),
            Step::Write(vec![restart(at(1, index), vote(2, 0, main(2, index + 1, &[100])))]),
            Step::Prune(GroupId::MAIN, LogIndex(index)),
            Step::Upkeep,
            Step::Write(vec![main(2, index + 2, &[100])]),
        ],
        50,
    );
}

#[test]
fn a_snapshot_is_there_as_a_whole_or_not_at_all() {
    survives(
        &[
            Step::Found,
            Step::Snapshot(GroupId::MAIN, LogIndex(3)),
            Step::Snapshot(GROUPS[1], LogIndex(4)),
            Step::Snapshot(GroupId::MAIN, LogIndex(7)),
            Step::Prune(GroupId::MAIN, LogIndex(7)),
            Step::Snapshot(GroupId::MAIN, LogIndex(8)),
        ],
        35,
    );
}

/// Of each workload's kind of crash one with much to do afterwards: a torn tail, and a rotation that was begun.
#[test]
fn a_recovery_is_interrupted_at_each_of_its_writes_and_finds_the_same() {
    let mut steps = vec![Step::Found, Step::Upkeep];
    steps.extend((0..7).map(|nth| Step::Write(vec![main(1, 2 + nth, &[9000])])));
    let mut longest = 0;
    for (crash, seed) in crashes(&steps).iter().zip(0..).filter(|(crash, _)| crash.step >= 2) {
        let mut random = Random(seed);
        let disk = crash.disk.fork();
        // The first page of each batch is kept, and whatever else comes to mind.
        let mut is_first = true;
        disk.restart(&mut |bound| {
            if std::mem::take(&mut is_first) { bound / 2 } else { random.below(bound) }
        });
        let state = state_of(&mut open(&disk.fork()).expect("open"));
        let what = format!("before {:?}", crash.operation);
        longest = longest.max(require_same_after_interruptions(&disk, &state, None, &mut random, &what));
        require_goes_on(&disk, state, &mut random, &what);
    }
    assert!(longest >= 9, "a recovery of {longest} writes cuts nothing");
}
