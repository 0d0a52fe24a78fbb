//! What is embedded is what stands in the folder, and the folder is what its sources were.

use super::*;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[test]
fn every_file_has_its_hash_and_its_compressed_form_says_the_same() {
    for file in FILES {
        assert!(hash(file.bytes).starts_with(file.tag), "{}", file.name);
        let Some(gzip) = file.gzip else { continue };
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(gzip).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, file.bytes, "{}", file.name);
        assert!(gzip.len() < file.bytes.len(), "{}", file.name);
    }
    let list: String = FILES.iter().map(|file| format!("{}  {}\n", hash(file.bytes), file.name)).collect();
    assert_eq!(PAGE_SHA256, hash(list.as_bytes()));
    assert!(FILES.is_sorted_by_key(|file| file.name));
}

#[test]
fn types_come_from_names() {
    assert_eq!(file(INDEX).unwrap().content_type(), "text/html; charset=utf-8");
    assert_eq!(content_type("a/b.min.js"), "text/javascript; charset=utf-8");
    assert_eq!(content_type("js"), "application/octet-stream");
    assert!(FILES.iter().all(|file| file.content_type() != "application/octet-stream"));
}

/// Under the page's policy nothing else would be loaded, so it may not even be tried.
#[test]
fn the_page_asks_no_other_host_for_anything() {
    let page = std::str::from_utf8(file(INDEX).unwrap().bytes).unwrap();
    for attribute in ["src=\"", "href=\""] {
        for rest in page.split(attribute).skip(1) {
            let target = rest.split('"').next().unwrap();
            // Below a proxy's sub-path, what begins with a slash is somebody else's.
            let outside = target.starts_with('/') || target.contains("://");
            assert!(!outside, "{target}");
        }
    }
}

#[test]
fn the_page_was_built_from_the_sources_that_stand_here() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let web = crate_folder.join("../../apps/web");
    let list = std::fs::read_to_string(crate_folder.join("sources.sha256")).unwrap();
    let drift = drift(&web, &list);
    assert!(drift.is_empty(), "run `cargo xtask web`: {drift:#?}");
}

/// What differs between a list of hashes and the files below `folder`.
fn drift(folder: &Path, list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let listed: BTreeMap<PathBuf, &str> = list
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, name)| (folder.join(name), hash))
        .collect();
    for (path, expected) in &listed {
        match std::fs::read(path) {
            Ok(bytes) if hash(&bytes) == *expected => {}
            Ok(_) => found.push(format!("changed: {}", path.display())),
            Err(_) => found.push(format!("gone: {}", path.display())),
        }
        let beside = path.parent().and_then(|parent| std::fs::read_dir(parent).ok());
        for entry in beside.into_iter().flatten().filter_map(Result::ok) {
            if entry.path().is_file() && !listed.contains_key(&entry.path()) {
                found.push(format!("new: {}", entry.path().display()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_source_that_changed_came_or_went_is_drift() {
    let folder = std::env::temp_dir().join(format!("darkchat-drift-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("page")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join("page").join(name), text).unwrap();
    write("a.ts", "one");
    let list = format!("{}  page/a.ts\n", hash(b"one"));
    assert_eq!(drift(&folder, &list), [""; 0]);
    write("b.ts", "two");
    assert!(drift(&folder, &list).iter().any(|found| found.starts_with("new: ")));
    write("a.ts", "other");
    assert!(drift(&folder, &list).iter().any(|found| found.starts_with("changed: ")));
    std::fs::remove_file(folder.join("page/a.ts")).unwrap();
    assert!(drift(&folder, &list).iter().any(|found| found.starts_with("gone: ")));
    std::fs::remove_dir_all(folder).unwrap();
}
