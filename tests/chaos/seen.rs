//! What clients saw, and the verdict on it.

use std::collections::BTreeSet;
use std::fmt;

use crate::linearizability::bank::{self, Reading};
use crate::linearizability::{Checked, Fate, Operation, OperationOf, check, counter, list, register};

type Operations<S> = Vec<OperationOf<S, String>>;

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) registers: Operations<register::Register>,
    pub(crate) counters: Operations<counter::Counter>,
    pub(crate) lists: Operations<list::AppendList>,
    pub(crate) readings: Vec<Reading>,
}

impl Seen {
    pub(crate) fn merge(&mut self, other: Self) {
        self.registers.extend(other.registers);
        self.counters.extend(other.counters);
        self.lists.extend(other.lists);
        self.readings.extend(other.readings);
    }

    /// Panics with what is wrong, if there is no order that explains it all.
    pub(crate) fn judge(&self, money: i64) {
        let verdicts = [
            told(check::<register::Register, _>(&self.registers)),
            told(check::<counter::Counter, _>(&self.counters)),
            told(check::<list::AppendList, _>(&self.lists)),
            bank::check(&self.readings, money).map_err(|wrong| wrong.to_string()),
        ];
        let wrong: Vec<_> = verdicts.into_iter().filter_map(Result::err).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    pub(crate) fn register_keys(&self) -> BTreeSet<String> {
        self.registers.iter().map(|operation| operation.key.clone()).collect()
    }

    pub(crate) fn counter_keys(&self) -> BTreeSet<String> {
        self.counters.iter().map(|operation| operation.key.clone()).collect()
    }

    pub(crate) fn list_keys(&self) -> BTreeSet<String> {
        self.lists.iter().map(|operation| operation.key.clone()).collect()
    }
}

fn told(verdict: Result<Checked, impl fmt::Display>) -> Result<(), String> {
    verdict.map(|_| ()).map_err(|violation| violation.to_string())
}

/// How many were answered, are in doubt, and were refused.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = [0; 3];
        count(&self.registers, &mut counts);
        count(&self.counters, &mut counts);
        count(&self.lists, &mut counts);
        let [known, unknown, refused] = counts;
        let readings = self.readings.len();
        write!(
            f,
            "{known} answered, {unknown} unknown, {refused} refused, {readings} readings of all accounts"
        )
    }
}

fn count<I, O>(operations: &[Operation<String, I, O>], counts: &mut [usize; 3]) {
    for operation in operations {
        counts[match operation.fate {
            Fate::Known { .. } => 0,
            Fate::Unknown => 1,
            Fate::Refused => 2,
        }] += 1;
    }
}
