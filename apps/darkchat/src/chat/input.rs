//! What a person types: a line for the current channel, or a command.

use darkchat_proto::{ChannelName, UserName};

/// A line as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    Text(String),
    Join(ChannelName, Option<UserName>),
    Part(Option<ChannelName>),
    Name(UserName),
    Channels,
    Id,
    Help(Option<&'static Usage>),
    Quit,
}

/// A command, how it is written, and what it does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The name and its aliases, without the slash.
    names: &'static [&'static str],
    pub(crate) line: &'static str,
    pub(crate) does: &'static str,
}

/// All commands, in the order of `/help`.
pub(crate) const COMMANDS: [Usage; 7] = [
    Usage {
        names: &["join"],
        line: "/join #CHANNEL [NAME]",
        does: "join a channel, or make it the current one",
    },
    Usage {
        names: &["part"],
        line: "/part [#CHANNEL]",
        does: "leave a channel; the current one if none is named",
    },
    Usage { names: &["name", "nick"], line: "/name NAME", does: "the name that you claim from now on" },
    Usage {
        names: &["channels"],
        line: "/channels",
        does: "the channels that you have joined, * before the current one",
    },
    Usage { names: &["id"], line: "/id", does: "your key and the server's" },
    Usage { names: &["help"], line: "/help [COMMAND]", does: "how the commands are written" },
    Usage { names: &["quit"], line: "/quit", does: "leave" },
];

/// Reads a line; an empty one is nothing.
///
/// # Errors
/// The words after `-- ` of the notice.
pub(crate) fn parse(line: &str) -> Option<Result<Typed, String>> {
    let line = line.trim_end_matches(['\r', '\n']);
    let text = |text: &str| Some(Ok(Typed::Text(text.to_owned())));
    match line.strip_prefix('/') {
        None if line.is_empty() => None,
        None => text(line),
        Some(rest) if rest.starts_with('/') => text(rest),
        Some(rest) => {
            let (verb, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            Some(find(verb).and_then(|usage| arguments(usage, words.trim())))
        }
    }
}

/// The command with this name, alias or unique prefix, in any case.
fn find(verb: &str) -> Result<&'static Usage, String> {
    let verb = verb.to_lowercase();
    if let Some(usage) = COMMANDS.iter().find(|usage| usage.names.contains(&&*verb)) {
        return Ok(usage);
    }
    let mut begin = COMMANDS.iter().filter(|usage| usage.names.iter().any(|name| name.starts_with(&verb)));
    match (begin.next(), begin.next()) {
        (Some(usage), None) if !verb.is_empty() => Ok(usage),
        _ => Err(format!("unknown command /{}; did you mean {}?", crate::clean::text(&verb), nearest(&verb))),
    }
}

fn nearest(verb: &str) -> &'static str {
    let likeness = |usage: &Usage| {
        let names = usage.names.iter().map(|name| strsim::jaro_winkler(verb, name));
        names.fold(0.0, f64::max)
    };
    let nearest = COMMANDS.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.map_or("/help", |usage| usage.line)
}

fn arguments(usage: &'static Usage, words: &str) -> Result<Typed, String> {
    let wrong = || Err(format!("write {}", usage.line));
    let channel = |text: &str| text.parse::<ChannelName>().map_err(|error| error.to_string());
    let name = |text: &str| text.parse::<UserName>().map_err(|error| error.to_string());
    match (usage.names[0], words) {
        ("join", "") => wrong(),
        ("join", words) => match words.split_once(char::is_whitespace) {
            None => Ok(Typed::Join(channel(words)?, None)),
            Some((place, own)) => Ok(Typed::Join(channel(place)?, Some(name(own.trim())?))),
        },
        ("part", "") => Ok(Typed::Part(None)),
        ("part", place) => Ok(Typed::Part(Some(channel(place)?))),
        ("name", own) => Ok(Typed::Name(name(own)?)),
        ("channels", "") => Ok(Typed::Channels),
        ("id", "") => Ok(Typed::Id),
        ("help", "") => Ok(Typed::Help(None)),
        ("help", verb) => find(verb.trim_start_matches('/')).map(|usage| Typed::Help(Some(usage))),
        ("quit", "") => Ok(Typed::Quit),
        _ => wrong(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_unless_they_begin_with_one_slash() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("hello /quit\n"), Some(Ok(Typed::Text("hello /quit".to_owned()))));
        assert_eq!(parse("//shrug"), Some(Ok(Typed::Text("/shrug".to_owned()))));
    }

    #[test]
    fn commands_know_case_prefixes_and_aliases() {
        assert_eq!(parse("/QUIT"), Some(Ok(Typed::Quit)));
        assert_eq!(parse("/q"), Some(Ok(Typed::Quit)));
        assert_eq!(parse("/nick ann"), Some(Ok(Typed::Name("ann".parse().unwrap()))));
        assert_eq!(
            parse("/j Ops  ann b"),
            Some(Ok(Typed::Join("ops".parse().unwrap(), Some("ann b".parse().unwrap()))))
        );
        assert_eq!(parse("/part"), Some(Ok(Typed::Part(None))));
    }

    #[test]
    fn what_is_not_understood_names_the_nearest() {
        let problem = |line| parse(line).unwrap().unwrap_err();
        assert_eq!(problem("/jion #x"), "unknown command /jion; did you mean /join #CHANNEL [NAME]?");
        assert_eq!(problem("/join"), "write /join #CHANNEL [NAME]");
        assert_eq!(problem("/quit now"), "write /quit");
        assert!(problem("/join two\u{202e}").contains("U+202E"));
        assert!(problem("/").starts_with("unknown command /; did you mean"));
    }
}
