//! Holds a [`StateMachine`], and the [`Codec`]s of its types, against their contracts.
//!
//! The suite knows nothing of your machine but what you give it: commands, best of every kind and with every answer they
//! can get, and questions. The body of a `#[test]`:
//!
//! ```
//! # use std::io::Read;
//! # use quorate::{LogPosition, MachineError, SnapshotError, SnapshotWriter, StateMachine};
//! # #[derive(Default)]
//! # struct Counter(i64);
//! # impl StateMachine for Counter {
//! #     type Command = i64;
//! #     type Query = ();
//! #     type Response = i64;
//! #     fn apply(&mut self, _: LogPosition, add: i64) -> i64 {
//! #         self.0 += add;
//! #         self.0
//! #     }
//! #     fn query(&self, (): ()) -> i64 {
//! #         self.0
//! #     }
//! #     fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
//! #         let total = self.0;
//! #         Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
//! #     }
//! #     fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
//! #         let mut total = [0; 8];
//! #         snapshot.read_exact(&mut total)?;
//! #         self.0 = i64::from_le_bytes(total);
//! #         Ok(())
//! #     }
//! # }
//! use quorate::testing::machine::Suite;
//!
//! Suite::new(Counter::default).commands((1..50).map(|n| n * n - 300)).queries([()]).check();
//! ```
//!
//! Two states are the same if their snapshots have the same bytes and all questions the same answers. If yours are not
//! written in one order, say what makes them equal: [`Suite::same_state`]. A machine that keeps its state on disk is opened
//! again and again: [`Suite::on_disk`].

mod codec;
mod disk;
mod replica;
mod snapshots;
mod steady;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use self::replica::Replica;
use super::{Broken, clause};
use crate::machine::{Codec, StateMachine};

/// A machine under test: how it is made, and what is done with it.
pub struct Suite<S: StateMachine> {
    make: Box<dyn Fn() -> S>,
    place: Option<MakePlace<S>>,
    commands: Vec<Vec<u8>>,
    /// What applied the commands as they came, and what it answered.
    original: Option<S>,
    answers: Vec<Vec<u8>>,
    queries: Vec<Vec<u8>>,
    responses: Vec<Vec<u8>>,
    same_state: Option<SameState<S>>,
}

/// Opens the machine of one place again and again.
type Open<S> = Box<dyn FnMut() -> S>;
type MakePlace<S> = Box<dyn Fn() -> Open<S>>;
type SameState<S> = Box<dyn Fn(&S, &S) -> bool>;

/// A sentence of the contract, and a scene that panics where it is broken.
type Clause<S> = (&'static str, fn(&Suite<S>));

impl<S: StateMachine> Suite<S> {
    /// A suite for the machine that `make` makes: a blank one with each call, as a new replica begins with.
    pub fn new(make: impl Fn() -> S + 'static) -> Self {
        Self {
            make: Box::new(make),
            place: None,
            commands: Vec::new(),
            original: None,
            answers: Vec::new(),
            queries: Vec::new(),
            responses: Vec::new(),
            same_state: None,
        }
    }

    /// A suite for a machine that keeps its state on disk. `place` makes a blank place for one, and gives back what opens
    /// the machine there; that is called again when the one before was dropped.
    ///
    /// ```
    /// # use std::io::Read;
    /// # use quorate::{Held, LogPosition, MachineError, SnapshotError, SnapshotWriter, StateMachine};
    /// # use std::path::Path;
    /// # struct OnDisk(std::path::PathBuf, Vec<u8>, Option<Held>);
    /// # impl OnDisk {
    /// #     fn open(dir: &Path) -> Self {
    /// #         let held = std::fs::read(dir.join("it")).unwrap_or(vec![0; 24]);
    /// #         let word = |at: usize| u64::from_le_bytes(held[at..at + 8].try_into().unwrap());
    /// #         use quorate::types::{LogIndex, Term};
    /// #         let position = LogPosition::new(Term(word(8)), LogIndex(word(16)));
    /// #         let sidecar = held[24..].to_vec();
    /// #         OnDisk(dir.join("it"), held[..8].to_vec(), Some(Held { position, sidecar }))
    /// #     }
    /// # }
    /// # impl StateMachine for OnDisk {
    /// #     type Command = u64;
    /// #     type Query = ();
    /// #     type Response = u64;
    /// #     fn apply(&mut self, _: LogPosition, add: u64) -> u64 {
    /// #         let total = self.query(()) + add;
    /// #         self.1 = total.to_le_bytes().to_vec();
    /// #         total
    /// #     }
    /// #     fn query(&self, (): ()) -> u64 { u64::from_le_bytes(self.1[..].try_into().unwrap()) }
    /// #     fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
    /// #         let total = self.1.clone();
    /// #         Ok(Box::new(move |out| out.write_all(&total)))
    /// #     }
    /// #     fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
    /// #         let mut total = [0; 8];
    /// #         snapshot.read_exact(&mut total)?;
    /// #         self.1 = total.to_vec();
    /// #         Ok(())
    /// #     }
    /// #     fn applied(&self) -> Option<Held> { self.2.clone() }
    /// #     fn end_batch(&mut self, through: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
    /// #         let words = [through.term.0, through.index.0].map(u64::to_le_bytes).concat();
    /// #         std::fs::write(self.0.with_extension("new"), [&self.1, &words[..], sidecar].concat())?;
    /// #         Ok(std::fs::rename(self.0.with_extension("new"), &self.0)?)
    /// #     }
    /// # }
    /// use quorate::testing::machine::Suite;
    ///
    /// let on_disk = || {
    ///     let dir = tempfile::tempdir().unwrap();
    ///     move || OnDisk::open(dir.path())
    /// };
    /// Suite::on_disk(on_disk).commands(1..50).queries([()]).check();
    /// ```
    pub fn on_disk<O: FnMut() -> S + 'static>(place: impl Fn() -> O + 'static) -> Self {
        let place = Rc::new(place);
        let (blank, kept) = (Rc::clone(&place), RefCell::default());
        let mut suite = Self::new(move || {
            // What opens a machine may also be what keeps its directory: it stays as long as the suite.
            let kept: &RefCell<Vec<O>> = &kept;
            let mut open = blank();
            let machine = open();
            kept.borrow_mut().push(open);
            machine
        });
        suite.place = Some(Box::new(move || Box::new(place())));
        suite
    }

    /// What is applied, in this order. One machine applies the commands at once, as they are; all others after their byte
    /// forms.
    pub fn commands(mut self, commands: impl IntoIterator<Item = S::Command>) -> Self {
        for command in commands {
            self.commands.push(encoded(&command));
            let at = replica::position(self.commands.len());
            let original = self.original.get_or_insert_with(&self.make);
            self.answers.push(encoded(&original.apply(at, command)));
            original.end_batch(at, &[]).unwrap_or_else(|error| panic!("a batch does not end: {error}"));
        }
        self
    }

    /// What is asked of it.
    pub fn queries(mut self, queries: impl IntoIterator<Item = S::Query>) -> Self {
        self.queries.extend(queries.into_iter().map(|query| encoded(&query)));
        self
    }

    /// More answers whose byte form is tried, besides those that the commands and queries get.
    pub fn responses(mut self, responses: impl IntoIterator<Item = S::Response>) -> Self {
        self.responses.extend(responses.into_iter().map(|response| encoded(&response)));
        self
    }

    /// When two states are the same, besides giving the same answers; by default, when they have the same snapshots.
    pub fn same_state(mut self, same: impl Fn(&S, &S) -> bool + 'static) -> Self {
        self.same_state = Some(Box::new(same));
        self
    }

    /// Holds the machine against every clause of its contract.
    ///
    /// # Panics
    /// If a clause is broken: with all that are, and what was seen instead. And if there are fewer than two commands, with
    /// which nothing could be shown.
    pub fn check(&self) {
        clause::insist(self.verify());
    }

    /// As [`Suite::check`], with the verdict as a value.
    pub fn verify(&self) -> Result<(), Broken> {
        assert!(self.commands.len() >= 2, "a suite without commands shows nothing: give it at least two");
        let clauses = steady::clauses().into_iter().chain(snapshots::clauses()).chain(codec::clauses());
        let of_disks = if self.place.is_some() { disk::clauses() } else { disk::clauses_of_memory() };
        let clauses = clauses.chain(of_disks).map(|(says, scene)| (says, move || scene(self)));
        clause::verify("state machine", clauses)
    }

    /// A replica that has applied the first `count` commands.
    fn replica(&self, count: usize) -> Replica<'_, S> {
        let mut replica = Replica::new(self, (self.make)());
        replica.apply_through(count);
        replica
    }

    fn all(&self) -> usize {
        self.commands.len()
    }
}

impl<S: StateMachine> fmt::Debug for Suite<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (commands, queries) = (self.commands.len(), self.queries.len());
        write!(f, "a suite of {commands} commands and {queries} queries")
    }
}

fn encoded(value: &impl Codec) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}
