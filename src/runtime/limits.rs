//! Every number that follows from a [`Config`]: derived, and judged against the others, in this one place.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::machine::ENVELOPE_BYTES_MAX;
use crate::storage::{Storage, StorageError};

/// A tick is half a heartbeat: fine enough for timeouts of ten heartbeats, coarse enough for an idle node to sleep.
const TICKS_PER_HEARTBEAT: u32 = 2;
/// However short elections are, a busy machine may keep a healthy peer silent for a while.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// What travels with a command; alone, it is the largest membership.
const AROUND_A_COMMAND: usize = 64 << 10;
/// The pieces of snapshots that wait for the socket of one peer, and for the thread that stores them; what comes beyond is
/// dropped and asked for again. Twice what a receiver asks for at once.
const PIECES_BYTES_MAX: usize = 16 << 20;
/// Slower than this no snapshot would ever arrive.
const SNAPSHOT_BYTES_PER_SECOND_MIN: u64 = 64 << 10;
const RELUCTANCE_MAX: u32 = 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// The numbers of one node. [`Config::in_flight_bytes_max`] says what they add up to.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) tick: Duration,
    pub(super) heartbeat_ticks: u32,
    pub(super) election_ticks: u32,
    /// How many ticks one report of the clock counts at most, however long the process was paused.
    pub(super) ticks_at_once: u32,
    /// For how long after the send of a round nobody else can have been elected.
    pub(super) lease: Option<Duration>,
    /// After how long a time without a sign of life a connection is given up.
    pub(super) silence: Duration,

    /// The largest command of a caller, in its envelope.
    pub(super) entry_command_bytes_max: usize,
    /// What the log on disk takes as an entry: more, since a leader's limit may have been raised before this node's.
    pub(super) log_entry_bytes_max: u32,
    /// Commands that are not committed yet, as leader.
    pub(super) proposals_bytes_max: u64,
    /// One append to a peer.
    pub(super) append_bytes_max: u64,
    /// Appends to one peer that it has not acknowledged.
    pub(super) window_bytes_max: u64,
    /// Entries handed to the state machine and not yet applied.
    pub(super) apply_bytes_max: u64,
    /// What waits for the socket of one peer.
    pub(super) queue_bytes_max: usize,
    /// Messages of peers that wait for the engine.
    pub(super) arrivals_bytes_max: usize,
    /// Pieces of snapshots that wait for the mover.
    pub(super) pieces_bytes_max: usize,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Result<Self, ConfigError> {
        judge_times(config)?;
        judge_sizes(config)?;
        let largest = u64::from(entry_bytes_max(config.command_bytes_max));
        let budget = config.in_flight_bytes_max;
        let share = |parts: u64| (budget / parts).max(largest);
        let tick = config.heartbeat_interval / TICKS_PER_HEARTBEAT;
        let election_ticks = ticks_of(config.election_timeout, tick);
        let ticks_at_once = (election_ticks / 4).max(1);
        Ok(Self {
            tick,
            heartbeat_ticks: TICKS_PER_HEARTBEAT,
            election_ticks,
            ticks_at_once,
            lease: lease(config, tick * election_ticks.saturating_sub(ticks_at_once + 1))?,
            silence: (config.election_timeout * 4).max(SILENCE_MIN),
            entry_command_bytes_max: config.command_bytes_max + ENVELOPE_BYTES_MAX,
            log_entry_bytes_max: u32::try_from(config.segment_bytes / 4).unwrap_or(u32::MAX),
            proposals_bytes_max: budget.max(largest),
            append_bytes_max: (1 << 20).min(share(4)),
            window_bytes_max: share(4),
            apply_bytes_max: share(4),
            queue_bytes_max: in_memory(share(1)),
            arrivals_bytes_max: in_memory(share(2)),
            pieces_bytes_max: PIECES_BYTES_MAX,
        })
    }

    /// A log that somebody brought must take what callers may propose here: it would fail on the first large command.
    pub(super) fn judge_log(&self, log: &dyn Storage) -> Result<(), StorageError> {
        let (largest, taken) = (self.entry_command_bytes_max as u64, u64::from(log.entry_bytes_max()));
        if largest > taken {
            let reason = format!("commands may have {largest} bytes, and it takes entries of {taken}");
            return Err(StorageError::Limits { reason });
        }
        Ok(())
    }
}

fn judge_times(config: &Config) -> Result<(), ConfigError> {
    let (election_timeout, heartbeat_interval) = (config.election_timeout, config.heartbeat_interval);
    if heartbeat_interval < Duration::from_millis(2) {
        return Err(ConfigError::ShortHeartbeat(heartbeat_interval));
    }
    if election_timeout < heartbeat_interval.saturating_mul(3) || election_timeout > Duration::from_secs(3600)
    {
        return Err(ConfigError::ElectionTimeout { election_timeout, heartbeat_interval });
    }
    if config.election_reluctance > RELUCTANCE_MAX {
        return Err(ConfigError::Reluctance(config.election_reluctance));
    }
    Ok(())
}

fn judge_sizes(config: &Config) -> Result<(), ConfigError> {
    if config.command_bytes_max == 0 || config.command_bytes_max > Config::COMMAND_BYTES_LIMIT {
        return Err(ConfigError::CommandBytesMax(config.command_bytes_max));
    }
    let least = 4 * u64::from(entry_bytes_max(config.command_bytes_max));
    if config.segment_bytes < least || config.segment_bytes > SEGMENT_BYTES_MAX {
        return Err(ConfigError::SegmentBytes { bytes: config.segment_bytes, least });
    }
    if config.in_flight_bytes_max == 0 || config.in_flight_requests_max == 0 {
        return Err(ConfigError::NothingInFlight);
    }
    if let Some(few) = config.tail_entries_max.filter(|entries| *entries < Config::TAIL_ENTRIES_MIN) {
        return Err(ConfigError::TailEntries(few));
    }
    let bytes_per_second = config.snapshot_bytes_per_second;
    if (1..SNAPSHOT_BYTES_PER_SECOND_MIN).contains(&bytes_per_second) {
        return Err(ConfigError::SlowSnapshots { bytes_per_second });
    }
    Ok(())
}

/// The lease that `quiet` leaves, the time for which a follower that has heard a leader certainly elects nobody.
///
/// It is shorter than the election timeout by one tick, since a follower that hears a leader may be about to count one,
/// and by as many as it counts at once after a pause: it counts them when it has handled what came meanwhile.
fn lease(config: &Config, quiet: Duration) -> Result<Option<Duration>, ConfigError> {
    let Some(drift_percent) = config.lease_drift_percent else { return Ok(None) };
    let refused = ConfigError::NoLease { drift_percent, election_timeout: config.election_timeout };
    let slow_here = 100_u32.checked_sub(drift_percent).ok_or_else(|| refused.clone())?;
    let fast_there = 100 + drift_percent;
    let lease = quiet * slow_here / fast_there;
    // What runs out between two rounds of heartbeats is never in force when a read comes.
    if lease > config.heartbeat_interval { Ok(Some(lease)) } else { Err(refused) }
}

/// The largest entry of the log: a command and what travels with it, or the largest membership.
fn entry_bytes_max(command_bytes_max: usize) -> u32 {
    (command_bytes_max + AROUND_A_COMMAND) as u32
}

/// Whole ticks in a duration, rounded up.
fn ticks_of(duration: Duration, tick: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u32::MAX)
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

const _: () = assert!(ENVELOPE_BYTES_MAX < AROUND_A_COMMAND, "an envelope has its place around a command");
const _: () = assert!(
    Config::COMMAND_BYTES_LIMIT + AROUND_A_COMMAND <= u32::MAX as usize,
    "an entry's size is counted in 32 bits"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(1, "data", "127.0.0.1:7001")
    }

    #[test]
    fn every_queue_takes_its_share_of_the_one_budget() {
        let limits = Limits::of(&config().in_flight_bytes_max(64 << 20)).unwrap();

        assert_eq!(limits.proposals_bytes_max, 64 << 20);
        assert_eq!(limits.window_bytes_max, 16 << 20);
        assert_eq!(limits.apply_bytes_max, 16 << 20);
        assert_eq!((limits.queue_bytes_max, limits.arrivals_bytes_max), (64 << 20, 32 << 20));
    }

    #[test]
    fn the_smallest_budget_lets_the_largest_command_pass() {
        let limits = Limits::of(&config().command_bytes_max(1000).in_flight_bytes_max(1)).unwrap();

        let largest = u64::from(entry_bytes_max(1000));
        assert_eq!((limits.window_bytes_max, limits.proposals_bytes_max), (largest, largest));
    }

    #[test]
    fn a_lease_ends_before_anybody_else_can_be_elected_with_the_worst_of_clocks() {
        let limits = Limits::of(&config().lease_reads(10)).unwrap();

        let lease = limits.lease.unwrap();
        let shortest_timeout = limits.tick * (limits.election_ticks - limits.ticks_at_once - 1);
        // Here a second of the clock takes longer, there it is over sooner.
        assert!(lease * 100 / 90 <= shortest_timeout * 100 / 110, "{lease:?} of {shortest_timeout:?}");
        assert!(lease > Duration::from_millis(250), "{lease:?} is hardly worth it");
    }

    #[test]
    fn a_lease_of_which_nothing_is_left_is_refused() {
        let short = config().election_timeout(Duration::from_millis(150));
        for config in [short.lease_reads(50), config().lease_reads(99), config().lease_reads(100)] {
            let refused = Limits::of(&config).expect_err("no lease is left");
            assert!(matches!(refused, ConfigError::NoLease { .. }), "{refused}");
        }
    }
}
