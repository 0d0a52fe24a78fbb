//! Stories of lost links: a client that comes back in time goes on where it was, and one that does not is told.

use darkchat_node::Config;
use darkchat_sim::{Client, Server, World, millis, secs};

/// Two servers, ann at the first and bob at the second, in the lobby.
fn two_people(seed: u64) -> (World, [Server; 2], [Client; 2]) {
    let mut world = World::new(seed);
    let servers: [Server; 2] = world.line();
    let people = servers.map(|server| world.add_client(server));
    for person in people {
        world.join(person, "lobby");
    }
    world.run_for(secs(6));
    (world, servers, people)
}

/// All that a client was shown.
fn heard(world: &World, client: Client) -> Vec<String> {
    world.log(client).map(|(_, text)| text.to_owned()).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn a_short_cut_of_a_clients_link_loses_nothing_and_shows_nothing_twice() {
    for seed in 0..20 {
        let (mut world, _, [ann, bob]) = two_people(seed);
        for number in 0..200 {
            world.send(ann, "lobby", &number.to_string());
            if number % 50 == 20 {
                world.cut_client(bob);
            }
            world.run_for(millis(40));
        }
        world.run_for(secs(5));
        assert_eq!(heard(&world, bob), numbers(200), "seed {seed}");
        assert_eq!(world.missed(bob), 0, "seed {seed}");
        assert!(world.resumed(bob) >= 3, "seed {seed}: a cut may hit who is on the way back");
        world.assert_drains(secs(1));
    }
}

#[test]
fn what_an_author_sends_over_a_cut_arrives_once_and_in_order() {
    for seed in 0..20 {
        let (mut world, _, [ann, bob]) = two_people(seed);
        for number in 0..200 {
            world.send(ann, "lobby", &number.to_string());
            if number % 50 == 20 {
                world.cut_client(ann);
            }
            world.run_for(millis(40));
        }
        world.run_for(secs(5));
        assert_eq!(heard(&world, bob), numbers(200), "seed {seed}");
        assert_eq!((world.sent(ann), world.missed(bob)), ((200, 0), 0), "seed {seed}");
        assert!(world.resumed(ann) >= 3, "seed {seed}");
    }
}

#[test]
fn peers_do_not_notice_that_a_link_was_lost_for_a_moment() {
    let (mut world, [a, b], [ann, bob]) = two_people(1);
    let channels = |world: &World| world.stats(b).map(|stats| (stats.sizes.memberships, stats.sizes.away));
    world.cut_client(bob);
    world.run_for(millis(210));
    assert_eq!(channels(&world), Some((1, 1)), "still a member");
    world.send(ann, "lobby", "meanwhile");
    world.run_for(secs(3));
    world.assert_heard(bob, "meanwhile");
    assert_eq!(channels(&world), Some((1, 0)));
    assert_eq!(world.stats(a).map(|stats| stats.dropped_total()), Some(0));
}

#[test]
fn who_stays_away_too_long_is_told_that_something_may_be_missing() {
    let (mut world, [_, b], [ann, bob]) = two_people(2);
    world.silence_client(bob);
    world.cut_client(bob);
    world.run_for(secs(2));
    world.send(ann, "lobby", "in vain");
    world.run_for(secs(10));
    let stats = world.stats(b).map(|stats| (stats.sizes.clients, stats.sizes.memberships, stats.pending));
    assert_eq!(stats, Some((0, 0, 0)), "the session is over");
    world.heal();
    world.run_for(secs(40));
    world.send(ann, "lobby", "later");
    world.run_for(secs(1));
    assert_eq!((heard(&world, bob), world.resumed(bob)), (vec!["later".to_owned()], 0));
    assert!(world.missed(bob) > 0);
}

#[test]
fn more_than_is_kept_for_a_client_that_is_away_is_dropped_and_told() {
    let (mut world, [_, b], [ann, bob]) = two_people(3);
    let long = "x".repeat(30_000);
    world.cut_client(bob);
    world.run_for(millis(210));
    for number in 0..20 {
        world.send(ann, "lobby", &format!("{number} {long}"));
    }
    world.run_for(secs(10));
    assert_eq!(world.resumed(bob), 1);
    let dropped = world.stats(b).map_or(0, |stats| stats.dropped_total());
    let shown = u64::try_from(heard(&world, bob).len()).unwrap();
    assert!(dropped > 0, "a quarter of a mebibyte is kept, and more was sent: {shown} shown");
    assert_eq!(shown + dropped, 20, "each is shown or counted as dropped");
    assert!(world.missed(bob) > 0, "and told");
    world.assert_drains(secs(1));
}

#[test]
fn a_server_that_started_anew_knows_no_session_and_the_client_begins_one() {
    let (mut world, [_, b], [ann, bob]) = two_people(4);
    world.crash(b);
    world.run_for(millis(100));
    world.restart(b);
    world.run_for(secs(20));
    world.send(ann, "lobby", "are you there?");
    world.run_for(secs(2));
    world.assert_heard(bob, "are you there?");
    assert_eq!(world.resumed(bob), 0);
    assert!(world.missed(bob) > 0);
}

#[test]
fn a_join_that_waits_for_other_servers_is_answered_after_the_resume() {
    let mut world = World::new(5);
    let [a, _, _] = world.line();
    let ann = world.add_client(a);
    world.run_for(secs(1));
    world.join(ann, "lobby");
    world.run_for(millis(20));
    world.cut_client(ann);
    world.run_for(secs(4));
    assert!(world.is_in(ann, "lobby"));
    assert_eq!((world.resumed(ann), world.missed(ann)), (1, 0));
}

#[test]
fn a_link_that_is_cut_again_and_again_still_loses_nothing_while_each_cut_is_short() {
    for seed in 0..10 {
        let (mut world, _, [ann, bob]) = two_people(100 + seed);
        for number in 0..300 {
            world.send(ann, "lobby", &number.to_string());
            world.run_for(millis(30));
            if number % 97 == 5 {
                world.cut_client(if number % 2 == 0 { ann } else { bob });
            }
        }
        world.run_for(secs(5));
        assert_eq!((heard(&world, bob), world.missed(bob)), (numbers(300), 0), "seed {seed}");
    }
}

#[test]
fn a_server_may_keep_no_session_at_all() {
    let mut world = World::new(6);
    let server = world.add_server_with(Config { resume: millis(0), ..Config::default() }, 0);
    let (ann, bob) = (world.add_client(server), world.add_client(server));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(2));
    world.cut_client(bob);
    world.run_for(secs(5));
    world.send(ann, "lobby", "hello again");
    world.run_for(secs(1));
    world.assert_heard(bob, "hello again");
    assert_eq!(world.resumed(bob), 0);
    assert!(world.missed(bob) > 0);
}
