//! However large a snapshot is, those who send and receive it hold a few pieces of it in memory.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use quorate::{
    Config, LogPosition, MachineError, Node, NodeEvent, SnapshotError, SnapshotWriter, StateMachine,
};

const LONG: Duration = Duration::from_secs(120);
const SNAPSHOT_BYTES: u64 = 256 << 20;
/// Writer, sender, receiver and restorer are all in this process: together they may take what each of them might alone.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// Its state is a number; its picture is as long as that of a machine with much state.
#[derive(Default)]
struct Bulky(u64);

/// Whatever stands at `offset` of a picture of `number`.
fn content(number: u64, offset: u64) -> [u8; 8] {
    (number ^ offset.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes()
}

impl StateMachine for Bulky {
    type Command = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, command: u64) -> u64 {
        self.0 += command;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let number = self.0;
        Ok(Box::new(move |out| {
            let mut out = io::BufWriter::with_capacity(64 << 10, out);
            out.write_all(&number.to_be_bytes())?;
            (0..SNAPSHOT_BYTES / 8).try_for_each(|offset| out.write_all(&content(number, offset)))?;
            out.flush()
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut snapshot = io::BufReader::with_capacity(64 << 10, snapshot);
        let mut word = [0; 8];
        snapshot.read_exact(&mut word)?;
        self.0 = u64::from_be_bytes(word);
        for offset in 0..SNAPSHOT_BYTES / 8 {
            snapshot.read_exact(&mut word)?;
            assert_eq!(word, content(self.0, offset), "at word {offset}");
        }
        Ok(())
    }
}

fn config(id: u64, directory: &tempfile::TempDir) -> (Config, String) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    let config = Config::new(id, directory.path().join(id.to_string()), &address).listener(socket);
    (config.call_timeout(LONG).trailing_entries(0), address)
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_snapshot_reaches_a_node_that_joins_and_memory_stays_small() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (first, first_address) = config(1, &directory);
    let leader = Node::start(first.bootstrap([(1, first_address)]), Bulky::default()).expect("it starts");
    let (second, address) = config(2, &directory);
    let joiner = Node::start(second.join(), Bulky::default()).expect("it starts");
    assert_eq!(leader.propose(7), Ok(7));
    let idle = memory_bytes("VmRSS:");

    let mut events = leader.events();
    let index = leader.snapshot_now_within(LONG).expect("it is taken");
    events.find(|event| matches!(event, NodeEvent::Compacted { .. })).expect("the log goes");
    leader.add_learner(2, address).expect("it is added");
    joiner.wait_applied(index, LONG).expect("it receives the snapshot");

    let most = memory_bytes("VmHWM:");
    assert_eq!(joiner.read_local(|bulky| bulky.0), Ok(7));
    assert!(joiner.status().first_index > 1, "it never had the log before the snapshot");
    assert!(most - idle < MEMORY_BYTES_MAX, "{} MiB were taken", (most - idle) >> 20);
}

/// What the kernel says of this process under `name`.
#[cfg(target_os = "linux")]
fn memory_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it is told");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") << 10
}
