//! The server's flags: one table for the command line, the environment and `--help`.

use crate::lan::Place;
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use darkchat_proto::{Addr, GossipAddr, Network, PORT_PEER, PORT_TCP, PORT_WS, ServerAddr};
use darkchat_transport_ws::Origin;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A darkchat server: it carries messages and keeps none.
///
/// Without flags it takes terminal clients on 8545, WebSocket clients on 8546 and other servers on 30303, all on
/// loopback. With only --tcp, or only --ws, it takes only such clients; every kind of server peers with every kind.
#[derive(Debug, Parser)]
#[command(
    name = "darkchatd",
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the server's key, or make one.
    Id {
        /// What to do; show is the default.
        #[command(subcommand)]
        action: Option<IdAction>,
        #[command(flatten)]
        options: IdOptions,
    },
    /// Make what TLS needs.
    Tls {
        /// What to make.
        #[command(subcommand)]
        action: TlsAction,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsAction {
    /// Make a certificate that signs itself, for a test network, and print its fingerprint.
    SelfSigned(SelfSigned),
}

#[derive(Debug, Args)]
pub(crate) struct SelfSigned {
    /// A host name or IP address of the server; may be given again [default: localhost, 127.0.0.1 and ::1].
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) name: Vec<String>,
    /// Where the certificate goes.
    #[arg(long, value_name = "FILE", default_value = "tls-cert.pem", env = "DARKCHATD_TLS_CERT")]
    pub(crate) tls_cert: PathBuf,
    /// Where its private key goes, for its owner only.
    #[arg(long, value_name = "FILE", default_value = "tls-key.pem", env = "DARKCHATD_TLS_KEY")]
    pub(crate) tls_key: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdAction {
    /// Print the key.
    Show,
    /// Make a key file and print the key; an existing file is never overwritten.
    New,
}

#[derive(Debug, Args)]
pub(crate) struct IdOptions {
    /// The key file; server.key in the folder of darkchat if not given.
    #[arg(long, value_name = "FILE", env = "DARKCHATD_KEY", global = true)]
    pub(crate) key: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
pub(crate) struct Run {
    /// Take terminal clients over TCP [default: 127.0.0.1:8545].
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "8545", env = "DARKCHATD_TCP")]
    pub(crate) tcp: Option<TcpListen>,
    /// Take clients over WebSocket [default: 127.0.0.1:8546].
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "8546", env = "DARKCHATD_WS")]
    pub(crate) ws: Option<WsListen>,
    /// Serve no web page on the WebSocket port, only its health and its key.
    #[arg(long, env = "DARKCHATD_NO_WEB", value_parser = FalseyValueParser::new())]
    pub(crate) no_web: bool,
    /// Serve the page in this folder instead of the one inside the program; it is read once, at the start.
    #[arg(long, value_name = "DIR", env = "DARKCHATD_WEB_ROOT")]
    pub(crate) web_root: Option<PathBuf>,
    /// A host name under which browsers reach the WebSocket port, also through a proxy with TLS; may be given again.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = host_name, env = "DARKCHATD_WEB_HOST")]
    pub(crate) web_host: Vec<String>,
    /// A page elsewhere that may connect, such as https://chat.example; may be given again.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', env = "DARKCHATD_ORIGIN")]
    pub(crate) origin: Vec<Origin>,
    /// Speak TLS on the WebSocket port (https and wss) with these certificates, a PEM file; SIGHUP reads it again.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "DARKCHATD_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, a PEM file that others cannot read.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "DARKCHATD_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where other servers reach this one [default: 127.0.0.1:30303].
    #[arg(long, value_name = "HOST:PORT", env = "DARKCHATD_PEER_LISTEN")]
    pub(crate) peer_listen: Option<PeerListen>,
    /// Do not listen for other servers; only dial them.
    #[arg(long, env = "DARKCHATD_NO_PEER_LISTEN", value_parser = FalseyValueParser::new())]
    pub(crate) no_peer_listen: bool,
    /// Dial this server and keep the link; may be given again.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', env = "DARKCHATD_CONNECT")]
    pub(crate) connect: Vec<ServerAddr>,
    /// Where clients may go when this server stops, with its key; may be given again, four are told.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = with_key, env = "DARKCHATD_ELSEWHERE")]
    pub(crate) elsewhere: Vec<ServerAddr>,
    /// The key file; server.key in the folder of darkchat if not given.
    #[arg(long, value_name = "FILE", env = "DARKCHATD_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// A fresh key in memory only.
    #[arg(long, env = "DARKCHATD_EPHEMERAL", value_parser = FalseyValueParser::new())]
    pub(crate) ephemeral: bool,
    /// The network that the server belongs to.
    #[arg(long, value_name = "NAME", default_value = "main", env = "DARKCHATD_NETWORK")]
    pub(crate) network: Network,
    /// Permit dialling private addresses learnt from peers [default: while all own listeners are on loopback].
    #[arg(long, env = "DARKCHATD_LAN", value_parser = FalseyValueParser::new())]
    pub(crate) lan: bool,
    /// Never dial private addresses learnt from peers.
    #[arg(long, env = "DARKCHATD_NO_LAN", value_parser = FalseyValueParser::new())]
    pub(crate) no_lan: bool,
    /// Announce this server in the local network by multicast DNS, and find others there; on loopback for servers of
    /// this machine [default: lan if --lan is given and a listener is not on loopback, else off].
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "lan", env = "DARKCHATD_MDNS")]
    pub(crate) mdns: Option<Mdns>,
    /// Whether other servers can dial this one; auto asks neighbours to try.
    #[arg(long, value_name = "WHETHER", default_value = "auto", env = "DARKCHATD_DIALABLE")]
    pub(crate) dialable: Dialable,
    /// Another place where other servers reach this one, as through a forwarded port; may be given again.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = advertised, env = "DARKCHATD_ADVERTISE")]
    pub(crate) advertise: Vec<GossipAddr>,
    /// Which limits to apply; trusted is a hundred times public, unmetered ten thousand times [default: trusted while all own listeners are on loopback].
    #[arg(long, value_name = "PROFILE", env = "DARKCHATD_BUDGET")]
    pub(crate) budget: Option<Budget>,
    /// Print the limits that would be in force, as NAME VALUE lines, and stop.
    #[arg(long)]
    pub(crate) print_limits: bool,
    /// How long a connection may take until it is up; at most 300s, for people who log in by hand.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = handshake_timeout, env = "DARKCHATD_HANDSHAKE_TIMEOUT")]
    pub(crate) handshake_timeout: Duration,
    /// Read the operator's commands from standard input.
    #[arg(long, value_name = "WHEN", default_value = "auto", env = "DARKCHATD_PROMPT")]
    pub(crate) prompt: Prompt,
    /// Write the start report as JSON to this file.
    #[arg(long, value_name = "FILE", env = "DARKCHATD_PORTS_FILE")]
    pub(crate) ports_file: Option<PathBuf>,
    /// How much to log on standard error.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "DARKCHATD_LOG_LEVEL")]
    pub(crate) log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    Public,
    Trusted,
    Unmetered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mdns {
    /// On the interfaces that lead to other machines.
    Lan,
    /// On this machine only.
    Loopback,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialable {
    /// As neighbours find out.
    Auto,
    /// Yes, whatever they find.
    Yes,
    /// No: it only dials out.
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prompt {
    /// When standard input and output are terminals.
    Auto,
    /// From any standard input; only replies are printed, each closed by an empty line.
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub(crate) const fn level(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
            Self::Trace => tracing::Level::TRACE,
        }
    }
}

/// Where to listen: the scheme and default port come with the flag.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Listen<const PORT: u16>(Addr);

pub(crate) type TcpListen = Listen<PORT_TCP>;
pub(crate) type WsListen = Listen<PORT_WS>;
pub(crate) type PeerListen = Listen<PORT_PEER>;

impl<const PORT: u16> Listen<PORT> {
    const SCHEME: &str = if PORT == PORT_WS { "ws" } else { "tcp" };

    pub(crate) fn into_addr(self) -> Addr {
        self.0
    }

    pub(crate) fn standard() -> Self {
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], PORT));
        Self(Addr::from_socket(Self::SCHEME, loopback))
    }
}

impl<const PORT: u16> fmt::Debug for Listen<PORT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<const PORT: u16> std::str::FromStr for Listen<PORT> {
    type Err = String;

    /// Reads `HOST:PORT`, `HOST`, or a bare number, which is a port on loopback.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") || text.contains('@') {
            return Err(format!("a place to listen is HOST:PORT or a port number: {text}"));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = text.parse().map_err(|_| format!("a port is a number from 0 to 65535: {text}"))?;
            return Ok(Self(Self::standard().0.with_port(port)));
        }
        let addr: Addr = format!("{}://{text}", Self::SCHEME).parse().map_err(|error| format!("{error}"))?;
        let port = addr.port().unwrap_or(PORT);
        Ok(Self(addr.with_port(port)))
    }
}

/// Flags of which only one can hold.
const OPPOSITES: [(&str, &str); 4] =
    [("web_root", "no_web"), ("peer_listen", "no_peer_listen"), ("key", "ephemeral"), ("lan", "no_lan")];

impl Cli {
    /// Reads what was given. The command line goes before the environment, also where it says the opposite by another
    /// flag.
    ///
    /// # Errors
    /// A usage error; one is that two opposites are given in the same place.
    pub(crate) fn read(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let given = command.try_get_matches_from_mut(words)?;
        let mut cli = Self::from_arg_matches(&given).map_err(|error| error.format(&mut command))?;
        if cli.command.is_some() {
            return Ok(cli);
        }
        for (one, other) in OPPOSITES {
            match (place(&given, one), place(&given, other)) {
                (Some(first), Some(second)) if first == second => {
                    return Err(contradiction(&mut command, first, one, other));
                }
                (first, second) if first > second => cli.run.forget(other),
                _ => cli.run.forget(one),
            }
        }
        Ok(cli)
    }
}

/// Where it was said, if it was, that a flag holds.
fn place(given: &ArgMatches, flag: &str) -> Option<ValueSource> {
    let is_off = given.try_get_one::<bool>(flag).is_ok_and(|on| on == Some(&false));
    given.value_source(flag).filter(|place| *place != ValueSource::DefaultValue && !is_off)
}

fn contradiction(command: &mut clap::Command, place: ValueSource, one: &str, other: &str) -> clap::Error {
    let name = |flag: &str| {
        let flag = command.get_arguments().find(|arg| arg.get_id() == flag)?;
        match place {
            ValueSource::EnvVariable => flag.get_env().map(|name| name.to_string_lossy().into_owned()),
            _ => Some(flag.to_string()),
        }
    };
    let names = [one, other].map(|flag| name(flag).unwrap_or_else(|| flag.to_owned()));
    let told = format!("'{}' cannot be used with '{}'", names[0], names[1]);
    command.error(ErrorKind::ArgumentConflict, told)
}

/// What the listener flags come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listeners {
    pub(crate) clients: Vec<Addr>,
    pub(crate) peers: Option<Addr>,
}

impl Run {
    /// As if this flag had not been given.
    fn forget(&mut self, flag: &str) {
        match flag {
            "web_root" => self.web_root = None,
            "no_web" => self.no_web = false,
            "peer_listen" => self.peer_listen = None,
            "no_peer_listen" => self.no_peer_listen = false,
            "key" => self.key = None,
            "ephemeral" => self.ephemeral = false,
            "lan" => self.lan = false,
            "no_lan" => self.no_lan = false,
            other => debug_assert!(false, "no opposite: {other}"),
        }
    }

    /// Neither --tcp nor --ws means both.
    pub(crate) fn listeners(&self) -> Listeners {
        let neither = self.tcp.is_none() && self.ws.is_none();
        let tcp = self.tcp.clone().or_else(|| neither.then(Listen::standard)).map(Listen::into_addr);
        let ws = self.ws.clone().or_else(|| neither.then(Listen::standard)).map(Listen::into_addr);
        let ws = ws.map(|addr| if self.tls_cert.is_some() { secure(&addr) } else { addr });
        let peers = self.peer_listen.clone().unwrap_or_else(Listen::standard).into_addr();
        Listeners {
            clients: tcp.into_iter().chain(ws).collect(),
            peers: (!self.no_peer_listen).then_some(peers),
        }
    }
}

impl Run {
    /// Where multicast DNS is used, if it is: as asked for, and with an explicit --lan unless all is on loopback.
    pub(crate) fn mdns_place(&self) -> Option<Place> {
        match self.mdns {
            Some(Mdns::Lan) => Some(Place::Lan),
            Some(Mdns::Loopback) => Some(Place::Loopback),
            None if self.lan && !self.listeners().are_loopback() => Some(Place::Lan),
            Some(Mdns::Off) | None => None,
        }
    }
}

impl Listeners {
    /// Whether nobody else's machine can reach us.
    pub(crate) fn are_loopback(&self) -> bool {
        self.clients.iter().chain(&self.peers).all(Addr::is_loopback)
    }
}

/// The longest time that a person may need to log in by hand.
const MAX_HANDSHAKE: Duration = Duration::from_secs(300);

fn advertised(text: &str) -> Result<GossipAddr, String> {
    let addr: Addr = text.parse().map_err(|error| format!("{error}"))?;
    let addr = addr.or_peer_port();
    GossipAddr::of(&addr).ok_or_else(|| format!("an IP address under tcp or ws: {text}"))
}

/// The same place inside TLS.
fn secure(addr: &Addr) -> Addr {
    Addr::new("wss", addr.host(), addr.port()).unwrap_or_else(|_| addr.clone())
}

/// A name as browsers send it, without a port.
fn host_name(text: &str) -> Result<String, String> {
    let wrong = || format!("a host name without a port, such as chat.example: {text}");
    let addr: Addr = format!("http://{text}").parse().map_err(|_| wrong())?;
    if addr.port().is_some() || !addr.path().is_empty() {
        return Err(wrong());
    }
    Ok(addr.host().to_owned())
}

/// An address with the key that must be proven there.
fn with_key(text: &str) -> Result<ServerAddr, String> {
    let addr: ServerAddr = text.parse().map_err(|error: darkchat_proto::ParseError| error.to_string())?;
    if addr.key.is_some() { Ok(addr) } else { Err("needs the server's key: s…@host:port".to_owned()) }
}

fn handshake_timeout(text: &str) -> Result<Duration, String> {
    let time = darkchat_proto::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() || time > MAX_HANDSHAKE {
        return Err(format!("between 1ms and 300s: {text}"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("darkchatd").chain(line.split_whitespace()))
    }

    fn listeners(line: &str) -> Vec<String> {
        let Listeners { clients, peers } = read(line).unwrap().run.listeners();
        clients.iter().chain(&peers).map(ToString::to_string).collect()
    }

    #[test]
    fn the_table_of_flags_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_three_kinds_of_server_come_from_two_flags() {
        let peers = "tcp://127.0.0.1:30303";
        assert_eq!(listeners(""), ["tcp://127.0.0.1:8545", "ws://127.0.0.1:8546/ws", peers]);
        assert_eq!(listeners("--tcp"), ["tcp://127.0.0.1:8545", peers]);
        assert_eq!(listeners("--ws"), ["ws://127.0.0.1:8546/ws", peers]);
        assert_eq!(listeners("--tcp --ws"), ["tcp://127.0.0.1:8545", "ws://127.0.0.1:8546/ws", peers]);
    }

    #[test]
    fn multicast_dns_is_off_unless_it_or_the_lan_is_asked_for() {
        let place = |line: &str| read(line).unwrap().run.mdns_place();
        for off in ["", "--tcp 0.0.0.0:1", "--no-lan", "--lan", "--lan --tcp 0.0.0.0:1 --mdns off"] {
            assert_eq!(place(off), None, "{off}");
        }
        for lan in ["--mdns", "--mdns lan", "--lan --tcp 0.0.0.0:1", "--lan --peer-listen 0.0.0.0:1"] {
            assert_eq!(place(lan), Some(Place::Lan), "{lan}");
        }
        assert_eq!(place("--mdns loopback"), Some(Place::Loopback));
    }

    #[test]
    fn with_a_certificate_websockets_are_inside_tls() {
        assert_eq!(listeners("--ws 0 --tls-cert a --tls-key b --no-peer-listen"), ["wss://127.0.0.1:0/ws"]);
    }

    #[test]
    fn a_value_replaces_the_default_and_a_bare_number_is_a_port_on_loopback() {
        assert_eq!(listeners("--tcp 0.0.0.0:9000 --no-peer-listen"), ["tcp://0.0.0.0:9000"]);
        assert_eq!(listeners("--ws [::1]:0 --peer-listen 0"), ["ws://[::1]:0/ws", "tcp://127.0.0.1:0"]);
    }

    #[test]
    fn wrong_values_say_what_is_wrong_with_which_value() {
        for (line, says) in [
            ("--tcp 70000", "70000"),
            ("--tcp tcp://x:1", "tcp://x:1"),
            ("--handshake-timeout 301s", "301s"),
            ("--handshake-timeout 5", "5"),
            ("--advertise chat.example", "chat.example"),
            ("--dialable maybe", "maybe"),
            ("--tls-cert a", "--tls-key"),
            ("--no-web --web-root a", "'--web-root <DIR>' cannot be used with '--no-web'"),
            ("--peer-listen 1 --no-peer-listen", "--no-peer-listen"),
            ("--key a --ephemeral", "--ephemeral"),
            ("--no-lan --lan", "--no-lan"),
            ("--web-host chat.example:80", "chat.example:80"),
            ("--origin chat.example", "chat.example"),
            ("--connect ftp", "127"),
        ] {
            match read(line) {
                Err(error) => assert!(error.to_string().contains(says), "{error}"),
                Ok(cli) => assert_eq!(line, "--connect ftp", "{cli:?}"),
            }
        }
    }
}
