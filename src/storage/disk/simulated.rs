//! A disk that loses what was not synced, for tests: weaker than any real one.
//!
//! Files have a content in the cache, which the process sees, and one on the disk. Names likewise. When power fails,
//! each unsynced page is on the disk, is not, or is torn between two sectors, independently of all others; and each
//! unsynced change of a name happened or did not. Operations can be counted and made to fail at any of them.

mod content;
pub(crate) mod faulty;
pub(crate) mod losses;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::content::Content;
use super::files::{Access, DataFile, Files, Listed, Lock};
use super::map::Map;
use crate::wire::PAGE_BYTES;

/// Decides what a crash keeps: given `n`, gives a number below it.
pub(crate) type Choice<'a> = &'a mut dyn FnMut(usize) -> usize;

/// The disk. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    operations: u64,
    /// Power fails in that operation.
    fails_at: Option<u64>,
    /// The disk is full from that operation on.
    fills_at: Option<u64>,
    /// The sync with that number, and it alone, is refused.
    sync_fails_at: Option<u64>,
    syncs: u64,
    is_off: bool,
    is_full: bool,
    has_no_descriptors: bool,
    has_no_direct_way: bool,
    is_locked: bool,
    randoms: u64,
    after_open: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Moved { from: PathBuf, to: PathBuf, file: usize },
    Removed(PathBuf),
}

impl SimulatedDisk {
    /// Its random numbers are others from now on: no two disks of one world give the same.
    pub(crate) fn seed(&self, seed: u64) {
        self.state.lock().randoms = seed.wrapping_mul(0xD134_2543_DE82_EF95);
    }

    /// Power fails in the operation after `operations` more: it, and all that follow, are refused.
    pub(crate) fn fail_power_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.fails_at = Some(state.operations + operations);
    }

    /// The sync after `syncs` more is refused, and what it was asked to make durable stays in the cache.
    pub(crate) fn refuse_sync_after(&self, syncs: u64) {
        let mut state = self.state.lock();
        state.sync_fails_at = Some(state.syncs + syncs);
    }

    /// Whether the disk has room for anything new.
    pub(crate) fn set_full(&self, is_full: bool) {
        let mut state = self.state.lock();
        (state.is_full, state.fills_at) = (is_full, None);
    }

    /// The disk has no room any more in the operation after `operations` more.
    pub(crate) fn fill_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.fills_at = Some(state.operations + operations);
    }

    /// Whether the process has no file descriptor left to make a file with.
    pub(crate) fn set_no_descriptors(&self, has_none: bool) {
        self.state.lock().has_no_descriptors = has_none;
    }

    /// Whether files can only be written through the page cache.
    pub(crate) fn set_no_direct_way(&self, has_none: bool) {
        self.state.lock().has_no_direct_way = has_none;
    }

    /// Somebody else does `act` right after the next file was opened.
    pub(crate) fn after_next_open(&self, act: impl FnOnce() + Send + 'static) {
        self.state.lock().after_open = Some(Box::new(act));
    }

    /// Whether power has failed.
    pub(crate) fn is_off(&self) -> bool {
        self.state.lock().is_off
    }

    /// Power comes back; `choice` decides what of the unsynced reached the disk.
    pub(crate) fn restart(&self, choice: Choice<'_>) {
        let mut state = self.state.lock();
        for file in &mut state.files {
            file.crash(choice);
        }
        for change in std::mem::take(&mut state.unsynced_names) {
            if choice(2) == 1 {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        (state.is_off, state.is_locked, state.fails_at, state.sync_fails_at) = (false, false, None, None);
    }

    /// The process died, and power is as it was: what was not synced is still in the cache.
    pub(crate) fn restart_process(&self) {
        let mut state = self.state.lock();
        (state.is_off, state.is_locked, state.fails_at, state.sync_fails_at) = (false, false, None, None);
    }

    /// The names that are there now.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// How many pages are not on the disk.
    pub(crate) fn dirty_pages(&self) -> usize {
        self.state.lock().files.iter().map(|file| file.dirty_pages().len()).sum()
    }

    /// A copy that goes its own way.
    pub(crate) fn fork(&self) -> Self {
        let state = self.state.lock();
        let fork = State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            unsynced_names: state.unsynced_names.clone(),
            randoms: state.randoms,
            has_no_direct_way: state.has_no_direct_way,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(fork)) }
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(crate) fn alter(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        let file = state.names[path];
        change(&mut state.files[file].cache);
        let Content { cache, disk, .. } = &mut state.files[file];
        disk.clone_from(cache);
    }

    /// From now on the disk gives nothing of a file back.
    pub(crate) fn lose_sectors(&self, path: &Path) {
        let mut state = self.state.lock();
        let file = state.names[path];
        state.files[file].is_unreadable = true;
    }

    /// The bytes of a file.
    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state.lock();
        state.files[state.names[path]].cache.clone()
    }

    /// Counts an operation that changes something; `Err` once power has failed. The operation in which it fails is still
    /// done in the cache: all of it, or any part, may reach the disk.
    fn change<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        state.require_power()?;
        let fails = state.fails_at == Some(state.operations);
        state.is_full |= state.fills_at.is_some_and(|fills_at| fills_at <= state.operations);
        state.operations += 1;
        let done = act(&mut state);
        if fails {
            state.is_off = true;
            return Err(io::Error::other("power failed"));
        }
        done
    }

    fn sync(&self, act: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state.lock();
        state.require_power()?;
        let (operation, sync) = (state.operations, state.syncs);
        state.operations += 1;
        state.syncs += 1;
        if state.fails_at == Some(operation) {
            state.is_off = true;
            return Err(io::Error::other("power failed"));
        }
        if state.sync_fails_at == Some(sync) {
            return Err(io::Error::other("the disk refused"));
        }
        act(&mut state);
        Ok(())
    }
}

impl State {
    fn require_power(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("power is off")) } else { Ok(()) }
    }

    fn require_room(&self) -> io::Result<()> {
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn require_descriptor(&self) -> io::Result<()> {
        if self.has_no_descriptors { Err(rustix::io::Errno::MFILE.into()) } else { Ok(()) }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Set(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Moved { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Removed(path) => {
                names.remove(path);
            }
        }
    }
}

impl Files for SimulatedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state.lock().require_power()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let state = self.state.lock();
        state.require_power()?;
        let names = state.names.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(names.map(|name| Listed { name: name.display().to_string(), is_file: true }).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DataFile>> {
        let file = self.change(|state| {
            state.require_room()?;
            state.require_descriptor()?;
            state.files.push(Content::default());
            let file = state.files.len() - 1;
            state.rename(NameChange::Set(path.to_owned(), file));
            Ok(file)
        })?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file, access: Access::Write }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DataFile>> {
        let mut state = self.state.lock();
        state.require_power()?;
        if access == Access::Direct && state.has_no_direct_way {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let file = state.file(path)?;
        let after_open = state.after_open.take();
        drop(state);
        if let Some(act) = after_open {
            act();
        }
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file, access }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            let file = state.file(from)?;
            state.rename(NameChange::Moved { from: from.to_owned(), to: to.to_owned(), file });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.file(path)?;
            state.rename(NameChange::Removed(path.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.sync(|state| {
            for change in std::mem::take(&mut state.unsynced_names) {
                change.apply(&mut state.durable_names);
            }
        })
    }

    fn lock(&self, path: &Path, _access: Access) -> io::Result<Option<Lock>> {
        if self.state.lock().is_locked {
            return Ok(None);
        }
        if self.state.lock().file(path).is_err() {
            self.create(path)?;
        }
        self.state.lock().is_locked = true;
        Ok(Some(Arc::new(SimulatedLock(self.clone()))))
    }

    fn random(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.randoms += 1;
        Ok(state.randoms.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

struct SimulatedLock(SimulatedDisk);

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.state.lock().is_locked = false;
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    access: Access,
}

impl SimulatedFile {
    /// Past the page cache only whole pages are written and read, and only from and into whole pages of memory.
    fn require_pages(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let are_pages = bytes.as_ptr().align_offset(PAGE_BYTES) == 0
            && bytes.len().is_multiple_of(PAGE_BYTES)
            && offset.is_multiple_of(PAGE_BYTES as u64);
        if self.access == Access::Direct && !are_pages {
            Err(rustix::io::Errno::INVAL.into())
        } else {
            Ok(())
        }
    }
}

impl DataFile for SimulatedFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.require_pages(bytes, offset)?;
        let state = self.disk.state.lock();
        let from = offset as usize;
        let Content { cache, is_unreadable, .. } = &state.files[self.file];
        if *is_unreadable {
            return Err(rustix::io::Errno::IO.into());
        }
        let read = cache.get(from..from + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(read);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.require_pages(bytes, offset)?;
        self.disk.change(|state| {
            if offset as usize + bytes.len() > state.files[self.file].cache.len() {
                state.require_room()?;
            }
            state.files[self.file].write(bytes, offset as usize);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(|state| state.files[self.file].sync())
    }

    fn allocate(&self, bytes: u64) -> io::Result<bool> {
        self.disk.change(|state| {
            state.require_room()?;
            state.files[self.file].resize(bytes as usize);
            Ok(true)
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().files[self.file].cache.len() as u64)
    }

    fn map(&self, _bytes: u64) -> io::Result<Option<Map>> {
        Ok(None)
    }
}
