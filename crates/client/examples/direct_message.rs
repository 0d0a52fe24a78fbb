//! One user says something to another that nobody else can read: a server and two clients in one process.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use darkchat_client::{Client, Received, SendError};
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memory = Memory::default();
    let _server = Server::builder(Identity::generate())
        .transport(memory.clone())
        .listen("mem://station".parse()?, Accept::Clients)
        .start()
        .await?;
    let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
    let bob = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;

    // What ann and bob read to each other over the telephone, to know that nobody stands between.
    let to_bob = ann.direct(bob.id());
    println!("safety number: {}", to_bob.safety_number());

    let mut inbox = bob.inbox();
    match to_bob.send("psst").await {
        Ok(id) => println!("bob's program has decrypted {id}"),
        Err(SendError::NotHere) => println!("bob is not online"),
        Err(error) => println!("bob may have got it or not: {error}"),
    }
    if let Some(Received::Message(message)) = inbox.recv().await {
        println!("~{}: {:?}", message.from.mark(), message.payload);
    }
    ann.close().await;
    bob.close().await;
    Ok(())
}
