//! Proxies between clients and nodes that do harm: answers that are lost after the command took effect, requests that are cut
//! in the middle, connections that stand and carry nothing. What nodes say to each other passes unharmed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::random::Random;

/// What a client's connection begins with.
const CLIENT: u8 = 0xF3;

/// What is done to clients' connections, now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// What the node says is thrown away, and the connection is closed.
    LoseAnswers,
    /// Only a part of what the client says arrives, and the connection is closed.
    CutRequests,
    /// From then on nothing arrives on either side, and the connection stands.
    Swallow,
}

/// All proxies of one cluster.
#[derive(Clone)]
pub(crate) struct Cutter(Arc<State>);

struct State {
    harm: Harm,
    /// Once in so many pieces.
    once_in: usize,
    random: Mutex<Random>,
    done: AtomicUsize,
    is_over: AtomicBool,
}

impl Cutter {
    pub(crate) fn new(harm: Harm, once_in: usize) -> Self {
        let random = Mutex::new(Random::new(Random::seed()));
        let (done, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self(Arc::new(State { harm, once_in, random, done, is_over }))
    }

    /// How often harm was done.
    pub(crate) fn done(&self) -> usize {
        self.0.done.load(Ordering::Relaxed)
    }

    /// No more harm is done.
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    /// Puts a proxy before this node: its address.
    pub(crate) fn before(&self, node: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("bound");
        let cutter = self.clone();
        thread::spawn(move || {
            for dialled in listener.incoming().map_while(Result::ok) {
                let cutter = cutter.clone();
                thread::spawn(move || cutter.carry(dialled, node));
            }
        });
        address
    }

    fn carry(&self, mut dialled: TcpStream, node: SocketAddr) -> Option<()> {
        let mut first = [0];
        dialled.read_exact(&mut first).ok()?;
        let mut to_node = TcpStream::connect(node).ok()?;
        for stream in [&dialled, &to_node] {
            stream.set_nodelay(true).ok()?;
        }
        to_node.write_all(&first).ok()?;
        let is_client = first[0] == CLIENT;
        let swallows = Arc::new(AtomicBool::new(false));
        let up = (dialled.try_clone().ok()?, to_node.try_clone().ok()?);
        let upwards = self.clone();
        let harm = |direction| is_client.then_some(direction);
        let (up_harm, down_harm) = (harm(Direction::Up), harm(Direction::Down));
        let up_swallows = Arc::clone(&swallows);
        thread::spawn(move || upwards.pump(up.0, up.1, up_harm, &up_swallows));
        self.pump(to_node, dialled, down_harm, &swallows);
        Some(())
    }

    /// Carries one way until the connection ends, or harm ends it.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, harm: Option<Direction>, swallows: &AtomicBool) {
        let mut piece = vec![0; 16 << 10];
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let mut passes = &piece[..count];
            if let Some(direction) = harm
                && self.strikes(direction)
            {
                match self.0.harm {
                    Harm::Swallow => swallows.store(true, Ordering::Relaxed),
                    Harm::LoseAnswers => break,
                    Harm::CutRequests => {
                        passes = &passes[..count - 1 - self.below(count)];
                        let _ = to.write_all(passes);
                        break;
                    }
                }
            }
            if !swallows.load(Ordering::Relaxed) && to.write_all(passes).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn strikes(&self, direction: Direction) -> bool {
        let is_its_way = match self.0.harm {
            Harm::LoseAnswers | Harm::Swallow => direction == Direction::Down,
            Harm::CutRequests => direction == Direction::Up,
        };
        let strikes =
            is_its_way && !self.0.is_over.load(Ordering::Relaxed) && self.below(self.0.once_in) == 0;
        self.0.done.fetch_add(usize::from(strikes), Ordering::Relaxed);
        strikes
    }

    fn below(&self, end: usize) -> usize {
        self.0.random.lock().expect("nobody panics with it").below(end)
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// To the node.
    Up,
    /// To the client.
    Down,
}
