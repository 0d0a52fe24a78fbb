//! Two servers, one link between them, and a message from a user of one to a user of the other.
//!
//! `cargo run -p darkchat-server --example two_peered_servers`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use darkchat_client::{Client, Received};
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;
use std::error::Error;
use std::time::Duration;

async fn server(memory: &Memory, name: &str) -> Result<Server, Box<dyn Error>> {
    let addr = format!("mem://{name}").parse()?;
    let builder = Server::builder(Identity::generate()).transport(memory.clone());
    Ok(builder.listen(addr, Accept::All).start().await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await?, server(&memory, "far").await?);
    let peer = near.connect("mem://far".parse()?).await?;
    println!("linked with {peer}");

    let alice = Client::connect(memory.clone(), "mem://near".parse()?, Identity::generate()).await?;
    let bob = Client::connect(memory, "mem://far".parse()?, Identity::generate()).await?;
    let mut his = bob.join("lobby".parse()?).await?;
    let hers = alice.join("lobby".parse()?).await?;

    let sent = hers.send("hello over there").await?;
    println!("for {} users here and {} other servers", sent.local, sent.servers);
    while let Some(received) = his.recv().await {
        let Received::Message(message) = received else { continue };
        println!("{}: {}", message.from, message.payload.as_text().unwrap_or("(no text)"));
        break;
    }

    alice.close().await;
    bob.close().await;
    near.shutdown(Duration::from_secs(1)).await;
    far.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
