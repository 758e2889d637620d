//! What clients saw.

use std::fmt;
use std::fmt::Debug;

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation<K, I, O> {
    pub(crate) client: u32,
    pub(crate) key: K,
    /// The moment at which it was asked. Moments are of one clock for all clients, or numbers drawn from one counter.
    pub(crate) called: u64,
    pub(crate) input: I,
    pub(crate) fate: Fate<O>,
}

/// What its client learnt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate<O> {
    /// Answered at this moment. It comes before whatever is called at a later one.
    Known { returned: u64, output: O },
    /// It may take effect at any moment after its call, or never.
    Unknown,
    /// It certainly never took effect.
    Refused,
}

impl<K, I, O> Operation<K, I, O> {
    /// The moment after which it cannot take effect any more.
    pub(crate) fn returned(&self) -> Option<u64> {
        match self.fate {
            Fate::Known { returned, .. } => Some(returned),
            Fate::Unknown | Fate::Refused => None,
        }
    }

    pub(crate) fn output(&self) -> Option<&O> {
        match &self.fate {
            Fate::Known { output, .. } => Some(output),
            Fate::Unknown | Fate::Refused => None,
        }
    }
}

/// `client   3   [     12,     19]  Set(7) -> Done`
impl<K, I: Debug, O: Debug> fmt::Display for Operation<K, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {:>3}  [{:>7}, ", self.client, self.called)?;
        match &self.fate {
            Fate::Known { returned, output } => write!(f, "{returned:>7}]  {:?} -> {output:?}", self.input),
            Fate::Unknown => write!(f, "    ...]  {:?}, outcome unknown", self.input),
            Fate::Refused => write!(f, "    ...]  {:?}, refused", self.input),
        }
    }
}
