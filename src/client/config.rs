//! What can be set of a client.

use std::time::Duration;

use super::ConnectError;
use crate::types::{ClusterId, Membership};

/// How a client connects and works. Everything has a default but the addresses.
#[derive(Clone)]
pub struct ClientConfig {
    pub(super) addresses: Vec<String>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) connect_within: Duration,
    pub(super) call_timeout: Duration,
    pub(super) spread_reads: bool,
    pub(super) in_flight_requests_max: u64,
    pub(super) in_flight_bytes_max: u64,
    pub(super) dial_timeout: Duration,
    pub(super) silence_timeout: Duration,
}

impl ClientConfig {
    /// A client of the cluster to which these nodes, `host:port`, belong. One that answers is enough: the others are learnt
    /// from it.
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            addresses: addresses.into_iter().map(Into::into).collect(),
            token: None,
            cluster: None,
            connect_within: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
            spread_reads: false,
            in_flight_requests_max: 65_536,
            in_flight_bytes_max: 64 << 20,
            dial_timeout: Duration::from_secs(3),
            silence_timeout: Duration::from_secs(3),
        }
    }

    /// The secret that the members share ([`Config::token`](crate::Config::token)). Default: none.
    #[must_use]
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The cluster that is meant, as [`Client::cluster`](super::Client::cluster) told it before: nodes of any other are
    /// refused. Default: the cluster of the first node that answers; those of another are refused from then on.
    #[must_use]
    pub fn cluster(mut self, cluster: ClusterId) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// How long [`Client::connect_with`](super::Client::connect_with) waits for a first node to answer. Default: 10 s.
    #[must_use]
    pub fn connect_within(mut self, within: Duration) -> Self {
        self.connect_within = within;
        self
    }

    /// How long a call may take that names no deadline of its own. Default: 10 s.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Whether linearizable queries go to all members in turn rather than to the leader: more of them can be answered, each a
    /// little later, since the others ask the leader how far they must be. Default: no.
    #[must_use]
    pub fn spread_reads(mut self, spread: bool) -> Self {
        self.spread_reads = spread;
        self
    }

    /// How many calls may be under way in this client; one more is refused as `Busy`. Of the commands among them 1,024 are
    /// with the cluster at once, the others wait for their turn. Default: 65,536.
    #[must_use]
    pub fn in_flight_requests_max(mut self, requests: u64) -> Self {
        self.in_flight_requests_max = requests;
        self
    }

    /// How many bytes the commands and queries under way may have; beyond it a call is refused as `Busy`. Default: 64 MiB.
    #[must_use]
    pub fn in_flight_bytes_max(mut self, bytes: u64) -> Self {
        self.in_flight_bytes_max = bytes;
        self
    }

    /// How long one attempt to connect to a node may take. Default: 3 s.
    #[must_use]
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    /// For how long a connection may be silent while answers are due: after that it is given up, and what was sent on it is
    /// sent again elsewhere. Default: 3 s.
    #[must_use]
    pub fn silence_timeout(mut self, timeout: Duration) -> Self {
        self.silence_timeout = timeout;
        self
    }

    pub(super) fn judge(&self) -> Result<(), ConnectError> {
        if self.addresses.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        if self.addresses.len() > Membership::MEMBERS_MAX {
            return Err(ConnectError::TooManyAddresses(self.addresses.len()));
        }
        if let Some(bad) = self.addresses.iter().find(|address| !Membership::is_address(address)) {
            return Err(ConnectError::BadAddress(bad.clone()));
        }
        if self.token.as_ref().is_some_and(|token| !(1..=256).contains(&token.len())) {
            return Err(ConnectError::BadToken);
        }
        if self.in_flight_requests_max == 0 || self.in_flight_bytes_max == 0 {
            return Err(ConnectError::NothingInFlight);
        }
        Ok(())
    }
}

impl std::fmt::Debug for ClientConfig {
    /// All but the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(addresses: &[&str], change: impl FnOnce(ClientConfig) -> ClientConfig) -> String {
        let config = change(ClientConfig::new(addresses.iter().copied()));
        config.judge().expect_err("it is refused").to_string()
    }

    #[test]
    fn what_nobody_could_mean_is_refused_by_name() {
        let good = ["127.0.0.1:7001"];
        assert!(ClientConfig::new(good).token("secret").judge().is_ok());

        assert!(judged(&[], |config| config).contains("no address"));
        assert!(judged(&["a:1"; 65], |config| config).contains("65 addresses"));
        assert!(judged(&["a:1", "b"], |config| config).contains("\"b\""));
        assert!(judged(&good, |config| config.token("")).contains("1 to 256"));
        assert!(judged(&good, |config| config.token("t".repeat(257))).contains("1 to 256"));
        assert!(judged(&good, |config| config.in_flight_requests_max(0)).contains("at least one"));
        assert!(judged(&good, |config| config.in_flight_bytes_max(0)).contains("at least one"));
    }

    #[test]
    fn the_token_is_not_printed() {
        let config = ClientConfig::new(["a:1"]).token("sesame");
        assert!(!format!("{config:?}").contains("sesame"));
    }
}
