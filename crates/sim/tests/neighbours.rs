//! Stories of servers that find their neighbours themselves.

use darkchat_sim::{Server, World, secs};

/// How many servers each of these has links with.
fn degrees(world: &World, servers: &[Server]) -> Vec<usize> {
    servers.iter().map(|server| world.neighbours(*server)).collect()
}

#[test]
fn one_known_address_is_enough_for_twelve_servers_to_become_a_mesh() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        let servers: Vec<Server> = (0..12).map(|_| world.add_near_server()).collect();
        for server in &servers[1..] {
            world.link(*server, servers[0]);
        }
        world.run_for(secs(20));
        let degrees = degrees(&world, &servers);
        assert!(degrees.iter().all(|degree| *degree >= 8), "seed {seed}: {degrees:?}");
        let (ann, bob) = (world.add_client(servers[3]), world.add_client(servers[9]));
        world.join(ann, "lobby");
        world.join(bob, "lobby");
        world.run_for(secs(6));
        // The one that all knew is gone, and nobody needs it.
        world.crash(servers[0]);
        world.run_for(secs(10));
        world.send(ann, "lobby", "still here");
        world.run_for(secs(3));
        world.assert_heard(bob, "still here");
    }
}

#[test]
fn a_link_changes_nothing_before_its_dialler_is_welcomed() {
    let mut world = World::new(16);
    let [a, b, c] = world.line();
    let (ann, cid) = (world.add_client(a), world.add_client(c));
    world.join(ann, "lobby");
    world.join(cid, "lobby");
    world.run_for(secs(3));
    let hops = |world: &mut World, from: Server, to: Server| {
        let id = world.id(to);
        let map = world.map(from).unwrap();
        map.servers.iter().find(|row| row.server == id).map(|row| (row.hops, row.neighbours))
    };
    let before = world.heard_before_up();
    assert_eq!(hops(&mut world, a, c), Some((Some(2), 1)));
    // The handshake is complete for the one that dialled, and the other process is stopped before it says a word.
    world.link(a, c);
    world.pause(c, secs(3));
    world.run_for(secs(2));
    assert_eq!(world.heard_before_up(), before + 1, "the node heard of its link");
    for from in [a, b] {
        assert_eq!(hops(&mut world, from, a), Some((Some(u32::from(from == b)), 1)));
    }
    assert_eq!(hops(&mut world, a, c), Some((Some(2), 1)));
    world.run_for(secs(4));
    assert_eq!(hops(&mut world, a, c), Some((Some(1), 2)), "welcomed, and seen by all");
    assert_eq!(hops(&mut world, b, a), Some((Some(1), 2)));
}

#[test]
fn public_servers_mesh_at_the_pace_that_protects_strangers() {
    let mut world = World::new(11);
    let servers: Vec<Server> = (0..12).map(|_| world.add_public_server()).collect();
    for server in &servers[1..] {
        world.link(*server, servers[0]);
    }
    world.run_for(secs(120));
    let degrees = degrees(&world, &servers);
    assert!(degrees.iter().all(|degree| *degree >= 8), "{degrees:?}");
}

#[test]
fn who_cannot_be_dialled_finds_that_out_and_dials_out_itself() {
    let mut world = World::new(12);
    let open: Vec<Server> = (0..6).map(|_| world.add_public_server()).collect();
    let hidden: Vec<Server> = (0..6).map(|_| world.add_hidden_server()).collect();
    for server in open[1..].iter().chain(&hidden) {
        world.link(*server, open[0]);
    }
    world.run_for(secs(120));
    for server in &open {
        assert!(world.says_dialable(*server), "{server:?}");
    }
    for server in &hidden {
        assert!(!world.says_dialable(*server), "{server:?}");
        assert!(world.neighbours(*server) >= 4, "{server:?} has {}", world.neighbours(*server));
        assert_eq!(world.dialled(*server), 0, "nobody dials {server:?}");
    }
    // Two of them reach each other through the others.
    let (ann, bob) = (world.add_client(hidden[0]), world.add_client(hidden[5]));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.send(ann, "lobby", "from behind one wall to behind another");
    world.run_for(secs(3));
    world.assert_heard(bob, "from behind one wall to behind another");
}

#[test]
fn halves_that_lost_each_other_meet_again_by_an_address_that_one_remembers() {
    let mut world = World::new(13);
    let servers: Vec<Server> = (0..6).map(|_| world.add_near_server()).collect();
    for server in &servers[1..] {
        world.link(*server, servers[0]);
    }
    world.run_for(secs(20));
    let (one, two) = servers.split_at(3);
    // Nobody is pinned across, so no operator's wish mends it.
    for server in &servers[1..] {
        world.unlink(*server, servers[0]);
    }
    world.run_for(secs(20));
    world.partition(&[one, two]);
    // So long that the halves have forgotten each other's records.
    world.run_for(secs(1_900));
    for server in one.iter().chain(two) {
        assert_eq!(world.neighbours(*server), 2, "{server:?}");
    }
    world.heal();
    // All addresses changed but one.
    for server in servers.iter().filter(|server| **server != servers[4]) {
        world.cut_off(*server, true);
    }
    world.run_for(secs(120));
    let across = one.iter().filter(|server| world.are_linked(**server, two[1])).count();
    assert!(across >= 1, "somebody dialled the one that stayed");
    let (ann, bob) = (world.add_client(one[0]), world.add_client(two[2]));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.send(ann, "lobby", "there you are");
    world.run_for(secs(3));
    world.assert_heard(bob, "there you are");
}

#[test]
fn hostile_peers_that_name_addresses_never_make_a_server_dial_what_it_must_not() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        let servers: Vec<Server> = (0..4).map(|_| world.add_public_server()).collect();
        for server in &servers[1..] {
            world.link(*server, servers[0]);
        }
        for server in &servers {
            world.add_hostile_peer(*server);
            world.add_hostile_peer(*server);
        }
        // Each dial is checked as it is made.
        world.run_for(secs(150));
        assert!(servers.iter().any(|server| world.chose(*server) > 0), "seed {seed}: nobody dialled at all");
    }
}

#[test]
fn what_local_discovery_shows_becomes_a_neighbour() {
    let mut world = World::new(14);
    let [one, two] = [world.add_server(), world.add_server()];
    world.show(one, two);
    world.run_for(secs(3));
    assert!(world.are_linked(one, two));
}

/// Case C13 of the test plan.
#[test]
fn c13_two_that_choose_each_other_at_once_keep_one_link() {
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        let [one, two] = [world.add_server(), world.add_server()];
        world.show(one, two);
        world.show(two, one);
        world.run_for(secs(5));
        assert_eq!((world.neighbours(one), world.neighbours(two)), (1, 1), "seed {seed}");
    }
}
