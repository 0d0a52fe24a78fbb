//! Clients and servers in one process: the shell around the session, against the real server.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod connecting;
mod direct;
mod known_servers;
mod messages;
mod reconnecting;
mod resuming;
mod scripted;
mod slow;

use common::{PATIENCE, identity};
use darkchat_client::{Channel, Client, Message, Received};
use darkchat_proto::ServerAddr;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;
use std::time::Duration;

fn addr(name: &str) -> ServerAddr {
    format!("mem://{name}").parse().expect("an address")
}

/// A server for clients under this name; its key is made of `seed`.
async fn server(memory: &Memory, name: &str, seed: u8) -> Server {
    Server::builder(identity(seed))
        .transport(memory.clone())
        .listen(addr(name).addr, Accept::Clients)
        .start()
        .await
        .expect("a server")
}

/// A user who is connected to the server of this name.
async fn user(memory: &Memory, seed: u8, server: &str) -> Client {
    Client::connect(memory.clone(), addr(server), identity(seed)).await.expect("connected")
}

async fn join(client: &Client, name: &str) -> Channel {
    client.join(name.parse().expect("a name")).await.expect("joined")
}

/// The next message; whatever was missed before it is passed over.
async fn message(channel: &mut Channel) -> Message {
    let next = async {
        loop {
            match channel.recv().await.expect("the channel lives") {
                Received::Message(message) => return message,
                _ => continue,
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
}

async fn text(channel: &mut Channel) -> String {
    message(channel).await.payload.as_text().expect("a text").to_owned()
}

/// Waits until the server has as many clients as wanted; each change is an event.
async fn clients(server: &Server, wanted: usize) {
    let mut events = server.events();
    let reached = async {
        while server.clients().len() != wanted {
            events.recv().await.expect("the server runs");
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("as many clients in time");
}
