//! Machines that keep their state on disk: state and position change together, and a restart goes on where it was.

use super::replica::{Replica, position};
use super::{Clause, Open, Suite};
use crate::machine::{Held, StateMachine};
use crate::types::LogPosition;

pub(super) fn clauses<S: StateMachine>() -> Vec<Clause<S>> {
    vec![
        ("A blank machine on disk holds nothing: `applied` is `LogPosition::ZERO`.", blank),
        (
            "State, position and sidecar are stored together by `end_batch`, and are there when it is opened again.",
            reopening,
        ),
        ("What was applied and not ended is as if it had never been: it comes again.", unended),
        ("What is durable is never more than what was applied, and never becomes less.", durable),
        ("A restored snapshot, and its position, are there when it is opened again.", restored),
    ]
}

/// Of one that keeps its state in memory.
pub(super) fn clauses_of_memory<S: StateMachine>() -> Vec<Clause<S>> {
    vec![("A machine in memory holds nothing when it starts: `applied` is `None`.", |suite| {
        let held = (suite.make)().applied();
        assert_eq!(held, None, "give a machine on disk to `Suite::on_disk`");
    })]
}

fn place<S: StateMachine>(suite: &Suite<S>) -> Open<S> {
    suite.place.as_ref().expect("these clauses are for machines on disk")()
}

fn blank<S: StateMachine>(suite: &Suite<S>) {
    let mut open = place(suite);
    for start in ["first", "second"] {
        let held = open().applied().map(|held| held.position);
        assert_eq!(held, Some(LogPosition::ZERO), "at the {start} start");
    }
}

/// Opens it again, and finds out behind which command: at least the `least`th, at most the `most`th.
fn reopened<'a, S: StateMachine>(
    suite: &'a Suite<S>,
    open: &mut Open<S>,
    sidecar: impl Fn(usize) -> Vec<u8>,
    (least, most): (LogPosition, usize),
) -> (Replica<'a, S>, usize) {
    let machine = open();
    let held = machine.applied().expect("a machine on disk says what it holds");
    let count = (0..=most).find(|&count| position(count) == held.position);
    let count = count.unwrap_or_else(|| panic!("it holds {}, where no batch ended", held.position));
    assert!(held.position >= least, "it holds {}, and {least} was durable", held.position);
    let expected = if count == 0 { Vec::new() } else { sidecar(count) };
    assert_eq!(held, Held { position: position(count), sidecar: expected }, "the sidecar is another one");
    (Replica::resumed(suite, machine, count), count)
}

/// Long and short by turns, as sessions come and go, and any bytes.
fn sidecar(count: usize) -> Vec<u8> {
    let length = if count.is_multiple_of(2) { 0 } else { 20_000 };
    let any = (0..length).map(|place: usize| (place * place) as u8);
    format!("sidecar of {count}").into_bytes().into_iter().chain(any).collect()
}

fn reopening<S: StateMachine>(suite: &Suite<S>) {
    let mut open = place(suite);
    let mut replica = Replica::new(suite, open());
    let mut count = 0;
    for _ in 0..=suite.all() / 3 {
        let next = (count + 3).min(suite.all());
        if next > count {
            (count..next).for_each(|_| _ = replica.apply_unended());
            replica.end_batch(&sidecar(next));
        }
        let durable = replica.machine.durable(position(next));
        drop(replica);

        (replica, count) = reopened(suite, &mut open, sidecar, (durable, next));
        replica.require_same(&suite.replica(count), &format!("opened again behind command {count}"));
    }
}

fn unended<S: StateMachine>(suite: &Suite<S>) {
    let mut open = place(suite);
    let half = suite.all() / 2;
    let mut replica = Replica::new(suite, open());
    replica.apply_through(half);
    let durable = replica.machine.durable(position(half));
    for _ in half..suite.all() {
        replica.apply_unended();
    }
    drop(replica);

    let (mut replica, count) = reopened(suite, &mut open, |_| Vec::new(), (durable, half));
    replica.require_same(&suite.replica(count), &format!("opened again behind command {count}"));
    let mut reference = suite.replica(count);
    for next in count + 1..=suite.all() {
        assert_eq!(
            replica.apply(),
            reference.apply(),
            "command {next} comes again, and gets another response"
        );
    }
    replica.require_same(&reference, "after all commands");
}

fn durable<S: StateMachine>(suite: &Suite<S>) {
    let mut open = place(suite);
    let mut replica = Replica::new(suite, open());
    let mut before = LogPosition::ZERO;
    for count in 1..=suite.all() {
        replica.apply();
        let durable = replica.machine.durable(position(count));
        assert!(durable <= position(count), "{} is applied, and {durable} durable", position(count));
        assert!(durable >= before, "{before} was durable, and now {durable}");
        before = durable;
    }
}

fn restored<S: StateMachine>(suite: &Suite<S>) {
    let mut open = place(suite);
    let half = suite.all() / 2;
    let snapshot = suite.replica(suite.all()).snapshot();
    let mut replica = Replica::new(suite, open());
    replica.apply_through(half);
    replica.restore(&*snapshot, suite.all());
    let durable = replica.machine.durable(position(suite.all()));
    drop(replica);

    let (replica, count) = reopened(suite, &mut open, |_| Vec::new(), (durable, suite.all()));
    replica.require_same(&suite.replica(count), &format!("opened again behind command {count}"));
}
