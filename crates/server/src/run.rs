//! The loop: the only caller of `Node::handle`. It waits for inputs and for nothing else.

mod questions;
mod turn;
mod wishes;

use crate::clock::{self, Wall};
use crate::dial::{self, NotDialled};
use crate::link::{NewLink, observed};
use crate::shared::{Arrival, Shared};
use crate::{LinkId, PeerError, TraceError};
use bytes::Bytes;
use darkchat_crypto::verify;
use darkchat_node::{DialId, Event, Frames, Input, Node, Output, VerifyId};
use darkchat_proto::{Code, Frame, Kind, ServerAddr, Signed, Time};
use questions::Questions;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use turn::Turn;
use wishes::Wishes;

/// Facts handled in one turn, so that what they cause leaves while the next ones come.
const TURN_ARRIVALS: usize = 256;

/// Owns what only the loop touches.
#[derive(Debug)]
pub(crate) struct Loop {
    shared: Arc<Shared>,
    arrivals: mpsc::Receiver<Arrival>,
    turn: Turn,
    wall: Wall,
    /// Peers to dial from the start.
    configured: Vec<ServerAddr>,
    wishes: Wishes,
    questions: Questions,
    is_draining: bool,
}

impl Loop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        arrivals: mpsc::Receiver<Arrival>,
        configured: Vec<ServerAddr>,
    ) -> Self {
        let wishes = Wishes::new(&configured);
        Self {
            shared,
            arrivals,
            turn: Turn::default(),
            wall: Wall::default(),
            configured,
            wishes,
            questions: Questions::default(),
            is_draining: false,
        }
    }

    /// Runs until a drained server has no link left. The server ends with it.
    pub(crate) async fn run(mut self) {
        let mut wake_at = self.begin();
        while !(self.is_draining && self.turn.has_no_links()) {
            let alarm = sleep_until(self.shared.clock.instant(wake_at));
            let first = tokio::select! {
                arrival = self.arrivals.recv() => arrival,
                () = self.shared.flushed.wait() => None,
                () = alarm => None,
            };
            wake_at = self.turn(first);
        }
    }

    fn begin(&mut self) -> Time {
        let peers = std::mem::take(&mut self.configured);
        let shared = self.shared.clone();
        let (mut node, now) = (shared.node(), shared.clock.now());
        self.tell_wall(&mut node, now);
        for peer in peers {
            node.handle(now, Input::Peer(peer));
        }
        self.carry_out(&mut node, now);
        self.wake_at(&node)
    }

    /// Handles what waits, up to a bound, and lets all that it causes leave at once. Returns when to wake up.
    fn turn(&mut self, first: Option<Arrival>) -> Time {
        let shared = self.shared.clone();
        let (mut node, now) = (shared.node(), shared.clock.now());
        self.tell_wall(&mut node, now);
        for (link, bytes) in shared.flushed.take() {
            node.handle(now, Input::Flushed { link, bytes });
        }
        let mut next = first;
        for _ in 0..TURN_ARRIVALS {
            let Some(arrival) = next.take().or_else(|| self.arrivals.try_recv().ok()) else { break };
            self.arrive(&mut node, now, arrival);
            self.carry_out(&mut node, now);
            if self.turn.is_full() {
                break;
            }
        }
        if node.poll_timeout().is_some_and(|timeout| timeout <= now) {
            node.handle(now, Input::Timeout);
        }
        self.carry_out(&mut node, now);
        let wake_at = self.wake_at(&node);
        drop(node);
        self.turn.leave();
        wake_at
    }

    fn tell_wall(&mut self, node: &mut Node, now: Time) {
        if let Some(unix_ms) = self.wall.due(now, clock::unix_ms()) {
            node.handle(now, Input::Wall { unix_ms });
        }
    }

    fn wake_at(&self, node: &Node) -> Time {
        node.poll_timeout().map_or_else(|| self.wall.next(), |timeout| timeout.min(self.wall.next()))
    }

    fn arrive(&mut self, node: &mut Node, now: Time, arrival: Arrival) {
        match arrival {
            Arrival::Frame { link, frame } => node.handle(now, Input::Frame { link, frame }),
            // What they cause is carried out together: those for the same members are one output.
            Arrival::Messages { link, frames } => {
                frames.into_iter().for_each(|frame| node.handle(now, Input::Frame { link, frame }));
            }
            Arrival::Opened(new) => self.open(node, now, *new),
            Arrival::Closed { link, why } => self.closed(node, now, link, why),
            Arrival::NotDialled(failed) => {
                let NotDialled { dial, error } = *failed;
                let why = dial::code(&error);
                self.wishes.not_dialled(dial, error);
                node.handle(now, Input::DialFailed { dial, why });
                self.carry_out(node, now);
                if let Some((addr, error)) = self.wishes.take_failure()
                    && self.wishes.failed_for(&addr, error)
                {
                    node.handle(now, Input::Unpeer(addr));
                }
            }
            Arrival::Verified { verify, bundles } => node.handle(now, Input::Verified { verify, bundles }),
            Arrival::Probed { dial, reachable } => node.handle(now, Input::Probed { dial, reachable }),
            Arrival::Connect { answer, .. } if self.is_draining => drop(answer.send(Err(PeerError::Stopped))),
            Arrival::Connect { peer, answer } => {
                let linked = node.peers().iter().map(|peer| peer.server).collect();
                self.wishes.ask(peer.addr.clone(), linked, answer);
                node.handle(now, Input::Peer(peer));
            }
            Arrival::Found(server) => node.handle(now, Input::Found(server)),
            Arrival::Disconnect { peer, answer } => {
                let rows: Vec<_> = node.peers().into_iter().filter(|row| row.server == peer).collect();
                rows.iter().filter_map(|row| row.pinned.as_ref()).for_each(|addr| self.wishes.forget(addr));
                node.handle(now, Input::Disconnect(peer));
                // Who no longer waits needs no answer.
                let _ = answer.send(!rows.is_empty());
            }
            Arrival::Trace { answer, .. } if self.is_draining => drop(answer.send(Err(TraceError::Stopped))),
            Arrival::Trace { channel, answer } => {
                let trace = self.questions.ask(answer);
                node.handle(now, Input::Trace { trace, channel });
            }
            Arrival::Drain => {
                if !self.is_draining {
                    self.is_draining = true;
                    node.handle(now, Input::Drain);
                }
            }
        }
    }

    fn open(&mut self, node: &mut Node, now: Time, new: NewLink) {
        let NewLink { outbox, dial, accept, peer, remote, resume } = new;
        let link = outbox.link();
        self.turn.insert(outbox);
        if let Some(dial) = dial {
            self.wishes.opened(dial, link, peer.server());
        }
        let observed = observed(&remote);
        node.handle(now, Input::Opened { link, dial, accept, peer, remote, observed, resume });
    }

    fn closed(&mut self, node: &mut Node, now: Time, link: LinkId, why: Code) {
        if let Some(bytes) = self.turn.remove(link) {
            node.handle(now, Input::Flushed { link, bytes });
        }
        node.handle(now, Input::Closed { link, why });
        let Some(addr) = self.wishes.closed(link) else { return };
        let refused = PeerError::Refused { addr: addr.clone(), code: why };
        if self.wishes.failed_for(&addr, refused) {
            node.handle(now, Input::Unpeer(addr));
        }
    }

    /// Carries out all that the node wants done.
    fn carry_out(&mut self, node: &mut Node, now: Time) {
        while let Some(output) = node.poll() {
            match output {
                Output::Send { links, frames, class: _ } => self.turn.send(&links, &frames),
                Output::Check { links, every } => {
                    links
                        .iter()
                        .filter_map(|link| self.turn.outbox(*link))
                        .for_each(|o| o.check_one_in(every));
                }
                Output::Pause { link, until } => {
                    if let Some(outbox) = self.turn.outbox(link) {
                        outbox.rest_until(until);
                    }
                }
                Output::Close { link, goodbye } => {
                    if let Some(goodbye) = goodbye {
                        let goodbye = Frame::from(Kind::Goodbye(goodbye)).encode_split();
                        self.turn.send(&[link], &Frames::from_iter([goodbye]));
                    }
                    self.turn.close(link);
                }
                Output::Sign { sign, request } => {
                    let signature = self.shared.identity.sign(&request);
                    node.handle(now, Input::Signed { sign, signature });
                }
                Output::Verify { verify, bundles } => {
                    self.shared.spawn(verify_bundles(self.shared.clone(), verify, bundles));
                }
                Output::Dial { dial, addr, pinned } => self.dial(dial, addr, pinned),
                Output::Probe { dial, addr } => {
                    self.shared.spawn(dial::probe(self.shared.clone(), dial, addr));
                }
                Output::Traced { trace, found } => self.questions.answer(trace, found),
                Output::Event(event) => self.report(node, now, &event),
            }
        }
    }

    fn dial(&mut self, dial: DialId, to: ServerAddr, is_pinned: bool) {
        if is_pinned {
            self.wishes.dialling(dial, &to.addr);
        }
        self.shared.spawn(dial::dial(self.shared.clone(), dial, to, is_pinned));
    }

    fn report(&mut self, node: &mut Node, now: Time, event: &Event) {
        log(event);
        match event {
            Event::PeerUp { link, peer, addr, outbound: true } => self.wishes.up(*link, addr, *peer),
            Event::AlreadyLinked { peer, addr } => self.wishes.already(addr, *peer),
            Event::DialFailed { addr, why } if self.wishes.failed(addr, *why) => {
                node.handle(now, Input::Unpeer(addr.clone()));
            }
            _ => {}
        }
        let missed = self.shared.listeners.tell(event);
        self.shared.events_lost.fetch_add(missed, Ordering::Relaxed);
    }
}

impl Drop for Loop {
    /// Without the loop there is no server, whatever ended it.
    fn drop(&mut self) {
        self.shared.listeners.end();
        self.shared.stopping.cancel();
        self.shared.ended.cancel();
        self.turn.cut();
        self.arrivals.close();
        while let Ok(arrival) = self.arrivals.try_recv() {
            if let Arrival::Opened(new) = arrival {
                new.outbox.close();
            }
        }
    }
}

/// Checks what another server showed of a user's devices: some 50 µs each, which the loop does not have.
async fn verify_bundles(shared: Arc<Shared>, verify: VerifyId, bundles: Vec<Bytes>) {
    let network = &shared.link_config.network;
    let check = |signed: Bytes| verify::bundle(network, &Signed::decode(signed).ok()?).ok();
    let bundles = bundles.into_iter().map(check).collect();
    shared.tell(Arrival::Verified { verify, bundles }).await;
}

/// The life cycle, for people. Keys and addresses are parsed types, so nothing that a stranger wrote stands here.
fn log(event: &Event) {
    match event {
        Event::PeerUp { link, peer, addr, outbound } => {
            tracing::info!(link = link.0, %peer, %addr, outbound, "peer up");
        }
        Event::PeerDown { link, peer, why } => {
            tracing::info!(link = link.0, %peer, why = why.name(), "peer down");
        }
        Event::DialFailed { addr, why } => tracing::info!(%addr, why = why.name(), "dial failed"),
        Event::AlreadyLinked { addr, peer } => tracing::info!(%addr, %peer, "already linked"),
        Event::ClientUp { link, user } => tracing::info!(link = link.0, %user, "client up"),
        Event::ClientDown { link, user, why } => {
            tracing::info!(link = link.0, %user, why = why.name(), "client down");
        }
        Event::Refused { link, code } => tracing::debug!(link = link.0, why = code.name(), "refused"),
        Event::Slow { link, dropped } => tracing::info!(link = link.0, dropped, "slow reader"),
        Event::KeyElsewhere => tracing::error!("this server's key is in use elsewhere: peering is closed"),
        other => tracing::info!(?other, "event"),
    }
}
