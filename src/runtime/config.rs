//! What a user may set, and the judgement of it: before anything is written, opened or bound.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use crate::types::{Membership, NodeId};

/// How a node starts. Everything has a safe default but the id, the directory, the address and the first members.
///
/// Durations are the caller's; inside, a node counts ticks of half a heartbeat.
#[derive(Debug)]
pub struct Config {
    pub(super) id: u64,
    pub(super) dir: PathBuf,
    pub(super) listen: String,
    pub(super) listener: Option<TcpListener>,
    pub(super) founders: Option<Vec<(u64, String)>>,
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
}

impl Config {
    /// The largest value of [`Config::command_bytes_max`], in bytes.
    pub const COMMAND_BYTES_LIMIT: usize = 16 << 20;
    /// The longest token, in bytes.
    pub const TOKEN_BYTES_MAX: usize = 256;

    /// Node `id` (not zero, the same for ever) keeps its promises in `dir` and listens on `listen` (`host:port`).
    pub fn new(id: u64, dir: impl Into<PathBuf>, listen: impl Into<String>) -> Self {
        Self {
            id,
            dir: dir.into(),
            listen: listen.into(),
            listener: None,
            founders: None,
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
        }
    }

    /// The first members of the cluster: the same list on every founding node, this one included, with the addresses at
    /// which the others reach them. A data directory that already holds a cluster wins over it.
    #[must_use]
    pub fn bootstrap<A: Into<String>>(mut self, members: impl IntoIterator<Item = (u64, A)>) -> Self {
        self.founders = Some(members.into_iter().map(|(id, address)| (id, address.into())).collect());
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

    /// A secret that all members share, at most 256 bytes. It guards against mistakes and strangers, not against someone
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

    /// How many bytes of commands may be in flight from this node's callers before they get `Busy`. Default: 64 MiB.
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

    /// The largest entry of the log, in bytes: a command and what travels with it, or the largest membership.
    pub(super) fn entry_bytes_max(&self) -> u32 {
        const AROUND_A_COMMAND: usize = 64 << 10;
        (self.command_bytes_max + AROUND_A_COMMAND) as u32
    }

    /// Where the others reach this node, as far as the configuration says.
    pub(super) fn advertised(&self) -> String {
        let listed = self.founders.iter().flatten().find(|(founder, _)| *founder == self.id);
        listed.map_or_else(|| self.listen.clone(), |(_, address)| address.clone())
    }

    /// Judges everything that can be judged without looking at the disk.
    pub(super) fn validate(&self) -> Result<Judged, ConfigError> {
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
        self.validate_times()?;
        self.validate_sizes()?;
        Ok(Judged { id, founders: self.founding_membership(id)? })
    }

    fn validate_times(&self) -> Result<(), ConfigError> {
        if self.heartbeat_interval < Duration::from_millis(2) {
            return Err(ConfigError::ShortHeartbeat(self.heartbeat_interval));
        }
        if self.election_timeout < self.heartbeat_interval.saturating_mul(3)
            || self.election_timeout > Duration::from_secs(3600)
        {
            return Err(ConfigError::ElectionTimeout {
                election_timeout: self.election_timeout,
                heartbeat_interval: self.heartbeat_interval,
            });
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        if self.command_bytes_max == 0 || self.command_bytes_max > Self::COMMAND_BYTES_LIMIT {
            return Err(ConfigError::CommandBytesMax(self.command_bytes_max));
        }
        let least = 4 * u64::from(self.entry_bytes_max());
        if self.segment_bytes < least || self.segment_bytes > (1 << 30) {
            return Err(ConfigError::SegmentBytes { bytes: self.segment_bytes, least });
        }
        if self.in_flight_bytes_max == 0 || self.in_flight_requests_max == 0 {
            return Err(ConfigError::NothingInFlight);
        }
        Ok(())
    }

    fn founding_membership(&self, id: NodeId) -> Result<Option<Membership>, ConfigError> {
        let Some(founders) = &self.founders else { return Ok(None) };
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
pub(super) struct Judged {
    pub(super) id: NodeId,
    pub(super) founders: Option<Membership>,
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
        assert!(matches!(refusal(&config().cluster_name("n".repeat(257))), ConfigError::LongClusterName));
    }
}
