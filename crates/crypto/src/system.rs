//! The operating system's randomness, and key files. Source: `docs/protocol.md`, section 2, "secret files".
//!
//! A key file is one line, `dchat-seed-1:` and the seed in base32, readable by its owner only. It is written to a
//! temporary name, synced, and then given its name; an existing file is never overwritten.

mod folder;

pub use folder::state_folder;

use crate::Identity;
use crate::label::SEED_FILE;
use data_encoding::BASE32_NOPAD;
use getrandom::SysRng;
use rand_core::{CryptoRng, TryRng as _, UnwrapErr};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// More than a key file has, in bytes: what is longer is not one.
const FILE_MAX: u64 = 256;

/// The operating system's randomness.
///
/// # Panics
/// When used, if the operating system has none to give: no key is better than one that others can guess.
#[must_use]
pub fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// Why a key file was not read or made. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The operating system refused; the source says why.
    #[error("cannot use the key file: {}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Group or others may read or write it. Narrow it, or make a new key if somebody may have read it.
    #[error("others can use the key file (mode {mode:03o}), run: chmod 600 {}", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not one line of `dchat-seed-1:` and a seed. Restore it from a copy.
    #[error("not a key file: {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A file of this name is there already; it was left as it is.
    #[error("the key file exists already: {}", path.display())]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// Another process runs with this key.
    #[error("the key file is in use by another process: {}", path.display())]
    Locked {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system has no randomness; no key was made.
    #[error("no randomness for a new key")]
    Randomness(#[source] getrandom::Error),
}

/// Holds the lock of a server's key file: while it lives, no second process gets it. Dropping it frees the lock.
#[derive(Debug)]
pub struct KeyLock {
    _file: File,
}

impl Identity {
    /// A new identity from the operating system's randomness, kept nowhere.
    ///
    /// # Panics
    /// If the operating system has no randomness; see [`rng`].
    #[must_use]
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rand_core::Rng::fill_bytes(&mut rng(), seed.as_mut_slice());
        Self::from_seed(*seed)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`]: it cannot be read, others can read it, or it is no key file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        read(path, open(path)?)
    }

    /// Makes a new identity and its file; a missing folder is made for its owner only.
    ///
    /// # Errors
    /// [`KeyFileError`]: the file exists or cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(KeyFileError::Randomness)?;
        let identity = Self::from_seed(*seed);
        let written =
            write(path, &identity).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
        if written { Ok(identity) } else { Err(KeyFileError::Exists { path: path.to_owned() }) }
    }

    /// Reads a key file, or makes it if there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`create`](Self::create).
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        ensure(path)?;
        Self::load(path)
    }

    /// As [`load_or_create`](Self::load_or_create), and locks the file: for a server, of which two with one key
    /// would contradict each other.
    ///
    /// # Errors
    /// As [`load_or_create`](Self::load_or_create), and [`KeyFileError::Locked`] if another process has it.
    pub fn load_or_create_locked(path: impl AsRef<Path>) -> Result<(Self, KeyLock), KeyFileError> {
        let path = path.as_ref();
        ensure(path)?;
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyFileError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => {
                return Err(KeyFileError::Io { path: path.to_owned(), source });
            }
        }
        let identity = read(path, &file)?;
        Ok((identity, KeyLock { _file: file }))
    }
}

/// Makes the key file if there is none; somebody else may make it at the same time.
fn ensure(path: &Path) -> Result<(), KeyFileError> {
    let exists = path.try_exists().map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    if exists {
        return Ok(());
    }
    match Identity::create(path) {
        Ok(_) | Err(KeyFileError::Exists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> Result<File, KeyFileError> {
    File::open(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}

/// Reads an open key file: its mode is that of what is read, whatever the path names by now.
fn read(path: &Path, file: impl std::borrow::Borrow<File>) -> Result<Identity, KeyFileError> {
    let file = file.borrow();
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize));
    file.take(FILE_MAX).read_to_end(&mut text).map_err(failed)?;
    parse(&mut text).ok_or_else(|| KeyFileError::Malformed { path: path.to_owned() })
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

/// Letters of either case are taken: a seed may have been typed from paper.
fn parse(text: &mut [u8]) -> Option<Identity> {
    let line = text.strip_suffix(b"\n")?;
    let len = line.strip_prefix(SEED_FILE.as_bytes())?.len();
    let end = SEED_FILE.len().checked_add(len)?;
    let digits = text.get_mut(SEED_FILE.len()..end)?;
    digits.make_ascii_uppercase();
    let seed = Zeroizing::new(BASE32_NOPAD.decode(digits).ok()?);
    Some(Identity::from_seed(seed.as_slice().try_into().ok()?))
}

/// Whether the file was written; if not, there was one already.
fn write(path: &Path, identity: &Identity) -> io::Result<bool> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    make_folder(folder)?;
    let temporary = temporary_name(path)?;
    let result = write_temporary(&temporary, identity).and_then(|()| publish(&temporary, path));
    // Gone already if it was renamed.
    let _ = fs::remove_file(&temporary);
    let written = result?;
    sync_folder(folder)?;
    Ok(written)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A name in the same folder that no other process uses.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut random = [0; 8];
    SysRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", BASE32_NOPAD.encode(&random)));
    Ok(path.with_file_name(temporary))
}

fn write_temporary(temporary: &Path, identity: &Identity) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(temporary)?;
    let digits = Zeroizing::new(BASE32_NOPAD.encode(identity.seed()));
    for part in [SEED_FILE, digits.as_str(), "\n"] {
        file.write_all(part.as_bytes())?;
    }
    file.sync_all()
}

/// Gives the finished file its name, unless there is one. A hard link fails where a rename would overwrite; a rename
/// is left for file systems without links.
fn publish(temporary: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) if path.try_exists()? => Ok(false),
        Err(_) => fs::rename(temporary, path).map(|()| true),
    }
}

/// Makes the new name survive a power cut; not every system can open a folder for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests;
