//! Stories of sessions that go on with another link: tokens, take-overs, and what does not outlive a link.

use super::world::{Client, World, ms, secs, user};
use crate::{Accept, Config, DroppedFor, Event, Input, Received};
use darkchat_proto::{Code, Frame, Goodbye, Kind, Resume};

/// Two members of the lobby.
fn two_people() -> (World, [Client; 2]) {
    let mut world = World::new(1);
    let people = [1, 2].map(|number| again(&mut world, number, None));
    for person in people {
        world.join(person, "lobby");
    }
    (world, people)
}

/// The same device comes again with this.
fn again(world: &mut World, number: u8, resume: Option<Resume>) -> Client {
    world.login_with(0, (user(number), 1), Accept::Clients, resume)
}

fn is_resumed(world: &World, client: Client) -> bool {
    world.welcome(client).is_some_and(|welcome| welcome.resumed)
}

#[test]
fn what_was_said_meanwhile_waits_for_who_comes_back() {
    let (mut world, [ann, bob]) = two_people();
    world.say(ann, "lobby", "before");
    let resume = world.resume_of(bob);
    world.hang_up(bob);
    world.say(ann, "lobby", "meanwhile");
    assert_eq!((world.stats(0).pending, world.stats(0).sizes.away), (1, 1));
    let back = again(&mut world, 2, resume);
    assert!(is_resumed(&world, back));
    world.say(ann, "lobby", "after");
    assert_eq!(world.heard(back), ["meanwhile", "after"]);
    assert_eq!((world.stats(0).pending, world.stats(0).sizes.away, world.stats(0).resent), (0, 0, 0));
    assert_eq!(world.node(0).clients().len(), 2);
}

#[test]
fn what_left_and_did_not_arrive_goes_again_and_is_one_copy() {
    let (mut world, [ann, bob]) = two_people();
    world.say(ann, "lobby", "one");
    let resume = world.resume_of(bob);
    world.say(ann, "lobby", "two");
    world.stall(0, bob.link, true);
    world.say(ann, "lobby", "three");
    world.hang_up(bob);
    let back = again(&mut world, 2, resume);
    assert_eq!(world.heard(back), ["two", "three"]);
    let stats = world.stats(0);
    assert_eq!((stats.copies, stats.delivered, stats.resent, stats.dropped_total()), (3, 3, 2, 0));
}

#[test]
fn the_server_says_how_many_frames_it_has_processed() {
    let (mut world, [ann, _]) = two_people();
    world.say(ann, "lobby", "one");
    world.ask(ann, Received::Other(Frame::from(Kind::Unknown(19))));
    world.ask(ann, Received::Other(Frame::from(Kind::Unknown(30))));
    world.ask(ann, Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 })));
    let pong = world.inbox(ann).last().map(|frame| frame.kind.clone());
    assert_eq!(
        pong,
        Some(Kind::Pong { nonce: 1, acked: 3 }),
        "a join, a post, and a kind of a later version"
    );
    let resume = world.resume_of(ann);
    world.hang_up(ann);
    let back = again(&mut world, 1, resume);
    assert_eq!(world.welcome(back).map(|welcome| welcome.received), Some(3));
}

#[test]
fn a_token_is_valid_once() {
    let (mut world, [_, bob]) = two_people();
    let resume = world.resume_of(bob);
    world.hang_up(bob);
    let back = again(&mut world, 2, resume.clone());
    let next = world.resume_of(back);
    assert_ne!(next.as_ref().map(|next| next.token), resume.as_ref().map(|resume| resume.token));
    world.hang_up(back);
    let thief = again(&mut world, 2, resume);
    assert!(!is_resumed(&world, thief), "a used one begins a new session");
    assert_eq!(world.stats(0).sizes.memberships, 1, "and ends the old one");
}

#[test]
fn a_token_of_another_user_or_device_opens_nothing() {
    let (mut world, [ann, bob]) = two_people();
    let resume = world.resume_of(bob);
    world.hang_up(bob);
    let stranger = again(&mut world, 3, resume.clone());
    let tablet = world.login_with(0, (user(2), 2), Accept::Clients, resume.clone());
    let guess = resume.clone().map(|resume| Resume { token: [0; 16], ..resume });
    assert!(!is_resumed(&world, stranger) && !is_resumed(&world, tablet));
    world.say(ann, "lobby", "for bob");
    assert!(world.heard(stranger).is_empty() && world.heard(tablet).is_empty());
    let guesser = again(&mut world, 2, guess);
    assert!(!is_resumed(&world, guesser));
}

#[test]
fn a_valid_token_takes_over_a_link_that_still_stands() {
    let (mut world, [ann, bob]) = two_people();
    let resume = world.resume_of(bob);
    world.say(ann, "lobby", "into the void");
    let back = again(&mut world, 2, resume);
    assert_eq!(world.goodbye(bob), Some(Code::Conflict));
    assert!(is_resumed(&world, back));
    assert_eq!(world.heard(back), ["into the void"]);
    world.say(ann, "lobby", "on the new one");
    assert_eq!(world.heard(back), ["into the void", "on the new one"]);
    world.run_for(secs(5));
    assert_eq!((world.stats(0).pending, world.stats(0).sizes.clients), (0, 2));
    let ups = |event: &&Event| matches!(event, Event::ClientUp { user: who, .. } if *who == user(2));
    let downs = |event: &&Event| matches!(event, Event::ClientDown { user: who, .. } if *who == user(2));
    let (up, down) =
        (world.events(0).iter().filter(ups).count(), world.events(0).iter().filter(downs).count());
    assert_eq!((up, down), (2, 1));
}

#[test]
fn after_ten_seconds_the_session_is_over_and_what_waited_is_counted() {
    let (mut world, [ann, bob]) = two_people();
    let resume = world.resume_of(bob);
    world.hang_up(bob);
    world.say(ann, "lobby", "too late");
    world.run_for(ms(9_990));
    assert_eq!(world.stats(0).sizes.away, 1);
    world.run_for(ms(20));
    let stats = world.stats(0);
    assert_eq!((stats.sizes.away, stats.sizes.clients, stats.sizes.memberships), (0, 1, 1));
    assert_eq!((stats.pending, stats.dropped[&DroppedFor::LinkDown]), (0, 1));
    let back = again(&mut world, 2, resume);
    assert!(!is_resumed(&world, back));
}

#[test]
fn who_lacks_more_than_is_kept_begins_a_new_session() {
    let (mut world, [ann, bob]) = two_people();
    let resume = world.resume_of(bob);
    let long = "x".repeat(30_000);
    for number in 0..10 {
        world.say(ann, "lobby", &format!("{number} {long}"));
    }
    world.hang_up(bob);
    let back = again(&mut world, 2, resume);
    assert!(!is_resumed(&world, back), "300 kB went out, 256 KiB are kept");
    assert!(world.heard(back).is_empty());
    assert_eq!(world.stats(0).pending, 0);
}

#[test]
fn a_goodbye_or_a_fault_of_the_client_ends_its_session() {
    for (frame, why) in [
        (Received::Other(Frame::from(Kind::Goodbye(Goodbye::new(Code::Ok)))), Code::Ok),
        (Received::Refused { req: 0, code: Code::BadFrame, retry_ms: 0 }, Code::BadFrame),
    ] {
        let (mut world, [_, bob]) = two_people();
        let resume = world.resume_of(bob);
        world.ask(bob, frame);
        world.run_for(secs(2));
        assert_eq!((world.stats(0).sizes.away, world.stats(0).sizes.clients), (0, 1), "{why:?}");
        let back = again(&mut world, 2, resume);
        assert!(!is_resumed(&world, back), "{why:?}");
    }
}

#[test]
fn sessions_that_are_kept_count_as_clients_and_give_way_to_who_is_there() {
    let mut world = World::with(1, &Config { max_clients: 2, ..Config::default() });
    let [ann, bob] = [1, 2].map(|number| again(&mut world, number, None));
    world.hang_up(bob);
    world.run_for(ms(10));
    world.hang_up(ann);
    assert_eq!(world.stats(0).sizes.clients, 2);
    let cid = world.client(0, 3);
    assert!(world.is_open(cid));
    assert_eq!((world.stats(0).sizes.clients, world.stats(0).sizes.away), (2, 1));
    let back = world.resume_of(ann);
    let ann = again(&mut world, 1, back);
    assert!(is_resumed(&world, ann), "the one that was lost first gave way");
    let dan = world.client(0, 4);
    assert_eq!(world.goodbye(dan), Some(Code::Limit));
}

#[test]
fn what_is_kept_counts_towards_the_memory_of_the_queues() {
    // A quarter of a mebibyte for all queues together.
    let mut world = World::with(1, &Config { memory_budget: 1 << 20, ..Config::default() });
    let people: Vec<Client> = (1..=20).map(|number| again(&mut world, number, None)).collect();
    for person in &people {
        world.join(*person, "lobby");
    }
    let long = "x".repeat(10_000);
    for number in 0..20 {
        world.say(people[0], "lobby", &format!("{number} {long}"));
        assert!(world.stats(0).sizes.queued_bytes <= 256 << 10);
    }
    assert_eq!(world.heard(people[19]).len(), 20, "nobody loses anything for what is kept");
}

#[test]
fn an_idle_session_keeps_nothing_after_ten_seconds() {
    let (mut world, [ann, _]) = two_people();
    world.say(ann, "lobby", "hello");
    assert!(world.stats(0).sizes.queued_bytes > 0);
    world.run_for(secs(11));
    assert_eq!(world.stats(0).sizes.queued_bytes, 0);
}

#[test]
fn a_server_that_stops_keeps_no_session() {
    let (mut world, [_, bob]) = two_people();
    world.hang_up(bob);
    world.give(0, Input::Drain);
    assert_eq!(world.stats(0).sizes.away, 0);
}
