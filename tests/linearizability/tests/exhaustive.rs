//! Small histories of any kind, good and bad: the checker says of each what trying all orders says.

use proptest::prelude::*;

use crate::linearizability::counter::{self, Counter};
use crate::linearizability::list::{self, AppendList};
use crate::linearizability::register::{self, Register};
use crate::linearizability::{Fate, Operation, OperationOf, Spec, check};

type Op<S> = OperationOf<S, ()>;

/// Whether the rest can be done in some order behind this state. Without memory, cunning or haste.
fn has_order<S: Spec>(state: &S::State, rest: &[&Op<S>]) -> bool {
    let is_over = rest.iter().all(|operation| operation.returned().is_none());
    is_over
        || rest.iter().enumerate().any(|(at, next)| {
            let too_late = |other: &&Op<S>| other.returned().is_some_and(|returned| returned < next.called);
            let without = || rest.iter().enumerate().filter(|&(other, _)| other != at).map(|(_, &op)| op);
            !rest.iter().any(too_late)
                && S::step(state, &next.input, next.output())
                    .is_some_and(|state| has_order::<S>(&state, &without().collect::<Vec<_>>()))
        })
}

fn agrees<S: Spec>(history: &[Op<S>]) -> Result<(), TestCaseError> {
    let start = S::start(history.iter().filter_map(Operation::output));
    let taken: Vec<_> = history.iter().filter(|operation| operation.fate != Fate::Refused).collect();
    let expected = has_order::<S>(&start, &taken);
    prop_assert_eq!(check::<S, ()>(history).is_ok(), expected, "{:#?}", history);
    Ok(())
}

fn operations<S: Spec>(
    answered: impl Strategy<Value = (S::Input, S::Output)>,
) -> impl Strategy<Value = Vec<Op<S>>> {
    let fate = prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2)];
    let operation = (0u64..9, 0u64..7, answered, fate).prop_map(|(called, takes, (input, output), fate)| {
        let fate = match fate {
            0 => Fate::Known { returned: called + takes, output },
            1 => Fate::Unknown,
            _ => Fate::Refused,
        };
        Operation { client: 0, key: (), called, input, fate }
    });
    prop::collection::vec(operation, 1..8)
}

fn register() -> impl Strategy<Value = (register::Input, register::Output)> {
    use register::Input;
    use register::Output;
    prop_oneof![
        (0u64..2).prop_map(|value| (Input::Set(value), Output::Done)),
        prop::option::weighted(0.8, 0u64..2).prop_map(|value| (Input::Get, Output::Value(value))),
        (0u64..2, 0u64..2, any::<bool>())
            .prop_map(|(expected, new, swapped)| (Input::Cas { expected, new }, Output::Swapped(swapped))),
    ]
}

fn counter() -> impl Strategy<Value = (counter::Input, i64)> {
    let input = prop_oneof![Just(counter::Input::Read), (1i64..3).prop_map(counter::Input::Add)];
    (input, 0i64..5)
}

fn list() -> impl Strategy<Value = (list::Input, list::Output)> {
    prop_oneof![
        (0u64..3).prop_map(|item| (list::Input::Append(item), list::Output::Done)),
        prop::collection::vec(0u64..3, 0..4)
            .prop_map(|items| (list::Input::Read, list::Output::Items(items))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn on_a_register_it_says_what_trying_all_orders_says(history in operations::<Register>(register())) {
        agrees::<Register>(&history)?;
    }

    #[test]
    fn on_a_counter_it_says_what_trying_all_orders_says(history in operations::<Counter>(counter())) {
        agrees::<Counter>(&history)?;
    }

    #[test]
    fn on_a_list_it_says_what_trying_all_orders_says(history in operations::<AppendList>(list())) {
        agrees::<AppendList>(&history)?;
    }
}
