//! The client's commands and flags: one table for the command line, the environment and `--help`.

use crate::place::Place;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use darkchat_proto::{ChannelName, Network, ServerAddr, UserId, UserName};
use std::ffi::OsString;
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

impl Cli {
    /// Reads what was given. The command line goes before the environment: `--ephemeral` also before a key file that
    /// stands there.
    ///
    /// # Errors
    /// A usage error.
    pub(crate) fn read(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let given = command.try_get_matches_from_mut(words)?;
        let mut cli = Self::from_arg_matches(&given).map_err(|error| error.format(&mut command))?;
        if cli.global.ephemeral && cli.global.identity.take().is_some() {
            let is_typed = given.value_source("identity") == Some(ValueSource::CommandLine);
            if is_typed {
                let told = "'--identity <FILE>' cannot be used with '--ephemeral'";
                return Err(command.error(ErrorKind::ArgumentConflict, told));
            }
        }
        Ok(cli)
    }
}

/// Flags that may stand before or after the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The server: [tcp://|ws://|wss://][KEY@]HOST[:PORT]; more after commas are tried in turn.
    #[arg(
        long,
        value_name = "ADDR",
        global = true,
        env = "DARKCHAT_SERVER",
        default_value = "tcp://127.0.0.1:8545",
        value_delimiter = ','
    )]
    pub(crate) server: Vec<ServerAddr>,
    /// Believe these certificates under wss:// instead of those that the system trusts: a PEM file with authorities, or
    /// with the server's own.
    #[arg(long, value_name = "FILE", global = true, env = "DARKCHAT_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The key file; identity.key in the folder of darkchat if not given, made when missing.
    #[arg(long, value_name = "FILE", global = true, env = "DARKCHAT_IDENTITY")]
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
    /// Private channels: make, enter, invite, change members, list.
    Channel {
        #[command(subcommand)]
        action: ChannelAction,
    },
    /// The people that you know by name, and whose key you have compared.
    Contacts {
        #[command(subcommand)]
        action: ContactsAction,
    },
    /// Load a server, count what comes, and measure how long it took. Keys are fresh ones in memory.
    Bench {
        /// What to measure.
        #[command(subcommand)]
        work: crate::bench::args::Work,
    },
    /// Show your key, or make one; or the number that you compare with somebody.
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
    /// Join this channel, or your private channel +NAME; may be given again [default: #general, if there is no invitation].
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Vec<Place>,
    /// Join the private channel whose invitation stands in this file, and keep it; DARKCHAT_INVITE may hold one instead.
    #[arg(long, value_name = "FILE")]
    pub(crate) invite: Option<PathBuf>,
    /// Log in step by step with /connect, /sign and /verify, and see what is signed.
    #[arg(long)]
    pub(crate) manual_login: bool,
    /// One finished line a message, without cursor movement; the only way in this version.
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["channel", "invite", "to"])))]
pub(crate) struct Send {
    /// The channel to send to, or your private channel +NAME.
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Option<Place>,
    /// Send to the private channel whose invitation stands in this file, or on standard input for -.
    #[arg(long, value_name = "FILE")]
    pub(crate) invite: Option<PathBuf>,
    /// The user to send to, sealed for nobody else.
    #[arg(long, value_name = "KEY", value_parser = crate::contacts::person)]
    pub(crate) to: Option<UserId>,
    /// The message; without it, or with -, standard input to its end, less one trailing newline.
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// Send this file's bytes.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send each non-empty line as a message of its own.
    #[arg(long, conflicts_with = "file")]
    pub(crate) each_line: bool,
    /// What to wait for [default: accepted with -c, received with --to].
    #[arg(long, value_name = "WHAT")]
    pub(crate) wait: Option<Wait>,
    /// How long the command may take once it is connected.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = darkchat_proto::parse_duration)]
    pub(crate) timeout: Duration,
    /// Print one JSON object a message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// A server has taken it: with --to, a server has handed it to the recipient's connection.
    Accepted,
    /// With --to: the recipient's program says, end to end, that it has it.
    Received,
}

#[derive(Debug, Args)]
pub(crate) struct Recv {
    /// Listen to this channel, or your private channel +NAME; may be given again.
    #[arg(short, long, value_name = "CHANNEL", required_unless_present_any = ["invite", "dm", "all"])]
    pub(crate) channel: Vec<Place>,
    /// Listen to the private channel whose invitation stands in this file, or on standard input for -.
    #[arg(long, value_name = "FILE")]
    pub(crate) invite: Option<PathBuf>,
    /// Wait for direct messages.
    #[arg(long, conflicts_with_all = ["all", "channel", "invite"])]
    pub(crate) dm: bool,
    /// Wait for direct messages as well as for what comes in the channels.
    #[arg(long)]
    pub(crate) all: bool,
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
    /// Print by this pattern: %c channel or direct, %n name, %m mark, %k key, %i id, %t text, %b bytes, %I time,
    /// %H %M %S local time, %% a percent sign, \n \t \\; no newline is added.
    #[arg(long, value_name = "FMT", value_parser = crate::format::Format::parse)]
    pub(crate) format: Option<crate::format::Format>,
}

/// What there is to do with private channels. Their secrets are never arguments: invitations come from files, standard
/// input or the environment.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ChannelAction {
    /// Make a private channel and keep it here.
    Create {
        /// What to call it.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
        /// Make a member list with this user on it; may be given again.
        #[arg(long, value_name = "KEY")]
        member: Vec<UserId>,
        /// Who else may change members and secret; may be given again.
        #[arg(long, value_name = "KEY")]
        admin: Vec<UserId>,
        /// Make a member list, with nobody but you and the administrators for now.
        #[arg(long)]
        listed: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Enter a private channel by the invitation in a file, on standard input, or in DARKCHAT_INVITE; keep it here.
    Join {
        /// The file; standard input for -, which is the default.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// What to call it here; as the invitation does if not given.
        #[arg(long = "as", value_name = "NAME", value_parser = private_name)]
        called: Option<ChannelName>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the invitation, which holds the channel's secret; or send it to somebody who is online.
    Invite {
        /// Which channel.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
        /// Send it to this user in a direct message.
        #[arg(long, value_name = "KEY", value_parser = crate::contacts::person)]
        to: Option<UserId>,
    },
    /// Add members, and change the secret.
    Add {
        /// Which channel.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
        /// Whom.
        #[arg(value_name = "KEY", required = true)]
        key: Vec<UserId>,
        /// How long to wait until everybody who is online is told.
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = darkchat_proto::parse_duration)]
        timeout: Duration,
    },
    /// Remove members, and change the secret: nothing that is said later opens for them.
    Remove {
        /// Which channel.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
        /// Whom.
        #[arg(value_name = "KEY", required = true)]
        key: Vec<UserId>,
        /// Why, for the members; at most 200 bytes.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// How long to wait until everybody who is online is told.
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = darkchat_proto::parse_duration)]
        timeout: Duration,
    },
    /// Change the secret, as after a leak.
    Rekey {
        /// Which channel.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
        /// Why, for the members; at most 200 bytes.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// How long to wait until everybody who is online is told.
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = darkchat_proto::parse_duration)]
        timeout: Duration,
    },
    /// The private channels that are kept here.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Forget a private channel and its secret.
    Leave {
        /// Which channel.
        #[arg(value_name = "NAME", value_parser = private_name)]
        place: ChannelName,
    },
}

impl ChannelAction {
    pub(crate) const fn is_json(&self) -> bool {
        match self {
            Self::Create { json, .. } | Self::Join { json, .. } | Self::List { json } => *json,
            _ => false,
        }
    }
}

/// The name of a private channel, with or without its `+`.
fn private_name(text: &str) -> Result<ChannelName, darkchat_proto::ParseError> {
    text.strip_prefix('+').unwrap_or(text).parse()
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ContactsAction {
    /// Print NAME KEY STATUS a line: known, verified, blocked, or new for another key of a name.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Take a contact up. Another key for a name is kept apart: nothing goes to the name until you decide.
    Add {
        /// What you call it: no white space.
        #[arg(value_name = "NAME")]
        contact: String,
        /// Its key.
        #[arg(value_name = "KEY")]
        key: UserId,
    },
    /// Print the number and the words to compare; with what the other one says, mark the contact as verified.
    Verify {
        /// The contact.
        #[arg(value_name = "NAME")]
        contact: String,
        /// The digits, or the eight words, that the other one sees.
        #[arg(value_name = "NUMBER")]
        said: Vec<String>,
    },
    /// Take the new key of a contact without comparing.
    Trust {
        /// The contact.
        #[arg(value_name = "NAME")]
        contact: String,
    },
    /// Want nothing of a contact or a key.
    Block {
        /// The contact, or a key.
        #[arg(value_name = "NAME")]
        contact: String,
    },
    /// Take that back.
    Unblock {
        /// The contact, or a key.
        #[arg(value_name = "NAME")]
        contact: String,
    },
    /// Forget a contact.
    Rm {
        /// The contact.
        #[arg(value_name = "NAME")]
        contact: String,
    },
}

impl ContactsAction {
    /// Whom it changes, a name or a key; nobody where it only shows.
    pub(crate) const fn changes(&self) -> Option<&String> {
        match self {
            Self::List { .. } => None,
            Self::Verify { said, .. } if said.is_empty() => None,
            Self::Add { contact, .. }
            | Self::Verify { contact, .. }
            | Self::Trust { contact }
            | Self::Block { contact }
            | Self::Unblock { contact }
            | Self::Rm { contact } => Some(contact),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum IdAction {
    /// Print the key.
    Show,
    /// Make a key file and print the key; an existing file is never overwritten.
    New,
    /// Print the 30 digits that you and this user compare.
    Number {
        /// The key, or a contact.
        #[arg(value_name = "KEY")]
        whose: String,
    },
    /// Print the same as eight words.
    Words {
        /// The key, or a contact.
        #[arg(value_name = "KEY")]
        whose: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("darkchat").chain(line.split_whitespace()))
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
            ("send -c ops --to uaqyuk2c423ps5mkq5x5w6c7gu4egbiq7gqvm2yier525ib4yzqacl2v x", "--to"),
            ("send --to nobody x", "nobody"),
            ("recv --dm -c ops", "--channel"),
            ("--identity a --ephemeral id", "--ephemeral"),
            ("--identity a id --ephemeral", "--identity"),
            ("--server ftp:// id", "ftp://"),
            ("recv -c ops --format %q", "%q"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(says), "{line}: {error}");
        }
    }
}
