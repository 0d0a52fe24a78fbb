//! The channels that a person is in: what comes from them, and what goes to them.

use darkchat_client::{Channel, Client, JoinError, Message, Received, SendError, Sender};
use darkchat_proto::{ChannelName, UserName};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Messages that may be on their way to the server before more are typed.
const UNDERWAY: usize = 256;
/// Items that may wait to be shown; then the library counts what is missed.
const TO_SHOW: usize = 64;

/// Something to tell.
pub(crate) enum Item {
    Received(ChannelName, Received<Message>),
    Joined(ChannelName),
    NotJoined(ChannelName, JoinError),
    Left(ChannelName),
    Said(Outcome),
}

/// What became of a message.
pub(crate) enum Outcome {
    Taken,
    Failed(SendError),
}

/// A channel that is joined. Dropping `leave` leaves it.
struct Place {
    sender: Sender,
    leave: oneshot::Sender<()>,
}

pub(crate) struct Places {
    client: Client,
    places: BTreeMap<ChannelName, Place>,
    current: Option<ChannelName>,
    joining: FuturesUnordered<BoxFuture<'static, (ChannelName, Result<Channel, JoinError>)>>,
    leaving: usize,
    saying: FuturesUnordered<BoxFuture<'static, Outcome>>,
    items: mpsc::Receiver<Item>,
    to_items: mpsc::Sender<Item>,
}

impl Places {
    pub(crate) fn new(client: Client) -> Self {
        let (to_items, items) = mpsc::channel(TO_SHOW);
        Self {
            client,
            places: BTreeMap::new(),
            current: None,
            joining: FuturesUnordered::new(),
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
        !self.joining.is_empty() || !self.saying.is_empty() || self.leaving > 0
    }

    pub(crate) const fn current(&self) -> Option<&ChannelName> {
        self.current.as_ref()
    }

    /// The channels, and whether each is the current one.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&ChannelName, bool)> {
        self.places.keys().map(|name| (name, self.current.as_ref() == Some(name)))
    }

    /// Makes a joined channel the current one; `false` if it is not joined.
    pub(crate) fn go_to(&mut self, channel: &ChannelName) -> bool {
        let is_joined = self.places.contains_key(channel);
        if is_joined {
            self.current = Some(channel.clone());
        }
        is_joined
    }

    pub(crate) fn join(&mut self, channel: ChannelName, name: Option<UserName>) {
        let client = self.client.clone();
        let join = async move {
            let joined = match name {
                None => client.join(channel.clone()).await,
                Some(name) => client.join_as(channel.clone(), name).await,
            };
            (channel, joined)
        };
        self.joining.push(join.boxed());
    }

    /// `false` if the channel is not joined.
    pub(crate) fn part(&mut self, channel: &ChannelName) -> bool {
        let Some(place) = self.places.remove(channel) else { return false };
        if self.current.as_ref() == Some(channel) {
            self.current = self.places.keys().next().cloned();
        }
        self.leaving += 1;
        drop(place.leave);
        true
    }

    /// The name from now on, in every channel.
    pub(crate) fn speak_as(&self, name: &UserName) {
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

    /// `false` if there is no current channel.
    pub(crate) fn say(&mut self, text: String) -> bool {
        let Some(place) = self.current.as_ref().and_then(|name| self.places.get(name)) else { return false };
        let sender = place.sender.clone();
        let mut saying =
            async move { sender.send(text).await.map_or_else(Outcome::Failed, |_| Outcome::Taken) }.boxed();
        // The first poll queues the message: so messages keep the order in which they were typed.
        match saying.as_mut().now_or_never() {
            Some(outcome) => self.saying.push(std::future::ready(outcome).boxed()),
            None => self.saying.push(saying),
        }
        true
    }

    /// The next thing to tell.
    pub(crate) async fn next(&mut self) -> Item {
        tokio::select! {
            biased;
            Some(outcome) = self.saying.next() => Item::Said(outcome),
            Some((channel, joined)) = self.joining.next() => match joined {
                Ok(joined) => self.joined(channel, joined),
                Err(error) => Item::NotJoined(channel, error),
            },
            Some(item) = self.items.recv() => {
                if matches!(item, Item::Left(_)) {
                    self.leaving = self.leaving.saturating_sub(1);
                }
                item
            }
        }
    }

    fn joined(&mut self, name: ChannelName, channel: Channel) -> Item {
        let (leave, left) = oneshot::channel();
        let place = Place { sender: channel.sender(), leave };
        tokio::spawn(listen(channel, left, self.to_items.clone()));
        self.places.insert(name.clone(), place);
        self.current = Some(name.clone());
        Item::Joined(name)
    }
}

/// Passes on what comes, until it is to leave or nothing more can come.
async fn listen(mut channel: Channel, mut left: oneshot::Receiver<()>, items: mpsc::Sender<Item>) {
    let name = channel.name().clone();
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
