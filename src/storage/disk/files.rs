//! All that the log asks of a file system: so that a simulated disk can stand under the real code.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub(crate) use super::map::Map;

/// A file system.
pub(crate) trait Files: Send + Sync {
    /// Makes the directory, and those above it, where missing; durable on return.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// What stands in the directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// Makes an empty file, in place of any of that name, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DataFile>>;

    /// Opens a file that is there.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DataFile>>;

    /// Renames a file, in place of any of the new name. Durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable once the directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in the directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock that the file stands for, until the returned value is dropped; `None` if another holds it. The
    /// file is made if `access` is to write and it is missing.
    fn lock(&self, path: &Path, access: Access) -> io::Result<Option<Lock>>;

    /// A number that nobody could foretell.
    fn random(&self) -> io::Result<u64>;
}

/// An open file; reads and writes name their place.
pub(crate) trait DataFile: Send + Sync {
    /// Fills `bytes` from `offset` on, all of them or an error.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the content, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves `bytes` on the disk and makes the file that long. `false` if this file system cannot: then nothing was
    /// done, and writing is the only way to reserve.
    fn allocate(&self, bytes: u64) -> io::Result<bool>;

    /// How long the file is.
    fn len(&self) -> io::Result<u64>;

    /// Maps the first `bytes` for reading; `None` where nothing can be mapped.
    fn map(&self, bytes: u64) -> io::Result<Option<Map>>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It stays as it is; a lock is shared with other readers.
    Read,
    /// It may be changed; a lock excludes everybody else.
    Write,
    /// It may be changed, past the page cache: it is written and read in whole pages, from and into whole pages of memory,
    /// and in no other way. File systems that cannot do so refuse to open it, or whatever is asked (`InvalidInput`).
    Direct,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The name, made readable if it is not.
    pub(crate) name: String,
    /// Whether it is a regular file: no directory, no link.
    pub(crate) is_file: bool,
}

/// Holds a lock until dropped.
pub(crate) type Lock = Arc<dyn Any + Send + Sync>;

/// The file system of this machine.
#[derive(Debug, Default)]
pub(crate) struct RealFiles {
    /// The directory that was synced last, open: the log goes from one segment to the next also when the process has no
    /// file descriptor left, since what was renamed cannot be left unsynced and tried again.
    synced: Mutex<Option<(PathBuf, Arc<File>)>>,
}

impl RealFiles {
    /// The directory, open, for the next sync too.
    fn kept_open(&self, dir: &Path) -> io::Result<Arc<File>> {
        let mut synced = self.synced.lock();
        if let Some((_, file)) = synced.as_ref().filter(|(path, _)| path == dir) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(dir)?);
        *synced = Some((dir.to_owned(), Arc::clone(&file)));
        Ok(file)
    }
}

impl Files for RealFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !is_there(dir)).collect();
        for dir in missing.into_iter().rev() {
            fs::create_dir(dir).or_else(|error| if dir.is_dir() { Ok(()) } else { Err(error) })?;
            File::open(parent_of(dir))?.sync_all()?;
        }
        if dir.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let listed = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok(Listed { name, is_file: entry.file_type()?.is_file() })
        };
        fs::read_dir(dir)?.map(|entry| listed(entry?)).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DataFile>> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DataFile>> {
        let mut options = File::options();
        options.read(true).write(access != Access::Read);
        if access == Access::Direct {
            go_past_the_cache(&mut options)?;
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.kept_open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, access: Access) -> io::Result<Option<Lock>> {
        let locked = match access {
            Access::Read => File::open(path).map(|file| (file.try_lock_shared(), file))?,
            Access::Write | Access::Direct => {
                let file = File::options().write(true).create(true).truncate(false).open(path)?;
                (file.try_lock(), file)
            }
        };
        match locked {
            (Ok(()), file) => Ok(Some(Arc::new(file))),
            (Err(TryLockError::WouldBlock), _) => Ok(None),
            (Err(TryLockError::Error(error)), _) => Err(error),
        }
    }

    fn random(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        assert_eq!(filled, bytes.len(), "the system gave fewer random bytes than it promises");
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is refused")]
fn go_past_the_cache(options: &mut OpenOptions) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn go_past_the_cache(_options: &mut OpenOptions) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.symlink_metadata().is_ok()
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

struct RealFile(File);

impl DataFile for RealFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, bytes: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _bytes: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn map(&self, bytes: u64) -> io::Result<Option<Map>> {
        Map::new(&self.0, bytes).map(Some)
    }
}
