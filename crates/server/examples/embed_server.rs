//! A server inside a program of your own, over TCP, with its events and its counters.
//!
//! `cargo run -p darkchat-server --example embed_server`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use darkchat_client::{Client, Received};
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Event, Server};
use darkchat_transport_tcp::Tcp;
use std::error::Error;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder(Identity::generate())
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse()?, Accept::Clients)
        .start()
        .await?;
    let (addr, _) = server.addrs().into_iter().next().ok_or("one listener")?;
    println!("{} listens on {addr}, limits {:?}", server.id(), server.limits().profile);

    // Whoever does not read loses events, and the server never waits for it.
    let mut events = server.events();
    let watching = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                Event::ClientUp { user, .. } => println!("+ {user}"),
                Event::ClientDown { user, why, .. } => println!("- {user}: {why}"),
                _ => {}
            }
        }
    });

    let alice = Client::connect(Tcp::default(), addr.clone().into(), Identity::generate()).await?;
    let bob = Client::connect(Tcp::default(), addr.into(), Identity::generate()).await?;
    let mut hers = alice.join("lobby".parse()?).await?;
    let his = bob.join("lobby".parse()?).await?;
    his.send("hello over TCP").await?;
    while let Some(received) = hers.recv().await {
        let Received::Message(message) = received else { continue };
        println!("{}: {}", message.from, message.payload.as_text().unwrap_or("(no text)"));
        break;
    }

    for (channel, members) in server.channels() {
        println!("channel {channel}: {members}");
    }
    alice.close().await;
    bob.close().await;
    server.shutdown(Duration::from_secs(1)).await;
    println!("delivered: {}", server.stats().node.delivered);
    watching.await?;
    Ok(())
}
