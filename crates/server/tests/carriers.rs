//! Transports that misbehave, and links that no listener made.

mod common;

use common::{Dial, Raw, addr, channel, identity, soon};
use darkchat_proto::{Addr, Kind};
use darkchat_server::{Accept, Server, StartError};
use darkchat_transport::{BoxFuture, Incoming, Link, Listener, Memory, Transport};
use darkchat_transport_ws::Ws;
use futures_util::StreamExt;
use futures_util::stream;
use std::io;

/// Memory, whose listeners fail often before they accept, and whose every other caller does not get far.
#[derive(Debug, Clone)]
struct Flaky(Memory);

impl Transport for Flaky {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem"]
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        self.0.dial(addr)
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let memory = self.0.clone();
        Box::pin(async move {
            let Listener { addr, incoming } = memory.listen(addr).await?;
            let no_descriptors = || Err(io::Error::from_raw_os_error(24));
            let broken = |remote: Addr| {
                let link = Box::pin(async { Err(io::ErrorKind::ConnectionReset.into()) });
                Ok(Incoming { remote, link })
            };
            let at = addr.clone();
            let incoming = incoming.flat_map(move |next| {
                stream::iter([no_descriptors(), broken(at.clone()), no_descriptors(), next])
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

#[tokio::test]
async fn an_error_of_a_listener_or_of_one_caller_does_not_end_accepting() {
    let memory = Memory::default();
    let hub = Server::builder(identity(1))
        .transport(Flaky(memory.clone()))
        .listen("mem://hub".parse().unwrap(), Accept::All)
        .start()
        .await
        .unwrap();
    for _ in 0..5 {
        Raw::client(&memory, &addr(&hub)).await;
    }
    assert_eq!(hub.stats().closed_early.values().sum::<u64>(), 5, "the callers who did not get far");
}

#[tokio::test]
async fn a_link_made_elsewhere_is_served_like_any_other() {
    let hub = Server::builder(identity(1)).start().await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    let over = |stream| {
        let (read, write) = tokio::io::split(stream);
        Link::over_bytes("pipe://here".parse().unwrap(), read, write)
    };
    hub.serve(over(theirs), Accept::Clients);
    let mut raw = Raw::shake(over(ours), identity(2), Dial::client(1)).await.unwrap();
    assert!(matches!(raw.next().await.unwrap().kind, Kind::Welcome(_)));
    raw.join(channel("lobby")).await;
    assert_eq!(hub.clients()[0].addr, "pipe://here".parse().unwrap());
}

#[test]
fn a_server_needs_a_runtime_to_start_and_none_to_be_given_a_link() {
    let start = Server::builder(identity(1)).start();
    assert!(matches!(futures_util::FutureExt::now_or_never(start), Some(Err(StartError::NoRuntime))));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hub = runtime.block_on(Server::builder(identity(1)).start()).unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    let (read, write) = tokio::io::split(theirs);
    hub.serve(Link::over_bytes("pipe://here".parse().unwrap(), read, write), Accept::Clients);
    drop(ours);
    runtime.block_on(common::until(|| hub.stats().closed_early.values().sum::<u64>() == 1));
}

#[tokio::test]
async fn clients_of_different_transports_hear_each_other() {
    let memory = Memory::default();
    let hub = Server::builder(identity(1))
        .transport(memory.clone())
        .transport(Ws::default())
        .listen("mem://hub".parse().unwrap(), Accept::Clients)
        .listen("ws://127.0.0.1:0".parse().unwrap(), Accept::Clients)
        .start()
        .await
        .unwrap();
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &hub.addrs()[0].0).await;
    let mut bob = Raw::client(&Ws::default(), &hub.addrs()[1].0).await;
    alice.join(lobby).await;
    bob.join(lobby).await;
    alice.say(lobby, "over memory").await;
    assert_eq!(soon(bob.hear()).await.1, "over memory");
    bob.say(lobby, "over a web socket").await;
    assert_eq!(soon(alice.hear()).await.1, "over a web socket");
}
