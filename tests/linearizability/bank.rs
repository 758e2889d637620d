//! Accounts between which money moves: whoever reads all of them at once sees the same sum, whatever happens.
//!
//! This looks at whole histories, since it is about what lies between keys.

use std::fmt;

/// One reading of all accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) client: u32,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) balances: Vec<i64>,
}

/// A reading of another sum.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongSum {
    pub(crate) expected: i64,
    pub(crate) reading: Reading,
}

/// Every reading sums up to `expected`; the earliest one that does not is the error.
pub(crate) fn check(readings: &[Reading], expected: i64) -> Result<(), WrongSum> {
    let sum = |reading: &&Reading| reading.balances.iter().sum::<i64>();
    let wrong = readings.iter().filter(|reading| sum(reading) != expected);
    match wrong.min_by_key(|reading| reading.returned) {
        Some(reading) => Err(WrongSum { expected, reading: reading.clone() }),
        None => Ok(()),
    }
}

impl fmt::Display for WrongSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { client, called, returned, balances } = &self.reading;
        let sum: i64 = balances.iter().sum();
        write!(f, "client {client} read {balances:?} in [{called}, {returned}]: {sum}, not {}", self.expected)
    }
}
