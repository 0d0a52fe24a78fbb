//! The files of the web page, ready to be sent: those inside the program, or those of a folder.
//!
//! All are in memory before the server is ready. What a request names is looked up among them and never in the file
//! system, so no path leads anywhere else.

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use darkchat_web_assets::{FILES, INDEX, PAGE_SHA256, content_type};
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Files that a folder may have: a page is made of dozens.
const FILES_MAX: usize = 1_000;
/// Bytes that they may have together, because they stay in memory.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Folders inside one another.
const DEPTH_MAX: usize = 8;
/// Bytes of SHA-256 in an entity tag: no two versions of a file share 128 bits.
const TAG_LEN: usize = 16;

/// All files of a page.
#[derive(Debug)]
pub(crate) struct Site {
    files: BTreeMap<String, File>,
    /// SHA-256 over the hashes and names of all files, in hexadecimal.
    pub(crate) hash: String,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) content_type: &'static str,
    /// An entity tag without its quotation marks.
    pub(crate) tag: String,
    pub(crate) plain: Bytes,
    pub(crate) gzip: Option<Bytes>,
}

impl Site {
    /// The page that this program brings.
    pub(crate) fn embedded() -> Self {
        let files = FILES.iter().map(|file| {
            let made = File {
                content_type: file.content_type(),
                tag: file.tag.to_owned(),
                plain: Bytes::from_static(file.bytes),
                gzip: file.gzip.map(Bytes::from_static),
            };
            (file.name.to_owned(), made)
        });
        Self { files: files.collect(), hash: PAGE_SHA256.to_owned() }
    }

    /// The page in a folder. Hidden files and symbolic links are left out.
    ///
    /// # Errors
    /// The file system's; the folder has no page, or is too large to be one.
    pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let about = || format!("cannot serve the folder {}", folder.display());
        let mut found = BTreeMap::new();
        let mut left = BYTES_MAX;
        walk(folder, "", DEPTH_MAX, &mut left, &mut found).with_context(about)?;
        if !found.contains_key(INDEX) {
            bail!("there is no {INDEX} in the folder {}", folder.display());
        }
        let mut page = Sha256::new();
        let mut files = BTreeMap::new();
        for (name, bytes) in found {
            let digest = Sha256::digest(&bytes);
            page.update(format!("{}  {name}\n", HEXLOWER.encode(&digest)));
            let file = File {
                content_type: content_type(&name),
                tag: HEXLOWER.encode(digest.get(..TAG_LEN).unwrap_or(&digest)),
                gzip: compressed(&bytes)?,
                plain: bytes.into(),
            };
            files.insert(name, file);
        }
        Ok(Self { files, hash: HEXLOWER.encode(&page.finalize()) })
    }

    /// What a path names; `/` is the page itself.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        let name = path.strip_prefix('/')?;
        self.files.get(if name.is_empty() { INDEX } else { name })
    }
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    left: &mut u64,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            let Some(depth) = depth.checked_sub(1) else {
                bail!("more than {DEPTH_MAX} folders inside one another: {}", path.display())
            };
            walk(&path, &format!("{name}/"), depth, left, found)?;
        } else if kind.is_file() {
            let Some(rest) = left.checked_sub(entry.metadata()?.len()) else {
                bail!("more than {BYTES_MAX} bytes in all")
            };
            *left = rest;
            if found.len() >= FILES_MAX {
                bail!("more than {FILES_MAX} files");
            }
            found.insert(name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(())
}

/// `None` where it would not get smaller.
fn compressed(bytes: &[u8]) -> std::io::Result<Option<Bytes>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes)?;
    let gzip = out.finish()?;
    Ok((gzip.len() < bytes.len()).then(|| gzip.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("darkchatd-site-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("assets")).unwrap();
        folder
    }

    #[test]
    fn the_program_brings_a_page() {
        let site = Site::embedded();
        assert_eq!(site.file("/").unwrap().content_type, "text/html; charset=utf-8");
        assert_eq!(site.file("/").unwrap().tag, site.file("/index.html").unwrap().tag);
    }

    #[test]
    fn a_folder_gives_its_files_and_no_others() {
        let folder = folder("files");
        fs::write(folder.join(INDEX), "<!doctype html>".repeat(100)).unwrap();
        fs::write(folder.join("assets/app.js"), "1").unwrap();
        fs::write(folder.join(".secret"), "hidden").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("passwd")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("etc")).unwrap();
        let site = Site::of_folder(&folder).unwrap();
        assert_eq!(site.files.keys().collect::<Vec<_>>(), ["assets/app.js", INDEX]);
        assert!(
            site.file("/").unwrap().gzip.is_some() && site.file("/assets/app.js").unwrap().gzip.is_none()
        );
        for path in
            ["", "//", "/..", "/../etc/passwd", "/%2e%2e/etc/passwd", "/etc/passwd", "/.secret", "/assets"]
        {
            assert!(site.file(path).is_none(), "{path}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_without_a_page_or_with_too_much_is_named() {
        let folder = folder("wrong");
        let says = |words: &str| {
            let error = format!("{:#}", Site::of_folder(&folder).unwrap_err());
            assert!(error.contains(words) && error.contains(folder.to_str().unwrap()), "{error}");
        };
        says(INDEX);
        for number in 0..=FILES_MAX {
            fs::write(folder.join(format!("{number}.txt")), "").unwrap();
        }
        says("1000 files");
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::File::create(folder.join("large")).unwrap().set_len(BYTES_MAX + 1).unwrap();
        says("16777216 bytes");
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir_all(folder.join("a/b/c/d/e/f/g/h/i")).unwrap();
        says("8 folders");
        fs::remove_dir_all(&folder).unwrap();
        assert!(Site::of_folder(&folder).is_err(), "it is gone");
    }
}
