//! Every order in which the node's threads meet where they share more than a channel. How such tests are run stands in
//! [`crate::sync`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread;

use super::channels;
use super::clock::later;
use super::inbox::Waiting;
use super::room::{Finder, Room};
use super::view::{Facts, View};
use crate::consensus::RoleName;
use crate::replica::{Event, ReplicaStatus};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::types::{LogIndex, Membership, NodeId, Term};

fn far() -> Instant {
    later(Duration::from_secs(3600))
}

fn status() -> ReplicaStatus {
    let id = NodeId::new(1).expect("not zero");
    ReplicaStatus {
        id,
        role: RoleName::Follower,
        term: Term(1),
        leader: None,
        commit: LogIndex(0),
        applied: LogIndex(0),
        first_index: LogIndex(1),
        last_index: LogIndex(0),
        snapshot: LogIndex(0),
        removed: false,
        disk_full: false,
        transferring_to: None,
        membership: Arc::new(Membership::founding([(id, "host:1".to_owned())]).expect("a good member")),
        membership_index: LogIndex(0),
        peers: Vec::new(),
    }
}

fn led() -> Facts {
    Facts { term: Term(1), leader: NodeId::new(1), ..Facts::default() }
}

#[test]
fn loom_facts_that_change_while_a_caller_begins_to_wait_are_heard() {
    loom::model(|| {
        let view = Arc::new(View::new(status()));
        let engine = thread::spawn({
            let view = Arc::clone(&view);
            move || view.show(&mut Facts::default(), led())
        });

        let heard = view.wait_until(far(), |facts| facts.leader.is_some());

        assert_eq!(heard, Some(led()));
        engine.join().unwrap();
    });
}

#[test]
fn loom_what_was_applied_unseen_is_shown_at_the_next_turn() {
    loom::model(|| {
        let view = Arc::new(View::new(status()));
        let applied = Facts { applied: LogIndex(1), ..led() };
        let mut shown = Facts::default();
        view.show(&mut shown, led());
        let heard = Arc::new(AtomicBool::new(false));
        let caller = thread::spawn({
            let (view, heard) = (Arc::clone(&view), Arc::clone(&heard));
            move || {
                let facts = view.wait_until(far(), |facts| facts.applied == LogIndex(1));
                heard.store(true, Ordering::Relaxed);
                facts
            }
        });

        // Ticks come for ever: a turn in which nobody waited is followed by another.
        while !heard.load(Ordering::Relaxed) {
            view.show(&mut shown, applied);
            thread::yield_now();
        }

        assert_eq!(caller.join().unwrap(), Some(applied));
    });
}

#[test]
fn loom_the_end_is_heard_by_all_who_wait() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let view = Arc::new(View::new(status()));
        let callers = [(); 2].map(|()| {
            let view = Arc::clone(&view);
            thread::spawn(move || view.wait_until(far(), |facts| facts.leader.is_some()))
        });

        view.end(status());

        for caller in callers {
            assert!(caller.join().unwrap().is_some_and(|facts| facts.ended));
        }
    });
}

/// The transport's end of an inbox, and the engine's: a queue whose bytes are counted, and a bell for who waits for room.
struct Inbox {
    waiting: Waiting,
    queue: Mutex<usize>,
    arrived: Condvar,
    rings: Mutex<usize>,
    rung: Condvar,
}

impl Inbox {
    fn at_most(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Waiting::at_most(bytes_max),
            queue: Mutex::new(0),
            arrived: Condvar::new(),
            rings: Mutex::new(0),
            rung: Condvar::new(),
        })
    }

    /// Messages of one byte each. While the inbox is full, it sleeps until somebody makes room.
    fn deliver(&self, messages: usize) {
        for _ in 0..messages {
            while self.waiting.is_full() {
                let mut rings = self.rings.lock();
                while *rings == 0 {
                    self.rung.wait(&mut rings);
                }
                *rings = 0;
            }
            self.waiting.add(1);
            *self.queue.lock() += 1;
            self.arrived.notify_one();
        }
    }

    fn take(&self, messages: usize) {
        for _ in 0..messages {
            let mut queue = self.queue.lock();
            while *queue == 0 {
                self.arrived.wait(&mut queue);
            }
            *queue -= 1;
            drop(queue);
            if self.waiting.take(1) {
                *self.rings.lock() += 1;
                self.rung.notify_one();
            }
        }
    }
}

#[test]
fn loom_a_full_inbox_stops_nobody_for_ever() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let inbox = Inbox::at_most(2);
        let transport = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.deliver(3)
        });

        inbox.take(3);

        transport.join().unwrap();
        assert!(!inbox.waiting.is_full());
    });
}

/// The channel is a real one: that the word is sent under the lock is not seen here, that it is found under one is.
#[test]
fn loom_the_last_word_about_a_full_disk_is_the_truth() {
    loom::model(|| {
        let (to_engine, inputs) = channels::to_engine();
        let room = Arc::new(Room::new(to_engine.completions));
        let upkeep = thread::spawn({
            let room = Arc::clone(&room);
            move || room.report(Finder::Upkeep, true)
        });

        room.report(Finder::LogWriter, true);
        room.report(Finder::LogWriter, false);
        upkeep.join().unwrap();

        let told: Vec<_> = inputs.completions.try_iter().collect();
        assert!(
            matches!(told.last(), Some(Event::DiskFull(true))),
            "the upkeep still finds no space: {told:?}"
        );
        let alternates = told
            .iter()
            .enumerate()
            .all(|(nth, event)| matches!(event, Event::DiskFull(full) if *full == nth.is_multiple_of(2)));
        assert!(alternates, "{told:?}");
    });
}
