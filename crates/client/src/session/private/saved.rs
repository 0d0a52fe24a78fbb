//! A private channel as it is written down, so that a program can come back to it. Source: `docs/security.md`, "private
//! channels on disk".
//!
//! ```text
//! dchat-channel-1
//! name garden
//! server tcp://…
//! generation BASE64URL(Invite, as of now)
//! since 1800000000000
//! members u… u…            where the list is known
//! …
//! ```
//!
//! It holds the secret of the present hour and none before it. Only whoever made a rekey that some have not heard of yet
//! has more in it: that rekey, with the secret of its first hour.

use super::PrivateError;
use super::generation::{Generation, KEPT_UNTOLD_MS};
use super::line::{GENERATIONS, Line};
use darkchat_crypto::group::{Group, STEP_MS};
use darkchat_proto::{ChannelId, ChannelName, Invite, Network, Signed, UserId};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// What such a text begins with.
const HEADER: &str = "dchat-channel-1";

/// A text that is no saved channel. It says in which line, and nothing of what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a saved private channel, line: {line}")]
#[non_exhaustive]
pub struct SavedError {
    /// The line, from 1.
    pub line: usize,
}

/// A private channel, with its secrets: for its owner's eyes only. It does not show in debug output.
///
/// ```
/// use darkchat_client::SavedChannel;
/// assert!("hello".parse::<SavedChannel>().is_err());
/// ```
#[derive(Clone)]
pub struct SavedChannel {
    pub(super) name: ChannelName,
    pub(super) servers: Vec<String>,
    generations: BTreeMap<ChannelId, SavedGeneration>,
}

#[derive(Clone)]
struct SavedGeneration {
    invite: Invite,
    since_ms: u64,
    retired_ms: Option<u64>,
    members: Option<Vec<UserId>>,
    parents: BTreeSet<ChannelId>,
    removed: BTreeSet<UserId>,
    rekeys: BTreeMap<ChannelId, Signed>,
    untold: BTreeSet<(UserId, ChannelId)>,
    invited: BTreeSet<UserId>,
    /// Whether it comes of a program that tells others of it, or has told them all.
    is_teller: bool,
}

impl SavedChannel {
    pub(super) fn of(name: &ChannelName, servers: &[String], line: &Line) -> Self {
        let saved = |one: &Generation| {
            let tells = !one.untold.is_empty() || !one.invited.is_empty();
            SavedGeneration {
                invite: one.group.invite(name.as_str(), servers),
                since_ms: one.since_ms,
                retired_ms: one.retired_ms,
                members: one.members().map(|members| members.into_iter().collect()),
                parents: one.parents.clone(),
                removed: one.removed.clone(),
                rekeys: if tells { one.rekeys.clone() } else { BTreeMap::new() },
                untold: one.untold.clone(),
                invited: one.invited.clone(),
                is_teller: one.is_teller,
            }
        };
        let generations = line.generations.iter().map(|(channel, one)| (*channel, saved(one))).collect();
        Self { name: name.clone(), servers: servers.to_vec(), generations }
    }

    /// What the channel is called here.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The same channel under another name of the user's.
    #[must_use]
    pub fn named(self, name: ChannelName) -> Self {
        Self { name, ..self }
    }

    /// The members of a generation, where they are known.
    pub(crate) fn members(&self, channel: &ChannelId) -> Option<Vec<UserId>> {
        self.generations.get(channel)?.members.clone()
    }

    /// Who is still to be told of a change.
    pub(crate) fn untold(&self) -> Vec<UserId> {
        let untold = self
            .generations
            .values()
            .flat_map(|one| one.untold.iter().map(|(user, _)| *user).chain(one.invited.iter().copied()));
        untold.collect::<BTreeSet<UserId>>().into_iter().collect()
    }

    /// The channel as it is at `now_ms` (Unix milliseconds), whose hour its secret has then, and the invitation to it. What
    /// others have changed meanwhile is not in it.
    ///
    /// # Errors
    /// [`PrivateError`]: it is too old.
    pub fn at(self, now_ms: u64) -> Result<(Self, Invite), PrivateError> {
        let network =
            self.generations.values().next().map(|one| one.invite.network.clone()).unwrap_or_default();
        let (name, servers) = (self.name.clone(), self.servers.clone());
        let line = self.into_line(&network, now_ms)?;
        let tip = line.current().ok_or(PrivateError::NotPrivate)?;
        let invite = tip.group.invite(name.as_str(), &servers);
        Ok((Self::of(&name, &servers, &line), invite))
    }

    /// The generation that is written to, as far as can be told from what was written down: the last one of those that
    /// nothing has replaced.
    pub(crate) fn invite(&self) -> Option<&Invite> {
        let last = self.generations.values().filter(|one| one.retired_ms.is_none());
        last.map(|one| &one.invite).max_by_key(|invite| invite.generation)
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.generations.keys().any(|channel| other.generations.contains_key(channel))
    }

    /// What two programs know of one channel, together: all generations that either knows, each as far as it has moved on.
    /// Who is still to be told is known best by whoever tells them, by this side before the other; if neither does so,
    /// both lists hold.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (channel, theirs) in other.generations {
            match self.generations.get_mut(&channel) {
                None => {
                    self.generations.insert(channel, theirs);
                }
                Some(ours) => ours.merge(theirs),
            }
        }
        while self.generations.len() > GENERATIONS {
            let oldest = self
                .generations
                .iter()
                .min_by_key(|(_, one)| (one.retired_ms.is_none(), one.since_ms))
                .map(|(channel, _)| *channel);
            let Some(oldest) = oldest else { break };
            self.generations.remove(&oldest);
        }
        self
    }

    /// The text to write down. It holds secrets.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{HEADER}\nname {}\n", self.name.as_str()));
        for server in &self.servers {
            line(&mut text, "server", [server.clone()]);
        }
        for one in self.generations.values() {
            line(&mut text, "generation", [BASE64URL_NOPAD.encode(&one.invite.encode())]);
            line(&mut text, "since", [one.since_ms.to_string()]);
            one.retired_ms.iter().for_each(|at| line(&mut text, "retired", [at.to_string()]));
            if let Some(members) = &one.members {
                line(&mut text, "members", members.iter().map(UserId::to_string));
            }
            line(&mut text, "parents", one.parents.iter().map(hex));
            line(&mut text, "removed", one.removed.iter().map(UserId::to_string));
            for (parent, signed) in &one.rekeys {
                line(&mut text, "rekey", [hex(parent), BASE64URL_NOPAD.encode(&signed.encode())]);
            }
            for (user, parent) in &one.untold {
                line(&mut text, "untold", [hex(parent), user.to_string()]);
            }
            line(&mut text, "invited", one.invited.iter().map(UserId::to_string));
        }
        text
    }

    /// The channel, moved on to `now_ms`. Generations whose time nobody can reach any more are left out.
    pub(super) fn into_line(self, network: &Network, now_ms: u64) -> Result<Line, PrivateError> {
        let (mut generations, mut why) = (BTreeMap::new(), PrivateError::NotPrivate);
        for (channel, saved) in self.generations {
            let mut group = match Group::of_invite(network, &saved.invite, now_ms) {
                Ok(group) => group,
                Err(error) => {
                    why = error.into();
                    continue;
                }
            };
            if let Some(members) = &saved.members
                && group.know_members(members).is_err()
            {
                continue;
            }
            let generation = Generation {
                group,
                parents: saved.parents,
                removed: saved.removed,
                rekeys: saved.rekeys,
                since_ms: saved.since_ms,
                retired_ms: saved.retired_ms,
                is_closed: false,
                is_too_old: false,
                untold: saved.untold,
                invited: saved.invited,
                is_teller: saved.is_teller,
            };
            generations.insert(channel, generation);
        }
        Line::of(generations, now_ms).ok_or(why)
    }
}

impl fmt::Debug for SavedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedChannel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One line: a word, and what belongs to it. What has nothing is left out.
fn line(text: &mut String, word: &str, parts: impl IntoIterator<Item = String>) {
    let parts: Vec<String> = parts.into_iter().collect();
    if !parts.is_empty() || word == "members" {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{word} {}", parts.join(" "));
    }
}

fn hex(channel: &ChannelId) -> String {
    HEXLOWER.encode(channel.as_bytes())
}

fn channel(text: &str) -> Option<ChannelId> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    Some(ChannelId::new(bytes.try_into().ok()?))
}

fn users(text: &str) -> Option<Vec<UserId>> {
    text.split_whitespace().map(|user| user.parse().ok()).collect()
}

impl std::str::FromStr for SavedChannel {
    type Err = SavedError;

    fn from_str(text: &str) -> Result<Self, SavedError> {
        let mut lines = (1..).zip(text.lines());
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(SavedError { line: 1 });
        }
        let (mut name, mut servers, mut generations) = (None, Vec::new(), Vec::new());
        for (number, line) in lines {
            let wrong = || SavedError { line: number };
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "name" => name = Some(rest.parse().map_err(|_| wrong())?),
                "server" => servers.push(rest.to_owned()),
                "generation" => generations.push(SavedGeneration::read(rest).ok_or_else(wrong)?),
                _ => {
                    let one: &mut SavedGeneration = generations.last_mut().ok_or_else(wrong)?;
                    one.take(word, rest).ok_or_else(wrong)?;
                }
            }
        }
        let end = SavedError { line: text.lines().count() };
        let is_too_many = generations.len() > GENERATIONS || generations.is_empty();
        let name = name.filter(|_| !is_too_many).ok_or(end)?;
        let generations = generations.into_iter().map(|one| (one.invite.channel, one)).collect();
        Ok(Self { name, servers, generations })
    }
}

impl SavedGeneration {
    fn merge(&mut self, theirs: Self) {
        self.parents.extend(theirs.parents);
        self.removed.extend(theirs.removed);
        self.members = self.members.take().or(theirs.members);
        if theirs.invite.step > self.invite.step {
            self.invite = theirs.invite;
        }
        // A rekey is kept for those who have not heard of it, and wiped when they have.
        if !self.is_teller {
            self.rekeys.extend(theirs.rekeys);
            self.untold.extend(theirs.untold);
            self.invited.extend(theirs.invited);
            self.is_teller = theirs.is_teller;
        }
        // Nobody may have read the file for a while: the hour of its secret tells how late it is.
        let invite = &self.invite;
        let now_ms = invite.start_ms.saturating_add(STEP_MS.saturating_mul(invite.step.into()));
        if now_ms.saturating_sub(self.since_ms) >= KEPT_UNTOLD_MS {
            self.rekeys.clear();
            self.untold.clear();
            self.invited.clear();
        }
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        Some(Self {
            invite: Invite::decode(bytes.to_vec().into()).ok()?,
            since_ms: 0,
            retired_ms: None,
            members: None,
            parents: BTreeSet::new(),
            removed: BTreeSet::new(),
            rekeys: BTreeMap::new(),
            untold: BTreeSet::new(),
            invited: BTreeSet::new(),
            is_teller: false,
        })
    }

    /// Takes one line about it. Words of a later version are passed over.
    fn take(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "since" => self.since_ms = rest.parse().ok()?,
            "retired" => self.retired_ms = Some(rest.parse().ok()?),
            "members" => self.members = Some(users(rest)?),
            "removed" => self.removed = users(rest)?.into_iter().collect(),
            "invited" => {
                self.invited = users(rest)?.into_iter().collect();
                self.is_teller = true;
            }
            "parents" => self.parents = rest.split_whitespace().map(channel).collect::<Option<_>>()?,
            "rekey" => {
                let (parent, signed) = rest.split_once(' ')?;
                let bytes = BASE64URL_NOPAD.decode(signed.as_bytes()).ok()?;
                self.rekeys.insert(channel(parent)?, Signed::decode(bytes.into()).ok()?);
            }
            "untold" => {
                let (parent, user) = rest.split_once(' ')?;
                self.untold.insert((user.parse().ok()?, channel(parent)?));
                self.is_teller = true;
            }
            _ => {}
        }
        Some(())
    }
}
