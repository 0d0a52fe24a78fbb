//! How to test a program that talks: server, users and a lost server in one process, with neither network nor sleep.
//!
//! Run it as a program; in a project of yours, its parts are `#[tokio::test]`s.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use darkchat_client::{Cause, Client, Received, State};
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;
use std::error::Error;
use std::time::Duration;

/// A server with the same key each time, as after a restart.
async fn server(memory: &Memory) -> Result<Server, Box<dyn Error>> {
    let server = Server::builder(Identity::from_seed([1; 32]))
        .transport(memory.clone())
        .listen("mem://station".parse()?, Accept::Clients)
        .start()
        .await?;
    Ok(server)
}

/// What is under test: two users hear each other.
async fn users_hear_each_other(memory: &Memory) -> Result<(), Box<dyn Error>> {
    let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
    let bob = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
    let (anns, mut bobs) = (ann.join("test".parse()?).await?, bob.join("test".parse()?).await?);
    anns.send("one").await?;
    let heard = bobs.recv().await.and_then(Received::message).ok_or("a message")?;
    assert_eq!(heard.payload.as_text(), Some("one"));
    assert_eq!(heard.from, ann.id());
    println!("users hear each other");
    Ok(())
}

/// What is under test: a user survives a restart, and is told that it may have missed something.
async fn a_user_survives_a_restart(memory: &Memory, station: Server) -> Result<Server, Box<dyn Error>> {
    let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
    let mut channel = ann.join("test".parse()?).await?;
    let mut state = ann.state();
    station.shutdown(Duration::from_secs(1)).await;
    let station = server(memory).await?;
    while !matches!(state.changed().await, Some(State::Connected { .. })) {}
    let Some(Received::Missed(missed)) = channel.recv().await else { return Err("news first".into()) };
    assert_eq!(missed.cause, Cause::Reconnect);
    println!("a user survives a restart");
    Ok(station)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::default();
    let station = server(&memory).await?;
    users_hear_each_other(&memory).await?;
    let station = a_user_survives_a_restart(&memory, station).await?;
    station.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
