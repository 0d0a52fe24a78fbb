//! A hostile server: it holds the link that a client trusts to carry, and lies about all that it carries.
//!
//! Nothing of it is shown as true; each attempt is counted, and named in a note. Source: `docs/protocol.md`, section 1.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;
mod direct;
mod links;
mod posts;

use common::*;
use darkchat_client::{Channel, Client, Fault, Note, Notes, Received, Stats};
use darkchat_proto::ServerAddr;
use darkchat_transport::{Listener, Memory, Transport as _};
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::BTreeMap;

fn addr() -> ServerAddr {
    "mem://hostile".parse().expect("an address")
}

/// A client in `lobby`, at a server that lies.
struct Victim {
    client: Client,
    lobby: Channel,
    notes: Notes,
    told: BTreeMap<Fault, u64>,
}

impl Victim {
    async fn in_lobby() -> (Self, Scripted, Listener) {
        let memory = Memory::default();
        let mut listener = memory.listen(addr().addr).await.expect("listens");
        let connecting = tokio::spawn(async move {
            let client = Client::connect(memory, addr(), identity(2)).await.expect("connected");
            let (notes, lobby) = (client.notes(), client.join("lobby".parse().expect("a name")).await);
            Self { client, lobby: lobby.expect("joined"), notes, told: BTreeMap::new() }
        });
        let mut liar = Scripted::accept(&mut listener).await;
        liar.take_in().await;
        (connecting.await.expect("no panic"), liar, listener)
    }

    /// The texts that are shown, up to and with this one.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().map(String::as_str) != Some(last) {
            if let Received::Message(message) = soon(self.lobby.recv()).await.expect("the channel lives") {
                texts.push(message.payload.as_text().expect("a text").to_owned());
            }
        }
        texts
    }

    /// Waits until every attempt was named as often as it was counted.
    async fn named(&mut self, expected: &[(Fault, u64)]) {
        let expected: BTreeMap<Fault, u64> = expected.iter().copied().collect();
        while self.told != expected {
            let note = soon(self.notes.next()).await.expect("the client lives");
            if let Note::Rejected { fault, count } = note {
                *self.told.entry(fault).or_default() += count;
                assert!(self.told[&fault] <= expected.get(&fault).copied().unwrap_or(0), "{:?}", self.told);
            }
        }
        assert!(self.lobby.recv().now_or_never().is_none(), "nothing else is shown");
    }

    fn stats(&self) -> Stats {
        self.client.stats()
    }
}
