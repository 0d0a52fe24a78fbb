//! The channels that a person is in: what comes from them, and what goes to them.

use crate::args::Global;
use crate::failure::Failure;
use crate::keep;
use crate::place::Place;
use darkchat_client::{
    Channel, Charter, Client, DirectMessage, Inbox, Message, Payload, Private, Received, SendError, Sender,
};
use darkchat_proto::{ChannelName, Invite, UserId, UserName};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Messages that may be on their way to the server before more are typed.
const UNDERWAY: usize = 256;
/// Items that may wait to be shown; then the library counts what is missed.
const TO_SHOW: usize = 64;

/// Something to tell.
pub(crate) enum Item {
    Received(Place, Received<Message>),
    Joined(Place),
    NotJoined(String, String),
    Changed(Result<(), String>),
    Left(Place),
    Direct(Received<DirectMessage>),
    Said(Outcome),
}

/// Where what is typed goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// The current one.
    Channel,
    Person(UserId),
    /// Somebody was asked for who is not known: what was meant for them must not be said in a channel.
    Nowhere,
}

/// What became of a message.
pub(crate) enum Outcome {
    Taken,
    Failed(SendError),
}

/// A channel that is joined. Dropping `leave` leaves it.
struct Seat {
    sender: Sender,
    /// What a private channel has beside messages.
    private: Option<Private>,
    leave: oneshot::Sender<()>,
}

pub(crate) struct Places {
    client: Client,
    global: Arc<Global>,
    places: BTreeMap<Place, Seat>,
    current: Option<Place>,
    joining: FuturesUnordered<BoxFuture<'static, (String, Result<Channel, Failure>)>>,
    changing: FuturesUnordered<BoxFuture<'static, Result<(), String>>>,
    aim: Aim,
    inbox: Inbox,
    leaving: usize,
    saying: FuturesUnordered<BoxFuture<'static, Outcome>>,
    items: mpsc::Receiver<Item>,
    to_items: mpsc::Sender<Item>,
}

impl Places {
    pub(crate) fn new(client: Client, global: Arc<Global>) -> Self {
        let (to_items, items) = mpsc::channel(TO_SHOW);
        Self {
            aim: Aim::Channel,
            inbox: client.inbox(),
            client,
            global,
            places: BTreeMap::new(),
            current: None,
            joining: FuturesUnordered::new(),
            changing: FuturesUnordered::new(),
            leaving: 0,
            saying: FuturesUnordered::new(),
            items,
            to_items,
        }
    }

    /// Whether another line can be taken: not while a channel is being joined, so that lines keep their order.
    pub(crate) fn takes_more(&self) -> bool {
        self.joining.is_empty() && self.saying.len() < UNDERWAY
    }

    /// Whether something that was asked for is still open.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.joining.is_empty() || !self.saying.is_empty() || !self.changing.is_empty() || self.leaving > 0
    }

    pub(crate) const fn current(&self) -> Option<&Place> {
        self.current.as_ref()
    }

    /// The channels, and whether each is the current one.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&Place, bool)> {
        self.places.keys().map(|name| (name, self.current.as_ref() == Some(name)))
    }

    /// Makes a joined channel the current one; `false` if it is not joined.
    pub(crate) fn go_to(&mut self, channel: &Place) -> bool {
        let is_joined = self.places.contains_key(channel);
        if is_joined {
            self.current = Some(channel.clone());
            self.aim = Aim::Channel;
        }
        is_joined
    }

    pub(crate) fn join(&mut self, place: Place, name: Option<UserName>) {
        let (client, global) = (self.client.clone(), self.global.clone());
        let join = async move {
            let joined = match (&place, name) {
                (Place::Public(channel), None) => client.join(channel.clone()).await.map_err(Failure::from),
                (Place::Public(channel), Some(name)) => {
                    client.join_as(channel.clone(), name).await.map_err(Failure::from)
                }
                (Place::Private(channel), name) => {
                    keep::come(&client, &global, channel).await.inspect(|channel| speak(channel, name))
                }
            };
            (place.to_string(), joined)
        };
        self.joining.push(join.boxed());
    }

    /// Enters a private channel by its invitation.
    pub(crate) fn enter(&mut self, invite: Invite, name: Option<UserName>) {
        let (client, global) = (self.client.clone(), self.global.clone());
        let enter = async move {
            let entered = keep::enter(&client, &global, invite, None).await;
            ("the private channel".to_owned(), entered.inspect(|channel| speak(channel, name)))
        };
        self.joining.push(enter.boxed());
    }

    /// Makes a private channel for those who will have the invitation.
    pub(crate) fn create(&mut self, name: ChannelName) {
        let (client, global) = (self.client.clone(), self.global.clone());
        let servers = global.server.iter().map(ToString::to_string).collect();
        let create = async move {
            let charter = Charter { servers, ..Charter::default() };
            let created = client.create_private(name.clone(), charter).await.map_err(Failure::from);
            let kept = created.and_then(|channel| keep::keep(&channel, &global).map(|()| channel));
            (Place::Private(name).to_string(), kept)
        };
        self.joining.push(create.boxed());
    }

    /// The handle of the current channel, if it is a private one.
    pub(crate) fn private(&self) -> Option<Private> {
        self.current.as_ref().and_then(|place| self.places.get(place))?.private.clone()
    }

    /// Carries out a change of a private channel, and tells what became of it.
    pub(crate) fn change(&mut self, change: BoxFuture<'static, Result<(), String>>) {
        self.changing.push(change);
    }

    /// `false` if the channel is not joined.
    pub(crate) fn part(&mut self, channel: &Place) -> bool {
        let Some(place) = self.places.remove(channel) else { return false };
        if self.current.as_ref() == Some(channel) {
            self.current = self.places.keys().next().cloned();
        }
        self.leaving += 1;
        drop(place.leave);
        true
    }

    /// The name from now on: in every channel, those that are joined later among them, and in direct messages.
    pub(crate) fn speak_as(&self, name: &UserName) {
        self.client.speak_as(name.clone());
        for place in self.places.values() {
            place.sender.speak_as(name.clone());
        }
    }

    /// The name from now on, in the current channel.
    pub(crate) fn speak_here_as(&self, name: &UserName) {
        if let Some(place) = self.current.as_ref().and_then(|name| self.places.get(name)) {
            place.sender.speak_as(name.clone());
        }
    }

    pub(crate) const fn aim(&self) -> Aim {
        self.aim
    }

    /// Where what is typed goes from now on.
    pub(crate) const fn aim_at(&mut self, aim: Aim) {
        self.aim = aim;
    }

    /// A direct message.
    pub(crate) fn tell(&self, user: UserId, text: String) {
        let direct = self.client.direct(user);
        let payload = Payload::from(text);
        self.send(async move { direct.send(payload).await.map_or_else(Outcome::Failed, |_| Outcome::Taken) });
    }

    /// Says it in the current channel; `false` if there is none.
    pub(crate) fn say(&self, text: String) -> bool {
        let Some(place) = self.current.as_ref().and_then(|name| self.places.get(name)) else { return false };
        let sender = place.sender.clone();
        self.send(async move { sender.send(text).await.map_or_else(Outcome::Failed, |_| Outcome::Taken) });
        true
    }

    fn send(&self, sending: impl Future<Output = Outcome> + Send + 'static) {
        let mut sending = sending.boxed();
        // The first poll queues the message: so messages keep the order in which they were typed.
        match sending.as_mut().now_or_never() {
            Some(outcome) => self.saying.push(std::future::ready(outcome).boxed()),
            None => self.saying.push(sending),
        }
    }

    /// The next thing to tell.
    pub(crate) async fn next(&mut self) -> Item {
        tokio::select! {
            biased;
            Some(outcome) = self.saying.next() => Item::Said(outcome),
            Some(changed) = self.changing.next() => Item::Changed(changed),
            Some((wanted, joined)) = self.joining.next() => match joined {
                Ok(joined) => self.joined(joined),
                Err(failure) => Item::NotJoined(wanted, failure.to_string()),
            },
            Some(received) = self.inbox.recv() => Item::Direct(received),
            Some(item) = self.items.recv() => {
                if matches!(item, Item::Left(_)) {
                    self.leaving = self.leaving.saturating_sub(1);
                }
                item
            }
        }
    }

    fn joined(&mut self, channel: Channel) -> Item {
        let name = Place::of(&channel);
        let (leave, left) = oneshot::channel();
        let place = Seat { sender: channel.sender(), private: channel.private(), leave };
        tokio::spawn(listen(channel, left, self.to_items.clone()));
        self.places.insert(name.clone(), place);
        self.current = Some(name.clone());
        self.aim = Aim::Channel;
        Item::Joined(name)
    }
}

fn speak(channel: &Channel, name: Option<UserName>) {
    if let Some(name) = name {
        channel.speak_as(name);
    }
}

/// Passes on what comes, until it is to leave or nothing more can come.
async fn listen(mut channel: Channel, mut left: oneshot::Receiver<()>, items: mpsc::Sender<Item>) {
    let name = Place::of(&channel);
    loop {
        let received = tokio::select! {
            received = channel.recv() => received,
            _ = &mut left => {
                // Whether or not the server heard of it, nothing more is shown of this channel.
                drop(channel.leave().await);
                drop(items.send(Item::Left(name)).await);
                return;
            }
        };
        let Some(received) = received else { return };
        if items.send(Item::Received(name.clone(), received)).await.is_err() {
            return;
        }
    }
}
