//! A small text file that several programs of one owner share, and nobody else.

use crate::file::{self, Locked};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why a file of the client's was not read or written. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextFileError {
    /// The operating system refused; the source says why.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Group or others may read or write it. Narrow it, if nobody has read it.
    #[error("others can use the file (mode {mode:03o}), run: chmod 600 {}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A line is not what it should be. Repair or remove it: nothing is believed on a guess.
    #[error("not understood: {}, line {line}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Something else has this name already. Choose another one.
    #[error("there is another one of this name: {}", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
}

/// A text file that only its owner may use.
#[derive(Debug, Clone)]
pub(crate) struct TextFile {
    path: PathBuf,
    max: u64,
}

impl TextFile {
    /// The file at this path, of at most `max` bytes. Nothing is read yet.
    pub(crate) fn new(path: impl Into<PathBuf>, max: u64) -> Self {
        Self { path: path.into(), max }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn io(&self, source: io::Error) -> TextFileError {
        TextFileError::Io { path: self.path.clone(), source }
    }

    pub(crate) fn malformed(&self, line: usize) -> TextFileError {
        TextFileError::Malformed { path: self.path.clone(), line }
    }

    /// The text; `None` if there is no file.
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<String>>, TextFileError> {
        let Some(file) = file::open(&self.path).map_err(|source| self.io(source))? else { return Ok(None) };
        self.check_mode(&file)?;
        file::read(file, self.max).map(Some).map_err(|source| self.io(source))
    }

    #[cfg(unix)]
    fn check_mode(&self, file: &File) -> Result<(), TextFileError> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(|source| self.io(source))?.permissions().mode() & 0o777;
        if mode & 0o077 == 0 { Ok(()) } else { Err(TextFileError::Exposed { path: self.path.clone(), mode }) }
    }

    #[cfg(not(unix))]
    fn check_mode(&self, _file: &File) -> Result<(), TextFileError> {
        Ok(())
    }

    /// Changes the text while no other program does. A missing folder is made for its owner only.
    pub(crate) fn change<E: From<TextFileError>>(
        &self,
        change: impl FnOnce(Option<Zeroizing<String>>) -> Result<Zeroizing<String>, E>,
    ) -> Result<(), E> {
        let locked = Locked::around(&self.path).map_err(|source| self.io(source))?;
        let text = change(self.read()?)?;
        locked.replace(&self.path, &text).map_err(|source| self.io(source).into())
    }
}
