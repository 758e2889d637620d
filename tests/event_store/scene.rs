//! Clusters of event stores in this process: real disks, real sockets, real threads.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use quorate::event_store::{
    AggregateId, Append, AppendError, Conflict, Event, EventStore, NewEvent, Options, Timestamp,
};
use quorate::{Config, Role};

/// Long enough for any machine; tests wait for events, not for this.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Some stores, each with directories and a port that it keeps over restarts.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    members: Vec<(u64, String)>,
    stores: BTreeMap<u64, EventStore>,
    tune: fn(Config) -> Config,
    options: Box<dyn Fn(u64) -> Options>,
    asked: AtomicUsize,
}

impl Cluster {
    /// `size` stores with these options, all of them started.
    pub(crate) fn of(size: u64, options: impl Fn(u64) -> Options + 'static) -> Self {
        Self::founded(size, 1..=size, |config| config, options)
    }

    /// As [`Cluster::of`], with settings of its own, and only these started.
    pub(crate) fn founded(
        size: u64,
        started: RangeInclusive<u64>,
        tune: fn(Config) -> Config,
        options: impl Fn(u64) -> Options + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets: Vec<_> = (1..=size).map(|id| (id, socket_of_ones_own())).collect();
        let address = |socket: &TcpListener| socket.local_addr().expect("bound").to_string();
        let members = sockets.iter().map(|(id, socket)| (*id, address(socket))).collect();
        let (options, stores) = (Box::new(options), BTreeMap::new());
        let mut cluster = Self { directory, members, stores, tune, options, asked: AtomicUsize::new(0) };
        for (id, socket) in sockets.into_iter().filter(|(id, _)| started.contains(id)) {
            let config = cluster.config(id).listener(socket);
            cluster.launch(id, config);
        }
        cluster
    }

    fn launch(&mut self, id: u64, config: Config) {
        let store = EventStore::start(config, (self.options)(id)).expect("the store starts");
        self.stores.insert(id, store);
    }

    pub(crate) fn config(&self, id: u64) -> Config {
        let (_, address) = self.members.iter().find(|(member, _)| *member == id).expect("a member");
        let config = Config::new(id, self.directory_of(id), address).bootstrap(self.members.clone());
        (self.tune)(config.segment_bytes(4 << 20).command_bytes_max(512 << 10).call_timeout(LONG))
    }

    /// For a node that is a cluster by itself, on a port that it has for this start.
    pub(crate) fn config_alone(dir: &Path) -> (Config, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound").to_string();
        let config = Config::new(1, dir, &address).bootstrap([(1, address)]).segment_bytes(4 << 20);
        (config.command_bytes_max(512 << 10).call_timeout(LONG), socket)
    }

    pub(crate) fn directory_of(&self, id: u64) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    pub(crate) fn store(&self, id: u64) -> &EventStore {
        &self.stores[&id]
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = &EventStore> {
        self.stores.values()
    }

    /// Another store with each call: what holds on a cluster holds whomever one asks.
    pub(crate) fn any(&self) -> &EventStore {
        let nth = self.asked.fetch_add(1, Ordering::Relaxed) % self.stores.len();
        self.stores.values().nth(nth).expect("some run")
    }

    pub(crate) fn leader(&self) -> u64 {
        loop {
            for (id, store) in &self.stores {
                store.node().wait_for_leader(LONG).expect("a leader is elected");
                if store.state() == Role::Leader {
                    return *id;
                }
            }
        }
    }

    pub(crate) fn follower(&self) -> u64 {
        let leader = self.leader();
        *self.stores.keys().find(|id| **id != leader).expect("a follower")
    }

    /// Stops a store in an orderly way; its directories and port stay.
    pub(crate) fn stop(&mut self, id: u64) {
        let store = self.stores.remove(&id).expect("it runs");
        store.shutdown(LONG).expect("a clean stop");
    }

    /// Drops a store as it is.
    pub(crate) fn drop(&mut self, id: u64) {
        self.stores.remove(&id).expect("it runs");
    }

    pub(crate) fn restart(&mut self, id: u64) {
        let config = self.config(id);
        self.launch(id, config);
    }
}

/// Where node `id` of a cluster keeps its store, whose data directory is `data`.
pub(crate) fn store_beside(data: &Path) -> PathBuf {
    let name = data.file_name().expect("a name").to_str().expect("a text");
    data.with_file_name(format!("{name}.events"))
}

/// Runs a scene over one node, and over three.
pub(crate) fn over_one_and_three(scene: impl Fn(&Cluster)) {
    over_one_and_three_with(Options::default, scene);
}

/// As [`over_one_and_three`], with options of its own.
pub(crate) fn over_one_and_three_with(
    options: impl Fn() -> Options + Clone + 'static,
    scene: impl Fn(&Cluster),
) {
    for size in [1, 3] {
        let options = options.clone();
        scene(&Cluster::of(size, move |_| options()));
    }
}

pub(crate) fn id<const N: usize>(parts: [&str; N]) -> AggregateId {
    AggregateId::new(parts).expect("a good id")
}

/// An event of `event_type` that happened so many nanoseconds into 1970.
pub(crate) fn event(event_type: &str, nanoseconds: i64) -> NewEvent {
    NewEvent::new(event_type, format!("data of {event_type}")).at(Timestamp(nanoseconds))
}

/// The conflict of an append that met one.
pub(crate) fn conflict(store: &EventStore, append: Append) -> Conflict {
    match store.append(append) {
        Err(AppendError::Conflict(conflict)) => conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

/// Appends events of these types, the first at `expected`.
pub(crate) fn append(store: &EventStore, id: &AggregateId, expected: u64, types: &[&str]) {
    let events = types.iter().zip(1..).map(|(event_type, nanoseconds)| event(event_type, nanoseconds));
    store.append(Append::to(id, expected).events(events)).expect("it is where it is expected");
}

pub(crate) fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

pub(crate) fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

/// A socket on a port that the kernel gives to no outgoing connection: a node that restarts finds it free again.
fn socket_of_ones_own() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    (0..20_000)
        .map(|_| 10_000 + start.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)) % 20_000)
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .expect("a free port")
}
