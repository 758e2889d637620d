//! What can be set of a server, beside its node.

use std::time::Duration;

use crate::runtime::Config;

/// A node's configuration, and the limits within which it serves clients. A plain [`Config`] is one with the defaults.
///
/// A request that is beyond a limit is answered `Busy`, and nothing of it is applied; a client that goes on beyond that is not
/// read any more, and one that does not read is cut off. One request always passes, however low the limits.
#[derive(Debug)]
pub struct ServerConfig {
    pub(super) node: Config,
    pub(super) connections_max: usize,
    pub(super) connection_requests_max: usize,
    pub(super) connection_bytes_max: usize,
    pub(super) in_flight_bytes_max: usize,
    pub(super) unread_bytes_max: usize,
    pub(super) idle_time: Duration,
    pub(super) stall_time: Duration,
    pub(super) handshake_time: Duration,
    pub(super) within_max: Duration,
}

impl From<Config> for ServerConfig {
    fn from(node: Config) -> Self {
        Self::new(node)
    }
}

impl ServerConfig {
    /// The defaults, on that node.
    pub fn new(node: Config) -> Self {
        Self {
            node,
            connections_max: 4096,
            connection_requests_max: 1024,
            connection_bytes_max: 8 << 20,
            in_flight_bytes_max: 64 << 20,
            unread_bytes_max: 32 << 20,
            idle_time: Duration::from_secs(300),
            stall_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(5),
            within_max: Duration::from_secs(60),
        }
    }

    /// How many clients may be connected; one more is refused. The node's own peers do not count. Default: 4,096, or fewer
    /// if the process may not open so many files: some 256 of these, or half, are left for the log and for peers.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections_max = connections;
        self
    }

    /// How many requests of one connection may be under way. Default: 1,024.
    #[must_use]
    pub fn connection_requests_max(mut self, requests: usize) -> Self {
        self.connection_requests_max = requests;
        self
    }

    /// How many bytes of requests of one connection may be under way. Default: 8 MiB.
    #[must_use]
    pub fn connection_bytes_max(mut self, bytes: usize) -> Self {
        self.connection_bytes_max = bytes;
        self
    }

    /// How many bytes of requests of all connections may be under way; requests that have not arrived whole may take as much
    /// again. Default: 64 MiB.
    #[must_use]
    pub fn in_flight_bytes_max(mut self, bytes: usize) -> Self {
        self.in_flight_bytes_max = bytes;
        self
    }

    /// How many bytes of answers may wait for one client that does not read them. Beyond a quarter of it no more of its
    /// requests are read, beyond all of it the client is cut off. If all clients together leave more than four times as much
    /// unread, the one that leaves most is cut off. Default: 32 MiB.
    #[must_use]
    pub fn unread_bytes_max(mut self, bytes: usize) -> Self {
        self.unread_bytes_max = bytes;
        self
    }

    /// After how long a time without a request a connection is closed. Default: 5 min.
    #[must_use]
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// How long one request may take to arrive, from its first byte to its last, and how long a client may read nothing of
    /// the answers that wait for it. Default: 30 s.
    #[must_use]
    pub fn stall_time(mut self, time: Duration) -> Self {
        self.stall_time = time;
        self
    }

    /// How long a client may take to say who it is. Default: 5 s.
    #[must_use]
    pub fn handshake_time(mut self, time: Duration) -> Self {
        self.handshake_time = time;
        self
    }

    /// The longest time that a request may ask for; one that asks for more has this much. Default: 60 s.
    #[must_use]
    pub fn within_max(mut self, time: Duration) -> Self {
        self.within_max = time;
        self
    }
}
