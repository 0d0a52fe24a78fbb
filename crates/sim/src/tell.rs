//! Telling nodes and sessions what happened, and carrying out what they want: the loops of both drivers.

use crate::Who;
use crate::wire::EndState;
use crate::world::{Event, World};
use bytes::{Bytes, BytesMut};
use darkchat_client::session::{self, Received as FromServer, State};
use darkchat_node::{self as node, LinkId, Output as Wish, SendClass};
use darkchat_proto::{Content, Deliver, Frame, Kind, PostId, Signed, Time};
use std::rc::Rc;
use std::time::Duration;

/// How long a signature takes.
const SIGNING: Duration = Duration::from_micros(60);

impl World {
    /// Gives a node an input, and carries out what it wants.
    pub(crate) fn tell_server(
        &mut self,
        server: usize,
        input: node::Input,
        connection: Option<usize>,
        bytes: &[u8],
    ) {
        self.trace.step(self.now, Who::Server(server), name_of(&input), connection, bytes);
        self.note_dialled(server, &input);
        let Some(mut node) = self.hosts[server].node.take() else { return };
        let (cause, closed) = (Cause::of(&input), closed_link(&input));
        let before = self.before_up(server, &mut node, &input);
        node.handle(self.now, input);
        let mut sends = 0;
        while let Some(wish) = node.poll() {
            sends += self.carry_out(server, wish, closed);
        }
        self.check_node(server, &node, cause, sends);
        if let Some(before) = before {
            self.check_before_up(server, &mut node, &before, sends);
        }
        let deadline = node.poll_timeout();
        self.hosts[server].node = Some(node);
        self.server_deadline(server, deadline);
    }

    fn server_deadline(&mut self, server: usize, deadline: Option<Time>) {
        let host = &mut self.hosts[server];
        let Some(at) = deadline else { return };
        if host.timer.is_none_or(|timer| at < timer) {
            host.timer = Some(at);
            let life = host.life;
            self.at(at, Event::Timer { who: Who::Server(server), life });
        }
    }

    pub(crate) fn server_timer(&mut self, server: usize) {
        self.hosts[server].timer = None;
        let deadline = self.hosts[server].node.as_ref().and_then(|node| node.poll_timeout());
        if !self.is_due(deadline) {
            return self.server_deadline(server, deadline);
        }
        self.tell_server(server, node::Input::Timeout, None, &[]);
        let after = self.hosts[server].node.as_ref().and_then(|node| node.poll_timeout());
        if self.is_due(after) {
            self.broken(&format!("server {server} has a deadline that does not move on"));
        }
    }

    /// Writes one frame of a node to links.
    fn write_to(
        &mut self,
        server: usize,
        links: &[LinkId],
        (head, body): (&Bytes, &Bytes),
        class: SendClass,
        closed: Option<LinkId>,
    ) {
        let run = join(head, body);
        self.note_welcome(server, links, head, class);
        self.check_send(server, links, head, body);
        for link in links {
            if Some(*link) == closed {
                self.broken(&format!("server {server} writes to {link:?}, which it knows is gone"));
            }
            let Some((connection, end)) = self.hosts[server].links.get(link).copied() else {
                self.broken(&format!("server {server} writes to {link:?}, which is not open"));
            };
            if self.connections[connection].ends[end].state == EndState::Open {
                // What is written is hashed where it arrives.
                self.trace.step(self.now, Who::Server(server), "writes", Some(connection), head);
                self.write(connection, end, run.clone());
            }
        }
    }

    /// Carries out one wish of a node; how many frames it sends.
    fn carry_out(&mut self, server: usize, wish: Wish, closed: Option<LinkId>) -> usize {
        match wish {
            Wish::Send { links, frames, class } => {
                frames.iter().for_each(|frame| self.write_to(server, &links, frame, class, closed));
                return links.len() * frames.count();
            }
            Wish::Check { links, every } => {
                for link in links {
                    let place = self.hosts[server].links.get(&link).copied();
                    if let Some(task) = place.and_then(|place| self.tasks.get_mut(&place)) {
                        task.every = every;
                    }
                }
            }
            Wish::Dial { dial, addr, pinned } => {
                self.check_dial(server, &addr, pinned);
                self.hosts[server].dialling.insert(dial.0, addr.addr.clone());
                let life = self.hosts[server].life;
                self.dial(Who::Server(server), life, dial.0, &addr);
            }
            Wish::Probe { dial, addr } => self.probe(server, dial, &addr),
            Wish::Sign { sign, request } => {
                let host = &self.hosts[server];
                let (life, signature) = (host.life, Rc::clone(&host.signer).sign(&request));
                self.after(SIGNING, Event::ServerSigned { server, life, sign, signature });
            }
            Wish::Verify { verify, bundles } => {
                let (life, signing) = (self.hosts[server].life, self.signing);
                let check = |signed| signing.bundle(&self.network, &Signed::decode(signed).ok()?).ok();
                let bundles = bundles.into_iter().map(check).collect();
                self.after(SIGNING, Event::ServerVerified { server, life, verify, bundles });
            }
            Wish::Pause { link, until } => {
                let place = self.hosts[server].links.get(&link).copied();
                if let Some(task) = place.and_then(|place| self.tasks.get_mut(&place)) {
                    task.wait_until = task.wait_until.max(until);
                }
            }
            Wish::Close { link, goodbye } => {
                let Some((connection, end)) = self.hosts[server].links.get(&link).copied() else {
                    self.broken(&format!("server {server} closes {link:?}, which is not open"));
                };
                self.close_end(connection, end, goodbye);
            }
            Wish::Traced { trace: _, found } => self.hosts[server].traced.extend(found.map(|found| *found)),
            Wish::Event(event) => self.note_event(server, &event),
        }
        0
    }

    /// Gives a session an input, and carries out what it wants.
    pub(crate) fn tell_client(&mut self, client: usize, input: session::Input, bytes: &[u8]) {
        self.trace.step(self.now, Who::Client(client), name_of_wish(&input), None, bytes);
        self.users[client].session.handle(self.now, input);
        while let Some(output) = self.users[client].session.poll() {
            self.carry_out_for(client, output);
        }
        let deadline = self.users[client].session.poll_timeout();
        self.client_deadline(client, deadline);
    }

    fn client_deadline(&mut self, client: usize, deadline: Option<Time>) {
        let user = &mut self.users[client];
        let Some(at) = deadline else { return };
        if user.timer.is_none_or(|timer| at < timer) {
            user.timer = Some(at);
            self.at(at, Event::Timer { who: Who::Client(client), life: 0 });
        }
    }

    pub(crate) fn client_timer(&mut self, client: usize) {
        self.users[client].timer = None;
        let deadline = self.users[client].session.poll_timeout();
        if !self.is_due(deadline) {
            return self.client_deadline(client, deadline);
        }
        self.tell_client(client, session::Input::Timeout, &[]);
        if self.is_due(self.users[client].session.poll_timeout()) {
            self.broken(&format!("client {client} has a deadline that does not move on"));
        }
    }

    fn carry_out_for(&mut self, client: usize, output: session::Output) {
        match output {
            session::Output::Dial { dial, addr, resume } => {
                if self.users[client].connection.is_some() {
                    self.broken(&format!("client {client} dials while it has a connection"));
                }
                self.users[client].offers = resume;
                self.dial(Who::Client(client), 0, dial.0, &addr);
            }
            session::Output::Send { bytes } => {
                let Some(connection) = self.users[client].connection else {
                    self.broken(&format!("client {client} writes without a connection"));
                };
                match self.connections[connection].ends[0].state {
                    EndState::Open => self.write(connection, 0, bytes),
                    EndState::Closing(_) => {}
                    _ => self.broken(&format!("client {client} writes to a connection that is not open")),
                }
            }
            session::Output::Sign { sign, request } => {
                let signature = self.users[client].signer.sign(&request);
                self.after(SIGNING, Event::ClientSigned { client, sign, signature });
            }
            session::Output::Close { goodbye } => self.close_client(client, goodbye),
            session::Output::Event(event) => self.note_client_event(client, event),
        }
    }

    fn close_client(&mut self, client: usize, goodbye: Option<darkchat_proto::Goodbye>) {
        let Some(connection) = self.users[client].connection else { return };
        if self.connections[connection].ends[0].state == EndState::Opening {
            let why = goodbye.map_or(darkchat_proto::Code::Ok, |goodbye| goodbye.code);
            self.after(Duration::ZERO, Event::End { connection, end: 0, why });
        } else {
            self.close_end(connection, 0, goodbye);
        }
    }

    /// The check that a client's driver makes beside its session.
    pub(crate) fn check_for_client(&self, frame: Frame) -> FromServer {
        if self.signing == crate::Signing::Real {
            return FromServer::check(&self.network, frame);
        }
        let Kind::Deliver(bytes) = frame.kind else { return FromServer::check(&self.network, frame) };
        match Deliver::decode(bytes) {
            Ok(Deliver { channel, content: Content::Public(signed) }) => {
                let id = PostId::of_body(&signed.body);
                FromServer::Post { channel, id, post: self.signing.post(&self.network, &signed) }
            }
            Ok(Deliver { channel, content: Content::Sealed(sealed) }) => {
                FromServer::Sealed { channel, sealed }
            }
            Ok(Deliver { channel, .. }) => FromServer::Sealed { channel, sealed: Bytes::new() },
            Err(_) => FromServer::Malformed,
        }
    }

    pub(crate) fn is_closed(&self, client: usize) -> bool {
        matches!(self.users[client].state, State::Closed { .. })
    }
}

fn join(head: &Bytes, body: &Bytes) -> Bytes {
    if body.is_empty() {
        return head.clone();
    }
    let mut run = BytesMut::with_capacity(head.len() + body.len());
    run.extend_from_slice(head);
    run.extend_from_slice(body);
    run.freeze()
}

/// What a node was told, as far as the work that follows may depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A post: it goes to each link once at most.
    Post,
    /// Anything else.
    Other,
}

impl Cause {
    const fn of(input: &node::Input) -> Self {
        match input {
            node::Input::Frame {
                frame: node::Received::Publish { .. } | node::Received::Route { .. },
                ..
            } => Self::Post,
            _ => Self::Other,
        }
    }
}

const fn closed_link(input: &node::Input) -> Option<LinkId> {
    match input {
        node::Input::Closed { link, .. } => Some(*link),
        _ => None,
    }
}

/// An input's name in the trace.
const fn name_of(input: &node::Input) -> &'static str {
    use node::Received as R;
    match input {
        node::Input::Wall { .. } => "wall clock",
        node::Input::Opened { .. } => "opened",
        node::Input::DialFailed { .. } => "dial failed",
        node::Input::Frame { frame, .. } => match frame {
            R::Publish { .. } => "publish",
            R::SealedPublish { .. } => "sealed publish",
            R::SetBundle { .. } => "set bundle",
            R::Record { .. } => "record",
            R::Shard { .. } => "shard",
            R::Route { .. } => "route",
            R::Other(frame) => name_of_kind(&frame.kind),
            R::Refused { .. } => "refused",
            R::Held { .. } => "held",
        },
        node::Input::Flushed { .. } => "flushed",
        node::Input::Closed { .. } => "closed",
        node::Input::Signed { .. } => "signed",
        node::Input::Timeout => "timeout",
        node::Input::Peer(_) => "operator: peer",
        node::Input::Unpeer(_) => "operator: unpeer",
        node::Input::Disconnect(_) => "operator: disconnect",
        node::Input::Trace { .. } => "operator: trace",
        node::Input::Found(_) => "found",
        node::Input::Probed { .. } => "probed",
        node::Input::Verified { .. } => "checked bundles",
        node::Input::Drain => "operator: drain",
    }
}

/// A frame's name in the trace.
const fn name_of_kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Join { .. } => "join",
        Kind::Leave { .. } => "leave",
        Kind::Publish { .. } => "publish",
        Kind::Welcome(_) => "welcome",
        Kind::Ok(_) => "ok",
        Kind::Error(_) => "error",
        Kind::Deliver(_) => "deliver",
        Kind::Notice(_) => "notice",
        Kind::Ping { .. } => "ping",
        Kind::Pong { .. } => "pong",
        Kind::Goodbye(_) => "goodbye",
        Kind::Digest { .. } => "digest",
        Kind::Pull { .. } => "pull",
        Kind::RouteDone { .. } => "route done",
        _ => "other frame",
    }
}

/// A session's input's name in the trace.
const fn name_of_wish(input: &session::Input) -> &'static str {
    match input {
        session::Input::Wall { .. } => "wall clock",
        session::Input::Random(_) => "randomness",
        session::Input::Connect => "user: connect",
        session::Input::Opened { .. } => "opened",
        session::Input::DialFailed { .. } => "dial failed",
        session::Input::Frame(received) => match received {
            FromServer::Post { .. } => "post",
            FromServer::Found { .. } => "devices",
            FromServer::Sealed { .. } => "sealed post",
            FromServer::Malformed => "malformed delivery",
            FromServer::Other(frame) => name_of_kind(&frame.kind),
            FromServer::Refused { .. } => "refused",
        },
        session::Input::Flushed { .. } => "flushed",
        session::Input::Closed { .. } => "closed",
        session::Input::Signed { .. } => "signed",
        session::Input::Timeout => "timeout",
        session::Input::Trust { .. } => "user: trust",
        session::Input::Join { .. } => "user: join",
        session::Input::Create { .. } => "user: create",
        session::Input::Enter { .. } => "user: enter",
        session::Input::Restore { .. } => "user: restore",
        session::Input::Change { .. } => "user: change",
        session::Input::Offer { .. } => "user: offer",
        session::Input::Rename { .. } => "user: rename",
        session::Input::Speak { .. } => "user: speak",
        session::Input::Leave { .. } => "user: leave",
        session::Input::Send { .. } => "user: send",
        session::Input::SendDirect { .. } => "user: send direct",
        session::Input::Close => "user: close",
    }
}
