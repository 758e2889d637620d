//! Nodes that serve clients, in this process: real disks, real sockets, real threads; and a state machine that does what a
//! test tells it.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use quorate::{
    Codec, Config, DecodeError, LogPosition, MachineError, Server, ServerConfig, SnapshotError,
    SnapshotWriter, StateMachine,
};

/// Long enough for any machine; tests wait for events, not for this.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A command or a question.
pub(crate) struct Line(pub(crate) String);

impl Codec for Line {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let line = String::decode(bytes)?;
        assert_ne!(line, "explode", "told to");
        Ok(Self(line))
    }
}

/// Adds up, and obeys: `add n` answers the total, `say text` answers the text, `long n` so many bytes, and `hold` waits
/// until the scene lets go.
pub(crate) struct Obedient {
    total: i64,
    hold: Arc<Hold>,
}

/// Holds the state machine for as long as a test likes.
#[derive(Default)]
pub(crate) struct Hold {
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Hold {
    pub(crate) fn release(&self) {
        *self.is_released.lock().expect("no panic") = true;
        self.released.notify_all();
    }

    fn wait(&self) {
        let mut is_released = self.is_released.lock().expect("no panic");
        while !*is_released {
            is_released = self.released.wait(is_released).expect("no panic");
        }
    }
}

impl Obedient {
    pub(crate) fn new(hold: &Arc<Hold>) -> Self {
        Self { total: 0, hold: Arc::clone(hold) }
    }

    fn answer(&self, line: &str) -> String {
        match line.split_once(' ') {
            Some(("say", text)) => text.to_owned(),
            Some(("long", bytes)) => "x".repeat(bytes.parse().expect("a number")),
            _ if line == "total" => self.total.to_string(),
            _ => panic!("does not know {line:?}"),
        }
    }
}

impl StateMachine for Obedient {
    type Command = Line;
    type Query = Line;
    type Response = String;

    fn apply(&mut self, _at: LogPosition, Line(line): Line) -> String {
        if line == "hold" {
            self.hold.wait();
            return "held".to_owned();
        }
        if let Some(number) = line.strip_prefix("add ") {
            self.total += number.parse::<i64>().expect("a number");
            return self.total.to_string();
        }
        self.answer(&line)
    }

    fn query(&self, Line(line): Line) -> String {
        self.answer(&line)
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.total;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        self.total = i64::from_le_bytes(total);
        Ok(())
    }
}

/// One node that is a cluster by itself, and leads.
pub(crate) struct Alone {
    pub(crate) server: Server<Obedient>,
    pub(crate) hold: Arc<Hold>,
    _directory: tempfile::TempDir,
}

impl Alone {
    pub(crate) fn start() -> Self {
        Self::tuned(|config| config)
    }

    /// With settings of its own.
    pub(crate) fn tuned(tune: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        Self::configured(|config| tune(ServerConfig::new(config)))
    }

    /// With settings of its node's.
    pub(crate) fn configured(tune: impl FnOnce(Config) -> ServerConfig) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = socket_of_ones_own();
        let address = socket.local_addr().expect("bound").to_string();
        let config = node_config(directory.path(), 1, &address).bootstrap([(1, address.clone())]);
        let hold = Arc::<Hold>::default();
        let server =
            Server::start(tune(config.listener(socket)), Obedient::new(&hold)).expect("the server starts");
        server.node().wait_for_leader(LONG).expect("it elects itself");
        Self { server, hold, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }
}

impl Drop for Alone {
    /// A state machine that is held would not let its node end.
    fn drop(&mut self) {
        self.hold.release();
    }
}

/// Three nodes.
pub(crate) struct Three {
    pub(crate) servers: Vec<Server<Obedient>>,
    pub(crate) hold: Arc<Hold>,
    _directory: tempfile::TempDir,
}

impl Three {
    pub(crate) fn start() -> Self {
        Self::tuned(ServerConfig::new)
    }

    pub(crate) fn tuned<C: Into<ServerConfig>>(tune: impl Fn(Config) -> C) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets: Vec<_> = (1..=3).map(|id| (id, socket_of_ones_own())).collect();
        let founders: Vec<_> = sockets
            .iter()
            .map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()))
            .collect();
        let hold = Arc::<Hold>::default();
        let start = |(id, socket): (u64, TcpListener)| {
            let address = socket.local_addr().expect("bound").to_string();
            let config = node_config(directory.path(), id, &address).bootstrap(founders.clone());
            Server::start(tune(config.listener(socket)), Obedient::new(&hold)).expect("the server starts")
        };
        let servers = sockets.into_iter().map(start).collect();
        let three = Self { servers, hold, _directory: directory };
        three.leader();
        three
    }

    pub(crate) fn of(&self, id: u64) -> &Server<Obedient> {
        &self.servers[id as usize - 1]
    }

    /// Who leads, as all of them know.
    pub(crate) fn leader(&self) -> u64 {
        loop {
            let known: Vec<u64> = self
                .servers
                .iter()
                .map(|server| server.node().wait_for_leader(LONG).expect("a leader"))
                .collect();
            if known.iter().all(|leader| *leader == known[0]) {
                return known[0];
            }
        }
    }

    pub(crate) fn a_follower(&self) -> u64 {
        self.leader() % 3 + 1
    }
}

impl Drop for Three {
    fn drop(&mut self) {
        self.hold.release();
    }
}

fn node_config(directory: &Path, id: u64, address: &str) -> Config {
    Config::new(id, directory.join(id.to_string()), address).segment_bytes(8 << 20).call_timeout(LONG)
}

/// A port of its own, on which nobody else listens meanwhile.
pub(crate) fn socket_of_ones_own() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("loopback has a free port")
}
