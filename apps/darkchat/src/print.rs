//! What stands on standard output: lines for people, JSON lines for programs.

use crate::failure::Failure;
use crate::format;
use crate::place::Place;
use bytes::Bytes;
use darkchat_client::{
    Cause, Contact, Content, DirectMessage, Message, Missed, PrivateView, Sent, State, Trust,
};
use darkchat_proto::{ChannelName, ContentId, UserId};
use data_encoding::BASE64;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Writes bytes and flushes, so that a reader gets each message at once.
pub(crate) fn out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// A notice for people, on standard error.
pub(crate) fn notice(text: &str) {
    // In one write: a program that ends meanwhile must not leave half a line. With standard error gone there is nobody
    // left to tell.
    drop(std::io::stderr().write_all(format!("-- {text}\n").as_bytes()));
}

/// A finished line for people: `13:02 #general ann~k7q2m9xa: hello`, with the author as it is to be shown.
pub(crate) fn line(message: &Message, author: &str) -> String {
    let time = format::local(message.time, "%H:%M");
    let place = Place::named(&message.channel, message.private);
    format!("{time} {place} {author}: {}\n", format::shown(&message.payload))
}

/// A finished line for people: `13:02 direct ann~k7q2m9xa: psst`. What another device of ours sent says to whom.
pub(crate) fn direct_line(message: &DirectMessage, author: &str, to: Option<&str>) -> String {
    let time = format::local(message.time, "%H:%M");
    let to = to.map_or_else(String::new, |to| format!(" to {to}"));
    format!("{time} direct{to} {author}: {}\n", format::shown(&message.payload))
}

/// Every JSON line begins with its version.
#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    line: &'a Json,
}

/// One JSON object and a newline.
pub(crate) fn json(line: &Json) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec(&Versioned { v: 1, line }).map_err(std::io::Error::from)?;
    bytes.push(b'\n');
    out(&bytes)
}

/// The JSON lines that programs read; the order of the fields is that of `docs/commands.md`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Json {
    State {
        state: &'static str,
        server: Option<String>,
        retry_ms: Option<u64>,
    },
    Joined {
        channel: String,
        spread: bool,
    },
    Message(Box<MessageLine>),
    Direct(Box<DirectLine>),
    Missed {
        channel: String,
        from: Option<String>,
        count: Option<u64>,
        cause: &'static str,
    },
    Sent {
        channel: String,
        id: String,
        local: u32,
        servers: u32,
    },
    Channel {
        channel: String,
        generation: u32,
        admins: Vec<String>,
        members: Option<Vec<String>>,
        untold: Vec<String>,
    },
    Contact {
        name: String,
        key: String,
        standing: &'static str,
    },
    #[serde(rename = "sent")]
    SentTo {
        to: String,
        id: String,
        received: bool,
    },
    Identity {
        id: String,
        mark: String,
        file: String,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct MessageLine {
    channel: String,
    id: String,
    from: String,
    name: String,
    time: String,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, Serialize)]
pub(crate) struct DirectLine {
    id: String,
    from: String,
    name: String,
    verified: bool,
    time: String,
    #[serde(flatten)]
    said: Said,
    /// Where another device of ours sent it: to whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// What a message says, wherever it was sent.
#[derive(Debug, Serialize)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
}

impl Said {
    fn new(
        payload: &Content,
        content_type: &str,
        headers: &BTreeMap<String, Bytes>,
        reply_to: Option<String>,
    ) -> Self {
        let (text, data) = match payload {
            Content::Text(text) => (Some(text.clone()), None),
            other => (None, Some(BASE64.encode(other.as_bytes()))),
        };
        let encoded = headers.iter().map(|(name, value)| (name.clone(), BASE64.encode(value)));
        Self {
            text,
            data,
            content_type: Some(content_type.to_owned()).filter(|kind| !kind.is_empty()),
            headers: (!headers.is_empty()).then(|| encoded.collect()),
            reply_to,
        }
    }
}

impl Json {
    pub(crate) fn direct(message: &DirectMessage, own: UserId) -> Self {
        let reply_to = message.reply_to.map(|id| id.to_string());
        Self::Direct(Box::new(DirectLine {
            id: message.id.to_string(),
            from: message.from.to_string(),
            name: message.name.as_str().to_owned(),
            verified: message.trust == Trust::Verified,
            time: format::utc(message.time),
            said: Said::new(&message.payload, &message.content_type, &message.headers, reply_to),
            to: (message.to != own).then(|| message.to.to_string()),
        }))
    }

    pub(crate) fn sent_to(to: UserId, id: ContentId, received: bool) -> Self {
        Self::SentTo { to: to.to_string(), id: id.to_string(), received }
    }

    pub(crate) fn message(message: &Message) -> Self {
        let reply_to = message.reply_to.map(|id| id.to_string());
        Self::Message(Box::new(MessageLine {
            channel: Place::named(&message.channel, message.private).to_string(),
            id: message.id.to_string(),
            from: message.from.to_string(),
            name: message.name.as_str().to_owned(),
            time: format::utc(message.time),
            said: Said::new(&message.payload, &message.content_type, &message.headers, reply_to),
        }))
    }

    pub(crate) fn missed(place: &str, missed: &Missed) -> Self {
        let cause = match missed.cause {
            Cause::Slow => "slow",
            Cause::Reconnect => "reconnect",
            _ => "gap",
        };
        let from = missed.from.map(|user| user.to_string());
        Self::Missed { channel: place.to_owned(), from, count: missed.count, cause }
    }

    pub(crate) fn joined(channel: &Place, spread: bool) -> Self {
        Self::Joined { channel: channel.to_string(), spread }
    }

    pub(crate) fn sent(channel: &Place, sent: &Sent) -> Self {
        let Sent { id, local, servers, .. } = sent;
        Self::Sent { channel: channel.to_string(), id: id.to_string(), local: *local, servers: *servers }
    }

    pub(crate) fn private(name: &ChannelName, view: &PrivateView) -> Self {
        let texts = |users: &[UserId]| users.iter().map(UserId::to_string).collect();
        Self::Channel {
            channel: Place::Private(name.clone()).to_string(),
            generation: view.generation,
            admins: texts(&view.admins),
            members: view.members.as_deref().map(texts),
            untold: texts(&view.untold),
        }
    }

    pub(crate) fn contact(contact: &Contact) -> Self {
        let Contact { name, user, standing, .. } = contact;
        Self::Contact { name: name.clone(), key: user.to_string(), standing: standing.word() }
    }

    pub(crate) fn identity(id: UserId, file: &std::path::Path) -> Self {
        Self::Identity { id: id.to_string(), mark: id.mark(), file: file.display().to_string() }
    }

    /// `None` for the state before anything was tried.
    pub(crate) fn state(state: &State) -> Option<Self> {
        let (state, server, retry_ms) = match state {
            State::Connecting { .. } => ("connecting", None, None),
            State::Connected { server, .. } => ("connected", Some(server.to_string()), None),
            State::Waiting { retry, .. } => ("waiting", None, u64::try_from(retry.as_millis()).ok()),
            State::Closed { .. } => ("closed", None, None),
            _ => return None,
        };
        Some(Self::State { state, server, retry_ms })
    }
}

/// `missed … in #general`, with what is known; `place` is the channel, or `direct messages`.
pub(crate) fn missed(place: &str, missed: &Missed) -> String {
    let count = match missed.count {
        Some(1) => "1 message".to_owned(),
        Some(count) => format!("{count} messages"),
        None => "messages".to_owned(),
    };
    let of = missed.from.map_or_else(String::new, |user| format!(" of ~{}", user.mark()));
    let why = match missed.cause {
        Cause::Slow => "not read fast enough",
        Cause::Reconnect => "while the connection was lost",
        _ => "lost on the way",
    };
    format!("missed {count}{of} in {place} ({why})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        let headers = BTreeMap::from([("kind".to_owned(), Bytes::from_static(b"x"))]);
        Said::new(&Content::Data(Bytes::from_static(b"hi")), "text/x", &headers, Some("7.0".to_owned()))
    }

    fn text(line: &Json) -> String {
        serde_json::to_string(&Versioned { v: 1, line }).unwrap()
    }

    #[test]
    fn the_keys_of_a_message_are_in_the_order_of_the_documentation() {
        let line = MessageLine {
            channel: "#ops".to_owned(),
            id: "9.0".to_owned(),
            from: "u2".to_owned(),
            name: "ann".to_owned(),
            time: "then".to_owned(),
            said: said(),
        };
        assert_eq!(
            text(&Json::Message(Box::new(line))),
            r##"{"v":1,"type":"message","channel":"#ops","id":"9.0","from":"u2","name":"ann","time":"then","data":"aGk=","content_type":"text/x","headers":{"kind":"eA=="},"reply_to":"7.0"}"##
        );
    }

    #[test]
    fn the_keys_of_a_direct_message_are_in_the_order_of_the_documentation() {
        let line = |said, to: Option<&str>| {
            Json::Direct(Box::new(DirectLine {
                id: "9".to_owned(),
                from: "u2".to_owned(),
                name: String::new(),
                verified: true,
                time: "then".to_owned(),
                said,
                to: to.map(str::to_owned),
            }))
        };
        assert_eq!(
            text(&line(said(), Some("u3"))),
            r#"{"v":1,"type":"direct","id":"9","from":"u2","name":"","verified":true,"time":"then","data":"aGk=","content_type":"text/x","headers":{"kind":"eA=="},"reply_to":"7.0","to":"u3"}"#
        );
        let plain = Said::new(&Content::Text("hi".to_owned()), "", &BTreeMap::new(), None);
        assert_eq!(
            text(&line(plain, None)),
            r#"{"v":1,"type":"direct","id":"9","from":"u2","name":"","verified":true,"time":"then","text":"hi"}"#
        );
    }
}
