//! The network between the nodes, which can be cut link by link and way by way.
//!
//! Before each node stands a proxy, and the nodes know each other by the addresses of the proxies. Who dials is found by the
//! port he dials from: the system knows which process owns it. So every byte has a sender and a receiver, whoever opened
//! the connection.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::stand::free_address;

const CHUNK_BYTES: usize = 64 << 10;

/// What becomes of the bytes of a link that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// They wait, and arrive late when it is healed: a network that sends again what it lost.
    Held,
    /// They are gone though the connection stands: half open, until it is healed and breaks.
    Swallowed,
    /// Connections break, and new ones are closed at once.
    Refused,
}

/// From one node to another.
type Link = (usize, usize);

#[derive(Clone)]
pub(crate) struct Network(Arc<Switch>);

#[derive(Default)]
struct Switch {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    /// By their processes.
    nodes: BTreeMap<u32, usize>,
    cuts: BTreeMap<Link, Cut>,
    connections: Vec<Connection>,
    connections_ever: u64,
}

/// A connection through a proxy: who dialled, whom, and its two ends.
struct Connection {
    number: u64,
    link: Link,
    ends: [TcpStream; 2],
    has_lost_bytes: bool,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Puts a proxy before a node that listens at this address; gives the address of the proxy.
    pub(crate) fn proxy(&self, node: usize, listens: &str) -> String {
        let address = free_address();
        let listener = TcpListener::bind(&address).expect("the address is free");
        let (network, listens) = (self.clone(), listens.to_owned());
        thread::spawn(move || {
            for dialled in listener.incoming().map_while(Result::ok) {
                // Who cannot be told apart, or reaches nobody, is hung up on, and dials again.
                let _ = network.connect(dialled, node, &listens);
            }
        });
        address
    }

    /// From now on this process is that node.
    pub(crate) fn knows(&self, node: usize, process: u32) {
        let mut table = self.table();
        table.nodes.retain(|_, known| *known != node);
        table.nodes.insert(process, node);
    }

    /// Cuts one way of a link.
    pub(crate) fn cut(&self, from: usize, to: usize, cut: Cut) {
        let mut table = self.table();
        table.cuts.insert((from, to), cut);
        if cut == Cut::Refused {
            table.close(|connection| connection.is_between(from, to));
        }
    }

    /// Heals all links.
    pub(crate) fn heal(&self) {
        let mut table = self.table();
        table.cuts.clear();
        table.close(|connection| connection.has_lost_bytes);
        self.0.changed.notify_all();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("nobody panics with it")
    }

    fn connect(&self, dialled: TcpStream, node: usize, listens: &str) -> Option<()> {
        let processes: Vec<u32> = self.table().nodes.keys().copied().collect();
        let owner = owner(dialled.peer_addr().ok()?, &processes)?;
        let target = TcpStream::connect(listens).ok()?;
        for end in [&dialled, &target] {
            end.set_nodelay(true).ok()?;
        }
        let ends = [dialled.try_clone().ok()?, target.try_clone().ok()?];
        let mut table = self.table();
        let dialler = *table.nodes.get(&owner)?;
        let is_refused = |link| table.cuts.get(&link) == Some(&Cut::Refused);
        if is_refused((dialler, node)) || is_refused((node, dialler)) {
            return None;
        }
        table.connections_ever += 1;
        let number = table.connections_ever;
        table.connections.push(Connection { number, link: (dialler, node), ends, has_lost_bytes: false });
        drop(table);
        let (back, forth) = (target.try_clone().ok()?, dialled.try_clone().ok()?);
        for (from, to, link) in [(dialled, target, (dialler, node)), (back, forth, (node, dialler))] {
            let network = self.clone();
            thread::spawn(move || {
                network.carry(from, to, link);
                network.table().connections.retain(|connection| connection.number != number);
            });
        }
        Some(())
    }

    /// Carries bytes one way until either end is gone.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, link: Link) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            if self.may_pass(link) && to.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits as long as the bytes of a link are held; `false` if they are lost.
    fn may_pass(&self, link: Link) -> bool {
        let is_held = |table: &mut Table| table.cuts.get(&link) == Some(&Cut::Held);
        let table = self.0.changed.wait_while(self.table(), is_held);
        let mut table = table.expect("nobody panics with it");
        let passes = !table.cuts.contains_key(&link);
        if !passes {
            let (from, to) = link;
            let between = table.connections.iter_mut().filter(|connection| connection.is_between(from, to));
            between.for_each(|connection| connection.has_lost_bytes = true);
        }
        passes
    }
}

impl Table {
    fn close(&mut self, is_wanted: impl Fn(&Connection) -> bool) {
        for connection in self.connections.extract_if(.., |connection| is_wanted(connection)) {
            for end in connection.ends {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Connection {
    fn is_between(&self, one: usize, other: usize) -> bool {
        self.link == (one, other) || self.link == (other, one)
    }
}

/// Which of these processes has the socket with this address.
fn owner(address: SocketAddr, processes: &[u32]) -> Option<u32> {
    let port = format!(":{:04X}", address.port());
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the system tells of its sockets");
    let inode = sockets.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().filter(|local| local.ends_with(&port))?;
        fields.nth(7).filter(|inode| *inode != "0")
    })?;
    let socket = format!("socket:[{inode}]");
    let owns = |process: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == socket.as_str())
    };
    processes.iter().copied().find(owns)
}
