//! A storage of your own, tested and used: `cargo run --features testing --example own_storage`.
//!
//! The log is one file to which records are appended, each with its length and a checksum, and synced before they count. What
//! is in it is also in memory, in a [`MemoryLog`]: that is what readers read. Snapshots are files beside it. It never
//! gets shorter: a log for a database of yours would keep its records there, and delete what is released.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore,
    Storage, StorageError, Upkeep,
};
use quorate::testing;
use quorate::transport::MemoryNetwork;
use quorate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, SnapshotId, SnapshotMeta, Term,
};
use quorate::{
    Codec, Config, DecodeError, MachineError, Node, Parts, SnapshotError, SnapshotWriter, StateMachine,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In a crate of yours this is a #[test].
    testing::storage::check(|| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        move || Journal::open(dir.path())
    });
    println!("the storage keeps its contract");

    let data = tempfile::tempdir()?;
    for run in 1..=2 {
        let nodes = start(data.path())?;
        println!("run {run}: node {} leads", nodes[0].wait_for_leader(Duration::from_secs(10))?);
        for node in &nodes {
            println!("run {run}: one more makes {}", node.propose(1)?);
        }
        nodes[0].snapshot_now()?;
    }
    for id in 1..=3 {
        let bytes = fs::metadata(data.path().join(id.to_string()).join("journal"))?.len();
        println!("the journal of node {id} is {bytes} bytes long");
    }
    Ok(())
}

/// Three nodes on their journals, in one process.
fn start(data: &Path) -> Result<Vec<Node<Counter>>, Box<dyn std::error::Error>> {
    let (network, founders) = (MemoryNetwork::new(), [(1, "one:1"), (2, "two:1"), (3, "three:1")]);
    let mut nodes = Vec::new();
    for (id, address) in founders {
        let dir = data.join(id.to_string());
        fs::create_dir_all(&dir)?;
        let transport = network.transport(NodeId::new(id).expect("not zero"));
        let parts = Parts::new(Box::new(Journal::open(&dir)?), Box::new(transport));
        nodes.push(Node::start_with(Config::new(id, dir, address).bootstrap(founders), Counter(0), parts)?);
    }
    Ok(nodes)
}

/// A log in one file that only grows.
struct Journal {
    dir: PathBuf,
    file: File,
    /// Everything that is durable in the file.
    memory: MemoryLog,
    has_failed: bool,
    is_settled: bool,
}

// What a record is, by its first byte.
const FOUNDED: u8 = 1;
const WRITTEN: u8 = 2;
const RELEASED: u8 = 3;
const SETTLED: u8 = 4;

impl Journal {
    fn open(dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join("journal");
        let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
        let mut file = file.map_err(failed("open", &path))?;
        file.try_lock().map_err(|_| StorageError::Locked { path: path.clone() })?;
        sync_dir(dir)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read", &path))?;

        let disk = MemoryDisk::new();
        let mut memory = MemoryLog::open(&disk)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let offset = (bytes.len() - rest.len()) as u64;
            match next_record(rest) {
                Some((record, behind)) => {
                    let bad = |reason: DecodeError| corrupt(&path, offset, reason.reason);
                    replay(&mut memory, &mut Fields(record)).map_err(bad)??;
                    rest = behind;
                }
                // Only the last record can have been under way when power failed: with others behind it, it was durable.
                None if is_torn(rest) => {
                    file.set_len(offset).and_then(|()| file.sync_data()).map_err(failed("cut", &path))?;
                    break;
                }
                None => return Err(corrupt(&path, offset, "a record was damaged".to_owned())),
            }
        }
        drop(memory);
        // Opened again, it has recovered what was replayed.
        let memory = MemoryLog::open(&disk)?;
        Ok(Self { dir: dir.to_owned(), file, memory, has_failed: false, is_settled: false })
    }

    /// Appends a record and makes it durable. After a failure nobody knows what the file holds: it is not used again.
    fn append(&mut self, record: &[u8]) -> Result<(), StorageError> {
        if self.has_failed {
            return Err(StorageError::Poisoned);
        }
        let length = (record.len() as u32).to_le_bytes();
        let framed = [&length, &crc32c::crc32c(record).to_le_bytes()[..], record].concat();
        let appended = self.file.write_all(&framed).and_then(|()| self.file.sync_data());
        self.has_failed = appended.is_err();
        self.is_settled = record == [SETTLED];
        appended.map_err(failed("append to", &self.dir.join("journal")))
    }
}

impl Storage for Journal {
    fn identity(&self) -> Option<Identity> {
        self.memory.identity()
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        assert!(self.identity().is_none(), "the log is founded already");
        let mut record = vec![FOUNDED, u8::from(identity.joined)];
        put(&mut record, &[identity.node.get(), identity.cluster.0, identity.incarnation.0]);
        for (group, entry) in groups {
            put(&mut record, &[group.0, u64::from(entry.is_some())]);
            if let Some(entry) = entry {
                put_entry(&mut record, entry);
            }
        }
        self.append(&record)?;
        self.memory.found(identity, groups)
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        self.memory.recovered()
    }

    /// One record for all of it: after a crash it is there as a whole, or not at all.
    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let mut record = vec![WRITTEN];
        for GroupWrite { group, hard_state, restart, entries } in writes {
            let entries: Vec<_> = entries.iter().flat_map(EntryRun::entries).collect();
            let has = u64::from(hard_state.is_some()) | u64::from(restart.is_some()) << 1;
            put(&mut record, &[group.0, has, entries.len() as u64]);
            if let Some(HardState { term, voted_for }) = hard_state {
                put(&mut record, &[term.0, voted_for.map_or(0, NodeId::get)]);
            }
            if let Some((position, membership)) = restart {
                put_position(&mut record, *position);
                put_bytes(&mut record, &**membership);
            }
            for entry in entries {
                put_entry(&mut record, entry);
            }
        }
        self.append(&record)?;
        self.memory.write(writes)
    }

    /// Behind this record the one before it cannot be mistaken for a torn one.
    fn settle(&mut self) -> Result<(), StorageError> {
        if self.is_settled { Ok(()) } else { self.append(&[SETTLED]) }
    }

    fn entry_bytes_max(&self) -> u32 {
        MemoryLog::ENTRY_BYTES_MAX
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        let mut record = vec![RELEASED];
        put(&mut record, &[group.0]);
        put_position(&mut record, through);
        put_bytes(&mut record, &**membership);
        self.append(&record)?;
        self.memory.release(group, through, membership)
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.memory.reader()
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        Box::new(Snapshots { dir: self.dir.clone(), giving: None })
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        None
    }
}

/// The first record and what follows it, if it is whole.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let (length, checksum) = (u32::decode(&head[..4]).ok()?, u32::decode(&head[4..]).ok()?);
    let (record, rest) = rest.split_at_checked(length as usize)?;
    (crc32c::crc32c(record) == checksum).then_some((record, rest))
}

/// Whether a record that is not whole reaches to the end of the file, or what is there of it was never written.
fn is_torn(bytes: &[u8]) -> bool {
    let length = bytes.get(..4).and_then(|length| u32::decode(length).ok());
    length.is_none_or(|length| bytes.len() - 4 <= length as usize + 4) || bytes.iter().all(|byte| *byte == 0)
}

/// Does again what a record says; the outer error says that it says nothing.
fn replay(log: &mut MemoryLog, record: &mut Fields<'_>) -> Result<Result<(), StorageError>, DecodeError> {
    let done = match record.byte()? {
        FOUNDED => {
            let joined = record.byte()? != 0;
            let (node, cluster) = (record.node()?, ClusterId(record.word()?));
            let node = node.ok_or_else(|| DecodeError::new("nobody founded it"))?;
            let identity = Identity { node, cluster, incarnation: Incarnation(record.word()?), joined };
            let mut groups = Vec::new();
            while !record.0.is_empty() {
                let (group, has_entry) = (GroupId(record.word()?), record.word()? != 0);
                groups.push((group, if has_entry { Some(record.entry()?) } else { None }));
            }
            log.found(identity, &groups)
        }
        WRITTEN => {
            let mut writes = Vec::new();
            while !record.0.is_empty() {
                let (group, has, count) = (GroupId(record.word()?), record.word()?, record.word()?);
                let hard_state = if has & 1 == 0 { None } else { Some(record.hard_state()?) };
                let restart =
                    if has & 2 == 0 { None } else { Some((record.position()?, Arc::new(record.value()?))) };
                // One run for each entry: they may replace each other.
                let entries = (0..count).filter_map(|_| record.entry().map(run).transpose());
                writes.push(GroupWrite {
                    group,
                    hard_state,
                    restart,
                    entries: entries.collect::<Result<_, _>>()?,
                });
            }
            log.write(&writes)
        }
        RELEASED => {
            let (group, through) = (GroupId(record.word()?), record.position()?);
            log.release(group, through, &Arc::new(record.value()?))
        }
        SETTLED => Ok(()),
        _ => return Err(DecodeError::new("no record begins so")),
    };
    Ok(done)
}

fn run(entry: Entry) -> Option<EntryRun> {
    EntryRun::new(Arc::new([entry]))
}

fn put(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        word.encode(out);
    }
}

fn put_position(out: &mut Vec<u8>, position: LogPosition) {
    put(out, &[position.term.0, position.index.0]);
}

fn put_bytes(out: &mut Vec<u8>, value: &impl Codec) {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    put(out, &[bytes.len() as u64]);
    out.extend(bytes);
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_position(out, entry.position);
    put_bytes(out, &entry.payload);
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: u64) -> Result<&'a [u8], DecodeError> {
        let split = usize::try_from(count).ok().and_then(|count| self.0.split_at_checked(count));
        let (bytes, rest) = split.ok_or_else(|| DecodeError::new("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        u8::decode(self.bytes(1)?)
    }

    fn word(&mut self) -> Result<u64, DecodeError> {
        u64::decode(self.bytes(8)?)
    }

    fn node(&mut self) -> Result<Option<NodeId>, DecodeError> {
        Ok(NodeId::new(self.word()?))
    }

    fn hard_state(&mut self) -> Result<HardState, DecodeError> {
        Ok(HardState { term: Term(self.word()?), voted_for: self.node()? })
    }

    fn position(&mut self) -> Result<LogPosition, DecodeError> {
        Ok(LogPosition::new(Term(self.word()?), LogIndex(self.word()?)))
    }

    fn value<T: Codec>(&mut self) -> Result<T, DecodeError> {
        let length = self.word()?;
        T::decode(self.bytes(length)?)
    }

    fn entry(&mut self) -> Result<Entry, DecodeError> {
        Ok(Entry { position: self.position()?, payload: self.value::<Payload>()? })
    }
}

/// The snapshots of a directory: each a file of its id, group and position, membership, content, and a checksum.
struct Snapshots {
    dir: PathBuf,
    /// The file that is being given away: it may be pruned meanwhile.
    giving: Option<(SnapshotMeta, Bytes)>,
}

/// A snapshot's file, once its checksum was found to hold.
struct Whole {
    group: GroupId,
    meta: SnapshotMeta,
    file: Bytes,
    content_at: usize,
}

impl Snapshots {
    fn path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(format!("{id}.snapshot"))
    }

    /// All that are whole, newest first. What is damaged is none.
    fn all(&self, group: GroupId) -> Result<Vec<Whole>, StorageError> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let path = file.map_err(failed("list", &self.dir))?.path();
            if path.extension().is_some_and(|extension| extension == "snapshot") {
                found.extend(fs::read(&path).ok().and_then(|file| whole(file.into()).ok()));
            }
        }
        found.retain(|whole| whole.group == group);
        found.sort_by_key(|whole| std::cmp::Reverse((whole.meta.position, whole.meta.id)));
        Ok(found)
    }

    fn load(&self, group: GroupId, id: SnapshotId) -> Result<Whole, StorageError> {
        let file = fs::read(self.path(id)).map_err(|_| StorageError::NoSuchSnapshot { id })?;
        let whole = whole(file.into()).map_err(|error| bad(&self.path(id), error.reason))?;
        if whole.group == group { Ok(whole) } else { Err(StorageError::NoSuchSnapshot { id }) }
    }
}

impl SnapshotStore for Snapshots {
    fn list(&mut self, group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        Ok(self.all(group)?.into_iter().map(|whole| whole.meta).collect())
    }

    fn create(
        &mut self,
        group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError> {
        let id = SnapshotId(RandomState::new().build_hasher().finish());
        let mut file = Vec::new();
        put(&mut file, &[id.0, group.0]);
        put_position(&mut file, position);
        put_bytes(&mut file, &**membership);
        Ok(Box::new(Sink { path: self.path(id), file }))
    }

    fn open(&mut self, group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError> {
        let Whole { file, content_at, .. } = self.load(group, id)?;
        Ok(Box::new(Source(Cursor::new(file.slice(content_at..file.len() - 4)))))
    }

    fn piece(
        &mut self,
        group: GroupId,
        id: SnapshotId,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        if self.giving.as_ref().is_none_or(|(meta, _)| meta.id != id) {
            match self.load(group, id) {
                Ok(whole) => self.giving = Some((whole.meta, whole.file)),
                Err(StorageError::NoSuchSnapshot { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &self.giving else { return Ok(None) };
        let from = offset.min(file.len() as u64) as usize;
        let piece = file.slice(from..file.len().min(from + bytes_max as usize));
        if from + piece.len() == file.len() {
            self.giving = None;
        }
        Ok(Some(piece))
    }

    fn receive(
        &mut self,
        group: GroupId,
        snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError> {
        let path = self.path(snapshot.id);
        Ok(Box::new(Intake { path, group, expected: snapshot.clone(), file: Vec::new() }))
    }

    fn prune(&mut self, group: GroupId, log_starts_after: LogIndex) -> Result<(), StorageError> {
        for old in
            self.all(group)?.into_iter().skip(1).filter(|old| old.meta.position.index < log_starts_after)
        {
            fs::remove_file(self.path(old.meta.id)).map_err(failed("remove", &self.path(old.meta.id)))?;
        }
        sync_dir(&self.dir)
    }
}

/// Holds the whole file until it is finished: for snapshots that fit into memory.
struct Sink {
    path: PathBuf,
    file: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for Sink {
    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        let checksum = crc32c::crc32c(&self.file).to_le_bytes();
        self.file.extend_from_slice(&checksum);
        publish(&self.path, &self.file)?;
        whole(self.file.into()).map(|whole| whole.meta).map_err(|error| bad(&self.path, error.reason))
    }
}

/// What was received and not finished is lost, and comes again.
struct Intake {
    path: PathBuf,
    group: GroupId,
    expected: SnapshotMeta,
    file: Vec<u8>,
}

impl SnapshotIntake for Intake {
    fn offset(&self) -> u64 {
        self.file.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.extend_from_slice(bytes);
        if self.offset() <= self.expected.bytes {
            Ok(())
        } else {
            Err(bad(&self.path, "it is too long".into()))
        }
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        let Self { path, group, expected, file } = *self;
        let received = whole(file.into()).map_err(|error| bad(&path, error.reason))?;
        if (received.group, &received.meta) != (group, &expected) {
            return Err(bad(&path, "it is another one".into()));
        }
        publish(&path, &received.file)?;
        Ok(received.meta)
    }
}

/// The content, of which everything was checked when it was opened.
struct Source(Cursor<Bytes>);

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl SnapshotSource for Source {
    fn error(&mut self) -> Option<StorageError> {
        None
    }
}

fn whole(file: Bytes) -> Result<Whole, DecodeError> {
    let (content, checksum) =
        file.split_last_chunk::<4>().ok_or_else(|| DecodeError::new("it is too short"))?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return Err(DecodeError::new("its checksum does not hold"));
    }
    let mut fields = Fields(content);
    let (id, group) = (SnapshotId(fields.word()?), GroupId(fields.word()?));
    let (position, membership) = (fields.position()?, Arc::new(fields.value()?));
    let (content_at, bytes) = (content.len() - fields.0.len(), file.len() as u64);
    Ok(Whole { group, meta: SnapshotMeta { id, position, membership, bytes }, file, content_at })
}

/// Whatever is called a snapshot is whole: it gets its name when it is durable.
fn publish(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished).map_err(failed("create", &unfinished))?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(failed("write", &unfinished))?;
    fs::rename(&unfinished, path).map_err(failed("rename", &unfinished))?;
    sync_dir(path.parent().unwrap_or(path))
}

fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::Io { operation, path: path.to_owned(), source }
}

fn corrupt(path: &Path, offset: u64, reason: String) -> StorageError {
    StorageError::Corrupt { segment: path.to_owned(), offset, index: LogIndex::ZERO, reason }
}

fn bad(path: &Path, reason: String) -> StorageError {
    StorageError::BadSnapshot { path: path.to_owned(), offset: 0, reason }
}

/// The state machine: one number.
struct Counter(i64);

impl StateMachine for Counter {
    type Command = i64;
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
