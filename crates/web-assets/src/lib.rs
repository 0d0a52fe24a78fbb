//! The files of darkchat's web page, each with its hash and compressed, inside the program that serves them.
//!
//! What stands in the folder `assets` is embedded when this crate is built; nobody needs Node for that. `cargo xtask
//! web` writes the folder from the sources in `apps/web`, and beside it `sources.sha256`, the hashes of those sources
//! as `sha256sum` prints them, with paths from `apps/web` on. A test compares, so that page and sources cannot drift:
//! every file that is listed must have its hash, and beside one that is listed none may stand that is not.
//!
//! ```
//! let page = darkchat_web_assets::file("index.html").expect("there is always a page");
//! assert_eq!(page.content_type(), "text/html; charset=utf-8");
//! assert!(page.bytes.starts_with(b"<!doctype html>"));
//! ```

/// The name of the page itself: what is served at `/`.
pub const INDEX: &str = "index.html";

/// All files, by name.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// SHA-256 over the hash and the name of every file, in hexadecimal: two servers with the same serve the same page.
///
/// It is that of the text which `sha256sum` prints for all files, sorted by name.
pub const PAGE_SHA256: &str = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// One file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its path below the page, without a leading slash: `index.html`, `assets/app.js`.
    pub name: &'static str,
    /// The first 128 bits of its SHA-256 in hexadecimal: an entity tag without its quotation marks.
    pub tag: &'static str,
    /// What it holds.
    pub bytes: &'static [u8],
    /// The same, compressed; `None` where that would not make it smaller.
    pub gzip: Option<&'static [u8]>,
}

impl File {
    /// The media type by its name.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        content_type(self.name)
    }
}

/// The file of this name.
#[must_use]
pub fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

/// The media type of a file by the end of its name; `application/octet-stream` if that says nothing.
#[must_use]
pub fn content_type(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, kind)| *kind)
}

/// What pages are made of.
const TYPES: [(&str, &str); 13] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
];

#[cfg(test)]
mod tests;
