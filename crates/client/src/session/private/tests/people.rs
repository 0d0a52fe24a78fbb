//! People with sessions, one server that relays, and a postman who carries what they tell each other in private.

use crate::message::{Cause, Message};
use crate::session::{
    Change, Charter, Config, Event, Input, Output, Received, SavedChannel, Session, Ticket,
};
use darkchat_crypto::Identity;
use darkchat_proto::{
    Announced, ChannelId, Content, Deliver, DeviceId, Done, Entry, Features, Frame, FrameStream,
    GroupControl, Kind, Network, ServerId, Time, UserId, Welcome,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The wall clock at the start of every story, in Unix milliseconds.
pub(super) const WALL: u64 = 1_800_000_000_000;

pub(super) fn key(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(super) struct Person {
    pub(super) session: Session,
    me: Identity,
    joined: BTreeSet<ChannelId>,
    pub(super) events: Vec<Event>,
    /// Posts that the server lets this person miss.
    pub(super) is_deaf: bool,
}

impl Person {
    pub(super) fn id(&self) -> UserId {
        self.me.user_id()
    }

    /// Where the server has let this person in.
    pub(super) fn joined(&self) -> impl Iterator<Item = &ChannelId> {
        self.joined.iter()
    }
}

/// Everybody, by number.
pub(super) struct People {
    pub(super) all: Vec<Person>,
    now: Time,
    tickets: u64,
    /// All sealed posts that went through the server, with their channels.
    pub(super) recorded: Vec<(ChannelId, bytes::Bytes)>,
}

impl People {
    pub(super) fn new(count: u8) -> Self {
        let mut people = Self { all: Vec::new(), now: Time::ZERO, tickets: 0, recorded: Vec::new() };
        for seed in 1..=count {
            people.arrive(seed);
        }
        people
    }

    /// Somebody with this key connects.
    pub(super) fn arrive(&mut self, seed: u8) -> usize {
        let me = key(seed);
        let config =
            Config { servers: vec!["tcp://one:1".parse().unwrap()], announce: false, ..Config::default() };
        let device = u8::try_from(self.all.len()).unwrap();
        let session = Session::new(me.user_id(), DeviceId::new([device; 16]), config, [device + 1; 32]);
        self.all.push(Person { session, me, joined: BTreeSet::new(), events: Vec::new(), is_deaf: false });
        let who = self.all.len() - 1;
        let unix_ms = WALL + u64::try_from(self.now.since_start().as_millis()).unwrap();
        self.give(who, Input::Wall { unix_ms });
        self.give(who, Input::Connect);
        who
    }

    pub(super) const fn now(&self) -> Time {
        self.now
    }

    pub(super) fn give(&mut self, who: usize, input: Input) {
        let now = self.now;
        self.all[who].session.handle(now, input);
        self.carry_out(who);
    }

    fn carry_out(&mut self, who: usize) {
        while let Some(output) = self.all[who].session.poll() {
            let now = self.now;
            match output {
                Output::Dial { dial, .. } => {
                    let features = Features::SEALED;
                    let server = ServerId::new([7; 32]);
                    let opened = Input::Opened { dial, server, announced: Announced::default(), features };
                    self.all[who].session.handle(now, opened);
                    self.answer(who, Kind::Welcome(Welcome::default()).into());
                }
                Output::Send { bytes } => {
                    self.all[who].session.handle(now, Input::Flushed { bytes: bytes.len() });
                    let mut stream = FrameStream::default();
                    stream.push(bytes);
                    self.serve(who, Frame::decode(stream.next_frame().unwrap().unwrap()).unwrap());
                }
                Output::Sign { sign, request } => {
                    let signature = self.all[who].me.sign(&request);
                    self.all[who].session.handle(now, Input::Signed { sign, signature });
                }
                Output::Close { .. } => {}
                Output::Event(event) => self.all[who].events.push(event),
            }
        }
    }

    fn answer(&mut self, who: usize, frame: Frame) {
        let now = self.now;
        let received = Received::check(&Network::default(), frame);
        self.all[who].session.handle(now, Input::Frame(received));
    }

    fn serve(&mut self, who: usize, frame: Frame) {
        match frame.kind {
            Kind::Join { channels, .. } => self.all[who].joined.extend(channels),
            Kind::Leave { channels } => self.all[who].joined.retain(|id| !channels.contains(id)),
            Kind::Publish { deliver } => {
                let Deliver { channel, content } = Deliver::decode(deliver.clone()).unwrap();
                assert!(self.all[who].joined.contains(&channel), "published where it is not joined");
                if let Content::Sealed(sealed) = content {
                    self.recorded.push((channel, sealed));
                }
                for other in 0..self.all.len() {
                    let person = &self.all[other];
                    if other != who && person.joined.contains(&channel) && !person.is_deaf {
                        self.answer(other, Kind::Deliver(deliver.clone()).into());
                        self.carry_out(other);
                    }
                }
            }
            _ => return,
        }
        self.answer(who, Frame::replying(frame.req, Kind::Ok(Done { spread: true, ..Done::default() })));
    }

    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = |person: &Person| person.session.poll_timeout();
            let next = (0..self.all.len()).filter_map(|who| Some((due(&self.all[who])?, who))).min();
            let Some((at, who)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.give(who, Input::Timeout);
            // A relay keeps a link alive.
            self.give(who, Input::Frame(Received::Other(Kind::Ping { nonce: 1, acked: 0 }.into())));
            let after = due(&self.all[who]);
            assert!(
                after.is_none_or(|after| after > self.now),
                "a deadline that was met moves on: {after:?}"
            );
        }
        self.now = end;
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// The id of the channel that somebody has just come to.
    fn came(&mut self, who: usize, wanted: Ticket) -> Option<ChannelId> {
        self.all[who].events.iter().rev().find_map(|event| match event {
            Event::Joined { ticket: Some(ticket), channel, .. } if *ticket == wanted => Some(*channel),
            _ => None,
        })
    }

    pub(super) fn create(&mut self, who: usize, charter: Charter) -> ChannelId {
        let (ticket, channel) = (self.ticket(), "garden".parse().unwrap());
        self.give(who, Input::Create { ticket, channel, name: None, charter });
        self.came(who, ticket).unwrap()
    }

    /// Enters by the invitation that `of` has.
    pub(super) fn enter(&mut self, who: usize, of: (usize, ChannelId)) -> ChannelId {
        let invite = Box::new(self.all[of.0].session.invite(&of.1).unwrap());
        let ticket = self.ticket();
        self.give(who, Input::Enter { ticket, channel: None, name: None, invite });
        self.came(who, ticket).unwrap()
    }

    pub(super) fn restore(&mut self, who: usize, saved: SavedChannel) -> ChannelId {
        let ticket = self.ticket();
        self.give(who, Input::Restore { ticket, name: None, saved: Box::new(saved) });
        self.came(who, ticket).unwrap()
    }

    pub(super) fn leave(&mut self, who: usize, channel: ChannelId) {
        let ticket = self.ticket();
        self.give(who, Input::Leave { ticket, channel });
        assert!(self.all[who].events.contains(&Event::Left { ticket, channel }));
    }

    pub(super) fn change(&mut self, who: usize, channel: ChannelId, change: Change) -> Event {
        let ticket = self.ticket();
        self.give(who, Input::Change { ticket, channel, change });
        let answers = |event: &&Event| match event {
            Event::Changed { ticket: id, .. } | Event::ChangeFailed { ticket: id, .. } => *id == ticket,
            _ => false,
        };
        self.all[who].events.iter().find(answers).cloned().unwrap()
    }

    pub(super) fn say(&mut self, who: usize, channel: ChannelId, text: &str) {
        let ticket = self.ticket();
        self.give(who, Input::Send { ticket, channel, entry: Entry::text(text) });
    }

    /// Carries everything that `from` has to tell in private to `to`, as direct messages would.
    pub(super) fn post(&mut self, from: usize, to: usize) {
        let (writer, reader) = (self.all[from].id(), self.all[to].id());
        let mut letters = Vec::new();
        for private in self.all[from].session.private.channels.values_mut() {
            for generation in private.line.generations.values_mut() {
                let ways: Vec<_> =
                    generation.untold.iter().filter(|(user, _)| *user == reader).copied().collect();
                for way in ways {
                    letters.push(GroupControl::Rekey(generation.rekeys[&way.1].clone()));
                    generation.untold.remove(&way);
                }
            }
        }
        for letter in letters {
            self.control(to, writer, letter);
        }
    }

    pub(super) fn control(&mut self, to: usize, from: UserId, control: GroupControl) {
        let now = self.now;
        self.all[to].session.control_received(now, from, control);
        self.give(to, Input::Timeout);
    }

    /// What a member who asks is passed on.
    pub(super) fn ask(&mut self, who: usize, whom: usize) {
        let asked: Vec<ChannelId> =
            self.all[who].session.private.channels.values().map(|private| private.line.tip()).collect();
        let (asker, answerer) = (self.all[who].id(), self.all[whom].id());
        for channel in asked {
            let private = &self.all[whom].session.private;
            let Some(outer) = private.of.get(&channel) else { continue };
            let line = &private.channels[outer].line;
            let answers = line.answer(&asker, &channel);
            let letters: Vec<_> = answers
                .iter()
                .map(|(to, parent)| GroupControl::Rekey(line.get(to).unwrap().rekeys[parent].clone()))
                .collect();
            for letter in letters {
                self.control(who, answerer, letter);
            }
        }
    }

    pub(super) fn messages(&self, who: usize) -> Vec<&Message> {
        fn message(event: &Event) -> Option<&Message> {
            match event {
                Event::Message { message, .. } => Some(message),
                _ => None,
            }
        }
        self.all[who].events.iter().filter_map(message).collect()
    }

    pub(super) fn texts(&self, who: usize) -> Vec<&str> {
        self.messages(who).into_iter().filter_map(|message| message.payload.as_text()).collect()
    }

    /// How many numbers were reported missing.
    pub(super) fn gaps(&self, who: usize) -> u64 {
        let gap = |event: &Event| match event {
            Event::Missed { missed, .. } if missed.cause == Cause::Gap => missed.count.unwrap(),
            _ => 0,
        };
        self.all[who].events.iter().map(gap).sum()
    }
}

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
