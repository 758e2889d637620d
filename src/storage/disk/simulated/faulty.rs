//! A disk on which chosen operations go wrong. Each is named before it is done, and a plan says what becomes of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::SimulatedDisk;
use super::losses::Cache;
use crate::storage::disk::files::{Access, DataFile, Files, Listed, Lock};
use crate::storage::disk::map::Map;

/// One thing that is asked of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) what: What,
    /// The file, by the name that it has at that moment.
    pub(crate) name: String,
    /// Where in it, if it is read or written.
    pub(crate) offset: u64,
    /// How much of it.
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    List,
    Create,
    Open,
    Read,
    Allocate,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

impl What {
    /// Whether the disk may be another one after it.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Read)
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Power fails, and it was not begun.
    PowerBefore,
    /// Power fails when it is done, and before anybody hears of it.
    PowerAfter,
    /// It is refused, and nothing was done.
    Refused(Errno),
    /// A write is refused when the first half of it was done.
    Half(Errno),
    /// A sync is refused, and its pages count as clean from now on.
    LostSync(Cache),
    /// A sync is answered, and did nothing: its pages and names count as durable and are not.
    Lie,
    /// A write is answered, and did nothing.
    Dropped,
    /// A write goes to another place of the file.
    Misdirected(u64),
}

/// What becomes of each operation; `None`: it is done.
pub(crate) type Plan = Box<dyn FnMut(&Operation, &SimulatedDisk) -> Option<Fault> + Send>;

/// The simulated disk under a plan. Clones are the same one.
#[derive(Clone)]
pub(crate) struct FaultyDisk {
    disk: SimulatedDisk,
    state: Arc<Mutex<State>>,
}

struct State {
    plan: Plan,
    /// What each file that was opened is called by now.
    names: BTreeMap<PathBuf, Name>,
}

type Name = Arc<Mutex<PathBuf>>;

impl FaultyDisk {
    pub(crate) fn new(
        disk: &SimulatedDisk,
        plan: impl FnMut(&Operation, &SimulatedDisk) -> Option<Fault> + Send + 'static,
    ) -> Self {
        let state = State { plan: Box::new(plan), names: BTreeMap::new() };
        Self { disk: disk.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn fault(&self, operation: &Operation) -> Option<Fault> {
        (self.state.lock().plan)(operation, &self.disk)
    }

    fn attempt<T>(&self, operation: &Operation, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.fault(operation) {
            None => act(),
            Some(fault) => self.fail(fault, operation, act),
        }
    }

    /// What may happen to any operation.
    fn fail<T>(
        &self,
        fault: Fault,
        operation: &Operation,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match fault {
            Fault::PowerBefore => {}
            Fault::PowerAfter => drop(act()),
            Fault::Refused(error) => return Err(error.into()),
            other => panic!("{other:?} cannot happen to {operation:?}"),
        }
        self.disk.cut_power();
        Err(io::Error::other("power failed"))
    }

    fn file(&self, path: &Path, inner: Arc<dyn DataFile>, is_new: bool) -> Arc<dyn DataFile> {
        let mut state = self.state.lock();
        if is_new {
            state.names.remove(path);
        }
        let name =
            state.names.entry(path.to_owned()).or_insert_with(|| Arc::new(Mutex::new(path.to_owned())));
        Arc::new(FaultyFile { faulty: self.clone(), inner, name: Arc::clone(name) })
    }
}

fn operation(what: What, path: &Path) -> Operation {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Operation { what, name, offset: 0, bytes: 0 }
}

impl Files for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.attempt(&operation(What::List, dir), || self.disk.list(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DataFile>> {
        let inner = self.attempt(&operation(What::Create, path), || self.disk.create(path))?;
        Ok(self.file(path, inner, true))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DataFile>> {
        let inner = self.attempt(&operation(What::Open, path), || self.disk.open(path, access))?;
        Ok(self.file(path, inner, false))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt(&operation(What::Rename, from), || self.disk.rename(from, to))?;
        let mut state = self.state.lock();
        if let Some(name) = state.names.remove(from) {
            to.clone_into(&mut name.lock());
            state.names.insert(to.to_owned(), name);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.attempt(&operation(What::Remove, path), || self.disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let operation = operation(What::SyncDir, dir);
        match self.fault(&operation) {
            None => self.disk.sync_dir(dir),
            Some(Fault::Lie) => {
                self.disk.lose_names();
                Ok(())
            }
            // A file system that cannot write its names keeps them, or takes nothing more.
            Some(Fault::LostSync(_)) => Err(Errno::IO.into()),
            Some(fault) => self.fail(fault, &operation, || self.disk.sync_dir(dir)),
        }
    }

    fn lock(&self, path: &Path, access: Access) -> io::Result<Option<Lock>> {
        self.disk.lock(path, access)
    }

    fn random(&self) -> io::Result<u64> {
        self.disk.random()
    }
}

struct FaultyFile {
    faulty: FaultyDisk,
    inner: Arc<dyn DataFile>,
    name: Name,
}

impl FaultyFile {
    fn operation(&self, what: What, offset: u64, bytes: usize) -> Operation {
        Operation { offset, bytes, ..operation(what, &self.name.lock()) }
    }
}

impl DataFile for FaultyFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let operation = self.operation(What::Read, offset, bytes.len());
        self.faulty.attempt(&operation, || self.inner.read_exact_at(bytes, offset))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let operation = self.operation(What::Write, offset, bytes.len());
        match self.faulty.fault(&operation) {
            None => self.inner.write_all_at(bytes, offset),
            Some(Fault::Dropped) => Ok(()),
            Some(Fault::Misdirected(elsewhere)) => self.inner.write_all_at(bytes, elsewhere),
            Some(Fault::Half(error)) => {
                // What reaches a disk ends anywhere, also of those who may only ask for whole pages.
                let file = self.faulty.disk.open(&self.name.lock(), Access::Write)?;
                file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                Err(error.into())
            }
            Some(fault) => self.faulty.fail(fault, &operation, || self.inner.write_all_at(bytes, offset)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let operation = self.operation(What::Sync, 0, 0);
        let lose = |cache| self.faulty.disk.lose_pages(&self.name.lock(), cache);
        match self.faulty.fault(&operation) {
            None => self.inner.sync_data(),
            Some(Fault::Lie) => {
                lose(Cache::Kept);
                Ok(())
            }
            Some(Fault::LostSync(cache)) => {
                lose(cache);
                Err(Errno::IO.into())
            }
            Some(fault) => self.faulty.fail(fault, &operation, || self.inner.sync_data()),
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<bool> {
        let operation = self.operation(What::Allocate, 0, bytes as usize);
        self.faulty.attempt(&operation, || self.inner.allocate(bytes))
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn map(&self, bytes: u64) -> io::Result<Option<Map>> {
        self.inner.map(bytes)
    }
}
