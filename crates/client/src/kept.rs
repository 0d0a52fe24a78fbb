//! Private channels on disk: one file each, for its owner only. Source: `docs/security.md`, "private channels on disk".

use crate::session::SavedChannel;
use crate::textfile::{TextFile, TextFileError};
use darkchat_proto::ChannelName;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// More than such a file has, in bytes: 24 generations of 256 members, with all that is still to be told.
const FILE_MAX: u64 = 4 << 20;

/// The folder in which private channels are kept, each under the name that the user has for it.
///
/// Several programs of one user may use it at once: what each knows of a channel comes together.
#[derive(Debug, Clone)]
pub struct KeptChannels {
    folder: PathBuf,
}

impl KeptChannels {
    /// The folder at this path; made when something is kept.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The names of the channels, in order.
    ///
    /// # Errors
    /// [`TextFileError::Io`].
    pub fn names(&self) -> Result<Vec<ChannelName>, TextFileError> {
        let failed = |source| TextFileError::Io { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().and_then(name_of));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A channel, as it was kept last; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`TextFileError`].
    pub fn load(&self, name: &ChannelName) -> Result<Option<SavedChannel>, TextFileError> {
        let file = self.file(name);
        let Some(text) = file.read()? else { return Ok(None) };
        let saved: SavedChannel =
            text.parse().map_err(|error: crate::SavedError| file.malformed(error.line))?;
        Ok(Some(saved.named(name.clone())))
    }

    /// Keeps a channel under its name, together with what another program knows of it.
    ///
    /// # Errors
    /// [`TextFileError`]; [`TextFileError::Taken`] if another channel is kept under this name.
    pub fn save(&self, saved: &SavedChannel) -> Result<(), TextFileError> {
        let file = self.file(saved.name());
        file.change(|text| {
            let Some(text) = text else { return Ok(saved.to_text()) };
            let other: SavedChannel =
                text.parse().map_err(|error: crate::SavedError| file.malformed(error.line))?;
            if !saved.is_of(&other) {
                return Err(TextFileError::Taken { path: file.path().to_owned() });
            }
            Ok(saved.clone().merge(other).to_text())
        })
    }

    /// Forgets a channel. Whether there was one.
    ///
    /// # Errors
    /// [`TextFileError::Io`].
    pub fn forget(&self, name: &ChannelName) -> Result<bool, TextFileError> {
        let file = self.file(name);
        match fs::remove_file(file.path()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(file.io(source)),
        }
    }

    /// Where a channel is kept.
    #[must_use]
    pub fn path(&self, name: &ChannelName) -> PathBuf {
        self.folder.join(file_name(name))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &ChannelName) -> TextFile {
        TextFile::new(self.path(name), FILE_MAX)
    }
}

/// A channel's name as a file's: letters, digits, `-` and `_` as they are, every other byte as `%` and two digits.
fn file_name(name: &ChannelName) -> String {
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    name.as_str().bytes().map(part).collect()
}

fn name_of(file: &str) -> Option<ChannelName> {
    let (mut bytes, mut rest) = (Vec::new(), file.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => byte,
            _ => return None,
        });
    }
    let name: ChannelName = String::from_utf8(bytes).ok()?.parse().ok()?;
    (file_name(&name) == file).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_channel_is_a_name_of_a_file_inside_the_folder_and_back() {
        for name in ["garden", "..", ".", "a/b", "../../etc/passwd", "grün", "%2f", "+x", "a.b"] {
            let name: ChannelName = name.parse().unwrap();
            let file = file_name(&name);
            assert!(
                file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-_".contains(&byte)),
                "{file}"
            );
            assert_eq!(name_of(&file), Some(name));
        }
        for file in ["", ".garden.12.0.tmp", "%", "%zz", "Garden", "%67arden"] {
            assert_eq!(name_of(file), None, "{file}");
        }
    }
}
