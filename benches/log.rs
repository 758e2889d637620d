//! What the log adds to the disk: batches through it, beside the same bytes through a bare `pwrite` and `fdatasync`.
//!
//! `cargo bench --bench log` prints both, in turns, on the file system of the target directory; then how long a log of
//! a million entries takes to open.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::{GroupWrite, Identity, Storage};
use quorate::types::{
    ClusterId, Entry, EntryRun, GroupId, Incarnation, LogIndex, LogPosition, NodeId, Payload, Term,
};

const COMMAND_BYTES: usize = 128;
const FILE_BYTES: u64 = 64 << 20;
const RECOVERED_ENTRIES: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    println!("commands of {COMMAND_BYTES} bytes; p50 of one batch made durable, and commands per second");
    for (batch, rounds) in [(1, 3000), (10, 3000), (100, 2000), (1000, 300), (10_000, 30)] {
        let log = through_the_log(&dir.path().join(format!("log-{batch}")), batch, rounds)?;
        let bare = bare(&dir.path().join("bare"), batch, rounds)?;
        println!("batch {batch:>6}: log {}; bare {}", log.show(batch), bare.show(batch));
    }
    let took = recovery(&dir.path().join("recovery"))?;
    println!("a log of {RECOVERED_ENTRIES} entries opens in {} ms", took.as_millis());
    Ok(())
}

struct Times(Vec<Duration>);

impl Times {
    fn of(rounds: u64, mut act: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Self, Box<dyn Error>> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            act()?;
            times.push(start.elapsed());
        }
        Ok(Self(times))
    }

    fn show(&self, batch: u64) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let micros = sorted.iter().sum::<Duration>().as_micros().max(1);
        let rate = u128::from(batch) * sorted.len() as u128 * 1_000_000 / micros;
        format!("{:>6} µs {rate:>10}/s", sorted[sorted.len() / 2].as_micros())
    }
}

fn founded(dir: &Path) -> Result<DiskLog, Box<dyn Error>> {
    let node = NodeId::new(1).ok_or("not zero")?;
    let mut log = DiskLog::open(DiskConfig::new(dir, node))?;
    if log.identity().is_none() {
        let identity = Identity { node, cluster: ClusterId(1), incarnation: Incarnation(1), joined: false };
        log.found(identity, &[])?;
    }
    Ok(log)
}

fn commands(first: u64, count: u64) -> GroupWrite {
    let command = Bytes::from_static(&[7; COMMAND_BYTES]);
    let entry = |index| Entry {
        position: LogPosition::new(Term(1), LogIndex(index)),
        payload: Payload::Normal { origin: None, command: command.clone() },
    };
    let entries = EntryRun::new((first..first + count).map(entry).collect()).into_iter().collect();
    GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries }
}

fn through_the_log(dir: &Path, batch: u64, rounds: u64) -> Result<Times, Box<dyn Error>> {
    let mut log = founded(dir)?;
    let mut upkeep = log.upkeep().ok_or("no upkeep")?;
    let mut next = 1;
    // Out of the small first segment, into one that was prepared.
    while !dir.join("0000000002.log").exists() {
        log.write(&[commands(next, 1000)])?;
        next += 1000;
        while upkeep.turn()? {}
    }
    Times::of(rounds, || {
        let write = [commands(next, batch)];
        next += batch;
        log.write(&write)?;
        Ok(())
    })
}

fn bare(path: &Path, batch: u64, rounds: u64) -> Result<Times, Box<dyn Error>> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    for piece in 0..FILE_BYTES >> 20 {
        file.write_all_at(&vec![0; 1 << 20], piece << 20)?;
        file.sync_data()?;
    }
    let bytes = vec![7; (batch as usize * COMMAND_BYTES).next_multiple_of(4096)];
    let mut offset = 0;
    Times::of(rounds, || {
        if offset + bytes.len() as u64 > FILE_BYTES {
            offset = 0;
        }
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        offset += bytes.len() as u64;
        Ok(())
    })
}

fn recovery(dir: &Path) -> Result<Duration, Box<dyn Error>> {
    let mut log = founded(dir)?;
    for first in (1..RECOVERED_ENTRIES).step_by(1000) {
        log.write(&[commands(first, 1000)])?;
    }
    drop(log);
    let start = Instant::now();
    let recovered = founded(dir)?.recovered();
    let took = start.elapsed();
    let entries = recovered.values().map(|group| group.entries.len() as u64).sum::<u64>();
    assert_eq!(entries, RECOVERED_ENTRIES, "the log did not come back whole");
    Ok(took)
}
