//! A small text file that several programs share: read whole, changed under a lock, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
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
        let mut text = Zeroizing::new(String::new());
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io(source)),
        };
        self.check_mode(&file)?;
        match file.take(self.max.saturating_add(1)).read_to_string(&mut text) {
            Ok(_) if text.len() as u64 > self.max => Err(self.io(io::ErrorKind::FileTooLarge.into())),
            Ok(_) => Ok(Some(text)),
            Err(source) => Err(self.io(source)),
        }
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
        let folder = self.folder().map_err(|source| self.io(source))?;
        // Where a folder cannot be locked, the worst is that one of two changes at once is lost.
        let _lock = File::open(&folder).and_then(|folder| folder.lock().map(|()| folder));
        let text = change(self.read()?)?;
        self.replace(&folder, &text).map_err(|source| self.io(source).into())
    }

    fn folder(&self) -> io::Result<PathBuf> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(folder)
    }

    /// Writes a file beside it, syncs it, and gives it the name.
    fn replace(&self, folder: &Path, text: &str) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}.{number}.tmp", std::process::id()));
        let temporary = folder.join(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let done = written.and_then(|()| fs::rename(&temporary, &self.path));
        if done.is_err() {
            let _gone = fs::remove_file(&temporary);
        }
        done
    }
}
