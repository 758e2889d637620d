//! What a user may set, and the judgement of it: before anything is written, opened or bound.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::limits::Limits;
use crate::machine::SessionBounds;
use crate::types::{Membership, NodeId};

/// How a node starts. Everything has a safe default but the id, the directory, the address, and how the node comes to its
/// cluster: a blank directory needs [`Config::bootstrap`] or [`Config::join`], one that holds a cluster needs neither.
///
/// What must agree on all members says so. Nothing is judged before [`Node::start`](super::Node::start), which names the
/// mistake ([`ConfigError`]). Durations are the caller's; inside, a node counts ticks of half a heartbeat.
///
/// ```
/// use std::time::Duration;
///
/// use quorate::Config;
///
/// let founders = [(1, "10.0.0.1:7001"), (2, "10.0.0.2:7001"), (3, "10.0.0.3:7001")];
/// let founder = Config::new(1, "/var/lib/counter", "0.0.0.0:7001")
///     .bootstrap(founders)
///     .token("of this cluster alone")
///     .election_timeout(Duration::from_secs(1))
///     .snapshot_entries(100_000);
///
/// let newcomer = Config::new(4, "/var/lib/counter", "0.0.0.0:7001").join().token("of this cluster alone");
/// ```
#[derive(Debug)]
pub struct Config {
    pub(super) id: u64,
    pub(crate) dir: PathBuf,
    pub(super) listen: String,
    pub(super) listener: Option<TcpListener>,
    pub(super) founders: Option<Vec<(u64, String)>>,
    pub(super) joins: bool,
    pub(super) cluster_name: String,
    pub(super) token: Option<Vec<u8>>,
    pub(super) heartbeat_interval: Duration,
    pub(super) election_timeout: Duration,
    pub(super) call_timeout: Duration,
    pub(super) forwarding: bool,
    pub(super) command_bytes_max: usize,
    pub(super) in_flight_bytes_max: u64,
    pub(super) in_flight_requests_max: u64,
    pub(super) segment_bytes: u64,
    pub(super) tail_bytes_max: u64,
    pub(crate) tail_entries_max: Option<u64>,
    pub(super) snapshot_entries: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) trailing_entries: u64,
    pub(super) snapshot_bytes_per_second: u64,
    pub(super) lease_drift_percent: Option<u32>,
    pub(super) election_reluctance: u32,
    pub(super) promote_lag_bytes_max: u64,
    pub(super) auto_promote: bool,
    pub(super) sessions_max: u32,
}

impl Config {
    /// The largest value of [`Config::command_bytes_max`], in bytes.
    pub const COMMAND_BYTES_LIMIT: usize = 16 << 20;
    /// The longest token, in bytes.
    pub const TOKEN_BYTES_MAX: usize = 256;
    /// The least value of [`Config::tail_entries_max`]: below it a follower that lags for a moment is served from the disk.
    pub const TAIL_ENTRIES_MIN: u64 = 2048;

    /// Node `id` (not zero, the same for ever) keeps its promises in `dir` and listens on `listen` (`host:port`).
    pub fn new(id: u64, dir: impl Into<PathBuf>, listen: impl Into<String>) -> Self {
        Self {
            id,
            dir: dir.into(),
            listen: listen.into(),
            listener: None,
            founders: None,
            joins: false,
            cluster_name: String::new(),
            token: None,
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: Duration::from_millis(500),
            call_timeout: Duration::from_secs(10),
            forwarding: true,
            command_bytes_max: 1 << 20,
            in_flight_bytes_max: 64 << 20,
            in_flight_requests_max: 65_536,
            segment_bytes: 64 << 20,
            tail_bytes_max: 8 << 20,
            tail_entries_max: None,
            snapshot_entries: 1_000_000,
            snapshot_bytes: 256 << 20,
            trailing_entries: 10_000,
            snapshot_bytes_per_second: 0,
            lease_drift_percent: None,
            election_reluctance: 0,
            promote_lag_bytes_max: 4 << 20,
            auto_promote: false,
            sessions_max: 10_000,
        }
    }

    /// The first members of the cluster: the same list on every founding node, this one included, with the addresses at
    /// which the others reach them. A data directory that already holds a cluster wins over it.
    ///
    /// A founder that lost its disk is recognised by the others and refused. But one that founded its cluster alone, and lost
    /// its disk after the cluster grew, would found it once more with the same list: alone it is a majority of that, so
    /// that it leads, and serves its own callers a second, empty cluster beside the others'. Nothing on its disk can tell
    /// the two cases apart. Start it so only once; to come back, have the others remove it
    /// ([`Node::remove`](super::Node::remove)), start it with [`Config::join`] on an empty directory, and add it again.
    #[must_use]
    pub fn bootstrap<A: Into<String>>(mut self, members: impl IntoIterator<Item = (u64, A)>) -> Self {
        self.founders = Some(members.into_iter().map(|(id, address)| (id, address.into())).collect());
        self
    }

    /// Instead of founding a cluster, waits to be added to one: an operator calls
    /// [`Node::add_learner`](super::Node::add_learner) on any of its members, with this node's id and address. Until then it
    /// knows nobody, and it never elects itself. A data directory that already holds a cluster wins over it.
    #[must_use]
    pub fn join(mut self) -> Self {
        self.joins = true;
        self
    }

    /// Serves on a socket that is bound already, instead of binding the address: for tests on port 0, or a socket that was
    /// inherited.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Tells clusters apart whose members have the same addresses. Nodes with different names refuse each other, and a
    /// directory made under another name is refused. Default: empty.
    #[must_use]
    pub fn cluster_name(mut self, name: impl Into<String>) -> Self {
        self.cluster_name = name.into();
        self
    }

    /// A secret that all members share, and their clients, at most 256 bytes. It guards against mistakes and strangers, not against someone
    /// who can read the network. Default: none.
    #[must_use]
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How often a leader shows that it is alive. Default: 50 ms. At most a third of the election timeout.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// How long a follower waits for its leader before it stands for election: a random time between this and twice this.
    /// Default: 500 ms.
    #[must_use]
    pub fn election_timeout(mut self, timeout: Duration) -> Self {
        self.election_timeout = timeout;
        self
    }

    /// How long a blocking call waits unless it says otherwise. Default: 10 s.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Whether a follower hands its callers' commands to the leader (the default), or names the leader in an error.
    #[must_use]
    pub fn forwarding(mut self, forwarding: bool) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// The largest encoded command, in bytes. Default: 1 MiB; at most [`Config::COMMAND_BYTES_LIMIT`]. The same on every node.
    /// Close to the limit it needs a larger [`Config::segment_bytes`] too.
    #[must_use]
    pub fn command_bytes_max(mut self, bytes: usize) -> Self {
        self.command_bytes_max = bytes;
        self
    }

    /// How many bytes of commands may be in flight before callers get `Busy`. Default: 64 MiB.
    ///
    /// It is the one budget from which every queue of the node takes its share. With `b` for it, and a queue never holding
    /// less than one message of the largest kind:
    ///
    /// | what waits | at most |
    /// |---|---|
    /// | commands of this node's callers, and as leader those of others that are not committed yet | `b` |
    /// | commands handed to the leader, as bytes for its socket | `b` |
    /// | entries on the way to one peer, as leader (a dead or slow peer costs this and no more) | `b / 4` for each |
    /// | entries on the way to the state machine | `b / 4` |
    /// | messages of peers that wait to be handled; beyond it no socket is read | `b / 2` |
    ///
    /// Beside them stand the recent entries ([`Config::tail_bytes_max`]) and, however large a snapshot is, 16 MiB for each
    /// follower that is being sent one, and 16 MiB while one is received.
    #[must_use]
    pub fn in_flight_bytes_max(mut self, bytes: u64) -> Self {
        self.in_flight_bytes_max = bytes;
        self
    }

    /// How many requests may be in flight from this node's callers before they get `Busy`. Default: 65,536; of commands,
    /// and of reads, no more than that wait in any case.
    #[must_use]
    pub fn in_flight_requests_max(mut self, requests: u64) -> Self {
        self.in_flight_requests_max = requests;
        self
    }

    /// The size of a log segment, in bytes, rounded down to blocks of 4 KiB. Default: 64 MiB; a little more than four times
    /// the largest command at least, 1 GiB at most.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes - bytes % 4096;
        self
    }

    /// How many bytes of recent entries stay in memory for followers that lag a little; older ones are read from the log.
    /// Default: 8 MiB.
    #[must_use]
    pub fn tail_bytes_max(mut self, bytes: u64) -> Self {
        self.tail_bytes_max = bytes;
        self
    }

    /// How many recent entries stay in memory, however few bytes they have; at least [`Config::TAIL_ENTRIES_MIN`]. Default:
    /// as many as [`Config::tail_bytes_max`] allows. In the event store, whose nodes have pages to keep in memory beside
    /// them: 20,480.
    #[must_use]
    pub fn tail_entries_max(mut self, entries: u64) -> Self {
        self.tail_entries_max = Some(entries);
        self
    }

    /// Takes a snapshot after so many entries since the last one, so that the log can be shortened. Default: 1,000,000,
    /// which a restart replays within seconds; 0: never for their number. With this and [`Config::snapshot_bytes`] both 0
    /// the log is shortened only by [`Node::snapshot_now`](super::Node::snapshot_now).
    #[must_use]
    pub fn snapshot_entries(mut self, entries: u64) -> Self {
        self.snapshot_entries = entries;
        self
    }

    /// Takes a snapshot after so many bytes of commands since the last one, but not before they are as many as that snapshot
    /// has, so that a large state is not written over and over. Default: 256 MiB; 0: never for their size.
    #[must_use]
    pub fn snapshot_bytes(mut self, bytes: u64) -> Self {
        self.snapshot_bytes = bytes;
        self
    }

    /// So many entries before the newest snapshot stay in the log, so that a follower that was away for a while needs no
    /// snapshot. Default: 10,000.
    #[must_use]
    pub fn trailing_entries(mut self, entries: u64) -> Self {
        self.trailing_entries = entries;
        self
    }

    /// How many bytes per second of snapshots this node sends, to all others together. Default: 0, as many as the disk
    /// and the network carry; else at least 64 KiB.
    #[must_use]
    pub fn snapshot_bytes_per_second(mut self, bytes: u64) -> Self {
        self.snapshot_bytes_per_second = bytes;
        self
    }

    /// Lets a leader answer reads without asking the others, for as long as nobody else can have been elected. Off by
    /// default: it trusts clocks. `drift_percent` (0 to 99) is how far a clock of any member may run too fast or too
    /// slow; beyond it a read may be old. The same on all members.
    ///
    /// A lease lasts for three quarters of the election timeout, from the send of the heartbeats that renewed it, less the
    /// drift: by it this node's clock may be slow while another's is fast.
    #[must_use]
    pub fn lease_reads(mut self, drift_percent: u32) -> Self {
        self.lease_drift_percent = Some(drift_percent);
        self
    }

    /// How much later than the others this node stands for election, in election timeouts: for a node that should lead
    /// only if no other can. Default: 0; at most 10.
    #[must_use]
    pub fn election_reluctance(mut self, timeouts: u32) -> Self {
        self.election_reluctance = timeouts;
        self
    }

    /// How many bytes of the log a learner may lack and still be promoted, as far as this node decides it: while it leads.
    /// Default: 4 MiB. However many these are, it must hold the membership that is in force.
    #[must_use]
    pub fn promote_lag_bytes_max(mut self, bytes: u64) -> Self {
        self.promote_lag_bytes_max = bytes;
        self
    }

    /// Whether this node, while it leads, makes voters of learners that have caught up. Default: no, an operator does.
    #[must_use]
    pub fn auto_promote(mut self, promote: bool) -> Self {
        self.auto_promote = promote;
        self
    }

    /// How many sessions may stand in the cluster, from the moment at which one is opened through this node; beyond it the
    /// least recently used expires. Default: 10,000; at most 1,000,000. Best the same on every node.
    ///
    /// All replicas keep all sessions in memory, some hundred bytes for each and what is kept of answers (at most 16 MiB
    /// for all together); a snapshot holds them, and a state machine on disk stores them with each batch that used one.
    #[must_use]
    pub fn sessions_max(mut self, sessions: u32) -> Self {
        self.sessions_max = sessions;
        self
    }

    /// Where the others reach this node, as far as the configuration says.
    pub(super) fn advertised(&self) -> String {
        let listed = self.founders.iter().flatten().find(|(founder, _)| *founder == self.id);
        listed.map_or_else(|| self.listen.clone(), |(_, address)| address.clone())
    }

    /// Judges everything that can be judged without looking at the disk.
    pub(crate) fn validate(&self) -> Result<Judged, ConfigError> {
        let id = NodeId::new(self.id).ok_or(ConfigError::ZeroId)?;
        if self.dir.as_os_str().is_empty() {
            return Err(ConfigError::EmptyDirectory);
        }
        if self.listener.is_none() && !Membership::is_address(&self.listen) {
            return Err(ConfigError::BadListenAddress(self.listen.clone()));
        }
        if self.token.as_ref().is_some_and(|token| token.is_empty() || token.len() > Self::TOKEN_BYTES_MAX) {
            return Err(ConfigError::BadToken);
        }
        if self.cluster_name.len() > 256 {
            return Err(ConfigError::LongClusterName);
        }
        if !(1..=SessionBounds::LARGEST.sessions_max).contains(&self.sessions_max) {
            return Err(ConfigError::SessionsMax(self.sessions_max));
        }
        let limits = Limits::of(self)?;
        Ok(Judged { id, founders: self.founding_membership(id)?, joins: self.joins, limits })
    }

    fn founding_membership(&self, id: NodeId) -> Result<Option<Membership>, ConfigError> {
        let Some(founders) = &self.founders else { return Ok(None) };
        if self.joins {
            return Err(ConfigError::JoinAndBootstrap);
        }
        let mut members = Vec::with_capacity(founders.len());
        for (founder, address) in founders {
            members.push((NodeId::new(*founder).ok_or(ConfigError::ZeroId)?, address.clone()));
        }
        let membership = Membership::founding(members)?;
        if !membership.contains(id) {
            return Err(ConfigError::NotAFounder(id));
        }
        Ok(Some(membership))
    }
}

/// What was judged good.
pub(crate) struct Judged {
    pub(super) id: NodeId,
    pub(super) founders: Option<Membership>,
    /// A blank directory waits to be added to a cluster.
    pub(super) joins: bool,
    pub(super) limits: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MembershipError;

    fn config() -> Config {
        Config::new(1, "data", "127.0.0.1:7001").bootstrap([(1, "127.0.0.1:7001"), (2, "127.0.0.1:7002")])
    }

    fn refusal(config: &Config) -> ConfigError {
        config.validate().err().expect("the configuration is bad")
    }

    #[test]
    fn the_defaults_are_good() {
        assert!(config().validate().is_ok());
    }

    #[test]
    fn each_mistake_is_named() {
        let listed = |members: &[(u64, &'static str)]| config().bootstrap(members.to_vec());

        assert!(matches!(refusal(&Config::new(0, "d", "a:1")), ConfigError::ZeroId));
        assert!(matches!(refusal(&Config::new(1, "", "a:1")), ConfigError::EmptyDirectory));
        assert!(matches!(refusal(&Config::new(1, "d", "a")), ConfigError::BadListenAddress(_)));
        assert!(matches!(refusal(&listed(&[(0, "a:1")])), ConfigError::ZeroId));
        assert!(matches!(refusal(&listed(&[(2, "a:1")])), ConfigError::NotAFounder(_)));
        assert!(matches!(refusal(&listed(&[])), ConfigError::Membership(MembershipError::NoVoters)));
        assert!(matches!(
            refusal(&listed(&[(1, "a:1"), (1, "b:1")])),
            ConfigError::Membership(MembershipError::Duplicate(_))
        ));
        assert!(matches!(
            refusal(&config().election_timeout(Duration::from_millis(60))),
            ConfigError::ElectionTimeout { .. }
        ));
        assert!(matches!(
            refusal(&config().heartbeat_interval(Duration::ZERO)),
            ConfigError::ShortHeartbeat(_)
        ));
        assert!(matches!(refusal(&config().command_bytes_max(0)), ConfigError::CommandBytesMax(_)));
        assert!(matches!(refusal(&config().segment_bytes(1)), ConfigError::SegmentBytes { .. }));
        assert!(matches!(refusal(&config().in_flight_bytes_max(0)), ConfigError::NothingInFlight));
        assert!(matches!(refusal(&config().token("")), ConfigError::BadToken));
        assert!(matches!(refusal(&config().tail_entries_max(2047)), ConfigError::TailEntries(2047)));
        assert!(matches!(refusal(&config().join()), ConfigError::JoinAndBootstrap));
        assert!(matches!(refusal(&config().election_reluctance(11)), ConfigError::Reluctance(11)));
        assert!(matches!(
            refusal(&config().snapshot_bytes_per_second(1)),
            ConfigError::SlowSnapshots { bytes_per_second: 1 }
        ));
        assert!(matches!(refusal(&config().sessions_max(0)), ConfigError::SessionsMax(0)));
        assert!(matches!(refusal(&config().sessions_max(1_000_001)), ConfigError::SessionsMax(1_000_001)));
        assert!(matches!(refusal(&config().cluster_name("n".repeat(257))), ConfigError::LongClusterName));
    }
}
