//! Peers that do not keep to the protocol: small programs of their own, and no part of the node.
//!
//! Each comes by itself, signs a record like any server, and so becomes a way for others. What it does with that is its
//! program.

use super::engine::{Engine, Event, SECOND};
use super::host::{Host, Item};
use super::link::{join, stub};
use super::world::Mesh;
use darkchat_proto::{
    Class, Features, Frame, Kind, RecordFlags, RouterId, ServerId, ServerRecord, Signature, Signed,
};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// How often a hostile peer does something by itself.
const TICK: u64 = SECOND;
/// The records that a flooder makes at each tick.
const FLOOD: u64 = 200;

/// What a hostile peer does besides having a record.
pub(super) trait Program: Debug {
    /// A frame of class CHANNEL, DM or SHARD came on a link.
    fn route(&mut self, body: &mut Body, end: usize);

    /// A second has passed.
    fn tick(&mut self, body: &mut Body);
}

/// What all of them have: a key, links, and frames to send.
#[derive(Debug)]
pub(super) struct Body {
    id: ServerId,
    epoch: u64,
    seq: u64,
    /// The links that are up, who is there, and how many routes came.
    links: BTreeMap<usize, (ServerId, u64)>,
    out: Vec<(usize, Frame)>,
}

/// Says that it got everything, and passes nothing on.
#[derive(Debug)]
struct Swallower;

/// Passes nothing on, and never says what it got.
#[derive(Debug)]
struct Mute;

/// Makes records as fast as it can.
#[derive(Debug)]
struct Flooder;

/// Says different things about itself under one number.
#[derive(Debug)]
struct Equivocator;

/// Makes records of others, which it cannot sign.
#[derive(Debug)]
struct Forger;

impl Program for Swallower {
    fn route(&mut self, body: &mut Body, end: usize) {
        body.acknowledge(end);
    }

    fn tick(&mut self, _: &mut Body) {}
}

impl Program for Mute {
    fn route(&mut self, _: &mut Body, _: usize) {}

    fn tick(&mut self, _: &mut Body) {}
}

impl Program for Flooder {
    fn route(&mut self, body: &mut Body, end: usize) {
        body.acknowledge(end);
    }

    fn tick(&mut self, body: &mut Body) {
        for number in 0..FLOOD {
            body.seq += 1;
            let record = body.record(&[RouterId(number)]);
            body.send_all(&record);
        }
    }
}

impl Program for Equivocator {
    fn route(&mut self, body: &mut Body, end: usize) {
        body.acknowledge(end);
    }

    fn tick(&mut self, body: &mut Body) {
        body.seq += 1;
        let links: Vec<usize> = body.links.keys().copied().collect();
        for (number, end) in links.into_iter().enumerate() {
            let record = body.record(&[RouterId(number as u64)]);
            body.out.push((end, record));
        }
    }
}

impl Program for Forger {
    fn route(&mut self, body: &mut Body, end: usize) {
        body.acknowledge(end);
    }

    /// Every neighbour is said to have none any more.
    fn tick(&mut self, body: &mut Body) {
        for (server, _) in body.links.values().copied().collect::<Vec<_>>() {
            let record = unsigned(server, body.epoch * 2, 1, Vec::new());
            body.send_all(&Frame::from(Kind::Record(
                Signed { body: record.encode(), sig: Signature::new([0xF0; 64]) }.encode(),
            )));
        }
    }
}

fn unsigned(server: ServerId, epoch: u64, seq: u64, neighbours: Vec<RouterId>) -> ServerRecord {
    let flags = RecordFlags::TRANSIT;
    let (addrs, features) = (Vec::new(), Features::DONE);
    ServerRecord { server, epoch, seq, issued_ms: 0, addrs, flags, neighbours, version: 1, features }
}

impl Body {
    fn record(&self, neighbours: &[RouterId]) -> Frame {
        let record = unsigned(self.id, self.epoch, self.seq, neighbours.to_vec());
        Frame::from(Kind::Record(Signed { body: record.encode(), sig: stub(&self.id) }.encode()))
    }

    fn send_all(&mut self, frame: &Frame) {
        let ends: Vec<usize> = self.links.keys().copied().collect();
        self.out.extend(ends.into_iter().map(|end| (end, frame.clone())));
    }

    fn acknowledge(&mut self, end: usize) {
        if let Some((_, received)) = self.links.get(&end) {
            self.out.push((end, Frame::from(Kind::LinkAck { received: *received })));
        }
    }

    /// Says who its neighbours are, so that others send through it.
    fn introduce(&mut self) {
        self.seq += 1;
        let neighbours: Vec<RouterId> = self.links.values().map(|(server, _)| server.router()).collect();
        let record = self.record(&neighbours);
        self.send_all(&record);
    }
}

/// A hostile peer.
#[derive(Debug)]
pub(super) struct Stranger {
    program: Box<dyn Program>,
    body: Body,
}

/// Makes a program.
type Make = fn() -> Box<dyn Program>;

/// All that a world has, with their places behind those of the servers.
pub(super) fn strangers(mesh: &Mesh) -> Vec<Host> {
    let kinds: [(usize, Make); 5] = [
        (mesh.swallowers, || Box::new(Swallower)),
        (mesh.mutes, || Box::new(Mute)),
        (mesh.flooders, || Box::new(Flooder)),
        (mesh.equivocators, || Box::new(Equivocator)),
        (mesh.forgers, || Box::new(Forger)),
    ];
    let programs = kinds.iter().flat_map(|(count, make)| (0..*count).map(move |_| make()));
    programs
        .enumerate()
        .map(|(number, program)| {
            let mut host = Host::new(mesh.servers + number, false);
            let body = Body { id: host.id, epoch: 1, seq: 0, links: BTreeMap::new(), out: Vec::new() };
            host.stranger = Some(Box::new(Stranger { program, body }));
            host
        })
        .collect()
}

impl Engine {
    /// A hostile peer dials whom it has no link with, and does what its program does.
    pub(super) fn tick(&mut self, host: usize) {
        let Some(mut stranger) = self.hosts[host].stranger.take() else { return };
        let missing = (self.mesh.degree / 2).saturating_sub(self.hosts[host].ends.len());
        for _ in 0..missing {
            let other = self.rng.index(self.mesh.servers);
            if self.hosts[other].dialable && self.hosts[other].node.is_some() {
                self.connect(host, other, None);
            }
        }
        stranger.program.tick(&mut stranger.body);
        self.send_out(&mut stranger);
        self.hosts[host].stranger = Some(stranger);
        self.at(self.now + TICK, Event::Tick(host));
    }

    fn send_out(&mut self, stranger: &mut Stranger) {
        for (end, frame) in std::mem::take(&mut stranger.body.out) {
            let (head, body) = frame.encode_split();
            self.send(end, Item::Frame(head, body));
        }
    }

    /// Something came to a hostile peer.
    pub(super) fn strange(&mut self, host: usize, end: usize, item: Item) {
        let Some(mut stranger) = self.hosts[host].stranger.take() else { return };
        match item {
            Item::Open(_) => self.ends[end].open = true,
            Item::End(_) => {
                self.ends[end].over = true;
                self.ends[end].open = false;
                stranger.body.links.remove(&end);
            }
            Item::Frame(head, body) => {
                if let Ok(frame) = Frame::decode(join(&head, &body)) {
                    self.strange_frame(&mut stranger, end, frame);
                }
            }
        }
        self.send_out(&mut stranger);
        self.hosts[host].stranger = Some(stranger);
    }

    fn strange_frame(&mut self, stranger: &mut Stranger, end: usize, frame: Frame) {
        let Stranger { program, body } = stranger;
        match frame.kind {
            Kind::Welcome(_) => {
                let server = self.hosts[self.ends[end ^ 1].host].id;
                body.links.insert(end, (server, 0));
                body.introduce();
            }
            Kind::Ping { nonce, .. } => body.out.push((end, Frame::from(Kind::Pong { nonce, acked: 0 }))),
            Kind::Goodbye(_) => self.end(end),
            Kind::Route(route) => {
                if route.head.class == Class::Channel {
                    self.swallowed += u64::try_from(route.head.dst.len()).unwrap_or(0);
                    self.traffic.swallow(&route.payload, &route.head.dst);
                }
                if let Some((_, received)) = body.links.get_mut(&end) {
                    *received += 1;
                }
                program.route(body, end);
            }
            _ => {}
        }
    }
}
