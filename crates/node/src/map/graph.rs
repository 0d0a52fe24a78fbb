//! Who carries to whom, and the ways from here: numbers in place of ids, because every change asks for all ways anew.

use darkchat_proto::RouterId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

    /// Says what a server's record says now: whether it carries for others, and whom it names. Most records of a server
    /// differ from the one before in a single neighbour, so only what changed is looked up.
    pub(super) fn set(&mut self, router: RouterId, transit: bool, named: &[RouterId]) {
        let Some(at) = self.places.get(&router).copied() else { return };
        let Some(vertex) = self.vertex_mut(at) else { return };
        vertex.transit = transit;
        let before = std::mem::replace(&mut vertex.named, named.into());
        for gone in before.iter().filter(|other| !named.contains(other)) {
            if let Some(place) = self.places.get(gone).copied() {
                self.turn(at, place, false);
                self.turn(place, at, false);
            }
        }
        for new in named.iter().filter(|other| !before.contains(other)) {
            let place = self.places.get(new).copied().filter(|place| *place != at);
            let names_it = |place: &usize| self.vertex(*place).is_some_and(|it| it.named.contains(&router));
            if let Some(place) = place.filter(names_it) {
                self.turn(at, place, true);
                self.turn(place, at, true);
            }
        }
    }

    /// Sets or removes one direction of an edge.
    fn turn(&mut self, from: usize, to: usize, is_there: bool) {
        let Some(vertex) = self.vertex_mut(from) else { return };
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

    /// Joins shortest ways to several servers into one tree of few links, and gives each server its next hop.
    ///
    /// From the farthest servers inwards: what is on the way to one anyway carries the others that it can, and the rest
    /// of a level hangs on as few servers of the level before as a greedy cover finds. Who receives a branch does the
    /// same with what is in it. Servers to which no way leads but through `avoid` are left out.
    pub(super) fn tree(
        &self,
        ways: &Ways,
        to: &[RouterId],
        avoid: Option<RouterId>,
        mut give: impl FnMut(RouterId, RouterId),
    ) {
        let avoid = avoid.and_then(|avoid| ways.number(avoid));
        let mut levels: BTreeMap<u32, BTreeMap<usize, Vec<RouterId>>> = BTreeMap::new();
        let mut shared = Shared::default();
        for router in to {
            let Some(place) = self.places.get(router).copied() else { continue };
            if let Some(way) = ways.ways.get(place).filter(|way| way.leads() && way.leads_without(avoid)) {
                levels.entry(way.distance).or_default().entry(place).or_default().push(*router);
                shared.add(way.all_without(avoid));
            }
        }
        while let Some((level, branches)) = levels.pop_last() {
            if level <= 1 {
                for (place, routers) in branches {
                    if let Some(next) = ways.ways.get(place).and_then(|way| ways.neighbours.get(way.first)) {
                        routers.into_iter().for_each(|router| give(*next, router));
                    }
                }
                return;
            }
            let nearer = levels.entry(level.saturating_sub(1)).or_default();
            let mut left = Vec::new();
            for (place, routers) in branches {
                let parents = self.parents(ways, place, avoid, &shared);
                let parent = parents.iter().find(|parent| nearer.contains_key(&parent.place));
                match parent.and_then(|parent| nearer.get_mut(&parent.place)) {
                    Some(branch) => branch.extend(routers),
                    None => left.push(Branch { parents, routers }),
                }
            }
            hang(left, nearer);
        }
    }

    /// The servers before this one on shortest ways.
    fn parents(&self, ways: &Ways, place: usize, avoid: Option<usize>, shared: &Shared) -> Vec<Parent> {
        let (Some(vertex), Some(own)) = (self.vertex(place), ways.ways.get(place)) else { return Vec::new() };
        let carries = |place: usize| self.vertex(place).is_some_and(|vertex| vertex.transit);
        let parent = |place: &usize| {
            let way = ways.ways.get(*place)?;
            let is_before = way.leads() && way.distance.checked_add(1) == Some(own.distance);
            (is_before && way.leads_without(avoid) && carries(*place)).then_some(Parent {
                shared: shared.by(way.all_without(avoid)),
                first: Reverse(way.first),
                place: *place,
            })
        };
        vertex.edges.iter().filter_map(parent).collect()
    }

    /// How many links a way to a server has, if there is one.
    pub(super) fn distance(&self, ways: &Ways, to: RouterId) -> Option<u32> {
        ways.ways.get(*self.places.get(&to)?).filter(|way| way.leads()).map(|way| way.distance)
    }

    /// Whether a way leads to a server, and whether one does without this neighbour.
    pub(super) fn leads(&self, ways: &Ways, to: RouterId, avoid: Option<RouterId>) -> Option<bool> {
        let way = ways.ways.get(*self.places.get(&to)?).filter(|way| way.leads())?;
        Some(way.leads_without(avoid.and_then(|avoid| ways.number(avoid))))
    }
}

/// How many destinations each neighbour could take.
#[derive(Debug)]
struct Shared([u32; WAYS]);

impl Default for Shared {
    fn default() -> Self {
        Self([0; WAYS])
    }
}

impl Shared {
    /// Counts a destination with the neighbours that could take it.
    fn add(&mut self, all: u64) {
        for (number, count) in self.0.iter_mut().enumerate() {
            *count = count.saturating_add(u32::from(all & (1 << number) != 0));
        }
    }

    /// What the best of these neighbours could take.
    fn by(&self, all: u64) -> u32 {
        let counts = self.0.iter().enumerate().filter(|(number, _)| all & (1 << number) != 0);
        counts.map(|(_, count)| *count).max().unwrap_or(0)
    }
}

/// A server through which others can be reached. The greater of two lies behind a neighbour that could take more of the
/// destinations, and else behind the one that is first in our order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Parent {
    shared: u32,
    first: Reverse<usize>,
    place: usize,
}

/// Destinations that share their way from some server on, and the servers that it can hang on.
#[derive(Debug, Default)]
struct Branch {
    parents: Vec<Parent>,
    routers: Vec<RouterId>,
}

/// Hangs branches on few parents: first on each that one of them cannot do without, then on the one that most can.
fn hang(mut left: Vec<Branch>, nearer: &mut BTreeMap<usize, Vec<RouterId>>) {
    let mut under: BTreeMap<Parent, Vec<usize>> = BTreeMap::new();
    for (number, branch) in left.iter().enumerate() {
        for parent in &branch.parents {
            under.entry(*parent).or_default().push(number);
        }
    }
    let needed: BTreeSet<Parent> =
        left.iter().filter_map(|branch| branch.parents.as_array::<1>()).map(|[one]| *one).collect();
    let key = |parent: Parent, gain: usize| (needed.contains(&parent), gain, parent);
    let mut order: BTreeSet<_> = under.iter().map(|(parent, under)| key(*parent, under.len())).collect();
    let mut gains: BTreeMap<Parent, usize> =
        under.iter().map(|(parent, under)| (*parent, under.len())).collect();
    while let Some((_, _, best)) = order.pop_last() {
        gains.remove(&best);
        for number in under.remove(&best).unwrap_or_default() {
            let Some(Branch { parents, routers }) = left.get_mut(number).map(std::mem::take) else {
                continue;
            };
            if routers.is_empty() {
                continue;
            }
            nearer.entry(best.place).or_default().extend(routers);
            for other in parents {
                let Some(gain) = gains.get_mut(&other) else { continue };
                order.remove(&key(other, *gain));
                *gain = gain.saturating_sub(1);
                if *gain > 0 {
                    order.insert(key(other, *gain));
                }
            }
        }
    }
}

impl Way {
    const fn leads(&self) -> bool {
        self.distance != FAR && self.distance != 0
    }

    /// Whether it leads there through another neighbour than the one of this number.
    fn leads_without(&self, avoid: Option<usize>) -> bool {
        self.all_without(avoid) != 0 || avoid != Some(self.first)
    }

    /// The neighbours on a shortest way, but the one of this number.
    fn all_without(&self, avoid: Option<usize>) -> u64 {
        avoid.filter(|avoid| *avoid < WAYS).map_or(self.all, |avoid| self.all & !(1 << avoid))
    }
}

impl Ways {
    fn number(&self, neighbour: RouterId) -> Option<usize> {
        self.neighbours.iter().position(|router| *router == neighbour)
    }
}
