//! The servers that were met before, and their keys: a text file of lines `ADDRESS SERVERTEXT`. Source:
//! `docs/protocol.md`, section 2, "address text".

use crate::file::{self, Locked};
use darkchat_proto::{Addr, ServerId};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// More than a file of known servers has, in bytes: what is longer is not one.
const FILE_MAX: u64 = 4 << 20;

/// Why the file of known servers was not used. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownServersError {
    /// The operating system refused; the source says why.
    #[error("cannot use the file of known servers {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A line is not an address and a server's key. Repair or remove it: no key is trusted on a guess.
    #[error("not an address and a server's key: {}, line {line}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// A file of known servers. Read at each use, so that several programs may share it; a missing file is empty.
///
/// ```
/// use darkchat_client::KnownServers;
/// let folder = std::env::temp_dir().join(format!("darkchat-doc-{}", std::process::id()));
/// let known = KnownServers::new(folder.join("known_servers"));
/// let (addr, key) = ("tcp://chat.example:8545".parse()?, darkchat_crypto::Identity::generate().server_id());
///
/// assert_eq!(known.find(&addr)?, None);
/// known.remember(&addr, key)?;
/// assert_eq!(known.find(&addr)?, Some((key, 1))); // in line 1
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KnownServers {
    path: PathBuf,
}

impl KnownServers {
    /// The file at this path. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the server at this address, and the line that says so, from 1.
    ///
    /// # Errors
    /// [`KnownServersError`]: the file cannot be read, or a line of it is none.
    pub fn find(&self, addr: &Addr) -> Result<Option<(ServerId, usize)>, KnownServersError> {
        self.parse(&self.read()?, addr)
    }

    /// Adds a server at the end of the file; one that is known already stays as it is. A missing folder is made for
    /// its owner only, and the file is replaced as a whole, so no reader sees half of it.
    ///
    /// # Errors
    /// [`KnownServersError`]: the file cannot be read or written, or a line of it is none. It is as it was.
    pub fn remember(&self, addr: &Addr, server: ServerId) -> Result<(), KnownServersError> {
        // Two programs that meet new servers at once must not lose each other's line; at worst, where a folder cannot
        // be locked, a server is met for the first time twice.
        let locked = Locked::around(&self.path).map_err(|source| self.io(source))?;
        let mut text = self.read()?;
        if self.parse(&text, addr)?.is_some() {
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{addr} {server}\n"));
        locked.replace(&self.path, &text).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> KnownServersError {
        KnownServersError::Io { path: self.path.clone(), source }
    }

    /// The text. Who else may read the file is not asked: what it says is no secret.
    fn read(&self) -> Result<Zeroizing<String>, KnownServersError> {
        let text =
            file::open(&self.path).and_then(|file| file.map(|file| file::read(file, FILE_MAX)).transpose());
        text.map(Option::unwrap_or_default).map_err(|source| self.io(source))
    }

    /// Reads every line, so that a broken file is refused whatever is looked for. The first line of an address wins.
    fn parse(&self, text: &str, wanted: &Addr) -> Result<Option<(ServerId, usize)>, KnownServersError> {
        let mut found = None;
        for (line, content) in (1..).zip(text.lines()) {
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let malformed = || KnownServersError::Malformed { path: self.path.clone(), line };
            let (addr, key) = content.split_once(' ').ok_or_else(malformed)?;
            let addr: Addr = addr.parse().map_err(|_| malformed())?;
            let key: ServerId = key.trim().parse().map_err(|_| malformed())?;
            if addr == *wanted && found.is_none() {
                found = Some((key, line));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
