//! Lists the files of the page, names each by its hash, and compresses what gets smaller by that.

use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of SHA-256 in an entity tag: no two versions of a page share 128 bits.
const TAG_LEN: usize = 16;
/// A compressed file is kept if it has less than this part of the plain one, in percent: less would not pay.
const WORTH: usize = 95;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("assets");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let mut files = Vec::new();
    walk(&folder, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    let mut page = Sha256::new();
    for (number, file) in files.iter().enumerate() {
        let name = file.strip_prefix(&folder).map_err(io::Error::other)?;
        let name = name.to_str().ok_or_else(|| io::Error::other("a name is not UTF-8"))?.replace('\\', "/");
        let bytes = fs::read(file)?;
        let digest = Sha256::digest(&bytes);
        page.update(format!("{}  {name}\n", HEXLOWER.encode(&digest)));
        let gzip = gzip(&bytes)?;
        let gzip = if gzip.len() * 100 < bytes.len() * WORTH {
            let path = out.join(format!("{number}.gz"));
            fs::write(&path, gzip)?;
            format!("Some(include_bytes!({path:?}))")
        } else {
            "None".to_owned()
        };
        let tag = HEXLOWER.encode(digest.get(..TAG_LEN).unwrap_or(&digest));
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "    File {{ name: {name:?}, tag: {tag:?}, bytes: include_bytes!({file:?}), gzip: {gzip} }},"
        );
    }
    table.push(']');
    fs::write(out.join("files.rs"), table)?;
    fs::write(out.join("page.rs"), format!("{:?}", HEXLOWER.encode(&page.finalize())))
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(io::Error::other)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Without a name and a time, so that the same bytes give the same bytes.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    out.write_all(bytes)?;
    out.finish()
}
