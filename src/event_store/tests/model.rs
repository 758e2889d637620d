//! The store as plain maps and lists, and commands at random: whatever is done to the machine, and however often it is
//! opened again, it answers as the model does.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::subject::{Subject, again, at_millis, id};
use crate::event_store::command::Kind;
use crate::event_store::limits::SEQUENCE_MAX;
use crate::event_store::{
    Aggregate, AggregateId, Append, Appended, Archived, Command, Conflict, Event, Events, Filter, Gap, Index,
    NewEvent, Position, Recorded, Refused, Removal, Response, Snapshot, Timestamp, View, WithStatus,
};

/// What the store is, without any of the ways to find it fast.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    aggregates: BTreeMap<AggregateId, Life>,
    archive: BTreeMap<u64, (AggregateId, Life)>,
    /// Every event that ever was, and why it is gone.
    log: BTreeMap<Position, (AggregateId, u64, Option<Removal>)>,
}

#[derive(Clone, Debug, Default)]
struct Life {
    is: Aggregate,
    snapshot: Bytes,
    events: BTreeMap<u64, (Position, Event)>,
}

impl Life {
    fn events(&self, from: u64) -> Vec<Event> {
        self.events.range(from..).map(|(_, (_, event))| event.clone()).collect()
    }
}

impl Model {
    pub(super) fn apply(&mut self, index: u64, command: &Command) -> Response {
        match &command.0 {
            Kind::Append(changes) => {
                for change in changes {
                    let life = self.aggregates.get(&change.id).cloned().unwrap_or_default();
                    if life.is.sequence != change.expected {
                        return Response::Conflict(conflict(&change.id, change.expected, &life));
                    }
                    if life.is.sequence > SEQUENCE_MAX - u64::from(change.events.count()) {
                        return Response::Refused(Refused::NoSequenceLeft);
                    }
                }
                let (mut position, mut next) = (Position { index, offset: 0 }, Vec::new());
                for change in changes {
                    let is_known = self.aggregates.contains_key(&change.id);
                    if change.is_guard() || !is_known && change.events.count() == 0 && clears(&change.index) {
                        next.push(change.expected);
                        continue;
                    }
                    let life = self.aggregates.entry(change.id.clone()).or_default();
                    for event in change.events.events(&change.id, change.expected) {
                        self.log.insert(position, (change.id.clone(), event.sequence, None));
                        life.events.insert(event.sequence, (position, event));
                        life.is.sequence += 1;
                        position = position.next();
                    }
                    next.push(life.is.sequence);
                    set_index(&mut life.is, &change.index, change.at);
                }
                Response::Appended(Appended { position: Position { index, offset: 0 }, next })
            }
            Kind::Snapshot { id, sequence, trims, data } => {
                let life = self.aggregates.entry(id.clone()).or_default();
                if *sequence < life.is.snapshot_sequence {
                    return Response::Saved { is_newest: false };
                }
                let until = life.is.sequence.min(*sequence);
                life.snapshot = data.clone();
                life.is.snapshot_sequence = *sequence;
                life.is.sequence = life.is.sequence.max(*sequence);
                if *trims {
                    life.is.base_sequence = life.is.base_sequence.max(until);
                    let kept = life.events.split_off(&until);
                    for (position, _) in std::mem::replace(&mut life.events, kept).into_values() {
                        self.log.get_mut(&position).unwrap().2 = Some(Removal::Trim);
                    }
                }
                Response::Saved { is_newest: true }
            }
            Kind::Archive(id) => {
                let Some(life) = self.aggregates.remove(id) else {
                    return Response::ArchiveDone { index: None };
                };
                let theirs = self.log.values_mut().filter(|(of, ..)| of == id);
                theirs.for_each(|(_, _, removed)| *removed = Some(Removal::Archive));
                self.archive.insert(index, (id.clone(), life));
                Response::ArchiveDone { index: Some(index) }
            }
            Kind::Consumed { index } => {
                Response::Consumed { was_there: self.archive.remove(index).is_some() }
            }
        }
    }

    /// What a subscriber is given who wants everything: at the last event of an aggregate that was trimmed, or archived,
    /// there is a gap.
    fn recorded(&self) -> Vec<Recorded> {
        let mut gaps = BTreeMap::new();
        for (position, (id, _, removed)) in &self.log {
            if let Some(removed) = removed {
                gaps.insert((id, *removed == Removal::Trim), *position);
            }
        }
        let mut recorded: Vec<_> = gaps
            .into_iter()
            .map(|((id, is_trimmed), position)| {
                let first_available = if is_trimmed { self.aggregates[id].is.base_sequence } else { 0 };
                let removed_by = if is_trimmed { Removal::Trim } else { Removal::Archive };
                Recorded::Gap(Gap { position, aggregate: id.clone(), first_available, removed_by })
            })
            .collect();
        let events = self.aggregates.values().flat_map(|life| life.events.values());
        let events =
            events.map(|(position, event)| Recorded::Event { position: *position, event: event.clone() });
        recorded.extend(events);
        recorded.sort_by_key(Recorded::position);
        recorded
    }

    /// Everything that can be asked of `view` is answered as it should be.
    pub(super) fn require_same(&self, view: &View) {
        let all = usize::MAX;
        for id in ids() {
            let life = self.aggregates.get(&id);
            assert_eq!(view.aggregate(&id).unwrap(), life.map(|life| life.is.clone()), "{id}");
            let life = life.cloned().unwrap_or_default();
            let snapshot = Snapshot {
                data: life.snapshot.clone(),
                sequence: life.is.snapshot_sequence,
                events: whole(life.is.snapshot_sequence.max(life.is.base_sequence), &life),
            };
            assert_eq!(view.snapshot(&id, all).unwrap(), snapshot, "{id}");
            for from in [0, 1, 2, 3, 5, 9, life.is.sequence] {
                let start = from.max(life.is.base_sequence);
                assert_eq!(view.events(&id, from, all).unwrap(), whole(start, &life), "{id} from {from}");
                let conflict = (from != life.is.sequence).then(|| conflict(&id, from, &life));
                assert_eq!(view.check(&id, from).unwrap().err(), conflict, "{id} expected at {from}");
            }
            let theirs: Vec<_> =
                self.aggregates.keys().filter(|other| other.has_prefix(&id)).cloned().collect();
            assert_eq!(view.aggregates(&id, None, all).unwrap().items, theirs);
        }
        let every: Vec<_> = self.aggregates.keys().cloned().collect();
        assert_eq!(view.aggregates(&AggregateId::ALL, None, all).unwrap().items, every);
        self.require_same_indexes(view);
        self.require_same_records(view);
    }

    fn require_same_indexes(&self, view: &View) {
        let all = usize::MAX;
        for text in TEXTS {
            let mut with_status: Vec<_> = self
                .aggregates
                .iter()
                .filter_map(|(id, life)| {
                    let (status, since) = life.is.status.as_ref()?;
                    (status == text).then(|| WithStatus { since: *since, aggregate: id.clone() })
                })
                .collect();
            with_status.sort();
            assert_eq!(view.with_status(text, None, all).unwrap().items, with_status, "status {text}");
            let mut values: Vec<_> =
                self.aggregates.values().filter_map(|life| life.is.labels.get(text)).cloned().collect();
            values.sort();
            values.dedup();
            assert_eq!(view.label_values(text, None, all).unwrap().items, values, "label {text}");
            for value in TEXTS {
                let with_label: Vec<_> = self
                    .aggregates
                    .iter()
                    .filter(|(_, life)| life.is.labels.get(text).is_some_and(|has| has == value))
                    .map(|(id, _)| id.clone())
                    .collect();
                assert_eq!(view.with_label(text, value, None, all).unwrap().items, with_label);
            }
        }
    }

    fn require_same_records(&self, view: &View) {
        let mut index = 0;
        for (record, (id, life)) in &self.archive {
            let archived = Archived {
                index: *record,
                aggregate: id.clone(),
                snapshot: life.snapshot.clone(),
                snapshot_sequence: life.is.snapshot_sequence,
                events: whole(life.is.base_sequence, life),
            };
            assert_eq!(view.oldest_archive(index, usize::MAX).unwrap(), Some(archived));
            index = *record;
        }
        assert_eq!(view.oldest_archive(index, usize::MAX).unwrap(), None);

        let recorded = self.recorded();
        let page = view.recorded(Position::START, &Filter::all(), usize::MAX).unwrap();
        assert_eq!((page.items, page.is_end), (recorded.clone(), true));
        for from in recorded.iter().map(|item| item.position().next()).step_by(3) {
            let rest: Vec<_> = recorded.iter().filter(|item| item.position() >= from).cloned().collect();
            assert_eq!(view.recorded(from, &Filter::all(), usize::MAX).unwrap().items, rest, "from {from}");
        }
    }
}

/// Whether it leaves a new aggregate as blank as it is.
fn clears(index: &Index) -> bool {
    let mut is = Aggregate::default();
    set_index(&mut is, index, Timestamp::default());
    is == Aggregate::default()
}

fn set_index(is: &mut Aggregate, index: &Index, at: Timestamp) {
    match index.status.as_deref() {
        None => {}
        Some("") => is.status = None,
        Some(status) => {
            is.status = Some((status.to_owned(), Timestamp::from_millis(at.to_millis())));
        }
    }
    for (name, value) in &index.labels {
        if value.is_empty() {
            is.labels.remove(name);
        } else {
            is.labels.insert(name.clone(), value.clone());
        }
    }
}

fn conflict(id: &AggregateId, expected: u64, life: &Life) -> Conflict {
    let actual = life.is.sequence;
    let events = if expected < actual { life.events(expected) } else { Vec::new() };
    let first_sequence = events.first().map_or(actual, |event| event.sequence);
    Conflict { aggregate: id.clone(), expected, actual, first_sequence, events }
}

fn whole(start_sequence: u64, life: &Life) -> Events {
    Events { start_sequence, events: life.events(start_sequence), more_from: None }
}

/// Few, and such that one begins like another.
fn ids() -> [AggregateId; 4] {
    [id(["a"]), id(["a", "b"]), id(["a", "b", ""]), id(["b"])]
}

const TEXTS: [&str; 4] = ["x", "x\0", "y", "z"];

/// What happens to the machine.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A command in the batch that is open. An append's expectation is meant from where the aggregate is.
    Append(Vec<(usize, i8, usize, Index)>),
    Snapshot {
        id: usize,
        behind: i8,
        trims: bool,
    },
    Archive(usize),
    /// The record that is the nth oldest, or none.
    Consume(usize),
    EndBatch,
    /// The process ends in the middle of whatever batch is open.
    Reopen,
    /// Another machine takes over from a snapshot.
    Restore,
}

pub(super) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let text = || prop::sample::select(&TEXTS[..]).prop_map(str::to_owned);
    let maybe_empty = || prop_oneof![3 => text(), 1 => Just(String::new())];
    let labels = prop::collection::btree_map(text(), maybe_empty(), 0..3);
    let index =
        (prop::option::of(maybe_empty()), labels).prop_map(|(status, labels)| Index { status, labels });
    let expected = prop_oneof![8 => Just(0_i8), 1 => -2_i8..=2];
    let append = prop::collection::btree_map(0..4_usize, (expected, 0..4_usize, index), 1..3);
    let append = append.prop_map(|appends| {
        Step::Append(appends.into_iter().map(|(id, (off, count, index))| (id, off, count, index)).collect())
    });
    let behind = prop_oneof![3 => 0_i8..=3, 1 => -2_i8..0];
    let snapshot = (0..4_usize, behind, any::<bool>());
    let step = prop_oneof![
        10 => append,
        3 => snapshot.prop_map(|(id, behind, trims)| Step::Snapshot { id, behind, trims }),
        1 => (0..4_usize).prop_map(Step::Archive),
        1 => (0..3_usize).prop_map(Step::Consume),
        6 => Just(Step::EndBatch),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..count)
}

impl Step {
    /// The command it means, where the model is now.
    pub(super) fn command(&self, model: &Model, index: u64) -> Option<Command> {
        let sequence = |nth: usize| model.aggregates.get(&ids()[nth]).map_or(0, |life| life.is.sequence);
        let command = match self {
            Self::Append(appends) => {
                let appends = appends.iter().map(|(nth, off, count, index_says)| {
                    let expected = sequence(*nth).saturating_add_signed(i64::from(*off));
                    let events = (0..*count).map(|event| {
                        let event = NewEvent::new(TEXTS[event], format!("{index} {event}"));
                        event.at(at_millis((index * 3 % 17).cast_signed()))
                    });
                    Append::to(&ids()[*nth], expected).events(events).index(index_says.clone())
                });
                Command::append_all(appends, at_millis(-index.cast_signed()))
            }
            Self::Snapshot { id, behind, trims } => {
                let sequence = sequence(*id).saturating_add_signed(-i64::from(*behind));
                Command::save_snapshot(&ids()[*id], format!("snapshot {index}"), sequence, *trims)
            }
            Self::Archive(id) => Command::archive(&ids()[*id]),
            Self::Consume(nth) => {
                Ok(Command::consumed(model.archive.keys().nth(*nth).copied().unwrap_or(index)))
            }
            Self::EndBatch | Self::Reopen | Self::Restore => return None,
        };
        Some(command.unwrap())
    }
}

/// The model as the last batch left it, and as it is.
fn play(steps: Vec<Step>) {
    let (mut subject, mut model, mut ended) = (Subject::new(), Model::default(), Model::default());
    let mut pictures = Vec::new();
    for step in steps {
        if matches!(step, Step::Reopen | Step::Restore) {
            require_unchanged(&mut pictures);
        }
        match &step {
            Step::EndBatch => {
                subject.end_batch();
                ended = model.clone();
            }
            Step::Reopen => {
                subject.lose_batch();
                model = ended.clone();
            }
            Step::Restore => {
                subject.end_batch();
                ended = model.clone();
                subject.move_into_another();
            }
            change => {
                let command = change.command(&model, subject.index() + 1).unwrap();
                let response = subject.apply_unended(&command);
                assert_eq!(response, again(&model.apply(subject.index(), &command)), "{command:?}");
                continue;
            }
        }
        model.require_same(&subject.view());
        pictures.push((subject.view(), model.clone()));
    }
    subject.end_batch();
    model.require_same(&subject.view());
    require_unchanged(&mut pictures);
}

/// Pictures show what they showed when they were taken, whatever was done since.
fn require_unchanged(pictures: &mut Vec<(View, Model)>) {
    for (view, model) in pictures.drain(..) {
        model.require_same(&view);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_the_store_it_answers_as_the_model_does(steps in steps(60)) {
        play(steps);
    }
}
