//! CPU time by thread: what work costs, which a busy machine disturbs far less than how long it takes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Sub;

/// What the threads of this process have spent so far, and the rest of the machine, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// By name; those of one name together.
    threads: BTreeMap<String, u64>,
    /// All threads, those that have ended too.
    process: u64,
    /// Everybody, the kernel's own work and what the host took included.
    machine: u64,
}

const NANOS_PER_TICK: u64 = 10_000_000;

impl Spent {
    /// Until now.
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
        // Behind the name, which may have spaces: user and system time are the 12th and the 13th.
        let process = ticks("/proc/self/stat", |stat| stat.rsplit(')').next(), &[11, 12]);
        // User, nice, system, idle, waiting for disks, interrupts twice, stolen.
        let machine = ticks("/proc/stat", |stat| stat.lines().next(), &[1, 2, 3, 6, 7, 8]);
        Self { threads, process, machine }
    }

    /// In seconds, of the threads whose names have `part` in them.
    pub(crate) fn seconds(&self, part: &str) -> f64 {
        let theirs = self.threads.iter().filter(|(name, _)| name.contains(part));
        theirs.map(|(_, &nanos)| nanos).sum::<u64>() as f64 / 1e9
    }

    /// In seconds, of everything else on this machine: whether it was quiet.
    pub(crate) fn others(&self) -> f64 {
        self.machine.saturating_sub(self.process) as f64 / 1e9
    }
}

/// The sum of some of the numbers in a part of a file, as nanoseconds.
fn ticks(path: &str, part: fn(&str) -> Option<&str>, numbers: &[usize]) -> u64 {
    let text = fs::read_to_string(path).expect("Linux");
    let words: Vec<_> = part(&text).expect("it is there").split_whitespace().collect();
    numbers.iter().map(|&nth| words[nth].parse::<u64>().expect("a number") * NANOS_PER_TICK).sum()
}

/// What was spent since an earlier moment.
impl Sub<&Self> for Spent {
    type Output = Self;

    fn sub(mut self, earlier: &Self) -> Self {
        for (name, nanos) in &mut self.threads {
            *nanos = nanos.saturating_sub(earlier.threads.get(name).copied().unwrap_or(0));
        }
        self.process = self.process.saturating_sub(earlier.process);
        self.machine = self.machine.saturating_sub(earlier.machine);
        self
    }
}

/// The threads that spent more than a hundredth of a second, the busiest first.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut busy: Vec<_> = self.threads.iter().filter(|(_, nanos)| **nanos > 10_000_000).collect();
        busy.sort_by_key(|(_, nanos)| std::cmp::Reverse(**nanos));
        write!(f, "{:.2} s", self.process as f64 / 1e9)?;
        for (name, &nanos) in busy {
            write!(f, ", {name} {:.2}", nanos as f64 / 1e9)?;
        }
        let ended = self.process.saturating_sub(self.threads.values().sum()) as f64 / 1e9;
        write!(f, ", ended {ended:.2}; others on this machine {:.2}", self.others())
    }
}
