//! What a person types: a line for the current channel, or a command.

use crate::args::ContactsAction;
use crate::place::Place;
use darkchat_proto::{ChannelName, Invite, UserId, UserName};

/// What an invitation has in it, alone or behind a page's address.
const INVITATION: &str = "dchat-invite-";

/// A line as it was understood. People are still what was typed: a key, or a contact's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    Text(String),
    Join(Place, Option<UserName>),
    /// By an invitation, which is a secret: it is read from the input and never shown again.
    Enter(Box<Invite>, Option<UserName>),
    Create(ChannelName),
    Invite(Option<String>),
    Accept,
    Add(String),
    Remove(String, String),
    Rekey(String),
    Part(Option<Place>),
    Tell(String, String),
    Query(Option<String>),
    Contacts(ContactsAction),
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
pub(crate) const COMMANDS: [Usage; 20] = [
    Usage {
        names: &["join"],
        line: "/join #CHANNEL [NAME]",
        does: "join a channel, or make it the current one; +NAME for a private one, or an invitation",
    },
    Usage {
        names: &["create"],
        line: "/create +NAME",
        does: "make a private channel, for those to whom you give the invitation",
    },
    Usage {
        names: &["invite"],
        line: "/invite [WHOM]",
        does: "show the invitation to this private channel, or send it to somebody",
    },
    Usage {
        names: &["accept"],
        line: "/accept",
        does: "enter the private channel to which you were invited last",
    },
    Usage { names: &["add"], line: "/add WHOM", does: "make somebody a member of this private channel" },
    Usage {
        names: &["remove"],
        line: "/remove WHOM [REASON]",
        does: "remove a member, and change the secret of this private channel",
    },
    Usage { names: &["rekey"], line: "/rekey [REASON]", does: "change the secret of this private channel" },
    Usage {
        names: &["part"],
        line: "/part [#CHANNEL]",
        does: "leave a channel; the current one if none is named",
    },
    Usage {
        names: &["msg", "private"],
        line: "/msg WHOM TEXT",
        does: "a direct message to a contact or a key, which nobody but its recipient can read",
    },
    Usage {
        names: &["query"],
        line: "/query [WHOM]",
        does: "what you type goes to this contact or key; back to the channel if none is named",
    },
    Usage {
        names: &["contact"],
        line: "/contact [add NAME KEY | rm NAME]",
        does: "your contacts; take one up, or forget one",
    },
    Usage {
        names: &["verify"],
        line: "/verify NAME [NUMBER]",
        does: "the digits and words to compare; with what the other one says, mark the contact as verified",
    },
    Usage { names: &["trust"], line: "/trust NAME", does: "take the new key of a contact without comparing" },
    Usage { names: &["block"], line: "/block NAME", does: "hear nothing more of a contact or a key" },
    Usage { names: &["unblock"], line: "/unblock NAME", does: "take that back" },
    Usage { names: &["name", "nick"], line: "/name NAME", does: "the name that you claim from now on" },
    Usage {
        names: &["channels"],
        line: "/channels",
        does: "the channels that you have joined, * before the current one",
    },
    Usage { names: &["id"], line: "/id", does: "your key and the server's" },
    Usage { names: &["help"], line: "/help [COMMAND]", does: "how the commands are written" },
    Usage { names: &["quit", "q"], line: "/quit", does: "leave" },
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
        None => match line.strip_prefix("private ").and_then(told) {
            Some(told) => Some(Ok(told)),
            None => text(line),
        },
        Some(rest) if rest.starts_with('/') => text(rest),
        Some(rest) => {
            let (verb, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            Some(find(verb).and_then(|usage| arguments(usage, words.trim())))
        }
    }
}

/// `KEY text`, as after `private`: the way of the first terminal, without a slash. A line without a key is a text.
fn told(words: &str) -> Option<Typed> {
    let (key, text) = words.trim_start().split_once(char::is_whitespace)?;
    let text = Some(text.trim()).filter(|text| !text.is_empty())?;
    key.parse::<UserId>().ok()?;
    Some(Typed::Tell(key.to_owned(), text.to_owned()))
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
    let channel = |text: &str| text.parse::<Place>().map_err(|error| error.to_string());
    let name = |text: &str| text.parse::<UserName>().map_err(|error| error.to_string());
    match (usage.names[0], words) {
        ("join", "") => wrong(),
        ("join", words) if words.contains(INVITATION) => {
            let (link, own) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            let own = Some(own.trim()).filter(|own| !own.is_empty()).map(name).transpose()?;
            let invite = link.parse::<Invite>().map_err(|error| error.to_string())?;
            Ok(Typed::Enter(Box::new(invite), own))
        }
        ("create", "") => wrong(),
        ("create", own) => {
            let own = own.strip_prefix('+').unwrap_or(own);
            Ok(Typed::Create(own.parse::<ChannelName>().map_err(|error| error.to_string())?))
        }
        ("invite", "") => Ok(Typed::Invite(None)),
        ("invite", whom) => Ok(Typed::Invite(Some(whom.to_owned()))),
        ("accept", "") => Ok(Typed::Accept),
        ("add", whom) if !whom.is_empty() => Ok(Typed::Add(whom.to_owned())),
        ("remove", words) if !words.is_empty() => {
            let (whom, reason) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            Ok(Typed::Remove(whom.to_owned(), reason.trim().to_owned()))
        }
        ("rekey", reason) => Ok(Typed::Rekey(reason.to_owned())),
        ("join", words) => match words.split_once(char::is_whitespace) {
            None => Ok(Typed::Join(channel(words)?, None)),
            Some((place, own)) => Ok(Typed::Join(channel(place)?, Some(name(own.trim())?))),
        },
        ("part", "") => Ok(Typed::Part(None)),
        ("part", place) => Ok(Typed::Part(Some(channel(place)?))),
        ("msg", words) => match words.split_once(char::is_whitespace) {
            Some((whom, text)) if !text.trim().is_empty() => {
                Ok(Typed::Tell(whom.to_owned(), text.trim().to_owned()))
            }
            _ => wrong(),
        },
        ("query", "") => Ok(Typed::Query(None)),
        ("query", whom) => Ok(Typed::Query(Some(whom.to_owned()))),
        ("contact" | "verify" | "trust" | "block" | "unblock", words) => {
            contacts(usage.names[0], words).unwrap_or_else(wrong)
        }
        ("name", own) => Ok(Typed::Name(name(own)?)),
        ("channels", "") => Ok(Typed::Channels),
        ("id", "") => Ok(Typed::Id),
        ("help", "") => Ok(Typed::Help(None)),
        ("help", verb) => find(verb.trim_start_matches('/')).map(|usage| Typed::Help(Some(usage))),
        ("quit", "") => Ok(Typed::Quit),
        _ => wrong(),
    }
}

/// What is to be done with the contacts; `None` if it is not written so.
fn contacts(verb: &str, words: &str) -> Option<Result<Typed, String>> {
    let mut words = words.split_whitespace().map(str::to_owned);
    let action = match (verb, words.next()) {
        ("contact", None) => ContactsAction::List { json: false },
        ("contact", Some(verb)) if verb == "add" => match (words.next()?, words.next()?.parse()) {
            (contact, Ok(key)) => ContactsAction::Add { contact, key },
            (_, Err(error)) => return Some(Err(error.to_string())),
        },
        ("contact", Some(verb)) if verb == "rm" => ContactsAction::Rm { contact: words.next()? },
        ("verify", Some(contact)) => ContactsAction::Verify { contact, said: words.by_ref().collect() },
        ("trust", Some(contact)) => ContactsAction::Trust { contact },
        ("block", Some(contact)) => ContactsAction::Block { contact },
        ("unblock", Some(contact)) => ContactsAction::Unblock { contact },
        _ => return None,
    };
    words.next().is_none().then_some(Ok(Typed::Contacts(action)))
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
    fn a_direct_message_has_a_key_and_a_text_with_or_without_a_slash() {
        let key = "uaqyuk2c423ps5mkq5x5w6c7gu4egbiq7gqvm2yier525ib4yzqacl2v";
        let told = Some(Ok(Typed::Tell(key.to_owned(), "two words".to_owned())));
        for line in
            ["/msg KEY two words", "/private KEY  two words", "private KEY two words", "/m KEY two words"]
        {
            assert_eq!(parse(&line.replace("KEY", key)), told, "{line}");
        }
        assert_eq!(parse(&format!("/query {key}")), Some(Ok(Typed::Query(Some(key.to_owned())))));
        assert_eq!(parse("/query"), Some(Ok(Typed::Query(None))));
        assert_eq!(parse("private party"), Some(Ok(Typed::Text("private party".to_owned()))));
        assert_eq!(parse(&format!("private {key}")), Some(Ok(Typed::Text(format!("private {key}")))));
        assert_eq!(parse(&format!("/msg {key}")), Some(Err("write /msg WHOM TEXT".to_owned())));
        assert_eq!(parse("/msg ann hi"), Some(Ok(Typed::Tell("ann".to_owned(), "hi".to_owned()))));
        assert_eq!(parse("private ann hi"), Some(Ok(Typed::Text("private ann hi".to_owned()))));
    }

    #[test]
    fn contacts_are_changed_by_whole_lines_only() {
        let key = "uaqyuk2c423ps5mkq5x5w6c7gu4egbiq7gqvm2yier525ib4yzqacl2v";
        let contact = "ann".to_owned();
        let done = |action| Some(Ok(Typed::Contacts(action)));
        assert_eq!(parse("/contact"), done(ContactsAction::List { json: false }));
        let add = ContactsAction::Add { contact: contact.clone(), key: key.parse().unwrap() };
        assert_eq!(parse(&format!("/contact add ann {key}")), done(add));
        assert_eq!(parse("/contact rm ann"), done(ContactsAction::Rm { contact: contact.clone() }));
        let said = vec!["12345".to_owned(), "67890".to_owned()];
        assert_eq!(
            parse("/verify ann 12345 67890"),
            done(ContactsAction::Verify { contact: contact.clone(), said })
        );
        assert_eq!(parse("/block ann"), done(ContactsAction::Block { contact }));
        assert_eq!(parse("/trust ann bob"), Some(Err("write /trust NAME".to_owned())));
        for line in ["/contact ann", "/contact add ann", "/contact rm ann bob"] {
            assert_eq!(
                parse(line),
                Some(Err("write /contact [add NAME KEY | rm NAME]".to_owned())),
                "{line}"
            );
        }
        assert!(parse("/contact add ann bob").unwrap().unwrap_err().starts_with("not a key"));
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
