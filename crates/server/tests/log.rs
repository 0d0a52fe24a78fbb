//! What a server logs: the life cycle, and never contents, secrets, or what a stranger wrote. One test, because the
//! collector is one for the process.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use common::{Dial, Raw, addr, channel, server, soon, until};
use darkchat_crypto::{Credentials, Identity, Initiator, system};
use darkchat_proto::{Code, Frame, Goodbye, Kind};
use darkchat_transport::{Memory, Transport};
use futures_util::{SinkExt, StreamExt};
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Every level of every record, as lines.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes everything");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = span.metadata().name().to_owned();
        span.record(&mut Line(&mut line));
        self.0.lock().expect("no panic").push(line);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().target().to_owned();
        event.record(&mut Line(&mut line));
        self.0.lock().expect("no panic").push(line);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The original wrote contents into its log.
#[tokio::test]
async fn no_content_no_secret_and_no_line_of_a_strangers_making_reaches_the_log() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await, server(&memory, "far").await);
    soon(near.connect(addr(&far).into())).await.unwrap();
    let place = channel("canary-channel");
    let mut bob = Raw::client(&memory, &addr(&far)).await;
    bob.join(place).await;

    let mut link = memory.dial(addr(&near)).await.unwrap();
    let dial = Dial::client(1);
    let (initiator, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
    link.sink.send(message1).await.unwrap();
    let proof = initiator.read_reply(soon(link.units.next()).await.unwrap().unwrap()).unwrap();
    let alice = Identity::from_seed(*b"canary-seed-canary-seed-canary-s");
    let signature = alice.sign(&proof.request());
    let credentials = Credentials {
        token: "canary-token".into(),
        agent: "agent\nERROR forged \u{1b}[31m\u{202e}line".into(),
        resume: None,
    };
    let (message3, established) = proof.finish(alice.public(), signature, credentials).unwrap();
    link.sink.send(message3).await.unwrap();
    let mut alice = Raw::over(link, alice, established);
    alice.join(place).await;
    alice.say(place, "canary-text").await;
    assert_eq!(bob.hear().await.1, "canary-text");
    let goodbye = Goodbye { text: "canary-goodbye\nforged".into(), ..Goodbye::new(Code::Ok) };
    alice.send(&Frame::from(Kind::Goodbye(goodbye))).await;
    until(|| near.clients().is_empty()).await;
    near.shutdown(Duration::from_secs(5)).await;
    far.shutdown(Duration::from_secs(5)).await;

    let lines = lines.0.lock().unwrap();
    let says = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        says("client up") && says("client down") && says("peer up") && says("listening"),
        "the life cycle"
    );
    assert!(says("agent"), "even the agent, but not as it came:");
    for line in lines.iter() {
        assert!(!line.contains("canary"), "{line}");
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(line.len() <= 1_024, "{line}");
    }
}
