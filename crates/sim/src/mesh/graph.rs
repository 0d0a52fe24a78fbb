//! The true graph of links, and what a message costs in it at least.

use super::engine::Engine;
use super::world::{Form, Mesh, share};
use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Trees with ties broken at random, of which the best counts beside the greedy one.
const RANDOM_TREES: u64 = 8;

/// Whether each server can be dialled.
pub(super) fn dialable(mesh: &Mesh, rng: &mut Rng) -> Vec<bool> {
    let mut dialable = vec![true; mesh.servers];
    let mut left: Vec<usize> = (0..mesh.servers).collect();
    for _ in 0..share(mesh.outbound_only, mesh.servers) {
        dialable[left.swap_remove(rng.index(left.len()))] = false;
    }
    dialable
}

/// Whom each server is told to dial: random ones that can be dialled, so many that the average degree comes out.
pub(super) fn pins(mesh: &Mesh, dialable: &[bool], rng: &mut Rng) -> Vec<Vec<usize>> {
    if mesh.form == Form::Discovery {
        // Of one that was there before, so that all hang together; the very first ones know the first that can be dialled.
        let first = dialable.iter().position(|dialable| *dialable);
        let choose = |server: usize| {
            let earlier: Vec<usize> = (0..server).filter(|other| dialable[*other]).collect();
            let other = rng.pick(&earlier).or(first).filter(|other| *other != server);
            other.into_iter().collect()
        };
        return (0..mesh.servers).map(choose).collect();
    }
    let open: Vec<usize> = (0..mesh.servers).filter(|server| dialable[*server]).collect();
    let mut pairs = BTreeSet::new();
    let choose = |server: usize| {
        let mut chosen = Vec::new();
        for _ in 0..100 {
            if chosen.len() >= mesh.degree / 2 || open.is_empty() {
                break;
            }
            let other = open[rng.index(open.len())];
            if other != server && pairs.insert((server.min(other), server.max(other))) {
                chosen.push(other);
            }
        }
        chosen
    };
    (0..mesh.servers).map(choose).collect()
}

/// Links by server, both ways.
pub(super) type Graph = Vec<Vec<usize>>;

impl Engine {
    /// The links that are up at both ends.
    pub(super) fn graph(&self) -> Graph {
        let mut graph = vec![BTreeSet::new(); self.hosts.len()];
        for [one, two] in self.ends.as_chunks::<2>().0 {
            if one.open && two.open && !one.dark {
                graph[one.host].insert(two.host);
                graph[two.host].insert(one.host);
            }
        }
        graph.into_iter().map(|others| others.into_iter().collect()).collect()
    }

    /// The crossings that all messages so far would have cost at least, in this graph.
    ///
    /// For a message that is the smallest tree found in which every destination is as near as it can be. The smallest
    /// of all is hard to find; this takes the best of one that lets each level be covered by as few servers as a greedy
    /// choice can, and of several with ties broken at random.
    pub(super) fn optimal_crossings(&self, graph: &Graph) -> u64 {
        let mut known: BTreeMap<usize, u64> = BTreeMap::new();
        let traffic = &self.traffic;
        let costs = traffic.messages.iter().map(|message| {
            *known.entry(message.publisher).or_insert_with(|| {
                let source = traffic.members[message.publisher].host;
                let members = &traffic.channels[traffic.members[message.publisher].channel];
                let hosts: BTreeSet<usize> =
                    members.iter().map(|member| traffic.members[*member].host).collect();
                best_tree(graph, source, &hosts)
            })
        });
        costs.sum()
    }
}

fn best_tree(graph: &Graph, source: usize, to: &BTreeSet<usize>) -> u64 {
    let distance = distances(graph, source);
    let random = (0..RANDOM_TREES).map(|seed| {
        let mut rng = Rng::new(seed);
        tree(graph, &distance, to, |parents, _| rng.index(parents.len()))
    });
    let random = random.min().unwrap_or(0);
    let greedy = tree(graph, &distance, to, |parents, wanted| {
        let gain = |parent: &usize| graph[*parent].iter().filter(|child| wanted.contains(child)).count();
        let gains: Vec<usize> = parents.iter().map(gain).collect();
        let most = gains.iter().max().copied().unwrap_or(0);
        gains.iter().position(|gain| *gain == most).unwrap_or(0)
    });
    greedy.min(random) as u64
}

/// The links of a tree of shortest paths, built from the farthest level inwards.
fn tree(
    graph: &Graph,
    distance: &[usize],
    to: &BTreeSet<usize>,
    mut choose: impl FnMut(&[usize], &BTreeSet<usize>) -> usize,
) -> usize {
    let mut levels: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for server in to.iter().filter(|server| distance[**server] != usize::MAX && distance[**server] > 0) {
        levels.entry(distance[*server]).or_default().insert(*server);
    }
    let mut links = 0;
    while let Some((level, mut wanted)) = levels.pop_last() {
        links += wanted.len();
        if level <= 1 {
            continue;
        }
        // Those that are wanted themselves cost nothing more as parents.
        let nearer = levels.entry(level - 1).or_default();
        wanted.retain(|server| !graph[*server].iter().any(|parent| nearer.contains(parent)));
        while let Some(server) = wanted.first().copied() {
            let parents: Vec<usize> =
                graph[server].iter().copied().filter(|parent| distance[*parent] == level - 1).collect();
            let parent = parents[choose(&parents, &wanted)];
            nearer.insert(parent);
            wanted.retain(|server| !graph[*server].contains(&parent));
        }
    }
    links
}

fn distances(graph: &Graph, source: usize) -> Vec<usize> {
    let mut distance = vec![usize::MAX; graph.len()];
    distance[source] = 0;
    let mut edge = vec![source];
    while !edge.is_empty() {
        let mut next = Vec::new();
        for at in edge {
            for other in &graph[at] {
                if distance[*other] == usize::MAX {
                    distance[*other] = distance[at] + 1;
                    next.push(*other);
                }
            }
        }
        edge = next;
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_tree_shares_what_can_be_shared() {
        // 0 - 1 - {3, 4}, and 0 - 2 - {4, 5}, 0 - 6 - {3, 4, 5}.
        let edges = [(0, 1), (0, 2), (0, 6), (1, 3), (1, 4), (2, 4), (2, 5), (6, 3), (6, 4), (6, 5)];
        let mut graph: Graph = vec![Vec::new(); 7];
        for (one, two) in edges {
            graph[one].push(two);
            graph[two].push(one);
        }
        assert_eq!(best_tree(&graph, 0, &BTreeSet::from([0, 3, 4, 5])), 4);
        assert_eq!(best_tree(&graph, 0, &BTreeSet::from([0])), 0);
        assert_eq!(best_tree(&graph, 3, &BTreeSet::from([3, 2])), 3, "one shortest way");
    }
}
