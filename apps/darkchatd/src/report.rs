//! The start report: what a person or a script must know to reach the server.

use darkchat_proto::{Addr, Network, ServerId};
use serde::Serialize;
use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What was really bound, under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) id: ServerId,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Addr>,
    /// Where the page is.
    pub(crate) web: Vec<String>,
    pub(crate) peers: Vec<Addr>,
    pub(crate) limits: &'static str,
    /// The certificate of the WebSocket port, if there is one; it is no part of the report.
    pub(crate) certificate: Option<PathBuf>,
}

impl fmt::Display for Report {
    /// One `word value` a line; `ready` is not among them, because the ports file comes before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id       {}", self.id)?;
        writeln!(f, "network  {}", self.network)?;
        for addr in &self.clients {
            writeln!(f, "clients  {addr}")?;
        }
        for url in &self.web {
            writeln!(f, "web      {url}")?;
        }
        for addr in &self.peers {
            writeln!(f, "peers    {addr}")?;
        }
        writeln!(f, "limits   {}", self.limits)
    }
}

/// Where a browser finds the page of a WebSocket listener.
pub(crate) fn web_url(addr: &Addr) -> Option<String> {
    let text = addr.to_string();
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        _ => return None,
    };
    Some(format!("{scheme}://{}/", rest.strip_suffix(addr.path()).unwrap_or(rest)))
}

/// The same for programs.
#[derive(Debug, Serialize)]
struct PortsFile<'a> {
    v: u32,
    pid: u32,
    id: String,
    network: &'a str,
    clients: Vec<String>,
    web: &'a [String],
    peers: Vec<String>,
    limits: &'a str,
}

impl Report {
    /// Writes the report as JSON, under a temporary name first, so that a reader sees all or nothing.
    ///
    /// # Errors
    /// The file system's; the named file is then as it was.
    pub(crate) fn write_ports_file(&self, path: &Path) -> std::io::Result<()> {
        let texts = |addrs: &[Addr]| addrs.iter().map(ToString::to_string).collect();
        let file = PortsFile {
            v: 1,
            pid: std::process::id(),
            id: self.id.to_string(),
            network: self.network.as_str(),
            clients: texts(&self.clients),
            web: &self.web,
            peers: texts(&self.peers),
            limits: self.limits,
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", file.pid));
        let temporary = path.with_file_name(name);
        let mut out = std::fs::File::create(&temporary)?;
        serde_json::to_writer(&mut out, &file)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        std::fs::rename(&temporary, path)
    }

    /// What a person can type next, for a terminal.
    pub(crate) fn next_steps(&self) -> String {
        let mut out = String::from("\n");
        let network = match &self.network {
            own if *own != Network::default() => format!(" --network {own}"),
            _ => String::new(),
        };
        if !self.web.is_empty()
            && let Some(url) = self.clients.iter().find_map(|addr| web_url(&here(addr)))
        {
            out.push_str(&format!("  in a browser:    {url}\n"));
        }
        if let Some(addr) = self.clients.first() {
            let trust = match &self.certificate {
                Some(file) if addr.scheme() == "wss" => format!(" --tls-ca {}", file.display()),
                _ => String::new(),
            };
            out.push_str(&format!(
                "  chat here:       darkchat chat --server {}{trust}{network}\n",
                here(addr)
            ));
        }
        if let Some(addr) = self.peers.first() {
            out.push_str(&format!("  peer with this:  darkchatd --connect {}{network}\n", elsewhere(addr)));
        }
        out.push_str("  commands:        help, connect, peers, map, trace, clients, channels, exit\n");
        out
    }
}

/// A listener on all addresses, with the port that it has.
fn unspecified(addr: &Addr) -> Option<SocketAddr> {
    addr.socket_addr().filter(|socket| socket.ip().is_unspecified())
}

/// Where this machine reaches a listener.
fn here(addr: &Addr) -> Addr {
    let Some(mut socket) = unspecified(addr) else { return addr.clone() };
    socket.set_ip(if socket.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    Addr::from_socket(addr.scheme(), socket)
}

/// Where others reach a listener; what this machine is called there, its operator knows.
fn elsewhere(addr: &Addr) -> String {
    match unspecified(addr) {
        Some(socket) => format!("{}://HOST:{}", addr.scheme(), socket.port()),
        None => addr.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            id: ServerId::new([7; 32]),
            network: Network::default(),
            clients: vec!["tcp://127.0.0.1:8545".parse().unwrap(), "ws://127.0.0.1:8546".parse().unwrap()],
            web: vec!["http://127.0.0.1:8546/".to_owned()],
            peers: vec!["tcp://127.0.0.1:30303".parse().unwrap()],
            limits: "trusted",
            certificate: None,
        }
    }

    /// The commands that are shown, and the address for a browser.
    fn steps(report: &Report) -> Vec<String> {
        let text = report.next_steps();
        let lines =
            text.lines().filter_map(|line| line.split_once(":  ")).map(|(_, rest)| rest.trim().to_owned());
        lines.take(3).collect()
    }

    #[test]
    fn what_to_type_next_works_as_it_stands() {
        let usual = [
            "http://127.0.0.1:8546/",
            "darkchat chat --server tcp://127.0.0.1:8545",
            "darkchatd --connect tcp://127.0.0.1:30303",
        ];
        assert_eq!(steps(&report()), usual);
        let other = Report { network: "test".parse().unwrap(), ..report() };
        assert_eq!(steps(&other)[1..], [1, 2].map(|step| format!("{} --network test", usual[step])));
    }

    #[test]
    fn a_listener_on_all_addresses_is_here_on_loopback_and_elsewhere_under_a_name() {
        let open = Report {
            clients: vec!["wss://0.0.0.0:8546".parse().unwrap()],
            web: vec!["https://0.0.0.0:8546/".to_owned()],
            peers: vec!["tcp://[::]:30303".parse().unwrap()],
            certificate: Some("tls-cert.pem".into()),
            ..report()
        };
        let shown = [
            "https://127.0.0.1:8546/",
            "darkchat chat --server wss://127.0.0.1:8546/ws --tls-ca tls-cert.pem",
            "darkchatd --connect tcp://HOST:30303",
        ];
        assert_eq!(steps(&open), shown);
    }

    #[test]
    fn the_page_is_where_the_websockets_are() {
        let url = |addr: &str| web_url(&addr.parse().unwrap());
        assert_eq!(url("ws://127.0.0.1:8546/ws").unwrap(), "http://127.0.0.1:8546/");
        assert_eq!(url("wss://[::1]:443/ws").unwrap(), "https://[::1]:443/");
        assert_eq!(url("tcp://127.0.0.1:8545"), None);
    }

    #[test]
    fn a_line_is_a_word_and_a_value() {
        let text = report().to_string();
        let words: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert!(words.iter().all(|line| line.len() == 2));
        assert_eq!(
            words.iter().map(|line| line[0]).collect::<Vec<_>>(),
            ["id", "network", "clients", "clients", "web", "peers", "limits"]
        );
        assert_eq!(words[3][1], "ws://127.0.0.1:8546/ws");
    }
}
