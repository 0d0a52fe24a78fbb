//! Who may depend on whom: the table of `docs/architecture.md` against `cargo metadata`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::File;

const ARCHITECTURE: &str = "docs/architecture.md";
/// The heading above the table.
const HEADING: &str = "## Who may depend on whom";

/// One row of the table; names of our own crates stand without their prefix.
struct Row<'a> {
    ours: Vec<&'a str>,
    /// Features of Tokio that may be turned on; none: no Tokio.
    tokio: Vec<&'a str>,
    banned: Vec<&'a str>,
}

pub(super) fn check(files: &[File], metadata: &Value, found: &mut Vec<String>) {
    let Some(text) = super::text(files, ARCHITECTURE, found) else { return };
    let table = table(text);
    if table.is_empty() {
        found.push(format!("{ARCHITECTURE}: no table under `{HEADING}`"));
    }
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    for package in packages {
        let name = package["name"].as_str().unwrap_or("");
        match table.get(short(name)) {
            None => found.push(format!("{ARCHITECTURE}: no row for {name} under `{HEADING}`")),
            Some(row) => check_package(name, package, row, found),
        }
    }
}

/// Development dependencies are free: no user of the crate gets them.
fn check_package(name: &str, package: &Value, row: &Row<'_>, found: &mut Vec<String>) {
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    for dependency in dependencies.iter().filter(|it| it["kind"] != "dev") {
        let other = dependency["name"].as_str().unwrap_or("");
        let ours = !dependency["path"].is_null();
        if ours && !row.ours.contains(&short(other)) {
            found.push(format!("{name} uses {other}: an edge that {ARCHITECTURE} does not have"));
        }
        if row.banned.contains(&other) {
            found.push(format!("{name} uses {other}, which {ARCHITECTURE} forbids"));
        }
        if other == "tokio" {
            let features = dependency["features"].as_array().map_or(&[][..], Vec::as_slice);
            if row.tokio.is_empty() {
                found.push(format!("{name} uses tokio, which {ARCHITECTURE} forbids"));
                continue;
            }
            for feature in features.iter().filter_map(Value::as_str) {
                if !row.tokio.contains(&feature) {
                    found.push(format!("{name} turns on `{feature}` of tokio: not in {ARCHITECTURE}"));
                }
            }
        }
    }
}

/// Rows by the short name of the crate; words that are not in back-ticks are for people.
fn table(text: &str) -> BTreeMap<&str, Row<'_>> {
    let section = text.split_once(HEADING).map_or("", |(_, rest)| rest);
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    lines
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(names);
            let name = cells.next()?.into_iter().next()?;
            let [ours, tokio, banned] = [cells.next()?, cells.next()?, cells.next()?];
            Some((name, Row { ours, tokio, banned }))
        })
        .collect()
}

/// What stands in back-ticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn short(package: &str) -> &str {
    package.strip_prefix("darkchat-").unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{file, findings};
    use super::*;

    const TABLE: &str = "\
## Who may depend on whom

| crate | of ours | Tokio | must not use |
|---|---|---|---|
| `proto` | nothing | no | `getrandom` |
| `transport` | `proto` | `sync` | |
";

    fn found_in(name: &str, dependencies: &Value) -> String {
        let metadata = json!({ "packages": [{ "name": name, "dependencies": dependencies }] });
        findings(|found| check(&[file(ARCHITECTURE, TABLE)], &metadata, found))
    }

    #[test]
    fn edge_that_the_table_lacks_is_found() {
        let edge = json!([{ "name": "darkchat-transport", "path": "crates/transport", "kind": null }]);
        assert!(found_in("darkchat-proto", &edge).contains("an edge"));
        let edge = json!([{ "name": "darkchat-proto", "path": "crates/proto", "kind": null }]);
        assert_eq!(found_in("darkchat-transport", &edge), "");
    }

    #[test]
    fn banned_crate_is_found_unless_only_tests_use_it() {
        let banned = json!([{ "name": "getrandom", "path": null, "kind": null }]);
        assert!(found_in("darkchat-proto", &banned).contains("forbids"));
        let tests = json!([{ "name": "getrandom", "path": null, "kind": "dev" }]);
        assert_eq!(found_in("darkchat-proto", &tests), "");
    }

    #[test]
    fn tokio_beyond_the_table_is_found() {
        let tokio =
            |feature: &str| json!([{ "name": "tokio", "path": null, "kind": null, "features": [feature] }]);
        assert!(found_in("darkchat-proto", &tokio("sync")).contains("forbids"));
        assert!(found_in("darkchat-transport", &tokio("net")).contains("`net`"));
        assert_eq!(found_in("darkchat-transport", &tokio("sync")), "");
    }

    #[test]
    fn crate_without_a_row_is_found() {
        assert!(found_in("darkchat-news", &json!([])).contains("no row"));
        assert!(findings(|found| check(&[file(ARCHITECTURE, "")], &json!({}), found)).contains("no table"));
    }
}
