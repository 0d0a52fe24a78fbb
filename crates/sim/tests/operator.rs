//! What operators are shown of a network that lives.
#![expect(clippy::expect_used, reason = "a story that cannot ask has failed")]

use darkchat_sim::{Server, World, millis, secs};

/// Each hop of a server's newest trace: which server, from which, and whether it wants the channel.
fn hops(world: &World, at: Server, servers: &[Server]) -> Vec<(usize, usize, bool)> {
    let place =
        |id| servers.iter().position(|server| world.id(*server) == id).expect("a server of this world");
    let trace = world.traced(at).expect("an ended trace");
    trace.hops.iter().map(|hop| (place(hop.server), place(hop.from), hop.here)).collect()
}

#[test]
fn a_trace_takes_the_way_of_the_posts_and_names_who_cannot_be_reached() {
    let mut world = World::new(31);
    let servers: [Server; 5] = world.line();
    let [a, b, c, d, e] = servers;
    for server in [c, e] {
        let client = world.add_client(server);
        world.join(client, "lobby");
    }
    world.run_for(secs(6));
    world.trace(a, "lobby");
    world.run_for(secs(1));
    assert_eq!(
        hops(&world, a, &servers),
        [(1, 0, false), (2, 1, true), (3, 2, false), (4, 3, true)],
        "the hops of a post, in their order"
    );
    let trace = world.traced(a).expect("an ended trace");
    let delays: Vec<_> = trace.hops.iter().map(|hop| hop.delay).collect();
    assert!(delays.is_sorted() && delays[0] > millis(0), "{delays:?}");
    assert!(trace.missing.is_empty());

    world.cut(c, d);
    world.run_for(secs(40));
    world.trace(a, "lobby");
    world.run_for(secs(4));
    assert_eq!(hops(&world, a, &servers), [(1, 0, false), (2, 1, true)]);
    assert_eq!(world.traced(a).map(|trace| trace.missing.clone()), Some(vec![world.id(e)]));
    let map = world.map(a).expect("it is up");
    assert_eq!((map.servers.len(), map.reachable()), (5, 3));

    world.mend(c, d);
    world.run_for(secs(20));
    world.trace(b, "lobby");
    world.run_for(secs(4));
    assert_eq!(hops(&world, b, &servers), [(2, 1, true), (3, 2, false), (4, 3, true)]);
    assert_eq!(world.map(a).map(|map| (map.reachable(), map.links)), Some((5, 4)));
}

#[test]
fn a_hop_that_falls_silent_ends_a_trace_after_three_seconds() {
    let mut world = World::new(32);
    let servers: [Server; 3] = world.line();
    let [a, b, c] = servers;
    let client = world.add_client(c);
    world.join(client, "lobby");
    world.run_for(secs(6));
    world.silence(b, c);
    world.trace(a, "lobby");
    world.run_for(millis(2_500));
    assert!(world.traced(a).is_none(), "it is still waited for");
    world.run_for(millis(600));
    assert_eq!(hops(&world, a, &servers), [(1, 0, false)]);
    assert_eq!(world.traced(a).map(|trace| trace.missing.clone()), Some(vec![world.id(c)]));
}
