//! The client's commands and flags: one table for the command line, the environment and `--help`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use darkchat_proto::{ChannelName, Network, ServerAddr, UserId, UserName};
use std::path::PathBuf;
use std::time::Duration;

/// Chat on a darkchat network, from a terminal or from scripts.
#[derive(Debug, Parser)]
#[command(name = "darkchat", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that may stand before or after the command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The server: [tcp://|ws://][KEY@]HOST[:PORT]; more after commas are tried in turn.
    #[arg(
        long,
        value_name = "ADDR",
        global = true,
        env = "DARKCHAT_SERVER",
        default_value = "tcp://127.0.0.1:8545",
        value_delimiter = ','
    )]
    pub(crate) server: Vec<ServerAddr>,
    /// The key file; identity.key in the folder of darkchat if not given, made when missing.
    #[arg(long, value_name = "FILE", global = true, env = "DARKCHAT_IDENTITY", conflicts_with = "ephemeral")]
    pub(crate) identity: Option<PathBuf>,
    /// A fresh key in memory only.
    #[arg(long, global = true)]
    pub(crate) ephemeral: bool,
    /// The name that you claim; others see it beside a mark of your key.
    #[arg(long, value_name = "NAME", global = true, env = "DARKCHAT_NAME", default_value = "")]
    pub(crate) name: UserName,
    /// The network that the server belongs to.
    #[arg(long, value_name = "NAME", global = true, env = "DARKCHAT_NETWORK", default_value = "main")]
    pub(crate) network: Network,
    /// When to colour.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: Color,
    /// No notices.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show the client's log on standard error.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Chat line by line; what happens without a command.
    Chat(Chat),
    /// Send to a channel, from an argument, standard input or a file.
    Send(Send),
    /// Print what arrives, each message once.
    Recv(Recv),
    /// Show your key, or make one.
    Id {
        /// What to do; show is the default.
        #[command(subcommand)]
        action: Option<IdAction>,
        /// Print one JSON object.
        #[arg(long, global = true)]
        json: bool,
    },
}

#[derive(Debug, Args, Default)]
pub(crate) struct Chat {
    /// Join this channel; may be given again [default: #general].
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Vec<ChannelName>,
    /// One finished line a message, without cursor movement; the only way in this version.
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The channel to send to.
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// The message; without it, or with -, standard input to its end, less one trailing newline.
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// Send this file's bytes.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send each non-empty line as a message of its own.
    #[arg(long, conflicts_with = "file")]
    pub(crate) each_line: bool,
    /// What to wait for: accepted means that the server has taken it.
    #[arg(long, value_name = "WHAT", default_value = "accepted")]
    pub(crate) wait: Wait,
    /// How long the command may take once it is connected.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = darkchat_proto::parse_duration)]
    pub(crate) timeout: Duration,
    /// Print one JSON object a message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    Accepted,
}

#[derive(Debug, Args)]
pub(crate) struct Recv {
    /// Listen to this channel; may be given again.
    #[arg(short, long, value_name = "CHANNEL", required = true)]
    pub(crate) channel: Vec<ChannelName>,
    /// End after this many messages.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time; with -n it is then a failure.
    #[arg(long, value_name = "TIME", value_parser = darkchat_proto::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Only what this user wrote.
    #[arg(long, value_name = "KEY")]
    pub(crate) from: Option<UserId>,
    /// Print one JSON object a line, also for what happens besides messages.
    #[arg(long, conflicts_with_all = ["raw", "format"])]
    pub(crate) json: bool,
    /// Print the bytes of each message and a newline.
    #[arg(long, conflicts_with = "format")]
    pub(crate) raw: bool,
    /// Print by this pattern: %c channel, %n name, %m mark, %k key, %i id, %t text, %b bytes, %I time,
    /// %H %M %S local time, %% a percent sign, \n \t \\; no newline is added.
    #[arg(long, value_name = "FMT", value_parser = crate::format::Format::parse)]
    pub(crate) format: Option<crate::format::Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum IdAction {
    /// Print the key.
    Show,
    /// Make a key file and print the key; an existing file is never overwritten.
    New,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("darkchat").chain(line.split_whitespace()))
    }

    #[test]
    fn the_table_of_flags_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["--name ann send -c ops hi", "send -c ops hi --name ann"] {
            assert_eq!(parse(line).unwrap().global.name.as_str(), "ann");
        }
        assert!(parse("").unwrap().command.is_none());
    }

    #[test]
    fn usage_errors_name_the_value() {
        for (line, says) in [
            ("recv", "--channel"),
            ("send hi", "--channel"),
            ("recv -c ops -n 0", "0"),
            ("recv -c ops --timeout 3", "3"),
            ("recv -c ops --json --raw", "--raw"),
            ("send -c ops --wait received x", "received"),
            ("--server ftp:// id", "ftp://"),
            ("recv -c ops --format %q", "%q"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(says), "{line}: {error}");
        }
    }
}
