//! Byte forms: what is encoded decodes to itself, and nothing else does.

use super::{Clause, Suite, encoded};
use crate::machine::{Codec, StateMachine};

pub(super) fn clauses<S: StateMachine>() -> Vec<Clause<S>> {
    vec![
        ("A command does after its byte form what it would have done before.", same_effect),
        ("What is encoded decodes to itself.", round_trip),
        (
            "A byte form takes up all of the bytes: what is cut short or goes on is not taken for the whole.",
            whole,
        ),
        ("Bytes that are no byte form are refused, without a panic.", garbage),
        ("Encoding appends to what is there.", appending),
    ]
}

/// What is asked of one type's forms: which type, how a form is decoded and encoded again, and forms to try.
struct Forms {
    what: &'static str,
    again: fn(&[u8]) -> Option<Vec<u8>>,
    /// As `again`, behind bytes that are there already.
    behind: fn(&[u8], &[u8]) -> Option<Vec<u8>>,
    examples: Vec<Vec<u8>>,
}

impl Forms {
    fn of<T: Codec>(what: &'static str, mut examples: Vec<Vec<u8>>) -> Self {
        examples.sort_unstable();
        examples.dedup();
        let again = |bytes: &[u8]| T::decode(bytes).ok().map(|value| encoded(&value));
        let behind = |before: &[u8], bytes: &[u8]| {
            let mut out = before.to_vec();
            T::decode(bytes).ok()?.encode(&mut out);
            Some(out)
        };
        Self { what, again, behind, examples }
    }
}

fn all_forms<S: StateMachine>(suite: &Suite<S>) -> [Forms; 3] {
    let mut responses = suite.responses.clone();
    let mut replica = suite.replica(0);
    for _ in 0..suite.all() {
        responses.push(replica.apply());
        responses.extend(replica.answers());
    }
    [
        Forms::of::<S::Command>("command", suite.commands.clone()),
        Forms::of::<S::Query>("query", suite.queries.clone()),
        Forms::of::<S::Response>("response", responses),
    ]
}

fn same_effect<S: StateMachine>(suite: &Suite<S>) {
    let mut decoded = suite.replica(0);
    for (answer, count) in suite.answers.iter().zip(1..) {
        assert_eq!(
            decoded.apply(),
            *answer,
            "command {count} gets another response once it was encoded and decoded"
        );
    }
}

fn round_trip<S: StateMachine>(suite: &Suite<S>) {
    for Forms { what, again, examples, .. } in all_forms(suite) {
        for form in examples {
            let decoded = again(&form);
            assert_eq!(decoded.as_ref(), Some(&form), "the {what} {form:?} comes back as another one");
        }
    }
}

fn whole<S: StateMachine>(suite: &Suite<S>) {
    for Forms { what, again, examples, .. } in all_forms(suite) {
        for form in examples {
            for garbage in [&[0][..], &[255], &[0; 8], b"and more"] {
                let longer = [&form[..], garbage].concat();
                let taken = again(&longer);
                assert_ne!(taken.as_ref(), Some(&form), "the {what} {longer:?} is taken for {form:?}");
            }
            for length in (0..form.len()).filter(|length| form.len() < 100 || length % (form.len() / 50) == 0)
            {
                let taken = again(&form[..length]);
                assert_ne!(
                    taken.as_ref(),
                    Some(&form),
                    "the first {length} bytes of the {what} {form:?} are taken for it"
                );
            }
        }
    }
}

fn garbage<S: StateMachine>(suite: &Suite<S>) {
    let mut seed = 0x9E37_79B9_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for Forms { again, examples, .. } in all_forms(suite) {
        // Whether such bytes mean something is the codec's to say: here it must only not panic.
        for length in 0..64 {
            for fill in [0, 1, 127, 128, 255] {
                again(&vec![fill; length]);
            }
            again(&(0..length).map(|_| random() as u8).collect::<Vec<_>>());
        }
        for form in examples.iter().take(200) {
            for length in 0..form.len().min(64) {
                again(&form[..length]);
                let mut changed = form.clone();
                changed[length] = random() as u8;
                again(&changed);
            }
        }
    }
}

fn appending<S: StateMachine>(suite: &Suite<S>) {
    for Forms { what, behind, examples, .. } in all_forms(suite) {
        for form in examples {
            let out = behind(b"before", &form);
            let expected = [b"before", &form[..]].concat();
            assert_eq!(out, Some(expected), "the {what} {form:?} is not appended");
        }
    }
}
