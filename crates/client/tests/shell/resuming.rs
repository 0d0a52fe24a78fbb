//! A TCP connection that breaks while people talk: the next one goes on, and nothing is lost or shown twice.

use super::{identity, join, text};
use darkchat_client::{Client, Received};
use darkchat_proto::{Addr, ServerAddr};
use darkchat_server::{Accept, Server};
use darkchat_transport::{BoxFuture, Link, Listener, Transport};
use darkchat_transport_tcp::Tcp;
use futures_util::{StreamExt as _, stream};
use std::io;
use tokio::sync::watch;

const MESSAGES: usize = 300;

/// TCP whose connections can be broken from outside, with whatever is on the way.
#[derive(Debug, Clone)]
struct Breaking {
    tcp: Tcp,
    cuts: watch::Sender<u32>,
}

impl Breaking {
    fn new() -> Self {
        Self { tcp: Tcp::default(), cuts: watch::Sender::new(0) }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Transport for Breaking {
    fn schemes(&self) -> &'static [&'static str] {
        self.tcp.schemes()
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        let (dialled, mut cuts) = (self.tcp.dial(addr), self.cuts.subscribe());
        Box::pin(async move {
            let Link { remote, units, sink } = dialled.await?;
            cuts.mark_unchanged();
            let units = stream::unfold(Some((units, cuts)), |open| async move {
                let (mut units, mut cuts) = open?;
                tokio::select! {
                    biased;
                    _ = cuts.changed() => Some((Err(io::ErrorKind::ConnectionReset.into()), None)),
                    unit = units.next() => Some((unit?, Some((units, cuts)))),
                }
            });
            Ok(Link { remote, units: units.boxed(), sink })
        })
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        self.tcp.listen(addr)
    }
}

async fn tcp_server() -> (Server, ServerAddr) {
    let server = Server::builder(identity(1))
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse().unwrap(), Accept::Clients)
        .start()
        .await
        .unwrap();
    let addr = server.addrs()[0].0.clone().into();
    (server, addr)
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_talk_loses_nothing_and_repeats_nothing() {
    let (server, addr) = tcp_server().await;
    let (far, near) = (Breaking::new(), Breaking::new());
    let ann = Client::connect(far.clone(), addr.clone(), identity(2)).await.unwrap();
    let bob = Client::connect(near.clone(), addr, identity(3)).await.unwrap();
    let (lobby, mut heard) = (join(&ann, "lobby").await, join(&bob, "lobby").await);

    let talking = async {
        for number in 0..MESSAGES {
            // Both ends lose their connection, each twice and at different moments.
            match number {
                40 | 160 => near.cut(),
                100 | 220 => far.cut(),
                _ => {}
            }
            lobby.send(number.to_string()).await.unwrap();
        }
    };
    let listening = async {
        let mut texts = Vec::new();
        while texts.len() < MESSAGES {
            match heard.recv().await {
                Some(Received::Message(message)) => texts.push(message.payload.as_text().unwrap().to_owned()),
                other => panic!("after {} messages: {other:?}", texts.len()),
            }
        }
        texts
    };
    let both = async { tokio::join!(talking, listening) };
    let ((), texts) = tokio::time::timeout(super::PATIENCE, both).await.expect("in time");
    assert_eq!(texts, (0..MESSAGES).map(|number| number.to_string()).collect::<Vec<_>>());
    let stats = bob.stats();
    assert_eq!((stats.duplicate, stats.late, stats.gap), (0, 0, 0));
    server.shutdown(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn a_client_that_resumed_is_a_member_all_along() {
    let (server, addr) = tcp_server().await;
    let near = Breaking::new();
    let ann = Client::connect(Tcp::default(), addr.clone(), identity(2)).await.unwrap();
    let bob = Client::connect(near.clone(), addr, identity(3)).await.unwrap();
    let (lobby, mut heard) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    near.cut();
    super::clients(&server, 1).await;
    let sent = lobby.send("while you were away").await.unwrap();
    assert_eq!(sent.local, 1, "bob is still in the channel");
    assert_eq!(text(&mut heard).await, "while you were away");
    server.shutdown(std::time::Duration::ZERO).await;
}
