//! Three clients increment while their connections are harmed at random: whatever is lost on the way, the total is exact.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quorate::{Client, ClientConfig, Config, Server};

use crate::calls::line;
use crate::cutter::{Cutter, Harm};
use crate::scene::{Hold, LONG, Obedient, socket_of_ones_own};

const CLIENTS: usize = 3;
const INCREMENTS: usize = 1500;
/// How often harm is done at least.
const HARMS: usize = 10;
/// How many of them are in flight at once.
const IN_FLIGHT: usize = 8;

/// Three nodes that everybody reaches through proxies.
struct Behind {
    servers: Vec<Server<Obedient>>,
    addresses: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Behind {
    fn start(cutter: &Cutter) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets: Vec<TcpListener> = (0..3).map(|_| socket_of_ones_own()).collect();
        let addresses: Vec<_> = sockets
            .iter()
            .map(|socket| cutter.before(socket.local_addr().expect("bound")).to_string())
            .collect();
        let start = |(id, socket): (u64, TcpListener)| {
            let data = directory.path().join(id.to_string());
            let config = Config::new(id, data, socket.local_addr().expect("bound").to_string())
                .bootstrap((1..).zip(addresses.clone()))
                .segment_bytes(8 << 20)
                .snapshot_entries(1000)
                .listener(socket);
            Server::start(config, Obedient::new(&Arc::<Hold>::default())).expect("the server starts")
        };
        let servers: Vec<_> = (1..).zip(sockets).map(start).collect();
        for server in &servers {
            server.node().wait_for_leader(LONG).expect("one leads");
        }
        Self { servers, addresses, _directory: directory }
    }

    fn client(&self) -> Client<Obedient> {
        let config = ClientConfig::new(&self.addresses)
            .call_timeout(LONG * 10)
            .connect_within(LONG)
            .silence_timeout(Duration::from_millis(300));
        Client::connect_with(config).expect("the nodes are there")
    }
}

/// Clients work while harm is done; then nothing is missing, and nothing was done twice.
fn the_total_is_exact_whatever(harm: Harm, once_in: usize) {
    let cutter = Cutter::new(harm, once_in);
    let cluster = Behind::start(&cutter);
    let increments: usize = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| increment(&cluster.client(), &cutter))).collect();
        clients.into_iter().map(|client| client.join().expect("all is applied")).sum()
    });
    let done = cutter.done();
    cutter.end();

    let total = cluster.client().query(line("total")).expect("it is answered");
    assert_eq!(total, increments.to_string(), "{harm:?} {done} times");
    let index = cluster.servers[0].node().status().commit;
    for server in &cluster.servers {
        server.node().wait_applied(index, LONG).expect("it follows");
        assert_eq!(server.node().query(line("total")).as_ref(), Ok(&total));
    }
}

/// Many times, and until enough harm was done: on a busy machine more is carried at once, and less can be harmed. Says how often.
fn increment(client: &Client<Obedient>, cutter: &Cutter) -> usize {
    let (mut in_flight, mut increments) = (VecDeque::new(), 0);
    while increments < INCREMENTS || cutter.done() < HARMS {
        increments += 1;
        if in_flight.len() == IN_FLIGHT {
            let oldest: quorate::Ticket<_, _> = in_flight.pop_front().expect("there are some");
            oldest.wait().expect("it is applied");
        }
        in_flight.push_back(client.submit(line("add 1")));
    }
    for ticket in in_flight {
        ticket.wait().expect("it is applied");
    }
    increments
}

#[test]
fn the_total_is_exact_though_answers_are_lost_after_commands_took_effect() {
    the_total_is_exact_whatever(Harm::LoseAnswers, 20);
}

#[test]
fn the_total_is_exact_though_requests_are_cut_in_the_middle() {
    the_total_is_exact_whatever(Harm::CutRequests, 20);
}

#[test]
fn the_total_is_exact_though_connections_stand_and_carry_nothing() {
    the_total_is_exact_whatever(Harm::Swallow, 100);
}
