//! Three nodes in one process agree on a number: `cargo run --example counter`.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use quorate::{Config, LogPosition, MachineError, Node, SnapshotError, SnapshotWriter, StateMachine};

/// The whole state: one number.
#[derive(Default)]
struct Counter(i64);

impl StateMachine for Counter {
    type Command = i64; // add this much
    type Query = ();
    type Response = i64;

    fn apply(&mut self, _at: LogPosition, add: i64) -> i64 {
        self.0 += add;
        self.0
    }

    fn query(&self, (): ()) -> i64 {
        self.0
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.0;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        self.0 = i64::from_le_bytes(total);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let sockets = [1, 2, 3].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
    let addresses =
        sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));

    let mut nodes = Vec::new();
    for (id, socket) in sockets {
        let config = Config::new(id, directory.path().join(id.to_string()), "127.0.0.1:0")
            .listener(socket)
            .bootstrap(addresses.clone());
        nodes.push(Node::start(config, Counter::default())?);
    }

    println!("node {} leads", nodes[0].wait_for_leader(Duration::from_secs(10))?);
    for node in &nodes {
        println!("one more makes {}", node.propose(1)?); // on any node: durable on a majority, applied here
    }
    println!("every node reads {}", nodes[2].read(|counter| counter.0)?); // linearizable, on any node

    for node in nodes {
        node.shutdown(Duration::from_secs(5))?;
    }
    Ok(())
}
