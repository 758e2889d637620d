//! What a log must hold after each thing that is done to it, in plain memory; and what it does hold.

use super::*;

/// What a group must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) hard_state: HardState,
    pub(super) starts_after: LogPosition,
    pub(super) entries: Vec<Entry>,
    /// The last entries that its snapshots cover.
    pub(super) snapshots: BTreeSet<LogIndex>,
}

/// What the whole log must hold; `None` while it is blank.
pub(super) type Model = Option<BTreeMap<GroupId, Group>>;

impl Group {
    pub(super) fn last(&self) -> u64 {
        self.starts_after.index.0 + self.entries.len() as u64
    }

    pub(super) fn append(&mut self, entry: &Entry) {
        let kept = entry.position.index.prev().distance_from(self.starts_after.index);
        self.entries.truncate(kept as usize);
        self.entries.push(entry.clone());
    }

    pub(super) fn release(&mut self, through: LogPosition) {
        let released = through.index.distance_from(self.starts_after.index) as usize;
        if released > 0 {
            self.entries.drain(..released.min(self.entries.len()));
            self.starts_after = through;
        }
    }

    pub(super) fn restart(&mut self, position: LogPosition) {
        self.entries.clear();
        self.starts_after = position;
    }

    /// The snapshots that pruning removes.
    pub(super) fn pruned(&self, log_starts_after: LogIndex) -> Vec<LogIndex> {
        let newest = self.snapshots.last();
        let is_unneeded = |index: &&LogIndex| **index < log_starts_after && Some(*index) != newest;
        self.snapshots.iter().filter(is_unneeded).copied().collect()
    }
}

/// One thing that is done to a log.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Found,
    Write(Vec<GroupWrite>),
    Settle,
    Release(GroupId, LogPosition),
    Upkeep,
    Snapshot(GroupId, LogIndex),
    /// Receives that many bytes, and finishes if they are all.
    Receive(GroupId, &'static Offer, usize),
    Prune(GroupId, LogIndex),
}

impl Step {
    pub(super) fn run(&self, log: &mut DiskLog, upkeep: &mut dyn Upkeep) -> Result<(), StorageError> {
        match self {
            Self::Found => log.found(identity(), &GROUPS.map(|group| (group, Some(founding_entry())))),
            Self::Write(writes) => log.write(writes),
            Self::Settle => log.settle(),
            Self::Release(group, through) => log.release(*group, *through, &membership()),
            Self::Upkeep => {
                while upkeep.turn()? {}
                Ok(())
            }
            Self::Snapshot(group, index) => write_snapshot(&mut *log.snapshots(), *group, *index).map(|_| ()),
            Self::Receive(group, offer, bytes) => offer.receive(&mut *log.snapshots(), *group, *bytes),
            Self::Prune(group, index) => log.snapshots().prune(*group, *index),
        }
    }

    /// The states that a crash in this step may leave, after `before`; the last is the one when it succeeds.
    pub(super) fn outcomes(&self, before: &Model) -> Vec<Model> {
        let mut outcomes = vec![before.clone()];
        self.apply(&mut before.clone(), &mut |now| outcomes.push(now.clone()));
        outcomes
    }

    /// What the step does to `model`, telling `seen` of every state on the way.
    pub(super) fn apply(&self, model: &mut Model, seen: &mut dyn FnMut(&Model)) {
        match self {
            Self::Found => {
                let group = Group { entries: vec![founding_entry()], ..Group::default() };
                *model = Some(GROUPS.map(|id| (id, group.clone())).into());
                seen(model);
            }
            Self::Write(writes) => {
                for write in writes {
                    if let Some(state) = write.hard_state {
                        group_of(model, write.group).hard_state = state;
                        seen(model);
                    }
                    if let Some((position, _)) = &write.restart {
                        group_of(model, write.group).restart(*position);
                        seen(model);
                    }
                    for entry in write.entries.iter().flat_map(EntryRun::entries) {
                        group_of(model, write.group).append(entry);
                        seen(model);
                    }
                }
            }
            Self::Release(group, through) => {
                group_of(model, *group).release(*through);
                seen(model);
            }
            Self::Snapshot(group, index) => {
                group_of(model, *group).snapshots.insert(*index);
                seen(model);
            }
            Self::Receive(group, offer, bytes) => {
                if *bytes == offer.file.len() {
                    group_of(model, *group).snapshots.insert(offer.meta.position.index);
                    seen(model);
                }
            }
            Self::Prune(group, index) => {
                // Names are made durable together, in the end: until then any of them may be back.
                let pruned = group_of(model, *group).pruned(*index);
                let before = group_of(model, *group).snapshots.clone();
                for subset in 0..1_u32 << pruned.len() {
                    let gone = pruned.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1);
                    let gone: BTreeSet<_> = gone.map(|(_, index)| *index).collect();
                    group_of(model, *group).snapshots = before.difference(&gone).copied().collect();
                    seen(model);
                }
            }
            Self::Settle | Self::Upkeep => {}
        }
    }
}

/// What the snapshot through `index` holds: more than a block, or a few bytes.
pub(super) fn snapshot_content(index: LogIndex) -> Vec<u8> {
    let bytes: u64 = if index.0.is_multiple_of(5) { 263_000 } else { 10 };
    (0..bytes).map(|at| (at / 7 + index.0) as u8).collect()
}

pub(super) fn write_snapshot(
    store: &mut dyn SnapshotStore,
    group: GroupId,
    index: LogIndex,
) -> Result<SnapshotMeta, StorageError> {
    let mut sink = store.create(group, LogPosition::new(Term(1), index), &membership())?;
    sink.write_all(&snapshot_content(index)).map_err(StorageError::io("write", Path::new("a snapshot")))?;
    sink.finish()
}

/// A snapshot that another node offers.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) meta: SnapshotMeta,
    pub(super) file: Vec<u8>,
}

impl Offer {
    pub(super) fn new(group: GroupId, index: u64) -> Self {
        let mut leader = MemoryLog::new();
        leader.found(identity(), &[]).expect("found");
        let mut store = leader.snapshots();
        let meta = write_snapshot(&mut *store, group, LogIndex(index)).expect("write");
        let piece = store.piece(group, meta.id, 0, u32::MAX).expect("read").expect("it is held");
        assert_eq!(piece.len() as u64, meta.bytes);
        Self { meta, file: piece.to_vec() }
    }

    /// Those of a group; each the same in every life, so that it can be resumed.
    pub(super) fn of(group: GroupId) -> &'static [Self] {
        static OFFERS: OnceLock<[Vec<Offer>; 2]> = OnceLock::new();
        let offers =
            OFFERS.get_or_init(|| GROUPS.map(|group| [60, 61].map(|at| Self::new(group, at)).into()));
        &offers[usize::from(group != GROUPS[0])]
    }

    pub(super) fn receive(
        &self,
        store: &mut dyn SnapshotStore,
        group: GroupId,
        bytes: usize,
    ) -> Result<(), StorageError> {
        let mut intake = store.receive(group, &self.meta)?;
        let from = intake.offset() as usize;
        for chunk in self.file[from..bytes.max(from)].chunks(100_000) {
            intake.write(chunk)?;
        }
        if bytes == self.file.len() { intake.finish().map(|_| ()) } else { Ok(()) }
    }
}

pub(super) fn group_of(model: &mut Model, group: GroupId) -> &mut Group {
    model.as_mut().expect("founded").get_mut(&group).expect("a group of the founding")
}

/// What the log holds now, as it says on opening and as its reader reads it.
pub(super) fn state_of(log: &mut DiskLog) -> Model {
    log.identity()?;
    let mut reader = log.reader();
    let mut store = log.snapshots();
    let recovered = log.recovered().into_iter();
    Some(
        recovered
            .map(|(id, found)| {
                let (first, last) = (found.starts_after.index.next(), found.entries.last());
                let entries = last.map_or(Vec::new(), |last| {
                    reader.read(id, first, last.position.index, u64::MAX).expect("what was recovered is read")
                });
                let metas: Vec<_> = entries.iter().map(Entry::meta).collect();
                assert_eq!(metas, found.entries, "the reader and the recovery disagree");
                let (hard_state, starts_after) = (found.hard_state, found.starts_after);
                (id, Group { hard_state, starts_after, entries, snapshots: snapshots_of(&mut *store, id) })
            })
            .collect(),
    )
}

/// A state without its contents, for people.
pub(super) fn summary(state: &Model) -> Vec<(GroupId, HardState, LogPosition, u64, Vec<u64>)> {
    let of = |(id, group): (&GroupId, &Group)| {
        let snapshots = group.snapshots.iter().map(|index| index.0).collect();
        (*id, group.hard_state, group.starts_after, group.last(), snapshots)
    };
    state.iter().flatten().map(of).collect()
}

/// The snapshots of a group, each of them read to its end.
pub(super) fn snapshots_of(store: &mut dyn SnapshotStore, group: GroupId) -> BTreeSet<LogIndex> {
    let listed = store.list(group).expect("list");
    let read = |meta: SnapshotMeta| {
        let mut content = Vec::new();
        store.open(group, meta.id).expect("it is listed").read_to_end(&mut content).expect("it is whole");
        assert!(content == snapshot_content(meta.position.index), "a snapshot of another state");
        meta.position.index
    };
    listed.into_iter().map(read).collect()
}
