//! A small file that several programs share, as the operating system sees it: read whole, changed under a lock,
//! replaced as a whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Opens a file; `None` if there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole text; an error if there are more bytes than `max`.
pub(crate) fn read(file: File, max: u64) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(max.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// The folder of a file, in which no other program changes anything while this lives.
#[derive(Debug)]
pub(crate) struct Locked {
    folder: PathBuf,
    /// Where a folder cannot be locked, the worst is that one of two changes at once is lost.
    _lock: io::Result<File>,
}

impl Locked {
    /// Locks the folder of this file; a missing one is made, for its owner only.
    pub(crate) fn around(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        let lock = File::open(&folder).and_then(|folder| folder.lock().map(|()| folder));
        Ok(Self { folder, _lock: lock })
    }

    /// Writes a file beside it, for its owner only, syncs it, and gives it the name.
    pub(crate) fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut temporary = OsString::from(".");
        temporary.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}.{number}.tmp", std::process::id()));
        let temporary = self.folder.join(temporary);
        // Nobody alive writes under this name: a program that had our number ended in the middle. In a container each
        // one has the same number.
        let _left = fs::remove_file(&temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let done = written.and_then(|()| fs::rename(&temporary, path));
        if done.is_err() {
            let _gone = fs::remove_file(&temporary);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_of_the_same_number_left_half_written_is_in_nobodys_way() {
        let folder = std::env::temp_dir().join(format!("darkchat-file-unit-{}", std::process::id()));
        let path = folder.join("notes");
        let locked = Locked::around(&path).unwrap();
        // Other tests of this process count too, far fewer than this.
        for number in 0..1_000 {
            fs::write(folder.join(format!(".notes.{}.{number}.tmp", std::process::id())), "half").unwrap();
        }
        locked.replace(&path, "whole").unwrap();
        assert_eq!(*read(open(&path).unwrap().unwrap(), 5).unwrap(), "whole");
        assert_eq!(read(open(&path).unwrap().unwrap(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::remove_dir_all(&folder).unwrap();
    }
}
