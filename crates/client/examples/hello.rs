//! Two users say hello: a server and two clients in one process, with no network.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use darkchat_client::{Client, Received};
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

    let ann = Client::builder(Identity::generate())
        .transport(memory.clone())
        .name("ann".parse()?)
        .connect("mem://station".parse()?)
        .await?;
    let bob = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
    let anns = ann.join("lobby".parse()?).await?;
    let mut bobs = bob.join("lobby".parse()?).await?;

    let sent = anns.send("hello, bob").await?;
    println!("ann's server has queued it for {} other session", sent.local);
    if let Some(Received::Message(message)) = bobs.recv().await {
        println!("{} {}: {:?}", message.name, message.from.mark(), message.payload);
    }
    ann.close().await;
    bob.close().await;
    Ok(())
}
