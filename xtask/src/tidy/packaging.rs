//! The service unit and the container file keep the server without rights, also where no tool can lint them.

use super::File;

const UNIT: &str = "packaging/darkchatd.service";
const CONTAINER: &str = "packaging/Containerfile";
/// The server's ports: clients over TCP, clients over WebSocket, peers.
const PORTS: [&str; 3] = ["8545", "8546", "30303"];

pub(super) fn check(files: &[File], found: &mut Vec<String>) {
    if let Some(unit) = super::text(files, UNIT, found) {
        check_unit(unit, found);
    }
    if let Some(container) = super::text(files, CONTAINER, found)
        && let Some(manifest) = super::text(files, "Cargo.toml", found)
    {
        check_container(container, manifest, found);
    }
}

fn check_unit(unit: &str, found: &mut Vec<String>) {
    for line in [
        "DynamicUser=yes",
        "StateDirectory=darkchat",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_INET AF_INET6",
    ] {
        if !unit.lines().any(|it| it == line) {
            found.push(format!("{UNIT}: lacks {line}"));
        }
    }
}

fn check_container(container: &str, manifest: &str, found: &mut Vec<String>) {
    let joined = container.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    let steps: Vec<(&str, &str)> = lines.map(|it| it.split_once(' ').unwrap_or((it, ""))).collect();
    let mut problem = |what: String| found.push(format!("{CONTAINER}: {what}"));
    for (word, _) in &steps {
        let known = [
            "FROM",
            "WORKDIR",
            "COPY",
            "RUN",
            "ENV",
            "USER",
            "VOLUME",
            "EXPOSE",
            "STOPSIGNAL",
            "ENTRYPOINT",
            "CMD",
        ];
        if !known.contains(word) {
            problem(format!("no such instruction: {word}"));
        }
    }
    let last = |word: &str| steps.iter().rev().find(|it| it.0 == word).map_or("", |it| it.1);
    if !last("USER").parse::<u32>().is_ok_and(|user| user > 0) {
        problem("the last USER is the number of a user without rights".to_owned());
    }
    if last("EXPOSE").split(' ').ne(PORTS) {
        problem(format!("EXPOSE {}", PORTS.join(" ")));
    }
    for (_, image) in steps.iter().filter(|it| it.0 == "FROM") {
        if !image.contains(':') || image.contains(":latest") {
            problem(format!("FROM names a version: {image}"));
        }
    }
    let stages: Vec<&str> = steps.iter().filter_map(|it| it.1.split_once(" AS ").map(|it| it.1)).collect();
    let sources = steps.iter().filter_map(|it| it.1.strip_prefix("--from=")?.split(' ').next());
    for source in sources.filter(|it| !stages.contains(it)) {
        problem(format!("no such stage: {source}"));
    }
    let version =
        manifest.split_once("rust-version = \"").and_then(|it| it.1.split_once('"')).map_or("", |it| it.0);
    if !container.contains(&format!("rust:{version}-")) {
        problem(format!("builds with the `rust-version` of Cargo.toml, {version}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;
    use super::*;

    #[test]
    fn unit_with_rights_is_found() {
        let found =
            findings(|found| check_unit("[Service]\nDynamicUser=no\nCapabilityBoundingSet=\n", found));
        assert!(
            found.contains("lacks DynamicUser=yes") && !found.contains("CapabilityBoundingSet"),
            "{found}"
        );
    }

    #[test]
    fn container_with_faults_is_found() {
        let good = "# A.\nFROM rust:1.95-slim AS build\nFROM debian:12\nCOPY --from=build /a /b\nRUN a \\\n    && b\n\
                    USER 10001\nEXPOSE 8545 8546 30303\n";
        let manifest = "rust-version = \"1.95\"\n";
        assert_eq!(findings(|found| check_container(good, manifest, found)), "");
        for (from, to, finding) in [
            ("USER 10001", "USER root", "the last USER"),
            ("USER 10001", "USER 0", "the last USER"),
            ("USER 10001", "USSER 10001", "no such instruction: USSER"),
            (" 30303", "", "EXPOSE 8545"),
            ("debian:12", "debian", "names a version"),
            ("--from=build", "--from=built", "no such stage: built"),
            ("rust:1.95", "rust:1.94", "rust-version"),
        ] {
            let found = findings(|found| check_container(&good.replace(from, to), manifest, found));
            assert!(found.contains(finding), "{to}: {found}");
        }
    }
}
