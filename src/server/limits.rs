//! The limits of one server, as they are kept: judged against each other, and against what the process may open.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::ServerConfig;
use super::registry::CONNECTIONS_LIMIT;
use crate::wire::client::REQUEST_HEAD_BYTES_MAX;

/// How many descriptors are left for the log, for snapshots and for peers, or half of all if that is more than can be had.
const RESERVED_DESCRIPTORS: u64 = 256;

/// Longer than any process runs, and short enough to be added to any instant.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// See [`ServerConfig`].
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) connections_max: usize,
    pub(super) connection_requests_max: usize,
    pub(super) connection_bytes_max: usize,
    pub(super) in_flight_bytes_max: usize,
    /// Of requests that have not arrived whole: so much may be granted room, and so much may be kept beside.
    pub(super) arriving_bytes_max: usize,
    pub(super) unread_bytes_max: usize,
    pub(super) unread_bytes_total_max: usize,
    /// The longest frame taken.
    pub(super) frame_bytes_max: usize,
    pub(super) idle_time: Duration,
    pub(super) stall_time: Duration,
    pub(super) handshake_time: Duration,
    pub(super) within_max: Duration,
}

impl Limits {
    pub(super) fn of(config: &ServerConfig) -> Self {
        let frame_bytes_max = REQUEST_HEAD_BYTES_MAX + config.node.longest_command();
        let wished = config.connections_max.clamp(1, CONNECTIONS_LIMIT);
        let allowed = connections_allowed(getrlimit(Resource::Nofile).current);
        if allowed < wished {
            log::warn!("{allowed} clients at most, not {wished}: the process may open no more files");
        }
        Self {
            connections_max: wished.min(allowed),
            connection_requests_max: config.connection_requests_max.max(1),
            connection_bytes_max: config.connection_bytes_max,
            in_flight_bytes_max: config.in_flight_bytes_max,
            arriving_bytes_max: (config.in_flight_bytes_max / 2).max(frame_bytes_max),
            unread_bytes_max: config.unread_bytes_max,
            unread_bytes_total_max: config.unread_bytes_max.saturating_mul(4),
            frame_bytes_max,
            idle_time: config.idle_time.min(FOREVER),
            stall_time: config.stall_time.min(FOREVER),
            handshake_time: config.handshake_time.min(FOREVER),
            within_max: config.within_max.min(FOREVER),
        }
    }
}

/// Of so many descriptors; `None`: of as many as one likes.
fn connections_allowed(descriptors: Option<u64>) -> usize {
    let allowed = descriptors.map_or(u64::MAX, |all| all.saturating_sub(RESERVED_DESCRIPTORS).max(all / 2));
    usize::try_from(allowed.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Config;

    #[test]
    fn descriptors_are_left_for_the_node_itself() {
        assert_eq!(connections_allowed(Some(20_000)), 19_744);
        assert_eq!(connections_allowed(Some(1024)), 768);
        assert_eq!(connections_allowed(Some(256)), 128);
        assert_eq!(connections_allowed(Some(0)), 1);
        assert_eq!(connections_allowed(None), usize::MAX);
    }

    #[test]
    fn however_low_the_limits_one_request_passes() {
        let node = Config::new(1, "data", "127.0.0.1:7001").command_bytes_max(1000);
        let config = ServerConfig::new(node)
            .connections_max(0)
            .connection_requests_max(0)
            .connection_bytes_max(0)
            .in_flight_bytes_max(0);

        let limits = Limits::of(&config);

        assert_eq!((limits.connections_max, limits.connection_requests_max), (1, 1));
        assert_eq!(limits.frame_bytes_max, 1000 + REQUEST_HEAD_BYTES_MAX);
        assert_eq!(limits.arriving_bytes_max, limits.frame_bytes_max);
    }
}
