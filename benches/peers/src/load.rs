//! Closed-loop clients: each puts, waits for the answer, and puts again.
//!
//! A client is a task. Up to [`CONNECTIONS`] gRPC connections are shared among them round robin: one connection for a
//! thousand clients would make its single HTTP/2 stream of frames the limit, a thousand connections would measure their
//! upkeep. The value is as long as quorate's command; the key comes on top.
//!
//! A put counts if its answer arrives within the measured window, as in quorate's own benchmark. A put that fails ends
//! the run: a rate with errors in it compares with nothing.

use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, KvClient};
use fastrand::Rng;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::Result;

/// What each put stores.
pub(crate) const VALUE_BYTES: usize = 128;

const CONNECTIONS: usize = 8;
const KEYS: u32 = 1_000;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
/// Longer than etcd's own limit for one request, so that its error is the one we see.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The longest latency that the histogram holds: no put outlives the run.
const LATENCY_MAX: Duration = WARM_UP.saturating_add(MEASURED).saturating_add(ANSWER_WITHIN);

/// What the window saw.
pub(crate) struct Measured {
    /// In nanoseconds, one for each put.
    pub(crate) latencies: Histogram<u64>,
    /// The length of the window.
    pub(crate) seconds: f64,
    /// How many the clients shared.
    pub(crate) connections: usize,
}

/// Puts load on the node at `url` with so many clients at once.
pub(crate) async fn run(url: &str, clients: usize) -> Result<Measured> {
    let connections = connect(url, clients.min(CONNECTIONS)).await?;
    let window = Window::after_warm_up();
    let mut tasks = JoinSet::new();
    for (kv, seed) in connections.iter().cycle().zip(0..clients as u64) {
        tasks.spawn(client(kv.clone(), Rng::with_seed(seed), window));
    }
    let mut latencies = Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), 3)?;
    while let Some(joined) = tasks.join_next().await {
        for latency in joined?? {
            latencies.record(nanoseconds(latency))?;
        }
    }
    Ok(Measured { latencies, seconds: MEASURED.as_secs_f64(), connections: connections.len() })
}

/// Each connection has carried a put before the clock starts.
async fn connect(url: &str, connections: usize) -> Result<Vec<KvClient>> {
    let mut all = Vec::with_capacity(connections);
    for _ in 0..connections {
        let options = ConnectOptions::new().with_timeout(ANSWER_WITHIN);
        let mut kv = Client::connect([url], Some(options)).await?.kv_client();
        kv.put("connected", "", None).await?;
        all.push(kv);
    }
    Ok(all)
}

/// One client, to the end of the window; gives the latencies of what counts.
async fn client(mut kv: KvClient, mut rng: Rng, window: Window) -> Result<Vec<Duration>> {
    let value = [7_u8; VALUE_BYTES];
    let mut latencies = Vec::new();
    let mut asked = now();
    while asked < window.end {
        let key = format!("key-{:03}", rng.u32(..KEYS));
        kv.put(key, value, None).await?;
        let answered = now();
        if window.contains(answered) {
            latencies.push(answered - asked);
        }
        asked = answered;
    }
    Ok(latencies)
}

/// When to count, and when to stop.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

impl Window {
    fn after_warm_up() -> Self {
        let start = now() + WARM_UP;
        Self { start, end: start + MEASURED }
    }

    fn contains(self, instant: Instant) -> bool {
        (self.start..self.end).contains(&instant)
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
