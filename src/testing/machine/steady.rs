//! The same commands in the same order give the same state and the same answers, whatever happens beside them.

use super::{Clause, Suite};
use crate::machine::StateMachine;

pub(super) fn clauses<S: StateMachine>() -> Vec<Clause<S>> {
    vec![
        (
            "The same commands in the same order give the same state and the same responses on every replica.",
            determinism,
        ),
        ("Where a batch of commands ends makes no difference.", batches),
        ("A query changes nothing, and is answered the same twice.", queries),
        ("Taking a snapshot changes nothing.", pictures),
    ]
}

fn determinism<S: StateMachine>(suite: &Suite<S>) {
    let (mut one, mut two) = (suite.replica(0), suite.replica(0));
    one.require_same(&two, "before the first command");
    for count in 1..=suite.all() {
        assert_eq!(one.apply(), two.apply(), "command {count} gets another response on another replica");
    }
    one.require_same(&two, "after all commands");
}

fn batches<S: StateMachine>(suite: &Suite<S>) {
    let (mut one, mut all) = (suite.replica(0), suite.replica(0));
    let alone: Vec<_> = (0..suite.all()).map(|_| one.apply()).collect();
    assert_eq!(all.apply_through(suite.all()), alone, "in one batch there are other responses");
    one.require_same(&all, "in one batch");
}

fn queries<S: StateMachine>(suite: &Suite<S>) {
    let (mut asked, mut silent) = (suite.replica(0), suite.replica(0));
    for count in 1..=suite.all() {
        assert_eq!(asked.answers(), asked.answers(), "asked twice before command {count}");
        assert_eq!(
            asked.apply(),
            silent.apply(),
            "command {count} gets another response where queries are asked"
        );
    }
    asked.require_same(&silent, "where queries are asked");
}

fn pictures<S: StateMachine>(suite: &Suite<S>) {
    let (mut pictured, mut plain) = (suite.replica(0), suite.replica(0));
    for count in 1..=suite.all() {
        // Some are written out at once, some never.
        let picture = pictured.picture();
        if count % 2 == 0 {
            super::replica::written(picture);
        }
        assert_eq!(
            pictured.apply(),
            plain.apply(),
            "command {count} gets another response behind a snapshot"
        );
    }
    pictured.require_same(&plain, "behind snapshots");
}
