//! The demo: three nodes as child processes, a crash in the middle of the work, a recovery, a verdict.

mod cluster;
mod load;
mod verdict;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use cluster::Cluster;
use load::{Load, Progress};
use verdict::Verdict;

const NODES: u64 = 3;
const KEYS: u64 = 20_000;
/// The leader is killed when this many keys are acknowledged, and started again at this many.
const KILL_AT: u64 = KEYS / 2;
const RESTART_AT: u64 = KEYS * 3 / 4;
const LEADER_WITHIN: Duration = Duration::from_secs(10);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Runs the demo. It fails if anything acknowledged is lost.
pub(crate) fn run() -> Result<(), String> {
    let cluster = Arc::new(Mutex::new(Cluster::prepare(NODES)?));
    clean_up_on_signal(&cluster)?;
    let verdict = perform(&cluster);
    // Also when it failed: the children end and their directories go.
    lock(&cluster).remove();
    let verdict = verdict?;
    super::say(&verdict);
    if verdict.lost > 0 { Err(format!("{} acknowledged keys are lost", verdict.lost)) } else { Ok(()) }
}

fn perform(cluster: &Mutex<Cluster>) -> Result<Verdict, String> {
    for id in 1..=NODES {
        lock(cluster).start(id)?;
    }
    let view = lock(cluster).view();
    let leader = view.wait_for_leader(LEADER_WITHIN)?;
    super::say(format!("{NODES} nodes are up and node {leader} leads; writing {KEYS} keys"));

    let load = Load::start(view.addresses(), KEYS);
    let bar = ProgressBar::new(KEYS).with_style(style());
    let mut verdict = Verdict::default();
    let mut dead = None;
    for progress in load.progress() {
        match progress {
            Progress::Acknowledged { at, took } => {
                verdict.acknowledge(at, took);
                bar.inc(1);
            }
            Progress::Unknown => verdict.unknown += 1,
            Progress::Failed(reason) => return Err(reason),
        }
        if verdict.acknowledged() == KILL_AT && dead.is_none() {
            let leader = view.wait_for_leader(LEADER_WITHIN)?;
            lock(cluster).kill(leader)?;
            bar.suspend(|| super::say(format!("node {leader}, the leader, is killed with SIGKILL")));
            dead = Some(leader);
        }
        if verdict.acknowledged() == RESTART_AT
            && let Some(node) = dead
        {
            lock(cluster).start(node)?;
            bar.suspend(|| super::say(format!("node {node} is started again")));
        }
    }
    bar.finish_and_clear();

    if let Some(node) = dead {
        view.wait_until_caught_up(node, CAUGHT_UP_WITHIN)?;
        super::say(format!("node {node} has caught up; reading every key through every node"));
    }
    verdict.lost = load.read_back(view.addresses())?;
    Ok(verdict)
}

/// Ctrl-C reaches the children too; their directories are left to us.
fn clean_up_on_signal(cluster: &Arc<Mutex<Cluster>>) -> Result<(), String> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("no signals: {error}"))?;
    let cluster = Arc::clone(cluster);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            // Held to the end: nothing must be started any more.
            let mut cluster = lock(&cluster);
            cluster.remove();
            eprintln!("kv: interrupted; nodes and directories are removed");
            std::process::exit(1);
        }
    });
    Ok(())
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} keys, {per_sec}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn lock(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another process tells nobody when its state changes: it has to be asked again and again.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn poll<T>(within: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        let found = attempt();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(POLL);
    }
}
