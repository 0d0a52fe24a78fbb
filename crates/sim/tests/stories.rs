//! Stories: what a few servers and people live through, and what they must see.

use darkchat_sim::{World, millis, secs};

#[test]
fn a_word_travels_down_a_line_of_servers() {
    let mut world = World::new(1);
    let [a, b, c] = world.line();
    let (ann, bob, cid, dan) =
        (world.add_client(a), world.add_client(b), world.add_client(c), world.add_client(c));
    for client in [ann, bob, cid] {
        world.join(client, "lobby");
    }
    world.join(dan, "elsewhere");
    world.run_for(secs(6));

    world.send(ann, "lobby", "hi");
    world.run_for(secs(1));
    world.assert_heard(bob, "hi");
    world.assert_heard(cid, "hi");
    world.assert_not_heard(ann, "hi");
    world.assert_not_heard(dan, "hi");
    world.run_for(millis(2_000));
    assert_eq!(world.judged(), 2);
}

#[test]
fn one_seed_is_one_run_and_another_seed_is_another() {
    let run = |seed| {
        let mut world = World::new(seed);
        let [a, _, c] = world.ring();
        let (ann, bob) = (world.add_client(a), world.add_client(c));
        world.join(ann, "lobby");
        world.join(bob, "lobby");
        world.run_for(secs(6));
        for number in 0..20 {
            world.send(ann, "lobby", &format!("{number}"));
            world.run_for(millis(30));
        }
        world.run_for(secs(6));
        (world.trace_hash(), world.steps())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn who_joins_anywhere_hears_everybody_from_the_moment_its_join_is_answered() {
    let mut world = World::new(3);
    let servers: [_; 5] = world.mesh();
    let people = servers.map(|server| world.add_client(server));
    for person in people {
        world.join(person, "lobby");
        world.run_for(millis(400));
        assert!(world.is_in(person, "lobby"), "an answer takes at most a second");
    }
    for (number, person) in people.into_iter().enumerate() {
        world.send(person, "lobby", &format!("from {number}"));
    }
    world.run_for(secs(1));
    for (number, person) in people.into_iter().enumerate() {
        for other in (0..5).filter(|other| *other != number) {
            world.assert_heard(person, &format!("from {other}"));
        }
    }
}

#[test]
fn two_channels_do_not_mix_and_leaving_one_keeps_the_other() {
    let mut world = World::new(4);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    for channel in ["red", "blue"] {
        world.join(ann, channel);
        world.join(bob, channel);
    }
    world.run_for(secs(6));
    world.leave(bob, "red");
    world.run_for(secs(7));
    world.send(ann, "red", "to red");
    world.send(ann, "blue", "to blue");
    world.run_for(secs(1));
    world.assert_heard(bob, "to blue");
    world.assert_not_heard(bob, "to red");
    let no_member = world.stats(b).map(|stats| stats.dropped_total());
    assert_eq!(no_member, Some(0), "the interest is withdrawn, so nothing is sent in vain");
}

#[test]
fn the_last_member_of_a_server_leaves_and_another_comes_back_within_the_damping() {
    let mut world = World::new(5);
    let [a, b] = world.line();
    let (ann, bob, bea) = (world.add_client(a), world.add_client(b), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.close(bob);
    world.run_for(secs(1));
    world.join(bea, "lobby");
    world.run_for(secs(10));
    world.send(ann, "lobby", "still here?");
    world.run_for(secs(1));
    world.assert_heard(bea, "still here?");
}

#[test]
fn two_devices_of_one_user_hear_each_other_and_everybody_hears_both_once() {
    let mut world = World::new(6);
    let [a, b] = world.line();
    let phone = world.add_client(a);
    let laptop = world.add_device(phone, b);
    let ann = world.add_client(b);
    for client in [phone, laptop, ann] {
        world.join(client, "lobby");
    }
    world.run_for(secs(6));
    world.send(phone, "lobby", "from the phone");
    world.send(laptop, "lobby", "from the laptop");
    world.run_for(secs(3));
    world.assert_heard(laptop, "from the phone");
    world.assert_heard(phone, "from the laptop");
    world.assert_heard(ann, "from the phone");
    world.assert_heard(ann, "from the laptop");
}

#[test]
fn a_cut_loses_what_passes_meanwhile_says_so_and_heals() {
    let mut world = World::new(7);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.send(ann, "lobby", "before");
    world.run_for(secs(1));
    world.cut(a, b);
    world.run_for(secs(1));
    world.send(ann, "lobby", "meanwhile");
    world.run_for(secs(14));
    world.mend(a, b);
    world.run_for(secs(30));
    world.send(ann, "lobby", "after");
    world.run_for(secs(3));
    world.assert_heard(bob, "before");
    world.assert_not_heard(bob, "meanwhile");
    world.assert_heard(bob, "after");
    assert!(world.missed(bob) > 0, "a loss is never silent");
}

#[test]
fn a_short_cut_loses_nothing_even_without_a_second_way() {
    let mut world = World::new(7);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.cut(a, b);
    for number in 0..20 {
        world.send(ann, "lobby", &format!("{number}"));
        world.run_for(millis(50));
    }
    world.mend(a, b);
    world.run_for(secs(9));
    let heard: Vec<String> = world.log(bob).map(|(_, text)| text.to_owned()).collect();
    assert_eq!(heard, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(world.missed(bob), 0);
}

#[test]
fn a_crash_in_the_middle_is_survived_by_its_clients_and_by_both_sides() {
    let mut world = World::new(8);
    let [a, b, c] = world.line();
    let (ann, bob, cid) = (world.add_client(a), world.add_client(b), world.add_client(c));
    for client in [ann, bob, cid] {
        world.join(client, "lobby");
    }
    world.run_for(secs(6));
    world.crash(b);
    world.run_for(secs(4));
    world.send(ann, "lobby", "is anybody there?");
    world.run_for(secs(2));
    world.assert_not_heard(cid, "is anybody there?");
    world.restart(b);
    world.run_for(secs(60));
    world.assert_all_back();
    world.send(ann, "lobby", "welcome back");
    world.run_for(secs(2));
    world.assert_heard(bob, "welcome back");
    world.assert_heard(cid, "welcome back");
}

#[test]
fn a_server_that_was_restarted_is_known_everywhere_when_its_people_are_back() {
    for seed in 100..120 {
        let mut world = World::new(seed);
        let [a, _b, _c, d] = world.line();
        let (ann, dan) = (world.add_client(a), world.add_client(d));
        for client in [ann, dan] {
            world.join(client, "lobby");
        }
        world.run_for(secs(6));
        world.crash(d);
        world.restart(d);
        world.run_for(secs(8));
        world.send(ann, "lobby", "back so soon?");
        world.run_for(secs(2));
        world.assert_heard(dan, "back so soon?");
    }
}

#[test]
fn a_ring_carries_on_the_other_way_when_one_link_is_cut() {
    let mut world = World::new(9);
    let [a, b, c, d] = world.ring();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.cut(a, b);
    world.run_for(secs(6));
    world.send(ann, "lobby", "the long way");
    world.run_for(secs(3));
    world.assert_heard(bob, "the long way");
    assert_eq!(world.judged(), 1);
    let passed = [c, d].map(|server| world.stats(server).map(|stats| stats.forwarded));
    assert_eq!(passed, [Some(1), Some(1)]);
}

#[test]
fn halves_of_a_network_agree_again_after_they_were_apart() {
    let mut world = World::new(10);
    let [a, b, c, d] = world.ring();
    let people = [a, b, c, d].map(|server| world.add_client(server));
    for person in people {
        world.join(person, "lobby");
    }
    world.run_for(secs(6));
    world.partition(&[&[a, b], &[c, d]]);
    world.run_for(secs(20));
    world.leave(people[3], "lobby");
    world.join(people[3], "elsewhere");
    world.join(people[0], "elsewhere");
    world.run_for(secs(40));
    world.heal();
    let healed = world.now();
    world.run_for(secs(170));
    world.assert_agree(healed + secs(90));
    world.send(people[0], "elsewhere", "we are one");
    world.run_for(secs(2));
    world.assert_heard(people[3], "we are one");
}

#[test]
fn a_reader_that_stops_is_told_and_cut_and_nobody_else_notices() {
    let mut world = World::new(11);
    let [a, b] = world.line();
    let (ann, bob, slow) = (world.add_client(a), world.add_client(b), world.add_client(b));
    for client in [ann, bob, slow] {
        world.join(client, "lobby");
    }
    world.run_for(secs(6));
    world.read_slowly(slow, 1);
    let long = "x".repeat(8_000);
    for number in 0..200 {
        world.send(ann, "lobby", &format!("{number} {long}"));
        world.run_for(millis(100));
    }
    world.run_for(secs(30));
    for number in 0..200 {
        world.assert_heard(bob, &format!("{number} {long}"));
    }
    assert!(
        world.stats(b).is_some_and(|stats| stats.closed.contains_key(&darkchat_proto::Code::SlowConsumer))
    );
    assert!(world.judged() >= 200);
}

#[test]
fn a_link_that_falls_silent_is_given_up_and_made_again() {
    let mut world = World::new(12);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.silence(a, b);
    world.run_for(secs(50));
    world.heal();
    world.run_for(secs(30));
    world.send(ann, "lobby", "heard again");
    world.run_for(secs(2));
    world.assert_heard(bob, "heard again");
}

#[test]
fn a_client_changes_its_server_when_the_first_one_dies() {
    let mut world = World::new(13);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client_to(&[a, b]), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.crash(a);
    world.run_for(secs(30));
    assert!(world.is_connected(ann));
    world.send(ann, "lobby", "from my new place");
    world.send(bob, "lobby", "welcome");
    world.run_for(secs(2));
    world.assert_heard(bob, "from my new place");
    world.assert_heard(ann, "welcome");
}

#[test]
fn strangers_who_send_junk_change_nothing_for_two_people() {
    let mut world = World::new(14);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.add_hostile_client(a);
    world.add_hostile_peer(b);
    world.run_for(secs(10));
    for number in 0..100 {
        world.send(ann, "lobby", &format!("{number}"));
        world.run_for(millis(500));
    }
    world.run_for(secs(3));
    for number in 0..100 {
        world.assert_heard(bob, &format!("{number}"));
    }
    assert!(world.judged() >= 100);
}

#[test]
fn a_server_that_stops_says_goodbye_and_its_clients_go_elsewhere() {
    let mut world = World::new(15);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client_to(&[a, b]), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.drain(a);
    world.run_for(secs(2));
    world.crash(a);
    world.run_for(secs(30));
    world.send(bob, "lobby", "are you here?");
    world.run_for(secs(2));
    world.assert_heard(ann, "are you here?");
}

#[test]
fn real_signatures_tell_the_same_story() {
    let mut world = World::new(16).with_signing(darkchat_sim::Signing::Real);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.add_hostile_peer(a);
    world.run_for(secs(6));
    world.send(ann, "lobby", "signed");
    world.run_for(secs(3));
    world.assert_heard(bob, "signed");
    assert_eq!(world.judged(), 1);
}

#[test]
fn two_servers_that_dial_each_other_keep_one_link() {
    for seed in 100..120 {
        let mut world = World::new(seed);
        let (a, b) = (world.add_server(), world.add_server());
        world.link(a, b);
        world.link(b, a);
        world.run_for(secs(20));
        let peers = [a, b].map(|server| world.stats(server).map(|stats| stats.sizes.peers));
        assert_eq!(peers, [Some(1), Some(1)], "seed {seed}");
    }
}

#[test]
fn a_server_that_listens_to_thousands_of_channels_misses_nothing_while_it_cuts_its_interest_anew() {
    let mut world = World::new(17);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    for number in 0..500 {
        world.join(bob, &format!("c{number}"));
    }
    world.join(ann, "c7");
    world.join(ann, "c8");
    world.run_for(secs(60));
    // Four times as many: 512 shards instead of 64, which the budget lets out within a minute and a half.
    for number in 500..2_100 {
        world.join(bob, &format!("c{number}"));
    }
    for number in 0..240 {
        world.send(ann, if number % 2 == 0 { "c7" } else { "c8" }, &format!("{number}"));
        world.run_for(millis(500));
    }
    world.run_for(secs(3));
    for number in 0..240 {
        world.assert_heard(bob, &format!("{number}"));
    }
}

#[test]
fn a_reader_that_is_slow_for_a_moment_gets_everything_in_its_order() {
    let mut world = World::new(22);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.read_slowly(bob, 100_000);
    let long = "x".repeat(6_000);
    for number in 0..100 {
        world.send(ann, "lobby", &format!("{number} {long}"));
        world.run_for(millis(20));
    }
    world.run_for(secs(20));
    let heard: Vec<String> = world.log(bob).map(|(_, text)| text.to_owned()).collect();
    assert_eq!(heard.len(), 100, "told of {}", world.missed(bob));
    assert!(heard.iter().enumerate().all(|(number, text)| text.starts_with(&format!("{number} "))));
    assert_eq!(world.missed(bob), 0);
}

#[test]
fn what_stands_still_on_a_link_goes_over_the_next_one_in_order_and_whole() {
    let mut world = World::new(18);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.stall(a, b, secs(4));
    for number in 0..30 {
        world.send(ann, "lobby", &format!("{number}"));
        world.run_for(millis(50));
    }
    world.assert_not_heard(bob, "0");
    world.run_for(secs(8));
    let heard: Vec<String> = world.log(bob).map(|(_, text)| text.to_owned()).collect();
    assert_eq!(heard, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_server_that_stands_still_for_a_while_goes_on_where_it_was() {
    let mut world = World::new(19);
    let [a, b, c] = world.line();
    let (ann, cid) = (world.add_client(a), world.add_client(c));
    world.join(ann, "lobby");
    world.join(cid, "lobby");
    world.run_for(secs(6));
    world.pause(b, secs(5));
    world.send(ann, "lobby", "through the one that sleeps");
    world.run_for(secs(8));
    world.assert_heard(cid, "through the one that sleeps");
    assert_eq!(world.missed(cid), 0);
}

#[test]
fn who_publishes_more_than_it_may_is_slowed_down_and_loses_nothing() {
    let mut world = World::new(20);
    let [a, b] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    for number in 0..3_000 {
        world.send(ann, "lobby", &format!("{number}"));
        if number % 10 == 0 {
            world.run_for(millis(10));
        }
    }
    world.run_for(secs(30));
    let heard = world.log(bob).count();
    let (sent, failed) = world.sent(ann);
    assert_eq!((sent, failed), (3_000, 0));
    assert_eq!(heard, 3_000);
}

#[test]
fn a_client_whose_link_falls_silent_finds_its_way_back_and_is_told_what_it_missed() {
    let mut world = World::new(21);
    let [a] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(a));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    world.send(ann, "lobby", "one");
    world.run_for(secs(1));
    world.silence_client(bob);
    world.run_for(secs(5));
    world.send(ann, "lobby", "two");
    world.run_for(secs(100));
    world.heal();
    world.run_for(secs(60));
    world.send(ann, "lobby", "three");
    world.run_for(secs(2));
    world.assert_heard(bob, "one");
    world.assert_heard(bob, "three");
    assert!(world.missed(bob) > 0);
}

#[test]
fn a_reader_that_stops_costs_its_server_a_bounded_queue_and_hears_how_much_it_missed() {
    let mut world = World::new(23);
    let [a] = world.line();
    let stopped = world.add_client(a);
    let writers: Vec<_> = (0..12).map(|_| world.add_client(a)).collect();
    world.join(stopped, "lobby");
    world.run_for(secs(6));
    for writer in &writers {
        world.join(*writer, "lobby");
    }
    world.run_for(secs(6));
    world.read_slowly(stopped, 1);
    let long = "x".repeat(14_000);
    for number in 0..40 {
        for writer in &writers {
            world.send(*writer, "lobby", &format!("{number} {long}"));
        }
        world.run_for(millis(100));
        let longest = world.stats(a).map_or(0, |stats| stats.sizes.longest_queue);
        assert!(longest <= 1 << 20, "{longest}");
    }
    let dropped = world.stats(a).map(|stats| stats.dropped);
    assert!(dropped.is_some_and(|dropped| dropped.contains_key(&darkchat_node::DroppedFor::QueueFull)));
    world.read_fast(stopped);
    world.run_for(secs(30));
    assert!(world.missed(stopped) > 0);
}
