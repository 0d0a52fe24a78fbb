//! Who carries to whom, and the ways from here: numbers in place of ids, because every change asks for all ways anew.

use darkchat_proto::RouterId;
use std::collections::{BTreeMap, VecDeque};

/// No way, or not yet.
const FAR: u32 = u32::MAX;
/// So many neighbours, the first in our private order, can share a frame among several ways; others are taken only
/// for what leads through nobody else.
const WAYS: usize = 64;

/// A server, with a record or with a link to us.
#[derive(Debug)]
struct Vertex {
    /// Whether it carries for others.
    transit: bool,
    /// The servers that it names.
    named: Box<[RouterId]>,
    /// The places of the servers that name it and are named by it, in ascending order.
    edges: Vec<usize>,
}

/// All servers and the links between them that both ends name.
#[derive(Debug, Default)]
pub(super) struct Graph {
    places: BTreeMap<RouterId, usize>,
    vertices: Vec<Option<Vertex>>,
    free: Vec<usize>,
}

/// The ways from ourselves to all others.
#[derive(Debug)]
pub(super) struct Ways {
    /// Our neighbours in our private order.
    neighbours: Vec<RouterId>,
    /// By place: how far, the neighbours on a shortest way, and the first of them, all by their number above.
    ways: Vec<Way>,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    distance: u32,
    all: u64,
    first: usize,
}

/// Where frames for some servers go: how few neighbours can take them all is decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    all: u64,
    first: usize,
}

impl Graph {
    pub(super) const fn new() -> Self {
        Self { places: BTreeMap::new(), vertices: Vec::new(), free: Vec::new() }
    }

    fn vertex(&self, place: usize) -> Option<&Vertex> {
        self.vertices.get(place)?.as_ref()
    }

    fn vertex_mut(&mut self, place: usize) -> Option<&mut Vertex> {
        self.vertices.get_mut(place)?.as_mut()
    }

    /// Takes a server in, if it is not there; its place.
    pub(super) fn add(&mut self, router: RouterId) -> usize {
        if let Some(place) = self.places.get(&router) {
            return *place;
        }
        let vertex = Some(Vertex { transit: false, named: Box::default(), edges: Vec::new() });
        let place = self.free.pop().unwrap_or(self.vertices.len());
        match self.vertices.get_mut(place) {
            Some(free) => *free = vertex,
            None => self.vertices.push(vertex),
        }
        self.places.insert(router, place);
        place
    }

    /// Says what a server's record says now: whether it carries for others, and whom it names.
    pub(super) fn set(&mut self, router: RouterId, transit: bool, named: &[RouterId]) {
        let Some(at) = self.places.get(&router).copied() else { return };
        let edge = |other: &RouterId| {
            let place = self.places.get(other).copied().filter(|place| *place != at)?;
            self.vertex(place)?.named.contains(&router).then_some(place)
        };
        let mut edges: Vec<usize> = named.iter().filter_map(edge).collect();
        edges.sort_unstable();
        edges.dedup();
        let Some(vertex) = self.vertex_mut(at) else { return };
        vertex.transit = transit;
        vertex.named = named.into();
        let before = std::mem::replace(&mut vertex.edges, edges.clone());
        for edge in &before {
            if edges.binary_search(edge).is_err() {
                self.turn(*edge, at, false);
            }
        }
        for edge in &edges {
            if before.binary_search(edge).is_err() {
                self.turn(*edge, at, true);
            }
        }
    }

    /// Sets or removes the other direction of an edge.
    fn turn(&mut self, edge: usize, to: usize, is_there: bool) {
        let Some(vertex) = self.vertex_mut(edge) else { return };
        match vertex.edges.binary_search(&to) {
            Err(index) if is_there => vertex.edges.insert(index, to),
            Ok(index) if !is_there => _ = vertex.edges.remove(index),
            _ => {}
        }
    }

    /// The record of a server is gone: nothing leads through it, and if nobody `keeps` it, nothing leads to it.
    pub(super) fn remove(&mut self, router: RouterId, keeps: bool) {
        self.set(router, false, &[]);
        let Some(place) = self.places.get(&router).copied() else { return };
        if keeps {
            return;
        }
        if let Some(vertex) = self.vertices.get_mut(place) {
            self.places.remove(&router);
            *vertex = None;
            self.free.push(place);
        }
    }

    /// Breadth first from ourselves, over these links of ours with their ranks, and not through `avoid`.
    pub(super) fn search(
        &self,
        own: RouterId,
        links: impl Iterator<Item = (u64, RouterId)>,
        avoid: Option<RouterId>,
    ) -> Ways {
        let none = Way { distance: FAR, all: 0, first: usize::MAX };
        let mut ways = vec![none; self.vertices.len()];
        for blocked in [Some(own), avoid].into_iter().flatten() {
            if let Some(way) = self.places.get(&blocked).and_then(|place| ways.get_mut(*place)) {
                way.distance = 0;
            }
        }
        let mut starts: Vec<(u64, RouterId, usize)> = links
            .filter(|(_, link)| *link != own && Some(*link) != avoid)
            .filter_map(|(rank, link)| Some((rank, link, self.places.get(&link).copied()?)))
            .collect();
        starts.sort_unstable();
        let mut queue = VecDeque::with_capacity(self.places.len());
        for (number, (_, _, place)) in starts.iter().enumerate() {
            let all = if number < WAYS { 1 << number } else { 0 };
            if let Some(way) = ways.get_mut(*place) {
                *way = Way { distance: 1, all, first: number };
                queue.push_back(*place);
            }
        }
        while let Some(at) = queue.pop_front() {
            let (Some(vertex), Some(Way { distance, all, first })) = (self.vertex(at), ways.get(at).copied())
            else {
                continue;
            };
            if !vertex.transit {
                continue;
            }
            let next = distance.saturating_add(1);
            for to in &vertex.edges {
                let Some(way) = ways.get_mut(*to) else { continue };
                if way.distance == FAR {
                    *way = Way { distance: next, all, first };
                    queue.push_back(*to);
                } else if way.distance == next {
                    way.all |= all;
                }
            }
        }
        Ways { neighbours: starts.into_iter().map(|(_, router, _)| router).collect(), ways }
    }

    /// The servers that these ways lead to, in ascending order of router id.
    pub(super) fn reached<'a>(&'a self, ways: &'a Ways) -> impl Iterator<Item = RouterId> + 'a {
        let leads = |place: usize| ways.ways.get(place).is_some_and(Way::leads);
        self.places.iter().filter(move |(_, place)| leads(**place)).map(|(router, _)| *router)
    }

    /// The neighbours through which one can go to a server.
    pub(super) fn choice(&self, ways: &Ways, to: RouterId) -> Option<Choice> {
        let way = ways.ways.get(*self.places.get(&to)?).filter(|way| way.leads())?;
        Some(Choice { all: way.all, first: way.first })
    }
}

impl Way {
    const fn leads(&self) -> bool {
        self.distance != FAR && self.distance != 0
    }
}

impl Choice {
    /// Without one neighbour; `None` if there is no other on a shortest way.
    pub(super) fn without(self, ways: &Ways, avoid: Option<RouterId>) -> Option<Self> {
        let Some(number) = avoid.and_then(|avoid| ways.number(avoid)) else { return Some(self) };
        let all = if number < WAYS { self.all & !(1 << number) } else { self.all };
        if all == 0 && self.first == number {
            return None;
        }
        let first =
            if self.first == number { usize::try_from(all.trailing_zeros()).ok()? } else { self.first };
        Some(Self { all, first })
    }

    /// The first in our private order.
    pub(super) fn first(self, ways: &Ways) -> Option<RouterId> {
        ways.neighbours.get(self.first).copied()
    }
}

impl Ways {
    fn number(&self, neighbour: RouterId) -> Option<usize> {
        self.neighbours.iter().position(|router| *router == neighbour)
    }

    /// Chooses neighbours so that few take all: each time the one that can take most of what is left.
    pub(super) fn cover(&self, choices: &[(RouterId, Choice)], mut give: impl FnMut(RouterId, RouterId)) {
        let mut left: Vec<&(RouterId, Choice)> = Vec::with_capacity(choices.len());
        for choice in choices {
            match choice.1.first(self).filter(|_| choice.1.all == 0) {
                Some(next) => give(next, choice.0),
                None => left.push(choice),
            }
        }
        // A neighbour that something needs takes all that it can before others are asked.
        let mut needed: u64 =
            left.iter().filter(|it| it.1.all.is_power_of_two()).fold(0, |sum, it| sum | it.1.all);
        while !left.is_empty() {
            let mut counts = [0_u32; WAYS];
            for (_, choice) in &left {
                let mut bits = if needed == 0 { choice.all } else { choice.all & needed };
                while bits != 0 {
                    let bit = usize::try_from(bits.trailing_zeros()).unwrap_or(0);
                    if let Some(count) = counts.get_mut(bit) {
                        *count = count.saturating_add(1);
                    }
                    bits &= bits.wrapping_sub(1);
                }
            }
            let most = counts.iter().enumerate().rev().max_by_key(|(_, count)| **count);
            let Some((number, _)) = most.filter(|(_, count)| **count > 0) else {
                if needed == 0 {
                    return;
                }
                needed = 0;
                continue;
            };
            let Some(next) = self.neighbours.get(number).copied() else { return };
            needed &= !(1 << number);
            left.retain(|(to, choice)| {
                let takes = choice.all & (1 << number) != 0;
                if takes {
                    give(next, *to);
                }
                !takes
            });
        }
    }
}
