//! A real object, and clients that overlap: each calls, some time later its operation takes effect, and some time after
//! that it returns. Some never hear of theirs, some are refused. Whatever comes of that is linearizable by construction.

use proptest::prelude::*;

use crate::linearizability::counter::{self, Counter};
use crate::linearizability::list::{self, AppendList};
use crate::linearizability::register::{self, Register};
use crate::linearizability::{Fate, Operation, OperationOf, Spec, check};

/// `SplitMix64`: a history of thousands of choices is had from one number.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// An object that can be driven.
pub(crate) trait Object: Spec {
    fn input(random: &mut Random) -> Self::Input;
    /// Applies it; gives the answer.
    fn apply(object: &mut Vec<u64>, input: &Self::Input) -> Self::Output;
}

impl Object for Register {
    fn input(random: &mut Random) -> register::Input {
        match random.below(4) {
            0 => register::Input::Set(random.below(1 << 40)),
            1 => register::Input::Set(random.below(3)),
            2 => register::Input::Cas { expected: random.below(3), new: random.below(3) },
            _ => register::Input::Get,
        }
    }

    fn apply(object: &mut Vec<u64>, input: &register::Input) -> register::Output {
        match *input {
            register::Input::Get => register::Output::Value(object.last().copied()),
            register::Input::Set(value) => {
                *object = vec![value];
                register::Output::Done
            }
            register::Input::Cas { expected, new } => {
                let swaps = object.last() == Some(&expected);
                if swaps {
                    *object = vec![new];
                }
                register::Output::Swapped(swaps)
            }
        }
    }
}

impl Object for Counter {
    fn input(random: &mut Random) -> counter::Input {
        match random.below(3) {
            0 => counter::Input::Read,
            _ => counter::Input::Add(1),
        }
    }

    fn apply(object: &mut Vec<u64>, input: &counter::Input) -> i64 {
        if let counter::Input::Add(_) = input {
            object.push(0);
        }
        i64::try_from(object.len()).expect("a small number")
    }
}

impl Object for AppendList {
    fn input(random: &mut Random) -> list::Input {
        match random.below(4) {
            0 => list::Input::Read,
            _ => list::Input::Append(random.below(1 << 40)),
        }
    }

    fn apply(object: &mut Vec<u64>, input: &list::Input) -> list::Output {
        match input {
            list::Input::Read => list::Output::Items(object.clone()),
            list::Input::Append(item) => {
                object.push(*item);
                list::Output::Done
            }
        }
    }
}

/// How a history is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) operations: usize,
    pub(crate) keys: u64,
    pub(crate) clients: u64,
    /// One in so many is never answered, one in so many is refused.
    pub(crate) unanswered: u64,
}

struct Pending<S: Spec> {
    at: usize,
    output: Option<S::Output>,
    /// Nobody waits for it any more.
    is_orphan: bool,
}

pub(crate) type History<S> = Vec<OperationOf<S, u64>>;

pub(crate) fn history<S: Object>(plan: Plan) -> History<S> {
    let mut random = Random(plan.seed);
    let mut objects = vec![Vec::new(); plan.keys as usize];
    let mut history: History<S> = Vec::new();
    let mut pending: Vec<Pending<S>> = Vec::new();
    for moment in 0.. {
        let waiting = pending.iter().filter(|pending| !pending.is_orphan).count() as u64;
        if history.len() == plan.operations && waiting == 0 {
            break;
        }
        let may_call = history.len() < plan.operations && waiting < plan.clients;
        if may_call && random.below(3) == 0 {
            let busy = |client: u32| {
                pending.iter().any(|pending| !pending.is_orphan && history[pending.at].client == client)
            };
            let client = (0..plan.clients as u32).find(|&client| !busy(client)).expect("one is free");
            let (key, input) = (random.below(plan.keys), S::input(&mut random));
            pending.push(Pending { at: history.len(), output: None, is_orphan: false });
            history.push(Operation { client, key, called: moment, input, fate: Fate::Unknown });
        } else if !pending.is_empty() {
            let chosen = random.below(pending.len() as u64) as usize;
            let operation = &mut history[pending[chosen].at];
            let luck = if pending[chosen].is_orphan { u64::MAX } else { random.below(plan.unanswered) };
            if let Some(output) = pending[chosen].output.take() {
                operation.fate = Fate::Known { returned: moment, output };
                pending.swap_remove(chosen);
            } else if luck == 0 {
                pending[chosen].is_orphan = true;
            } else if luck == 1 {
                operation.fate = Fate::Refused;
                pending.swap_remove(chosen);
            } else {
                let output = S::apply(&mut objects[operation.key as usize], &operation.input);
                if pending[chosen].is_orphan {
                    pending.swap_remove(chosen);
                } else {
                    pending[chosen].output = Some(output);
                }
            }
        }
    }
    history
}

fn plans() -> impl Strategy<Value = Plan> {
    (any::<u64>(), 1usize..400, 1u64..4, 1u64..12, 3u64..60).prop_map(
        |(seed, operations, keys, clients, unanswered)| Plan { seed, operations, keys, clients, unanswered },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_a_register_did_is_accepted(plan in plans()) {
        check::<Register, _>(&history::<Register>(plan)).expect("it was a register");
    }

    #[test]
    fn what_a_counter_did_is_accepted(plan in plans()) {
        check::<Counter, _>(&history::<Counter>(plan)).expect("it was a counter");
    }

    #[test]
    fn what_a_list_did_is_accepted(plan in plans()) {
        check::<AppendList, _>(&history::<AppendList>(plan)).expect("it was a list");
    }

    /// Whatever else goes on: a value that was overwritten long before is not read any more.
    #[test]
    fn one_stale_read_among_many_operations_is_noticed(plan in plans(), at in any::<prop::sample::Index>()) {
        let few = Plan { keys: 1, operations: plan.operations.min(100), clients: plan.clients.min(6), ..plan };
        let mut history = history::<Register>(Plan { unanswered: few.unanswered.max(20), ..few });
        let moment = history[at.index(history.len())].called;
        let scene = [(1, register::Input::Set(u64::MAX)), (2, register::Input::Set(u64::MAX - 1))];
        // Time stands still for all others while this happens.
        for operation in &mut history {
            operation.called += if operation.called >= moment { 10 } else { 0 };
            if let Fate::Known { returned, .. } = &mut operation.fate {
                *returned += if *returned >= moment { 10 } else { 0 };
            }
        }
        for (after, input) in scene {
            let fate = Fate::Known { returned: moment + 2 * after, output: register::Output::Done };
            history.push(Operation { client: 99, key: 0, called: moment + 2 * after - 1, input, fate });
        }
        let output = register::Output::Value(Some(u64::MAX));
        let fate = Fate::Known { returned: moment + 6, output };
        history.push(Operation { client: 99, key: 0, called: moment + 5, input: register::Input::Get, fate });

        let violation = check::<Register, _>(&history).expect_err("a stale read");
        prop_assert!(violation.operations.len() <= 6, "{violation}");
    }
}

#[test]
fn a_long_history_of_many_clients_is_judged() {
    let plan = Plan { seed: 1, operations: 5_000, keys: 10, clients: 16, unanswered: 50 };
    for seed in 0..20 {
        let checked = check::<Register, _>(&history::<Register>(Plan { seed, ..plan })).unwrap();
        assert_eq!((checked.keys, checked.operations), (10, 5_000));
        assert!(checked.visited < 50_000, "{checked:?}");
    }
    check::<Counter, _>(&history::<Counter>(plan)).unwrap();
    check::<AppendList, _>(&history::<AppendList>(plan)).unwrap();
    check::<Register, _>(&history::<Register>(Plan { keys: 1, operations: 1_000, ..plan })).unwrap();
}

#[test]
fn one_wrong_answer_at_the_end_of_a_long_history_is_noticed_and_shown_alone() {
    let plan = Plan { seed: 1, operations: 5_000, keys: 10, clients: 16, unanswered: 50 };
    let mut history = history::<Register>(plan);
    let is_read = |operation: &OperationOf<Register, u64>| {
        matches!(operation.output(), Some(register::Output::Value(Some(_))))
    };
    let last = history.iter_mut().rfind(|operation| is_read(operation)).expect("somebody reads");
    let Fate::Known { output, .. } = &mut last.fate else { panic!("it has an answer") };
    *output = register::Output::Value(Some(u64::MAX));
    let wrong = last.clone();

    let violation = check::<Register, _>(&history).expect_err("a value from nowhere");

    assert_eq!(violation.operations, [wrong]);
}
