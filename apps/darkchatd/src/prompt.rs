//! The operator's prompt: one table of commands, read from a terminal or from any standard input.

use crate::log::LogLines;
use crate::{show, terminal};
use darkchat_proto::{ChannelId, ChannelName, Network, ServerAddr, ServerId};
use darkchat_server::{PeerError, Server};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter as _};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What an operator sees before typing.
const PROMPT: &str = "darkchatd> ";
/// How long `connect` waits for a link; it goes on trying afterwards.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// The commands, with a usage line each.
const HELP: [(&str, &str); 9] = [
    ("connect HOST PORT", "dial a server and keep the link; also: connect ADDR"),
    ("disconnect KEY", "end the link with a server, and dial it no longer"),
    ("peers", "the servers that this one is linked with, their round trips and what waits for them"),
    ("map", "all servers of the network as this one sees it, and the way to each"),
    ("trace CHANNEL", "by which hops a probe reaches the servers that want a channel"),
    ("clients", "the users that are connected, and how many channels each has joined"),
    ("channels [NAME]", "the channels with members here, by id; with a name, that one"),
    ("id", "this server's key"),
    ("exit", "say goodbye to everybody and stop"),
];

/// A line as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Connect(ServerAddr),
    Disconnect(ServerId),
    Peers,
    Map,
    Trace(ChannelName),
    Clients,
    Channels(Option<ChannelName>),
    Id,
    Help,
    Exit,
}

impl Command {
    /// Reads a line; an empty one is nothing.
    pub(crate) fn parse(line: &str) -> Option<Result<Self, String>> {
        let mut words = line.split_whitespace();
        let verb = words.next()?;
        let rest: Vec<&str> = words.collect();
        Some(Self::from_words(verb, &rest))
    }

    fn from_words(verb: &str, rest: &[&str]) -> Result<Self, String> {
        let usage = |text: &str| Err(format!("usage: {text}"));
        match (verb.to_ascii_lowercase().as_str(), rest) {
            ("connect", [addr]) => Self::connect(addr),
            ("connect", [host, port]) => Self::connect(&host_and_port(host, port)),
            ("connect", _) => usage("connect HOST PORT, or connect ADDR"),
            ("disconnect", [key]) => key.parse().map(Self::Disconnect).map_err(|e| format!("{e}")),
            ("disconnect", _) => usage("disconnect KEY"),
            ("peers", []) => Ok(Self::Peers),
            ("map", []) => Ok(Self::Map),
            ("trace", [name]) => name.parse().map(Self::Trace).map_err(|e| format!("{e}")),
            ("trace", _) => usage("trace CHANNEL"),
            ("clients", []) => Ok(Self::Clients),
            ("channels", []) => Ok(Self::Channels(None)),
            ("channels", [name]) => {
                name.parse().map(|name| Self::Channels(Some(name))).map_err(|e| format!("{e}"))
            }
            ("id", []) => Ok(Self::Id),
            ("help", _) => Ok(Self::Help),
            ("exit", []) => Ok(Self::Exit),
            (known @ ("peers" | "map" | "clients" | "channels" | "id" | "exit"), _) => usage(known),
            _ => Err(format!("unknown command: {}", verb.escape_debug())),
        }
    }

    fn connect(text: &str) -> Result<Self, String> {
        let addr: ServerAddr = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self::Connect(ServerAddr { addr: addr.addr.or_peer_port(), key: addr.key }))
    }
}

/// A bare IPv6 address gets its brackets.
fn host_and_port(host: &str, port: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The reply, without the empty line that closes it. `Exit` is the caller's to carry out.
pub(crate) async fn answer(server: &Server, network: &Network, command: Command) -> String {
    match command {
        Command::Connect(addr) => connect(server, addr).await,
        Command::Disconnect(peer) if server.disconnect(peer).await => format!("disconnected {peer}"),
        Command::Disconnect(peer) => format!("error: not connected: {peer}"),
        Command::Peers => list(server.peers().iter().map(show::peer)),
        Command::Map => show::map(&server.map()),
        Command::Trace(name) => match server.trace(ChannelId::of(network, &name)).await {
            Ok(trace) => show::trace(&trace),
            Err(error) => format!("error: {error}"),
        },
        Command::Clients => list(
            server
                .clients()
                .iter()
                .map(|client| format!("{} {} {}", client.user, client.addr, client.channels)),
        ),
        Command::Channels(name) => {
            let only = name.map(|name| ChannelId::of(network, &name));
            let channels = server.channels();
            let wanted = channels.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
            list(wanted.map(|(id, members)| format!("{id} {members}")))
        }
        Command::Id => server.id().to_string(),
        Command::Help => {
            let lines: Vec<_> = HELP.iter().map(|(usage, what)| format!("{usage:18} {what}")).collect();
            lines.join("\n")
        }
        Command::Exit => "goodbye".to_owned(),
    }
}

async fn connect(server: &Server, addr: ServerAddr) -> String {
    let place = addr.addr.clone();
    match tokio::time::timeout(CONNECT_WAIT, server.connect(addr)).await {
        Ok(Ok(id)) => format!("connected {id} {place}"),
        Ok(Err(PeerError::AlreadyConnected { id })) => format!("already connected {id} {place}"),
        Ok(Err(error)) => format!("error: {:#}", anyhow::Error::from(error)),
        Err(_) => format!("error: no link within 10 s, still trying: {place}"),
    }
}

fn list(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() { "(none)".to_owned() } else { lines.join("\n") }
}

/// Answers lines until `exit`, or for ever if nobody says it.
pub(crate) async fn serve(server: Server, network: Network, mut lines: mpsc::Receiver<Asked>) {
    while let Some(Asked { line, reply }) = lines.recv().await {
        let text = match Command::parse(&line) {
            None => String::new(),
            Some(Err(problem)) => format!("error: {problem}"),
            Some(Ok(Command::Exit)) => return,
            Some(Ok(command)) => answer(&server, &network, command).await,
        };
        // The thread that asked may have ended with standard input; its reply then has no reader.
        drop(reply.send(text));
    }
    std::future::pending().await
}

/// A line, and where its reply goes.
pub(crate) struct Asked {
    line: String,
    reply: oneshot::Sender<String>,
}

/// How the prompt was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// With editing and history; log lines stand above it.
    Terminal,
    /// Lines in, replies out, each closed by an empty line.
    Plain,
}

impl Style {
    /// What `--prompt auto` means here: a prompt only where somebody sits.
    pub(crate) fn of_terminal() -> Option<Self> {
        terminal::is_ours().then_some(Self::Terminal)
    }

    /// What `--prompt always` means here.
    pub(crate) fn always() -> Self {
        Self::of_terminal().unwrap_or(Self::Plain)
    }
}

/// Reads standard input on a thread of its own, which ends with it.
pub(crate) fn read(style: Style, logs: LogLines) -> mpsc::Receiver<Asked> {
    let (ask, asked) = mpsc::channel(1);
    std::thread::spawn(move || match style {
        Style::Terminal => read_terminal(&ask, &logs),
        Style::Plain => read_plain(&ask),
    });
    asked
}

fn ask_for(ask: &mpsc::Sender<Asked>, line: String) -> Option<String> {
    let (reply, answer) = oneshot::channel();
    ask.blocking_send(Asked { line, reply }).ok()?;
    answer.blocking_recv().ok()
}

fn read_plain(ask: &mpsc::Sender<Asked>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some(reply) = ask_for(ask, line) else { return };
        let written =
            if reply.is_empty() { writeln!(io::stdout()) } else { writeln!(io::stdout(), "{reply}\n") };
        if written.is_err() {
            return;
        }
    }
}

fn read_terminal(ask: &mpsc::Sender<Asked>, logs: &LogLines) {
    let Ok(mut editor) = DefaultEditor::new() else { return read_plain(ask) };
    if io::stderr().is_terminal()
        && let Ok(mut printer) = editor.create_external_printer()
    {
        logs.divert(Some(Box::new(move |line| printer.print(line).is_ok())));
    }
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                drop(editor.add_history_entry(&line));
                let Some(reply) = ask_for(ask, line) else { break };
                if !reply.is_empty() && writeln!(io::stdout(), "{reply}").is_err() {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {
                drop(ask_for(ask, "exit".to_owned()));
                break;
            }
            Err(_) => break,
        }
    }
    // First, because a line that was given to it waits for the next prompt, and there is none.
    drop(editor);
    logs.divert(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line).unwrap()
    }

    #[test]
    fn connect_takes_host_and_port_or_an_address() {
        let addr = |text: &str| Command::Connect(text.parse().unwrap());
        assert_eq!(parse("connect 127.0.0.1 4000"), Ok(addr("tcp://127.0.0.1:4000")));
        assert_eq!(parse("CONNECT ::1 4000"), Ok(addr("tcp://[::1]:4000")));
        assert_eq!(parse("connect example"), Ok(addr("tcp://example:30303")));
        assert_eq!(parse("connect ws://example:1/ws"), Ok(addr("ws://example:1/ws")));
    }

    #[test]
    fn the_documented_commands_are_those_of_the_help() {
        let docs = include_str!("../../../docs/commands.md");
        let table = docs.split_once("### Prompt").map_or("", |(_, rest)| rest);
        let table = table.split_once("### What the operator sees").map_or("", |(table, _)| table);
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let helped: Vec<&str> = HELP.iter().map(|(usage, _)| *usage).chain(["help"]).collect();
        let sorted = |mut list: Vec<&'static str>| {
            list.sort_unstable();
            list
        };
        assert_eq!(sorted(documented), sorted(helped));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(Command::parse("   "), None);
        assert_eq!(parse("frob x"), Err("unknown command: frob".to_owned()));
        assert_eq!(parse("peers now"), Err("usage: peers".to_owned()));
        assert_eq!(parse("trace"), Err("usage: trace CHANNEL".to_owned()));
        assert_eq!(parse("map x"), Err("usage: map".to_owned()));
        assert!(parse("trace two words").is_err() && parse("disconnect nobody").is_err());
        assert!(parse("connect host 70000").unwrap_err().contains("70000"));
        assert!(parse("channels two words").is_err());
    }
}
