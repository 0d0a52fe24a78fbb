//! From flags to a connected client.

use crate::args::Global;
use crate::failure::{Failure, What};
use crate::{clean, contacts, id, print};
use darkchat_client::{Builder, Client, Fault, ManualLogin, Note, Notes};
use darkchat_crypto::system;
use darkchat_proto::ServerAddr;
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::{Trust, Ws};
use futures_util::StreamExt as _;

/// For a command that sends and ends: a lost connection is its failure. Only one that talks to a person is `reachable`.
pub(crate) async fn once(global: &Global, reachable: bool) -> Result<Client, Failure> {
    connect(global, |builder| builder.reconnect(false).announce(false).reachable(reachable)).await
}

/// For a command that listens: a lost connection is made again. Only one that shows direct messages is `reachable`.
pub(crate) async fn lasting(global: &Global, reachable: bool) -> Result<Client, Failure> {
    connect(global, |builder| builder.announce(false).reachable(reachable)).await
}

/// For a conversation: others see who is there.
pub(crate) async fn present(global: &Global) -> Result<Client, Failure> {
    connect(global, |builder| builder).await
}

/// Up to the point where our key is to be shown.
pub(crate) async fn manually(global: &Global) -> Result<ManualLogin, Failure> {
    let Some(server) = global.server.first() else {
        return Err(Failure::new(What::Connect, "no server to connect to, give --server"));
    };
    Ok(builder(global)?.manual_login(server.clone()).await?)
}

fn builder(global: &Global) -> Result<Builder, Failure> {
    let mut builder = Client::builder(id::load(global)?)
        .transport(Tcp::default())
        .transport(websockets(global)?)
        .name(global.name.clone())
        .network(global.network.clone());
    if let Some(folder) = system::state_folder() {
        builder = builder.known_servers(folder.join("known_servers"));
        // A file that cannot be read might block somebody: it is an error, and not an empty one.
        for (user, trust) in contacts::opinions(&contacts::book()?.all()?) {
            builder = builder.trust(user, trust);
        }
    }
    Ok(builder)
}

async fn connect(global: &Global, choose: impl FnOnce(Builder) -> Builder) -> Result<Client, Failure> {
    let mut builder = builder(global)?;
    let mut servers = global.server.iter().map(|server| with_port(server.clone()));
    let Some(first) = servers.next() else {
        return Err(Failure::new(What::Connect, "no server to connect to, give --server"));
    };
    for server in servers {
        builder = builder.also(server);
    }
    let client = choose(builder).connect(first).await?;
    if !global.quiet {
        tokio::spawn(tell(client.notes()));
    }
    Ok(client)
}

/// Under `wss` believes whom the system trusts, or the chosen certificates.
pub(crate) fn websockets(global: &Global) -> Result<Ws, Failure> {
    let Some(path) = &global.tls_ca else { return Ok(Ws::default()) };
    let about = |error: &dyn std::fmt::Display| {
        Failure::new(What::Io, format!("cannot use the certificates in {}: {error}", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| about(&error))?;
    let trust = Trust::only(&pem).map_err(|error| about(&error))?;
    Ok(Ws::default().trust(trust))
}

fn with_port(server: ServerAddr) -> ServerAddr {
    ServerAddr { addr: server.addr.or_client_port(), key: server.key }
}

/// Tells a person what the client notes, until the client ends.
async fn tell(mut notes: Notes) {
    while let Some(note) = notes.next().await {
        match note {
            Note::FirstContact { addr, server } => {
                print::notice(&format!("first contact with {addr}: its key is {server}"))
            }
            Note::ClockDiffers { .. } => {
                print::notice(
                    "your clock and the server's differ by more than two minutes; one of them is wrong",
                );
            }
            Note::Rejected { fault: Fault::Forged, count } => {
                print::notice(&format!("{count} forged, not shown: their authors did not write them"));
            }
            Note::NewDevice { user, .. } => {
                print::notice(&format!("a new device of ~{} takes part: {user}", user.mark()));
            }
            Note::DirectNotSent { to, why, .. } => {
                print::notice(&format!("not sent to ~{}: {why}", to.mark()));
            }
            Note::Missed { count } => print::notice(&format!("{count} notices are missing here")),
            Note::Draining => print::notice("the server is about to stop"),
            Note::Text(text) => print::notice(&format!("the server says: {}", clean::text(&text))),
            _ => {}
        }
    }
}
