//! CPU time by thread: what work costs, which a busy machine disturbs far less than how long it takes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Sub;

/// What the threads of this process have spent so far, in nanoseconds, by their names; those of one name together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    threads: BTreeMap<String, u64>,
}

impl Spent {
    /// Until now, by the threads that live.
    pub(crate) fn so_far() -> Self {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").expect("Linux").flatten() {
            // A thread may end between being listed and being looked at.
            let read = |file| fs::read_to_string(task.path().join(file)).ok();
            let (Some(name), Some(schedule)) = (read("comm"), read("schedstat")) else { continue };
            let nanos = schedule.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
            *threads.entry(name.trim_end().to_owned()).or_default() +=
                nanos.expect("a thread has run so long");
        }
        Self { threads }
    }

    /// In seconds, of the threads whose names have `part` in them.
    pub(crate) fn seconds(&self, part: &str) -> f64 {
        let theirs = self.threads.iter().filter(|(name, _)| name.contains(part));
        theirs.map(|(_, &nanos)| nanos).sum::<u64>() as f64 / 1e9
    }
}

/// What was spent since an earlier moment.
impl Sub<&Self> for Spent {
    type Output = Self;

    fn sub(mut self, earlier: &Self) -> Self {
        for (name, nanos) in &mut self.threads {
            *nanos = nanos.saturating_sub(earlier.threads.get(name).copied().unwrap_or(0));
        }
        self
    }
}

/// The threads that spent more than a hundredth of a second, the busiest first.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut busy: Vec<_> = self.threads.iter().filter(|(_, nanos)| **nanos > 10_000_000).collect();
        busy.sort_by_key(|(_, nanos)| std::cmp::Reverse(**nanos));
        write!(f, "{:.2} s", self.seconds(""))?;
        for (name, &nanos) in busy {
            write!(f, ", {name} {:.2}", nanos as f64 / 1e9)?;
        }
        Ok(())
    }
}
