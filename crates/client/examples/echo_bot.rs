//! A bot that answers what others say to it: it reads until it is told to stop, and loses nothing silently.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use darkchat_client::{Client, Payload, Received};
use darkchat_crypto::Identity;
use darkchat_server::{Accept, Server};
use darkchat_transport::Memory;

/// Repeats each message that begins with `echo `, as a reply to it; ends at `stop`.
async fn echo(client: Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut channel = client.join("parrots".parse()?).await?;
    while let Some(received) = channel.recv().await {
        let message = match received {
            Received::Message(message) => message,
            Received::Missed(missed) => {
                println!("the bot has missed something: {missed:?}");
                continue;
            }
            _ => continue,
        };
        match message.payload.as_text() {
            Some("stop") => break,
            Some(text) => {
                if let Some(words) = text.strip_prefix("echo ") {
                    channel.send(Payload::from(words).reply_to(message.id)).await?;
                }
            }
            None => {}
        }
    }
    client.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let memory = Memory::default();
    let server = Server::builder(Identity::generate())
        .transport(memory.clone())
        .listen("mem://station".parse()?, Accept::Clients)
        .start()
        .await?;

    let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
    let mut anns = ann.join("parrots".parse()?).await?;
    let mut members = anns.member_changes();
    let bot = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
    let bot = tokio::spawn(echo(bot));
    // The bot says that it is there; only then is it sure to hear us.
    futures_util::StreamExt::next(&mut members).await;

    anns.send("echo who is a clever bird?").await?;
    if let Some(Received::Message(answer)) = anns.recv().await {
        println!("{}: {:?}, in reply to {:?}", answer.from.mark(), answer.payload, answer.reply_to);
    }
    anns.send("stop").await?;
    bot.await??;
    ann.close().await;
    server.run_until(std::future::ready(())).await;
    Ok(())
}
