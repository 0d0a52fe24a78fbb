//! What people live through in a private channel.

use super::people::{HOUR, MINUTE, People, WALL, key};
use crate::KeptChannels;
use crate::session::{
    Change, Charter, Event, Failure, Input, Output, PrivateError, Received, SavedChannel, Ticket,
};
use bytes::Bytes;
use darkchat_crypto::{Identity, sign};
use darkchat_proto::{
    ChannelId, Content, Deliver, Entry, Frame, GroupControl, Kind, Network, Post, Rekey, Signed, Time, UserId,
};
use data_encoding::HEXLOWER;
use std::time::Duration;

fn listed(people: &People, who: &[usize]) -> Charter {
    Charter { members: Some(who.iter().map(|who| people.all[*who].id()).collect()), ..Charter::default() }
}

fn remove(user: UserId) -> Change {
    Change { remove: vec![user], reason: "left the house".to_owned(), ..Change::default() }
}

#[test]
fn who_has_the_link_reads_and_writes_and_who_has_not_sees_nothing() {
    let mut people = People::new(3);
    let garden = people.create(0, Charter::default());
    let bobs = people.enter(1, (0, garden));
    people.say(0, garden, "from ann");
    people.say(1, bobs, "from bob");
    assert_eq!(people.texts(1), ["from ann"]);
    assert_eq!(people.texts(0), ["from bob"]);
    assert!(people.messages(0).iter().all(|message| message.private && message.channel.as_str() == "garden"));
    assert_eq!(people.messages(0)[0].from, people.all[1].id());
    assert_eq!(people.all[2].events.iter().filter(|event| matches!(event, Event::Message { .. })).count(), 0);
    let seen: Vec<u8> = people.recorded.iter().flat_map(|(_, sealed)| sealed.to_vec()).collect();
    assert!(!seen.windows(8).any(|window| window == b"from ann" || window == b"from bob"));
}

#[test]
fn the_hours_pass_with_new_streams_and_nothing_is_lost_or_shown_twice() {
    let mut people = People::new(2);
    let garden = people.create(0, Charter::default());
    let bobs = people.enter(1, (0, garden));
    for hour in 0..30 {
        people.say(0, garden, &format!("{hour} from ann"));
        people.say(1, bobs, &format!("{hour} from bob"));
        people.pass(HOUR);
    }
    assert_eq!((people.texts(0).len(), people.texts(1).len()), (30, 30));
    assert_eq!((people.gaps(0), people.gaps(1)), (0, 0));
    let streams: std::collections::BTreeSet<&[u8]> =
        people.recorded.iter().map(|(_, sealed)| &sealed[8..16]).collect();
    assert_eq!(streams.len(), 60, "each author has a stream of its own each hour");
}

#[test]
fn what_is_lost_at_the_end_of_an_hours_stream_and_at_the_beginning_of_the_next_is_seen() {
    let mut people = People::new(2);
    let garden = people.create(0, Charter::default());
    people.enter(1, (0, garden));
    people.say(0, garden, "heard");
    people.all[1].is_deaf = true;
    people.say(0, garden, "lost at the end");
    people.say(0, garden, "lost at the end");
    people.pass(HOUR);
    people.say(0, garden, "lost at the beginning");
    people.all[1].is_deaf = false;
    people.say(0, garden, "heard again");
    assert_eq!(people.texts(1), ["heard"], "it is held back until the hole in front of it is given up");
    people.pass(Duration::from_secs(1));
    assert_eq!(people.texts(1), ["heard", "heard again"]);
    assert_eq!(people.gaps(1), 3);
    assert_eq!(people.all[1].session.stats().gap, 3);
}

#[test]
fn a_member_list_comes_with_a_signed_rekey_and_outsiders_with_the_link_are_not_heard() {
    let mut people = People::new(3);
    let charter = listed(&people, &[1]);
    let garden = people.create(0, charter);
    let bobs = people.enter(1, (0, garden));
    people.ask(1, 0);
    let mallory = people.enter(2, (0, garden));
    people.say(2, mallory, "let me in");
    assert_eq!(people.texts(0), Vec::<&str>::new(), "ann has the list");
    assert_eq!(people.texts(1), Vec::<&str>::new(), "bob has it too");
    people.say(1, bobs, "hello");
    assert_eq!(people.texts(0), ["hello"]);
    assert_eq!(people.all[1].session.stats().ignored, 1);
}

#[test]
fn a_removed_member_opens_nothing_that_is_said_later_and_the_others_go_on_without_a_gap() {
    let mut people = People::new(3);
    let charter = listed(&people, &[1, 2]);
    let garden = people.create(0, charter);
    let (bobs, carols) = (people.enter(1, (0, garden)), people.enter(2, (0, garden)));
    people.ask(1, 0);
    people.ask(2, 0);
    people.say(0, garden, "before");
    let carol = people.all[2].id();
    assert!(matches!(people.change(0, garden, remove(carol)), Event::Changed { .. }));
    people.post(0, 1);
    people.post(0, 2);
    people.say(0, garden, "after");
    people.say(1, bobs, "is she gone?");
    people.say(2, carols, "still here");
    people.pass(10 * MINUTE);
    assert_eq!(people.texts(1), ["before", "after"], "what the removed one says counts no more");
    assert_eq!(people.texts(2), ["before"]);
    assert_eq!(people.texts(0), ["is she gone?"]);
    assert_eq!((people.gaps(0), people.gaps(1)), (0, 0));
    let told = Event::Rekeyed { channel: bobs, by: people.all[0].id(), removed: vec![carol] };
    assert!(people.all[1].events.contains(&told));
    // Whatever was recorded after the removal, none of her secrets opens it.
    let private = &mut people.all[2].session.private;
    let groups = private.channels.values_mut().flat_map(|private| private.line.generations.values_mut());
    let mut opened = 0;
    for generation in groups {
        for (_, sealed) in &people.recorded {
            opened += usize::from(generation.group.open(sealed, WALL).is_ok());
        }
    }
    assert!(opened <= 3, "before, her own words, and that the channel has moved: {opened}");
}

/// What an author signs for a public channel, on the id of this one.
fn public(channel: ChannelId, author: &Identity) -> Frame {
    let post = Post {
        author: author.user_id(),
        channel,
        stream: 5,
        seq: 1,
        time_ms: WALL,
        name: "Carol".to_owned(),
        entries: vec![Entry::text("listen, all of you"), Entry::text("I am still here")],
    };
    let body = post.encode();
    let sig = author.sign(&sign::post(&Network::default(), &body));
    Kind::Deliver(Deliver { channel, content: Content::Public(Signed { body, sig }) }.encode()).into()
}

#[test]
fn what_is_not_sealed_is_not_shown_in_a_private_channel_whoever_signed_it() {
    let mut people = People::new(3);
    let charter = listed(&people, &[1, 2]);
    let garden = people.create(0, charter);
    let carol = people.all[2].id();
    people.change(0, garden, remove(carol));
    let generations: Vec<ChannelId> = people.all[0].joined().copied().collect();
    assert_eq!(generations.len(), 3, "what was before the removal is read on for five minutes");
    people.all[0].events.clear();
    for author in [key(3), key(2), key(99)] {
        for channel in &generations {
            let frame = public(*channel, &author);
            people.give(0, Input::Frame(Received::check(&Network::default(), frame)));
        }
    }
    let shown = |event: &Event| matches!(event, Event::Message { .. } | Event::Member { .. });
    assert!(!people.all[0].events.iter().any(shown), "{:?}", people.all[0].events);
    let stats = people.all[0].session.stats();
    assert_eq!((stats.malformed, stats.shown), (18, 0), "nine posts of two entries");
}

#[test]
fn the_secret_of_a_rekey_stands_in_no_debug_output() {
    let mut people = People::new(2);
    let (garden, hedge) = (people.create(0, Charter::default()), people.create(1, Charter::default()));
    let session = &mut people.all[0].session;
    session.change(Time::ZERO, Ticket(1), garden, &Change::default());
    let mut texts = vec![format!("{session:?}")];
    let told: Vec<Output> = std::iter::from_fn(|| session.poll()).collect();
    texts.push(format!("{told:?}"));
    let request = told.iter().find_map(|output| match output {
        Output::Sign { request, .. } => Some(request.clone()),
        _ => None,
    });
    let signed = request.unwrap().bytes().strip_prefix(b"dchat/1/rekey\0main\0").map(Bytes::copy_from_slice);
    let proposed = Rekey::decode(signed.unwrap()).unwrap().next.secret;

    // And of one that waits for those before it.
    people.change(1, hedge, Change::default());
    let line = &people.all[1].session.private.channels[&hedge].line;
    let rekey = line.current().unwrap().rekeys.values().next().unwrap().clone();
    let orphan = Rekey::decode(rekey.body.clone()).unwrap().next.secret;
    let bob = people.all[1].id();
    people.control(0, bob, GroupControl::Rekey(rekey));
    assert_eq!(people.all[0].session.private.orphans.len(), 1);
    texts.push(format!("{:?}", people.all[0].session));

    for secret in [proposed, orphan] {
        let printed = format!("{:?}", Bytes::copy_from_slice(secret.as_bytes()));
        let escaped = printed.trim_start_matches("b\"").trim_end_matches('"');
        let list = format!("{:?}", secret.as_bytes());
        for text in &texts {
            assert!(!text.contains(&HEXLOWER.encode(secret.as_bytes())), "{text}");
            assert!(!text.contains(escaped) && !text.contains(&list), "{text}");
        }
    }
}

#[test]
fn what_waits_when_the_secret_changes_goes_out_under_the_new_one() {
    let mut people = People::new(2);
    let garden = people.create(0, Charter::default());
    people.enter(1, (0, garden));
    people.say(1, garden, "so that ann knows of me");
    for number in 0..5 {
        people.say(0, garden, &number.to_string());
    }
    people.change(0, garden, Change::default());
    people.post(0, 1);
    people.say(0, garden, "5");
    assert_eq!(people.texts(1), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn a_member_who_was_away_asks_and_is_passed_the_rekeys_on_and_a_removed_one_is_not() {
    let mut people = People::new(4);
    let charter = listed(&people, &[1, 2, 3]);
    let garden = people.create(0, charter);
    for who in 1..4 {
        people.enter(who, (0, garden));
        people.ask(who, 0);
    }
    let carol = people.all[2].id();
    people.change(0, garden, remove(carol));
    people.post(0, 3);
    people.change(0, garden, Change::default());
    people.post(0, 3);
    // Bob asks dave, who is no administrator.
    people.ask(1, 3);
    people.ask(2, 3);
    people.say(0, garden, "who reads this?");
    assert_eq!(people.texts(1), ["who reads this?"]);
    assert_eq!(people.texts(2), Vec::<&str>::new());
    assert_eq!(people.texts(3), ["who reads this?"]);
}

#[test]
fn a_rekey_that_leads_on_from_the_unknown_waits_for_the_one_between() {
    let mut people = People::new(2);
    let charter = listed(&people, &[1]);
    let garden = people.create(0, charter);
    people.enter(1, (0, garden));
    people.change(0, garden, Change::default());
    let first = people.all[0].session.private.channels[&garden].line.tip();
    people.change(0, garden, Change::default());
    let letter = |people: &People, of| {
        let line = &people.all[0].session.private.channels[&garden].line;
        line.get(&of).unwrap().rekeys.values().next().unwrap().clone()
    };
    let second = people.all[0].session.private.channels[&garden].line.tip();
    let (one, two) = (letter(&people, first), letter(&people, second));
    let ann = people.all[0].id();
    people.control(1, ann, GroupControl::Rekey(two));
    people.say(0, garden, "not yet");
    assert_eq!(people.texts(1), Vec::<&str>::new());
    people.control(1, ann, GroupControl::Rekey(one));
    people.say(0, garden, "now");
    assert_eq!(people.texts(1), ["now"]);
}

#[test]
fn what_was_written_down_brings_a_member_back_and_opens_no_hour_before() {
    let mut people = People::new(3);
    let garden = people.create(0, Charter::default());
    people.enter(1, (0, garden));
    people.say(0, garden, "in the first hour");
    people.pass(3 * HOUR);
    people.say(0, garden, "in the fourth hour");
    let text = people.all[1].session.saved(&garden).unwrap().to_text();
    let saved: SavedChannel = text.parse().unwrap();
    assert_eq!(*saved.to_text(), *text);
    assert!(!format!("{saved:?}").contains(&text[40..60]));
    people.leave(1, garden);
    people.say(0, garden, "while bob is away");
    people.pass(5 * HOUR);
    let back = people.arrive(2);
    let bobs = people.restore(back, saved.clone());
    people.say(0, garden, "welcome back");
    assert_eq!(people.texts(back), ["welcome back"]);
    people.say(back, bobs, "thanks");
    assert_eq!(people.texts(0).last(), Some(&"thanks"));
    // A thief of the file reads the hour in which it was written, and none before.
    let mut line = saved.into_line(&Network::default(), WALL).unwrap();
    let group = &mut line.get_mut(&garden).unwrap().group;
    let at = WALL + 3 * 3_600_000;
    let opened: Vec<bool> =
        people.recorded.iter().map(|(_, sealed)| group.open(sealed, at).is_ok()).collect();
    assert_eq!(opened[..3], [false, true, true], "first hour, fourth hour, while away in the fourth hour");
}

/// A folder that is gone after the test.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_program_that_knows_of_nobody_to_tell_leaves_those_of_another_one_in_the_file() {
    let folder = Folder(std::env::temp_dir().join(format!("darkchat-untold-{}", std::process::id())));
    let kept = KeptChannels::new(&folder.0);
    let mut people = People::new(3);
    let charter = listed(&people, &[1, 2]);
    let garden = people.create(0, charter);
    // Both have come; another program of ann's is in the channel as well.
    let private = people.all[0].session.private.channels.get_mut(&garden).unwrap();
    private.line.generations.values_mut().for_each(|one| one.invited.clear());
    let saved = |people: &People, who: usize, channel| people.all[who].session.saved(&channel).unwrap();
    let before = saved(&people, 0, garden);
    let other = people.arrive(1);
    let others = people.restore(other, before);
    let (bob, carol) = (people.all[1].id(), people.all[2].id());
    people.change(0, garden, remove(carol));
    people.ask(other, 0);
    assert_eq!(saved(&people, other, others).untold(), []);

    let name = "garden".parse().unwrap();
    let untold = || kept.load(&name).unwrap().unwrap().untold();
    kept.save(&saved(&people, 0, garden)).unwrap();
    kept.save(&saved(&people, other, others)).unwrap();
    assert_eq!(untold(), [bob], "the other program has learned of the rekey and knows of nobody to tell");
    let stale = kept.load(&name).unwrap().unwrap();
    let rekey = stale.to_text().lines().find(|line| line.starts_with("rekey ")).unwrap().to_owned();

    people.post(0, 1);
    kept.save(&saved(&people, 0, garden)).unwrap();
    kept.save(&saved(&people, other, others)).unwrap();
    assert_eq!(untold(), [], "whoever tells them knows when all have heard of it");
    assert!(!kept.load(&name).unwrap().unwrap().to_text().contains("rekey "), "and its secret is wiped then");

    people.pass(7 * 24 * HOUR + HOUR);
    let late = saved(&people, other, others).merge(stale);
    assert!(!late.to_text().contains(&rekey), "after a week it is so in any case");
}

#[test]
fn a_file_that_is_damaged_names_its_line_and_nothing_of_it() {
    let mut people = People::new(1);
    let garden = people.create(0, Charter::default());
    let text = people.all[0].session.saved(&garden).unwrap().to_text();
    for (at, line) in [(1, "name"), (2, "generation")] {
        let damaged: Vec<String> = text
            .lines()
            .enumerate()
            .map(
                |(number, content)| {
                    if number == at { format!("{line} two words") } else { content.to_owned() }
                },
            )
            .collect();
        let error = damaged.join("\n").parse::<SavedChannel>().unwrap_err();
        assert_eq!((error.line, error.to_string().contains("two words")), (at + 1, false));
    }
    assert!("".parse::<SavedChannel>().is_err());
    assert!("dchat-channel-1\nname garden\n".parse::<SavedChannel>().is_err());
}

#[test]
fn changes_that_make_no_sense_are_refused_and_change_nothing() {
    let mut people = People::new(3);
    let charter = listed(&people, &[1]);
    let garden = people.create(0, charter);
    let bobs = people.enter(1, (0, garden));
    let by_link = people.create(0, Charter::default());
    let (ann, bob) = (people.all[0].id(), people.all[1].id());
    let long = Change { reason: "r".repeat(201), ..Change::default() };
    let many =
        Change { add: (0..256_u16).map(|at| UserId::new([at as u8; 32])).collect(), ..Change::default() };
    let more: Vec<UserId> = (0..300_u16)
        .map(|at| {
            let mut key = [9; 32];
            key[..2].copy_from_slice(&at.to_be_bytes());
            UserId::new(key)
        })
        .collect();
    for (who, channel, change, why) in [
        (1, bobs, Change::default(), PrivateError::NotAdmin),
        (0, garden, remove(ann), PrivateError::OwnKey),
        (0, garden, long, PrivateError::Change),
        (0, garden, Change { add: more, ..Change::default() }, PrivateError::TooManyMembers),
        (0, by_link, many, PrivateError::OpenByLink),
        (0, ChannelId::new([5; 32]), Change::default(), PrivateError::NotPrivate),
    ] {
        let Event::ChangeFailed { why: told, .. } = people.change(who, channel, change) else { panic!() };
        assert_eq!(told, why);
    }
    assert_eq!(people.all[0].session.invite(&garden).unwrap().generation, 1);
    assert!(matches!(people.change(0, garden, remove(bob)), Event::Changed { .. }));
}

#[test]
fn sixty_four_private_channels_and_no_more() {
    let mut people = People::new(1);
    let mut channels: Vec<_> = (0..64).map(|_| people.create(0, Charter::default())).collect();
    let ticket = Ticket(9_999);
    let channel = "one-more".parse().unwrap();
    people.give(0, Input::Create { ticket, channel, name: None, charter: Charter::default() });
    let failed = people.all[0].events.iter().any(|event| {
        matches!(event, Event::JoinFailed { why: Failure::Private(PrivateError::TooMany), ticket: Some(of), .. } if *of == ticket)
    });
    assert!(failed);
    people.leave(0, channels.pop().unwrap());
    people.create(0, Charter::default());
}

#[test]
fn eight_rekeys_that_lead_on_from_the_unknown_wait_and_the_first_goes() {
    let mut people = People::new(3);
    let garden = people.create(0, Charter::default());
    let hedge = people.create(2, Charter::default());
    people.enter(1, (0, garden));
    for _ in 0..20 {
        people.change(2, hedge, Change::default());
        let line = &people.all[2].session.private.channels[&hedge].line;
        let rekey = line.current().unwrap().rekeys.values().next().unwrap().clone();
        let stranger = people.all[2].id();
        people.control(1, stranger, GroupControl::Rekey(rekey));
        assert!(people.all[1].session.private.orphans.len() <= 8);
    }
    assert_eq!(people.all[1].session.private.orphans.len(), 8);
}

#[test]
fn sixty_four_changes_wait_for_signatures_and_no_more() {
    let mut people = People::new(1);
    let garden = people.create(0, Charter::default());
    let session = &mut people.all[0].session;
    for number in 0..100 {
        session.change(Time::ZERO, Ticket(number), garden, &Change::default());
    }
    assert_eq!(session.private.proposals.len(), 64);
    let told = std::iter::from_fn(|| session.poll());
    let refused = told.filter(|output| matches!(output, Output::Event(Event::ChangeFailed { .. })));
    assert_eq!(refused.count(), 36);
}

#[test]
fn a_member_is_answered_once_in_ten_seconds_and_256_are_remembered() {
    let mut people = People::new(2);
    let charter = listed(&people, &[1]);
    let garden = people.create(0, charter);
    people.enter(1, (0, garden));
    let (bob, now) = (people.all[1].id(), people.now());
    let old = people.all[0].session.private.channels[&garden].line.tip();
    people.change(0, garden, Change::default());
    let session = &mut people.all[0].session;
    let fill = |session: &mut crate::session::Session, at: Time| {
        let private = session.private.channels.get_mut(&garden).unwrap();
        private.answered = (0..=255).map(|number| (UserId::new([number; 32]), at)).collect();
    };
    fill(session, now);
    session.control_received(now, bob, GroupControl::Ask(old));
    let answered = |session: &crate::session::Session| session.private.channels[&garden].answered.clone();
    assert!(!answered(session).contains_key(&bob) && answered(session).len() == 256, "no room for bob yet");
    let later = now + Duration::from_secs(10);
    session.control_received(later, bob, GroupControl::Ask(old));
    assert!(answered(session).len() <= 256);
    session.control_received(later, bob, GroupControl::Ask(old));
    assert_eq!(answered(session).keys().collect::<Vec<_>>(), [&bob], "the others' time is over");
}

#[test]
fn every_invitation_that_the_user_sends_has_an_outcome_also_after_the_channel_was_left() {
    let mut people = People::new(1);
    let garden = people.create(0, Charter::default());
    let tickets: Vec<Ticket> = (1_000..1_040).map(Ticket).collect();
    for (ticket, to) in tickets.iter().zip(100..) {
        people.give(0, Input::Offer { ticket: *ticket, channel: garden, to: key(to).user_id() });
    }
    people.leave(0, garden);
    people.pass(11 * MINUTE);
    let outcome = |event: &Event| match event {
        Event::Offered { ticket, done } => Some((*ticket, *done)),
        _ => None,
    };
    let mut told: Vec<_> = people.all[0].events.iter().filter_map(outcome).collect();
    told.sort_unstable_by_key(|(ticket, _)| *ticket);
    let expected = tickets.iter().enumerate().map(|(at, ticket)| {
        // As many as may be on their way at once had left; nobody answers in this story.
        (*ticket, Err(if at < 32 { Failure::TimedOut } else { Failure::NotJoined }))
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn a_week_old_secret_is_replaced_while_an_administrator_is_there() {
    let mut people = People::new(2);
    let charter = listed(&people, &[1]);
    let garden = people.create(0, charter);
    people.enter(1, (0, garden));
    people.pass(7 * 24 * HOUR + HOUR);
    assert_eq!(people.all[0].session.invite(&garden).unwrap().generation, 2);
    people.post(0, 1);
    people.say(0, garden, "a new week");
    assert_eq!(people.texts(1), ["a new week"]);
}

#[test]
fn a_rekey_is_forgotten_after_an_hour_and_one_that_some_have_not_heard_of_after_a_week() {
    let mut people = People::new(3);
    let charter = listed(&people, &[1, 2]);
    let garden = people.create(0, charter);
    let of_bob = people.enter(1, (0, garden));
    people.ask(1, 0);
    let bobs = |people: &People| -> usize {
        let line = &people.all[1].session.private.channels[&of_bob].line;
        line.generations.values().map(|one| one.rekeys.len()).sum()
    };
    let anns = |people: &People| -> usize {
        let line = &people.all[0].session.private.channels[&garden].line;
        line.generations.values().map(|one| one.rekeys.len()).sum()
    };
    assert_eq!((anns(&people), bobs(&people)), (1, 1));
    people.pass(HOUR + MINUTE);
    assert_eq!((anns(&people), bobs(&people)), (1, 0), "carol has not acknowledged it yet");
    people.pass(6 * 24 * HOUR);
    assert_eq!(anns(&people), 1);
    people.pass(24 * HOUR);
    let line = &people.all[0].session.private.channels[&garden].line;
    assert!(line.generations.values().all(|one| one.rekeys.is_empty() || one.since_ms > WALL + 1));
}
