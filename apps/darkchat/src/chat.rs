//! `darkchat chat` in line mode: each message printed once as one finished line, for any terminal and any pipe.

mod input;
mod places;

use crate::args::{Chat as Args, ContactsAction, Global};
use crate::failure::Failure;
use crate::people::People;
use crate::place::Place;
use crate::{clean, connect, contacts, keep, manual, print};
use darkchat_client::{Change, Client, Note, Received, State};
use darkchat_proto::{ChannelName, Code, Invite, UserId, UserName};
use futures_util::{FutureExt as _, StreamExt as _};
use input::{COMMANDS, Typed};
use places::{Aim, Item, Outcome, Places};
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where one is without having said anything.
const FIRST_CHANNEL: &str = "general";
/// How long the end of input waits for what was typed before.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Lines that are read ahead of the network.
const READ_AHEAD: usize = 16;

pub(crate) async fn run(global: &Global, args: Args) -> Result<(), Failure> {
    let invite = keep::invite_at_hand(args.invite.as_deref()).await?;
    let mut lines = read_input();
    if args.manual_login {
        manual::run(global, &mut lines).await?;
    }
    let client = connect::present(global).await?;
    let places = Places::new(client.clone(), Arc::new(global.clone()));
    let mut notes = client.notes();
    let mut chat = Chat { quiet: global.quiet, places, people: People::new()?, client, invited: None };
    chat.people.refresh(&chat.client)?;
    let mut states = chat.client.state();
    chat.state(&states.current())?;
    let nowhere = args.channel.is_empty() && invite.is_none();
    let channels = if nowhere { FIRST_CHANNEL.parse().into_iter().collect() } else { args.channel };
    for name in channels {
        chat.places.join(name, None);
        chat.settle().await?;
    }
    if let Some(invite) = invite {
        chat.places.enter(invite, None);
        chat.settle().await?;
    }
    loop {
        tokio::select! {
            line = lines.recv(), if chat.places.takes_more() => match line {
                Some(line) if chat.typed(&line)? => {}
                Some(_) => break,
                None => {
                    // What is not through by then is told by nobody: the connection is gone or stuck.
                    drop(tokio::time::timeout(LAST_WORDS, chat.settle()).await);
                    break;
                }
            },
            item = chat.places.next() => chat.item(item)?,
            Some(state) = states.next() => chat.state(&state)?,
            Some(note) = notes.next() => chat.noted(note),
        }
    }
    chat.client.close().await;
    Ok(())
}

/// Lines of standard input, from a thread that ends with it.
fn read_input() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        // A terminal may give bytes that are no text; the line is still what the person typed.
        while input.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.blocking_send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

struct Chat {
    client: Client,
    places: Places,
    people: People,
    quiet: bool,
    /// The last invitation that came.
    invited: Option<Arc<Invite>>,
}

impl Chat {
    fn notice(&self, text: &str) {
        if !self.quiet {
            print::notice(text);
        }
    }

    /// Carries on until nothing that was asked for is open.
    async fn settle(&mut self) -> Result<(), Failure> {
        while self.places.is_waiting() {
            let item = self.places.next().await;
            self.item(item)?;
        }
        Ok(())
    }

    /// Whether to go on.
    fn typed(&mut self, line: &str) -> Result<bool, Failure> {
        match input::parse(line) {
            None => {}
            Some(Err(problem)) => print::notice(&problem),
            Some(Ok(Typed::Quit)) => return Ok(false),
            Some(Ok(Typed::Text(text))) => match self.meant_for(&text) {
                Some(name) => print::notice(&format!(
                    "not sent: /msg {0} TEXT tells {0} alone; begin with a space to say it here",
                    clean::text(&name)
                )),
                None => self.say(text),
            },
            Some(Ok(Typed::Join(channel, name))) => self.join(channel, name),
            Some(Ok(Typed::Enter(invite, name))) => self.places.enter(*invite, name),
            Some(Ok(Typed::Create(name))) => self.places.create(name),
            Some(Ok(Typed::Accept)) => match self.invited.take() {
                Some(invite) => self.places.enter(Invite::clone(&invite), None),
                None => print::notice("nobody has invited you"),
            },
            Some(Ok(Typed::Invite(to))) => self.invite(to.as_deref()),
            Some(Ok(Typed::Add(whom))) => {
                if let Some(user) = self.whom("not added", &whom) {
                    self.change(Change { add: vec![user], ..Change::default() });
                }
            }
            Some(Ok(Typed::Remove(whom, reason))) => {
                // Who is blocked can be removed as well: by the key.
                let user = whom.parse().ok().or_else(|| self.whom("not removed", &whom));
                if let Some(user) = user {
                    self.change(Change { remove: vec![user], reason, ..Change::default() });
                }
            }
            Some(Ok(Typed::Rekey(reason))) => self.change(Change { reason, ..Change::default() }),
            Some(Ok(Typed::Part(channel))) => self.part(channel),
            Some(Ok(Typed::Tell(whom, text))) => self.tell(&whom, text),
            Some(Ok(Typed::Query(whom))) => self.query(whom.as_deref()),
            Some(Ok(Typed::Contacts(action))) => self.contacts(&action),
            Some(Ok(Typed::Name(name))) => self.places.speak_as(&name),
            Some(Ok(Typed::Channels)) => self.channels(),
            Some(Ok(Typed::Id)) => self.id(),
            Some(Ok(Typed::Help(Some(usage)))) => print::notice(&format!("{:24} {}", usage.line, usage.does)),
            Some(Ok(Typed::Help(None))) => {
                for usage in &COMMANDS {
                    print::notice(&format!("{:24} {}", usage.line, usage.does));
                }
            }
        }
        Ok(true)
    }

    /// Whom a contact's name or a key means; who must not be sent to is told.
    fn whom(&mut self, failed: &str, whom: &str) -> Option<UserId> {
        let found = self.people.refresh(&self.client).and_then(|()| self.people.find(whom));
        found.map_err(|error| print::notice(&format!("{failed}: {}", clean::text(&error.to_string())))).ok()
    }

    /// The contact for whom alone a line is meant, as it looks: without a slash `private` takes keys only, and what
    /// was to be told to one person must not go to a channel.
    fn meant_for(&self, line: &str) -> Option<String> {
        let (name, text) = line.strip_prefix("private ")?.trim_start().split_once(char::is_whitespace)?;
        let is_contact = !text.trim().is_empty() && self.people.knows(name);
        is_contact.then(|| name.to_owned())
    }

    fn tell(&mut self, whom: &str, text: String) {
        if let Some(user) = self.whom("not sent", whom) {
            self.places.tell(user, text);
        }
    }

    fn query(&mut self, whom: Option<&str>) {
        let Some(whom) = whom else {
            self.places.aim_at(Aim::Channel);
            return match self.places.current() {
                Some(channel) => self.notice(&format!("now in {}", clean::text(&channel.to_string()))),
                None => self.notice("you are in no channel"),
            };
        };
        if let Some(user) = self.whom("talking to nobody", whom) {
            self.places.aim_at(Aim::Person(user));
            self.notice(&format!("now talking to {}", self.people.introduced(&user)));
        } else {
            self.places.aim_at(Aim::Nowhere);
            print::notice("what you type goes nowhere now; /query alone goes back to the channel");
        }
    }

    fn say(&mut self, text: String) {
        match self.places.aim() {
            // Asked for again: the key may have changed, or been blocked, since the conversation began.
            Aim::Person(user) => self.tell(&user.to_string(), text),
            Aim::Nowhere => {
                print::notice("not sent: you talk to nobody; /query alone goes back to the channel")
            }
            Aim::Channel if !self.places.say(text) => print::notice("not sent: join a channel first"),
            Aim::Channel => {}
        }
    }

    /// Carries out a change of the contacts, from now on in this session as well, and tells how they are.
    fn contacts(&mut self, action: &ContactsAction) {
        let done = self.people.book().and_then(|book| {
            let mut lines = contacts::carry_out(book, || Ok(self.client.id()), action)?;
            if let Some(name) = action.changes() {
                let all = book.all()?;
                let key = name.parse::<UserId>().ok();
                let about = all.iter().filter(|one| one.name == *name || Some(one.user) == key);
                lines.extend(about.map(contacts::line));
            }
            Ok(lines)
        });
        // Also after an error: another key for a name is written down before it is told.
        let read = self.people.refresh(&self.client);
        match done.and_then(|lines| read.map(|()| lines)) {
            Ok(lines) if lines.is_empty() => match action.changes() {
                Some(name) => print::notice(&format!("{} is no contact", clean::text(name))),
                None => print::notice("you have no contacts"),
            },
            Ok(lines) => lines.iter().for_each(|line| print::notice(&clean::text(line))),
            Err(error) => print::notice(&clean::text(&error.to_string())),
        }
    }

    /// The invitation to the current private channel: shown, or sent to somebody.
    fn invite(&mut self, to: Option<&str>) {
        let Some(private) = self.places.private() else {
            return print::notice("this is not a private channel");
        };
        match to {
            None => {
                print::notice("who has this invitation reads and writes here from this hour on:");
                print::notice(&private.invite().to_text());
            }
            Some(to) => {
                let Some(to) = self.whom("not invited", to) else { return };
                let offer =
                    async move { private.offer(to).await.map_err(|error| format!("not invited: {error}")) };
                self.places.change(offer.boxed());
            }
        }
    }

    fn change(&mut self, change: Change) {
        let Some(private) = self.places.private() else {
            return print::notice("this is not a private channel");
        };
        let change =
            async move { private.change(change).await.map_err(|error| format!("not changed: {error}")) };
        self.places.change(change.boxed());
    }

    /// Tells what happened to private channels; other notes are told elsewhere.
    fn noted(&mut self, note: Note) {
        let private = |name: &ChannelName| clean::text(&Place::Private(name.clone()).to_string());
        match note {
            Note::Rekeyed { channel, by, removed } => {
                let gone: Vec<String> = removed.iter().map(|user| self.people.shown("", user)).collect();
                let gone =
                    if gone.is_empty() { String::new() } else { format!(", without {}", gone.join(" ")) };
                self.notice(&format!(
                    "{} has a new secret by {}{gone}",
                    private(&channel),
                    self.people.shown("", &by)
                ));
            }
            Note::Excluded { channel, by } => {
                print::notice(&format!(
                    "{} has removed you from {}",
                    self.people.shown("", &by),
                    private(&channel)
                ));
            }
            Note::Invited { from, invite } => {
                let name = clean::text(&invite.name);
                print::notice(&format!(
                    "{} invites you to the private channel {name}; /accept enters it",
                    self.people.shown("", &from)
                ));
                self.invited = Some(invite);
            }
            Note::Missed { count } => self.notice(&format!(
                "{count} notices are missing here; an invitation, or a change of a private channel, may be one"
            )),
            _ => {}
        }
    }

    fn join(&mut self, channel: Place, name: Option<UserName>) {
        if self.places.go_to(&channel) {
            if let Some(name) = &name {
                self.places.speak_here_as(name);
            }
            self.notice(&format!("now in {}", clean::text(&channel.to_string())));
        } else {
            self.places.join(channel, name);
        }
    }

    fn part(&mut self, channel: Option<Place>) {
        let Some(channel) = channel.or_else(|| self.places.current().cloned()) else {
            return print::notice("you are in no channel");
        };
        if !self.places.part(&channel) {
            print::notice(&format!("you are not in {}", clean::text(&channel.to_string())));
        }
    }

    fn channels(&self) {
        for (channel, is_current) in self.places.list() {
            let star = if is_current { "*" } else { " " };
            print::notice(&format!("{star} {}", clean::text(&channel.to_string())));
        }
        if self.places.list().next().is_none() {
            print::notice("you are in no channel");
        }
    }

    fn id(&self) {
        print::notice(&format!("you     {}", self.client.id()));
        print::notice(&format!("server  {}", self.client.server()));
    }

    fn item(&self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Received(_, Received::Message(message)) if self.people.is_blocked(&message.from) => {}
            Item::Received(_, Received::Message(message)) => {
                let author = self.people.shown(message.name.as_str(), &message.from);
                print::out(print::line(&message, &author).as_bytes())?;
            }
            Item::Received(channel, Received::Missed(missed)) => {
                self.notice(&print::missed(&clean::text(&channel.to_string()), &missed))
            }
            Item::Direct(Received::Message(message)) => {
                print::out(self.people.direct_line(&message, self.client.id()).as_bytes())?;
            }
            Item::Direct(Received::Missed(missed)) => self.notice(&print::missed("direct messages", &missed)),
            Item::Received(..) | Item::Direct(_) => {}
            Item::Joined(channel) => self.notice(&format!("joined {}", clean::text(&channel.to_string()))),
            Item::NotJoined(channel, error) => {
                print::notice(&format!("not joined {}: {error}", clean::text(&channel)))
            }
            Item::Changed(Err(why)) => print::notice(&why),
            Item::Changed(Ok(())) => {}
            Item::Left(channel) => self.notice(&format!("left {}", clean::text(&channel.to_string()))),
            Item::Said(Outcome::Failed(error)) => print::notice(&format!("not sent: {error}")),
            Item::Said(Outcome::Taken) => {}
        }
        Ok(())
    }

    /// Tells what became of the connection; one that has ended for good ends the chat.
    fn state(&self, state: &State) -> Result<(), Failure> {
        match state {
            State::Connected { addr, .. } => self.notice(&format!("connected to {}", addr.addr)),
            State::Waiting { retry, why } => {
                let why = if *why == Code::Unreachable { "nobody answers there" } else { why.sentence() };
                self.notice(&format!("connection lost; {why}; next try in {:.1} s", retry.as_secs_f32()));
            }
            State::Closed { why } => return Err(Failure::ended(*why)),
            _ => {}
        }
        Ok(())
    }
}
