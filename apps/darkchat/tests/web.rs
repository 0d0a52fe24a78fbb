//! What browsers, proxies and scripts find on the WebSocket port, and TLS there, between real programs.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Folder, Kind, Server, client, darkchatd, read_all};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

/// An answer of HTTP.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// By name in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Host and port of the WebSocket listener.
fn place(server: &Server) -> String {
    server.any().split_once("://").unwrap().1.trim_end_matches("/ws").to_owned()
}

/// Asks with the host that was dialled, unless `more` names another.
fn ask(place: &str, line: &str, more: &str) -> Answer {
    let host = if more.contains("Host:") { String::new() } else { format!("Host: {place}\r\n") };
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\n{host}{more}\r\n").as_bytes()).unwrap();
    Answer::of(&read_all(stream))
}

/// The status that answers an upgrade; the connection is dropped then.
fn upgrade(place: &str, path: &str, more: &str) -> u16 {
    let mut stream = TcpStream::connect(place).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: dchat.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
}

#[test]
fn the_page_comes_with_its_policy_and_is_not_sent_twice() {
    let server = Server::start(Kind::Ws, &[]);
    let place = place(&server);
    assert_eq!(server.web.as_deref().unwrap(), format!("http://{place}/"));
    let page = ask(&place, "GET /", "");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("<title>darkchat"), "{}", page.text());
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none';",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self' ws: wss:;",
        "img-src 'self' data: https:;",
        "base-uri 'none';",
        "form-action 'none';",
        "frame-ancestors 'none';",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    for other in ["/", "/healthz", "/.well-known/darkchat", "/nothing", "/ws"] {
        let answer = ask(&place, &format!("GET {other}"), "");
        for (name, value) in [
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("connection", "close"),
        ] {
            assert_eq!(answer.header(name), value, "{other}: {answer:?}");
        }
    }

    let tag = page.header("etag");
    assert!(tag.starts_with('"') && tag.len() > 32, "{tag}");
    let again = ask(&place, "GET /", &format!("If-None-Match: \"other\", {tag}\r\n"));
    assert_eq!((again.status, again.header("etag"), again.text()), (304, tag, ""));
    let gzip = ask(&place, "GET /index.html", "Accept-Encoding: br, gzip\r\n");
    assert_eq!((gzip.status, gzip.header("content-encoding")), (200, "gzip"));
    assert_eq!(gzip.header("vary"), "accept-encoding");
    assert!(gzip.body.starts_with(b"\x1f\x8b") && gzip.body.len() < page.body.len());
    assert_ne!(gzip.header("etag"), tag);
    let head = ask(&place, "HEAD /", "");
    assert_eq!((head.status, head.text(), head.header("etag")), (200, "", tag));
    assert_eq!(head.header("content-length"), page.body.len().to_string());
}

#[test]
fn health_key_and_refusals_are_what_scripts_can_rely_on() {
    let folder = Folder::new();
    let ports = folder.path().join("ports.json");
    let server = Server::start(Kind::Ws, &["--ports-file", ports.to_str().unwrap()]);
    let place = place(&server);
    let file: Value = serde_json::from_slice(&std::fs::read(&ports).unwrap()).unwrap();
    assert_eq!(file["web"][0], format!("http://{place}/"));

    let health = ask(&place, "GET /healthz", "");
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    let about = ask(&place, "GET /.well-known/darkchat", "");
    assert_eq!(about.header("content-type"), "application/json");
    let about: Value = serde_json::from_slice(&about.body).unwrap();
    assert_eq!((&about["v"], &about["server"]), (&1.into(), &server.id.as_str().into()));
    assert_eq!((&about["network"], &about["path"]), (&"main".into(), &"/ws".into()));
    assert_eq!(about["versions"][0], 1);
    assert_eq!(about["page"].as_str().unwrap().len(), 64);

    assert_eq!(ask(&place, "GET /nothing", "").status, 404);
    assert_eq!(ask(&place, "GET /ws", "").status, 426);
    for method in ["POST /", "PUT /healthz", "DELETE /nothing", "OPTIONS /", "POST /ws"] {
        let answer = ask(&place, method, "Content-Length: 3\r\n\r\nabc");
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    for host in ["evil.example", "evil.example:8546", "", "127.0.0.1.evil.example", "a\r\nHost: 127.0.0.1"] {
        for path in ["/", "/healthz", "/.well-known/darkchat"] {
            let answer = ask(&place, &format!("GET {path}"), &format!("Host: {host}\r\n"));
            assert_eq!(answer.status, 421, "{host:?} {path}");
            assert!(!answer.text().contains("evil"), "{}", answer.text());
        }
    }
    for host in ["localhost", "[::1]:1", "192.0.2.7"] {
        assert_eq!(ask(&place, "GET /", &format!("Host: {host}\r\n")).status, 200, "{host}");
    }
}

#[test]
fn only_pages_of_this_server_and_chosen_ones_may_connect() {
    let server =
        Server::start(Kind::Ws, &["--web-host", "chat.example", "--origin", "https://other.example"]);
    let place = place(&server);
    let status =
        |host: &str, origin: &str| upgrade(&place, "/ws", &format!("Host: {host}\r\nOrigin: {origin}\r\n"));
    assert_eq!(upgrade(&place, "/ws", &format!("Host: {place}\r\n")), 101, "no browser");
    assert_eq!(status(&place, &format!("http://{place}")), 101, "the own page");
    // A proxy with TLS may pass the name on, or not.
    assert_eq!(status("chat.example", "https://chat.example"), 101);
    assert_eq!(status(&place, "https://chat.example"), 101);
    assert_eq!(status(&place, "https://other.example"), 101);
    for foreign in ["https://evil.example", "null", "http://other.example", "https://chat.example:444"] {
        assert_eq!(status(&place, foreign), 403, "{foreign}");
    }
    assert_eq!(status("evil.example:8546", "http://evil.example:8546"), 403, "a name that only points here");
}

#[test]
fn without_the_page_health_and_key_are_still_there_and_a_folder_can_take_its_place() {
    let without = Server::start(Kind::Ws, &["--no-web"]);
    let at = place(&without);
    assert_eq!(without.web, None);
    assert_eq!(ask(&at, "GET /", "").status, 404);
    assert_eq!(ask(&at, "GET /healthz", "").status, 200);
    let about: Value = serde_json::from_slice(&ask(&at, "GET /.well-known/darkchat", "").body).unwrap();
    assert_eq!((&about["server"], &about["page"]), (&without.id.as_str().into(), &Value::Null));

    let folder = Folder::new();
    std::fs::write(folder.path().join("index.html"), "mine").unwrap();
    std::fs::write(folder.path().join("a.js"), "1;".repeat(1_000)).unwrap();
    let own = Server::start(Kind::Ws, &["--web-root", folder.path().to_str().unwrap()]);
    let at = place(&own);
    assert_eq!(ask(&at, "GET /", "").text(), "mine");
    let script = ask(&at, "GET /a.js?v=1", "Accept-Encoding: gzip\r\n");
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.header("content-encoding"), "gzip");
    // What is there was read before the server was ready.
    std::fs::remove_file(folder.path().join("a.js")).unwrap();
    assert_eq!(ask(&at, "GET /a.js", "").status, 200);
}

/// Passes on what comes under `/chat`, without that, as a proxy on a sub-path does.
fn proxy(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        while let Ok((mut caller, _)) = listener.accept() {
            let mut server = TcpStream::connect(&to).unwrap();
            thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    caller.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let Some((line, rest)) = head.split_once("\r\n") else { return };
                let Some(line) = line.strip_prefix("GET /chat/") else { return };
                server.write_all(format!("GET /{line}\r\n{rest}").as_bytes()).unwrap();
                drop(std::io::copy(&mut server, &mut caller));
            });
        }
    });
    place
}

#[test]
fn behind_a_proxy_on_a_sub_path_everything_that_the_page_names_is_found() {
    let server = Server::start(Kind::Ws, &["--web-host", "chat.example"]);
    let proxy = proxy(place(&server));
    let browser = "Host: chat.example\r\n";
    let page = ask(&proxy, "GET /chat/", browser);
    assert_eq!(page.status, 200);
    let named: Vec<&str> = ["src=\"", "href=\""]
        .iter()
        .flat_map(|start| page.text().split(start).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .filter(|name| !name.starts_with("data:"))
        .collect();
    assert!(!named.is_empty(), "{}", page.text());
    for name in named {
        let name = name.strip_prefix("./").unwrap_or(name);
        assert!(!name.starts_with(['/', '.']) || name.starts_with(".well-known/"), "not relative: {name}");
        assert_eq!(ask(&proxy, &format!("GET /chat/{name}"), browser).status, 200, "{name}");
    }
    let page = format!("{browser}Origin: https://chat.example\r\n");
    assert_eq!(upgrade(&proxy, "/chat/ws", &page), 101);
}

#[test]
fn whoever_does_not_finish_its_request_is_hung_up_on_without_a_byte() {
    let server = Server::start(Kind::Ws, &[]);
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "] {
        let mut stream = TcpStream::connect(place(&server)).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        assert_eq!(read_all(stream), b"", "{begun}");
    }
}

/// Makes a pair in a folder, and gives both files and the fingerprint.
fn pair(folder: &Path) -> [String; 3] {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    for old in [&cert, &key] {
        drop(std::fs::remove_file(old));
    }
    let made = Command::new(darkchatd())
        .args(["tls", "self-signed", "--tls-cert", &cert, "--tls-key", &key])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let lines = String::from_utf8(made.stdout).unwrap();
    let sha256 = lines.lines().find_map(|line| line.strip_prefix("sha256   ")).unwrap();
    [cert, key, sha256.to_owned()]
}

/// Sends a message under wss, and gives the exit code and what was said on standard error.
fn send(server: &Server, ca: Option<&str>) -> (i32, String) {
    let mut command = client(server.any());
    command.args(["send", "-c", "ops", "hello"]);
    if let Some(ca) = ca {
        command.args(["--tls-ca", ca]);
    }
    let out = command.output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn wss_carries_links_for_those_who_believe_the_certificate_and_a_hangup_changes_it() {
    let folder = Folder::new();
    let [cert, key, former] = pair(folder.path());
    let server = Server::start(Kind::Ws, &["--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.any().starts_with("wss://127.0.0.1:"), "{}", server.any());
    assert_eq!(server.web.as_deref().unwrap(), format!("https://{}/", place(&server)));
    assert_eq!(send(&server, Some(&cert)).0, 0);
    let (code, words) = send(&server, None);
    assert!(code == 3 && words.contains("certificate"), "{code}: {words}");
    assert_eq!(ask(&place(&server), "GET /", "").status, 400, "no TLS");

    let old = folder.path().join("old.pem").to_str().unwrap().to_owned();
    std::fs::copy(&cert, &old).unwrap();
    let [cert, _, later] = pair(folder.path());
    assert_ne!(former, later);
    assert_eq!(send(&server, Some(&old)).0, 0, "nobody has told the server yet");
    server.program.signal("HUP");
    server.program.err.until(&["certificate read again"]);
    assert_eq!(send(&server, Some(&cert)).0, 0);
    assert_eq!(send(&server, Some(&old)).0, 3);

    std::fs::write(&cert, "nothing").unwrap();
    server.program.signal("HUP");
    server.program.err.until(&["former certificate stays", &cert]);
    assert_eq!(send(&server, Some(&old)).0, 3);
}

#[test]
fn whoever_does_not_finish_the_handshake_of_tls_is_hung_up_on_and_others_are_served_meanwhile() {
    let folder = Folder::new();
    let [cert, key, _] = pair(folder.path());
    let server = Server::start(Kind::Ws, &["--tls-cert", &cert, "--tls-key", &key]);
    // Nothing, half a header, and a header that promises more than comes.
    let begun: [&[u8]; 3] = [b"", b"\x16\x03", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"];
    let slow = begun.map(|begun| {
        let mut stream = TcpStream::connect(place(&server)).unwrap();
        stream.write_all(begun).unwrap();
        stream
    });
    assert_eq!(send(&server, Some(&cert)).0, 0, "served beside them");
    for stream in slow {
        assert_eq!(read_all(stream), b"");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_the_file_before_anything_is_bound() {
    let folder = Folder::new();
    let [cert, key, _] = pair(folder.path());
    let fails = |cert: &str, key: &str, words: &[&str]| {
        let flags = ["--ephemeral", "--ws", "0", "--peer-listen", "0", "--tls-cert", cert, "--tls-key", key];
        let out = Command::new(darkchatd()).args(flags).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!((out.status.code(), out.stdout), (Some(1), Vec::new()), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    };
    fails("/nowhere/cert.pem", &key, &["/nowhere/cert.pem"]);
    let other = folder.path().join("other.pem").to_str().unwrap().to_owned();
    std::fs::copy(&key, &other).unwrap();
    std::fs::write(&other, "nothing").unwrap();
    fails(&cert, &other, &["no private key", &other]);
    fails(&key, &key, &["no certificates", &key]);
    let chmod = Command::new("chmod").args(["644", &key]).status().unwrap();
    assert!(chmod.success());
    fails(&cert, &key, &["chmod 600", &key]);
    let missing =
        client("wss://127.0.0.1:1").args(["--tls-ca", "/nowhere.pem", "send", "-c", "a", "b"]).output();
    let missing = missing.unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere.pem"));
}
