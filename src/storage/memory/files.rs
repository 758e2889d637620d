//! Files that last as long as somebody knows them: what the snapshots of a storage in memory stand on.
//!
//! So they are the very same bytes, under the very same rules, as those on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::storage::disk::files::{Access, DataFile, Files, Listed, Lock, Map, RealFiles};

/// A directory in memory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryFiles {
    files: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
    faults: Arc<Faults>,
}

/// The bytes of a file, shared with those who have it open.
type Content = Arc<RwLock<Vec<u8>>>;

/// What is wrong with the disk.
#[derive(Debug, Default)]
struct Faults {
    is_full: AtomicBool,
    is_broken: AtomicBool,
}

impl MemoryFiles {
    pub(super) fn set_full(&self, is_full: bool) {
        self.faults.is_full.store(is_full, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.faults.is_full.load(Ordering::Relaxed)
    }

    pub(super) fn set_broken(&self, is_broken: bool) {
        self.faults.is_broken.store(is_broken, Ordering::Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.faults.is_broken.load(Ordering::Relaxed)
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(super) fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let found =
            self.files.lock().iter().find(|(path, _)| path.ends_with(name)).map(|(_, file)| Arc::clone(file));
        found.is_some_and(|file| {
            change(&mut file.write());
            true
        })
    }

    fn require_room(&self) -> io::Result<()> {
        if self.is_full() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn require_health(&self) -> io::Result<()> {
        if self.is_broken() { Err(broken()) } else { Ok(()) }
    }
}

/// What a disk says that was broken on purpose.
pub(super) fn broken() -> io::Error {
    io::Error::other("the disk in memory was broken on purpose")
}

impl Files for MemoryFiles {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let files = self.files.lock();
        let names = files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(names.map(|name| Listed { name: name.display().to_string(), is_file: true }).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DataFile>> {
        self.require_health()?;
        self.require_room()?;
        let content = Arc::default();
        self.files.lock().insert(path.to_owned(), Arc::clone(&content));
        Ok(Arc::new(MemoryFile { content, disk: self.clone() }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DataFile>> {
        if access == Access::Direct {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let content = self.files.lock().get(path).map(Arc::clone);
        let content = content.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(MemoryFile { content, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.require_health()?;
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.require_health()?;
        let removed = self.files.lock().remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.require_health()
    }

    /// Nobody else can come: the disk itself is locked.
    fn lock(&self, _path: &Path, _access: Access) -> io::Result<Option<Lock>> {
        Ok(Some(Arc::new(())))
    }

    fn random(&self) -> io::Result<u64> {
        RealFiles::default().random()
    }
}

struct MemoryFile {
    content: Content,
    disk: MemoryFiles,
}

impl DataFile for MemoryFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.read();
        let from = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let end = from.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(content.get(from..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.require_health()?;
        let mut content = self.content.write();
        let from = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let end = from.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if end > content.len() {
            self.disk.require_room()?;
            content.resize(end, 0);
        }
        content[from..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.require_health()
    }

    /// Memory is not reserved ahead.
    fn allocate(&self, _bytes: u64) -> io::Result<bool> {
        self.disk.require_health()?;
        self.disk.require_room()?;
        Ok(false)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len() as u64)
    }

    fn map(&self, _bytes: u64) -> io::Result<Option<Map>> {
        Ok(None)
    }
}
