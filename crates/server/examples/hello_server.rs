//! The smallest server: its own key, one listener in memory, one user, one message.
//!
//! `cargo run -p darkchat-server --example hello_server`

use darkchat_client::Client;
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::default();
    let server = Server::builder(Identity::generate())
        .transport(memory.clone())
        .listen("mem://hello".parse()?, Accept::Clients)
        .start()
        .await?;

    let alice = Client::connect(memory, "mem://hello".parse()?, Identity::generate()).await?;
    let lobby = alice.join("lobby".parse()?).await?;
    lobby.send("hello").await?;
    alice.close().await;

    server.run_until(async {}).await;
    Ok(())
}
