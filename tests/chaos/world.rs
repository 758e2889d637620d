//! A cluster with proxies between its nodes and clients at work, and all that can be done to it.

use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use crate::client::{MONEY, Recorder};
use crate::clients::{CLIENTS, Clients};
use crate::network::{Cut, Network};
use crate::random::Random;
use crate::seen::Seen;
use crate::stand::{Stand, eventually, signal};

pub(crate) const NODES: usize = 3;
/// `Config::election_timeout`, which the example leaves as it is.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct World {
    pub(crate) stand: Stand,
    network: Network,
    clients: Clients,
    still: Vec<usize>,
}

impl World {
    /// Three nodes that lead and follow, and clients that have begun.
    pub(crate) fn start(seed: u64) -> Self {
        Self::start_with(seed, Stand::start_node)
    }

    pub(crate) fn start_with(seed: u64, start: impl Fn(&mut Stand, usize)) -> Self {
        let network = Network::new();
        let mut stand = Stand::prepare_behind(NODES, |id, raft| network.proxy(id, raft));
        for id in 1..=NODES {
            start(&mut stand, id);
            network.knows(id, stand.process_id(id));
        }
        stand.leader();
        let addresses = addresses(&stand);
        found_bank(&addresses, seed);
        let clients = Clients::start(&addresses, seed);
        clients.await_answers(50);
        Self { stand, network, clients, still: Vec::new() }
    }

    pub(crate) fn await_answers(&self, count: usize) {
        self.clients.await_answers(count);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, ids: &[usize]) {
        for &id in ids {
            self.stand.kill(id);
        }
        self.still.retain(|id| !ids.contains(id));
    }

    /// Starts those that do not run.
    pub(crate) fn start_dead(&mut self) {
        let running = self.stand.running();
        for id in (1..=NODES).filter(|id| !running.contains(id)) {
            self.stand.start_node(id);
            self.network.knows(id, self.stand.process_id(id));
        }
    }

    /// SIGSTOP.
    pub(crate) fn stop(&mut self, ids: &[usize]) {
        for &id in ids {
            signal("STOP", self.stand.process_id(id));
        }
        self.still.extend(ids);
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, ids: &[usize]) {
        for &id in ids {
            signal("CONT", self.stand.process_id(id));
        }
        self.still.retain(|id| !ids.contains(id));
    }

    /// Cuts one way between two nodes.
    pub(crate) fn cut(&self, from: usize, to: usize, cut: Cut) {
        self.network.cut(from, to, cut);
    }

    /// Nothing of this node reaches the others.
    pub(crate) fn mute(&self, id: usize, cut: Cut) {
        for other in others(id) {
            self.cut(id, other, cut);
        }
    }

    /// Nothing of the others reaches this node.
    pub(crate) fn deafen(&self, id: usize, cut: Cut) {
        for other in others(id) {
            self.cut(other, id, cut);
        }
    }

    pub(crate) fn heal_network(&self) {
        self.network.heal();
    }

    /// Undoes all that was done.
    pub(crate) fn heal(&mut self) {
        self.network.heal();
        self.resume(&self.still.clone());
        self.start_dead();
    }

    /// Who leads among these, in the highest term that one of them knows.
    pub(crate) fn leader_among(&self, ids: &[usize]) -> usize {
        eventually("one of these leads", || {
            let statuses = ids.iter().filter_map(|&id| Some((id, self.stand.status(id)?)));
            let leading = statuses.filter(|(_, status)| status["role"] == "leader");
            leading.max_by_key(|(_, status)| status["term"].as_u64()).map(|(id, _)| id)
        })
    }

    /// Who leads, of those that can answer.
    pub(crate) fn leader(&self) -> usize {
        let awake: Vec<_> = self.stand.running().into_iter().filter(|id| !self.still.contains(id)).collect();
        self.leader_among(&awake)
    }

    pub(crate) fn term(&self, id: usize) -> u64 {
        eventually("it tells its term", || self.stand.status(id)?["term"].as_u64())
    }

    /// Heals everything. Then all nodes agree, and all that was seen has an order in which what they hold is the end.
    pub(crate) fn finish(mut self) {
        self.heal();
        self.clients.await_answers(50);
        let (mut seen, moments) = self.clients.finish();
        let addresses = addresses(&self.stand);
        let last = eventually("all nodes hold the same", || {
            let mut looks = (0..NODES).map(|node| look(&addresses[node..=node], &seen, &moments));
            let first = looks.next()??;
            let rest: Option<Vec<Seen>> = looks.collect();
            rest?.iter().all(|other| outputs(other) == outputs(&first)).then_some(first)
        });
        seen.merge(last);
        println!("{seen}");
        seen.judge((CLIENTS as u64 * MONEY).cast_signed());
    }
}

/// All the others.
pub(crate) fn others(id: usize) -> Vec<usize> {
    (1..=NODES).filter(|&other| other != id).collect()
}

/// Lets time pass, counted in election timeouts.
#[expect(clippy::disallowed_methods, reason = "this fault is the passing of time")]
pub(crate) fn lasts(elections: f64) {
    thread::sleep(ELECTION_TIMEOUT.mul_f64(elections));
}

/// The seed of a run: `KV_SEED`, or a new one; printed.
pub(crate) fn seed() -> u64 {
    Random::seed()
}

fn addresses(stand: &Stand) -> Vec<String> {
    (1..=NODES).map(|id| stand.redis(id).to_owned()).collect()
}

fn found_bank(addresses: &[String], seed: u64) {
    let moments = AtomicU64::new(0);
    for number in 0..CLIENTS {
        let mut client = Recorder::new(number, CLIENTS, addresses, &moments, seed);
        eventually("the accounts are opened", || client.move_money().then_some(()));
    }
}

/// Reads every key that is known; `None` if one was not answered.
fn look(address: &[String], known: &Seen, moments: &AtomicU64) -> Option<Seen> {
    let mut client = Recorder::new(CLIENTS, CLIENTS, address, moments, 0);
    let is_answered = known.register_keys().into_iter().all(|key| client.get(key))
        && known.counter_keys().into_iter().all(|key| client.read_counter(key))
        && known.list_keys().into_iter().all(|key| client.read_list(key))
        && client.read_bank();
    is_answered.then_some(client.seen)
}

/// What was read, key by key.
fn outputs(seen: &Seen) -> impl PartialEq + use<> {
    fn of<I, O: Clone>(operations: &[crate::linearizability::Operation<String, I, O>]) -> Vec<Option<O>> {
        operations.iter().map(|operation| operation.output().cloned()).collect()
    }
    let balances: Vec<_> = seen.readings.iter().map(|reading| reading.balances.clone()).collect();
    (of(&seen.registers), of(&seen.counters), of(&seen.lists), balances)
}
