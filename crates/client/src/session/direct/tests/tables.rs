//! Every table that others can fill, filled to its bound and beyond.

use super::super::device::{Answered, Device};
use super::super::own::OwnDevice;
use super::super::peer::Peer;
use super::super::{Carried, Direct, HALF_OPEN, LATE_STATUSES, PEERS, Parcel, Party, SESSIONS};
use super::world::{SERVER, World, ms, user};
use crate::session::direct::Sender;
use crate::session::requests::Asked;
use crate::session::{Failure, SignId, Ticket};
use bytes::Bytes;
use darkchat_crypto::direct::{Answering, Callee, Calling};
use darkchat_crypto::ratchet::{HalfOpen, Ratchet};
use darkchat_crypto::{SeededRng, StaticKey};
use darkchat_proto::{
    Code, ContentId, DeviceId, DmContent, DmKind, Features, Network, Signature, Time, UserId,
};
use std::time::Duration;

fn at(seconds: usize) -> Time {
    Time::ZERO + Duration::from_secs(u64::try_from(seconds).unwrap())
}

fn id<const N: usize>(number: usize) -> [u8; N] {
    let mut id = [0; N];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// A device of a user of its own.
fn party(number: usize) -> Party {
    Party { user: UserId::new(id(number)), device: DeviceId::new(id(1)) }
}

/// Both ends of one session after another.
struct Handshakes {
    rng: SeededRng,
    keys: [StaticKey; 2],
}

impl Handshakes {
    fn new() -> Self {
        let mut rng = SeededRng::new([5; 32]);
        let keys = [StaticKey::generate(&mut rng), StaticKey::generate(&mut rng)];
        Self { rng, keys }
    }

    fn next(&mut self, now: Time) -> (Ratchet, HalfOpen) {
        let (network, [one, other]) = (Network::default(), &self.keys);
        let callee = Callee::own(UserId::new([2; 32]), DeviceId::new([2; 16]), other, b"bundle");
        let (calling, init) = Calling::start(&network, one, &callee, b"", &mut self.rng).unwrap();
        let (answering, _) = Answering::read_init(&network, other, &callee, &init, &mut self.rng).unwrap();
        let (half, resp) = answering.establish(Features::NONE, now, &mut self.rng).unwrap();
        (calling.establish(&resp, now, &mut self.rng).unwrap().0, half)
    }
}

fn answered(half: HalfOpen, asked: Time) -> Answered {
    Answered { half, resp: Bytes::new(), ephemeral: [0; 32], asked }
}

#[test]
fn a_thousand_users_are_known_and_who_has_something_under_way_stays() {
    let mut world = World::new(1);
    world.add(1);
    world.cut(0);
    // Somebody whom something waits for, and long ago.
    world.say(0, 2, "waits");
    let direct = &mut world.devices[0].session.direct;
    for number in 0..PEERS + 50 {
        assert!(direct.peer(at(100 + number), UserId::new(id(number))).is_some());
        assert!(direct.peers.len() <= PEERS);
    }
    assert_eq!(direct.peers.len(), PEERS);
    assert!(direct.peers.contains_key(&user(2)), "a letter waits for this one");
    assert!(!direct.peers.contains_key(&UserId::new(id(50))), "who was not heard of for longest has gone");
    assert!(direct.peers.contains_key(&UserId::new(id(51))));
}

#[test]
fn who_calls_while_there_is_no_room_for_another_user_is_not_answered_and_counted() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    let direct = &mut world.devices[1].session.direct;
    for number in 0..PEERS {
        let peer = direct.peer(at(number), UserId::new(id(number))).unwrap();
        peer.devices.entry(DeviceId::new(id(number))).or_insert_with(|| Device::new(SERVER)).wants_call =
            true;
    }
    world.say(0, 2, "is there room for me?");
    world.run(ms(500));
    assert!(world.texts(1).is_empty());
    assert_eq!(world.devices[1].session.stats().unread_calls, 1);
    assert_eq!(world.devices[1].session.direct.peers.len(), PEERS);
}

#[test]
fn a_thousand_and_twenty_four_sessions_stand_and_the_one_not_heard_of_for_longest_goes() {
    let (mut direct, mut handshakes) = (Direct::new(true), Handshakes::new());
    let mut ids = Vec::new();
    for number in 0..SESSIONS + 100 {
        // Four sessions a device: the fourth part of so many users.
        let (now, party) = (at(number), party(number / 4));
        let (ratchet, _) = handshakes.next(now);
        let id = ratchet.id();
        let peer = direct.peer(now, party.user).unwrap();
        let device = peer.devices.entry(party.device).or_insert_with(|| Device::new(SERVER));
        device.establish(now, ratchet);
        direct.enter_session(id, party);
        ids.push(id);
        assert!(direct.standing().count() <= SESSIONS);
    }
    assert_eq!(direct.standing().count(), SESSIONS);
    assert!(direct.sessions.len() <= SESSIONS + HALF_OPEN);
    let (gone, kept) = ids.split_at(100);
    assert!(gone.iter().all(|id| !direct.sessions.contains_key(id)));
    assert!(kept.iter().all(|id| direct.sessions.contains_key(id)));
}

#[test]
fn sessions_that_ended_leave_the_table_when_it_is_full_and_those_that_stand_do_not() {
    let (mut direct, mut handshakes) = (Direct::new(true), Handshakes::new());
    let (ratchet, half) = handshakes.next(Time::ZERO);
    let ids = [ratchet.id(), half.id()];
    let device = direct.peer(Time::ZERO, party(0).user).unwrap().devices.entry(party(0).device);
    device.or_insert_with(|| Device::new(SERVER)).establish(Time::ZERO, ratchet);
    let device = direct.peer(Time::ZERO, party(1).user).unwrap().devices.entry(party(1).device);
    device.or_insert_with(|| Device::new(SERVER)).answer(answered(half, Time::ZERO));
    direct.enter_session(ids[0], party(0));
    direct.enter_session(ids[1], party(1));
    for number in 0..2 * (SESSIONS + HALF_OPEN) {
        direct.enter_session(darkchat_proto::DirectId::new(id(1 + number)), party(9));
        assert!(direct.sessions.len() <= SESSIONS + HALF_OPEN);
    }
    assert!(direct.sessions.contains_key(&ids[0]));
}

#[test]
fn sixty_four_answered_calls_wait_and_the_oldest_goes() {
    let (mut direct, mut handshakes) = (Direct::new(true), Handshakes::new());
    for number in 0..HALF_OPEN + 10 {
        let (now, party) = (at(number), party(number));
        let (_, half) = handshakes.next(now);
        let peer = direct.peer(now, party.user).unwrap();
        let device = peer.devices.entry(party.device).or_insert_with(|| Device::new(SERVER));
        device.answer(answered(half, now));
        direct.touch(party);
        direct.bound_answered();
    }
    let waits = |number: usize| !direct.device(party(number)).unwrap().answered.is_empty();
    assert_eq!((0..HALF_OPEN + 10).filter(|number| waits(*number)).count(), HALF_OPEN);
    assert!(!waits(9) && waits(10));
}

#[test]
fn of_one_device_four_sessions_stand_and_four_answered_calls_wait() {
    let (mut device, mut handshakes) = (Device::new(SERVER), Handshakes::new());
    let mut newest = None;
    for number in 0..10 {
        let (ratchet, half) = handshakes.next(at(number));
        newest = Some(ratchet.id());
        device.establish(at(number), ratchet);
        device.answer(answered(half, at(number)));
        assert!(device.sessions.len() <= 4 && device.answered.len() <= 4);
    }
    assert_eq!((device.sessions.len(), device.answered.len()), (4, 4));
    assert_eq!(device.writable().map(|session| session.ratchet.id()), newest);
}

#[test]
fn acknowledgements_that_find_no_session_are_bounded_and_the_oldest_is_asked_for_again() {
    let mut device = Device::new(SERVER);
    for number in 0..300 {
        device.acknowledge(Time::ZERO, ContentId::new(id(number)));
    }
    assert_eq!(device.acks.len(), 256);
    assert_eq!(device.acks[0], ContentId::new(id(44)));
    assert_eq!(device.take_acks(Time::ZERO).len(), 32);
}

#[test]
fn sixteen_devices_of_a_user_are_kept_and_the_listed_ones_before_all_and_sixty_four_are_known_again() {
    let mut peer = Peer::default();
    let device = |number: usize| DeviceId::new(id(number));
    for number in 0..40 {
        let one = peer.devices.entry(device(number)).or_insert_with(|| Device::new(SERVER));
        one.is_listed = number < 5;
        one.heard = Some(at(number));
        peer.bound();
        assert!(peer.devices.len() <= 16);
    }
    let kept: Vec<DeviceId> = (0..5).chain(29..40).map(device).collect();
    assert_eq!(peer.devices.keys().copied().collect::<Vec<_>>(), kept);

    let new = |peer: &mut Peer, numbers: std::ops::Range<usize>| {
        numbers.filter(|number| peer.meet(device(*number))).count()
    };
    assert_eq!(new(&mut peer, 0..100), 99, "all but the first, which is no news");
    assert_eq!(new(&mut peer, 0..100), 36, "64 are known again");
}

#[test]
fn two_keys_of_our_own_and_thirty_two_bundles_of_each_are_kept() {
    let (mut own, mut secrets) = (OwnDevice::default(), SeededRng::new([3; 32]));
    let day = 86_400;
    for number in 0..3 {
        for again in 0..40 {
            let sign = SignId(u64::try_from(40 * number + again).unwrap());
            let now = at(day * number + again);
            drop(own.prepare(now, 1_800_000_000_000, (party(1), SERVER), sign, &mut secrets));
            own.signed(sign, Signature::new([0; 64])).unwrap();
        }
    }
    assert_eq!((own.keys(), own.bundles()), (2, 64));
}

#[test]
fn packets_that_were_handed_over_are_remembered_up_to_a_thousand() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    let (now, session) = (world.now, &mut world.devices[0].session);
    for _ in 0..LATE_STATUSES + 100 {
        let parcel = Parcel { to: party(1), what: Carried::Answer };
        let req = session.requests.ask(now, Asked::Packet(parcel));
        session.packet_status(now, req, Code::Ok);
    }
    assert_eq!(session.direct.handed.len(), LATE_STATUSES);
}

#[test]
fn what_private_channels_say_and_what_nobody_asked_to_send_have_boxes_of_their_own_of_the_same_size() {
    let mut world = World::new(1);
    world.add(1);
    world.cut(0);
    let (now, session) = (world.now, &mut world.devices[0].session);
    let mut post = |number: usize, sender| {
        let content = DmContent::new(ContentId::new(id(number)), 0, DmKind::Confirm, Bytes::new());
        session.post_letter(now, user(2), content, sender)
    };
    assert_eq!((0..300).filter(|number| post(*number, Sender::Nobody).is_ok()).count(), 256);
    assert_eq!((300..600).filter(|number| post(*number, Sender::Control).is_ok()).count(), 256);
    let users = |number: &usize| post(*number, Sender::User(Ticket(u64::try_from(*number).unwrap()))).is_ok();
    assert_eq!((600..900).filter(users).count(), 256);
    for sender in [Sender::Nobody, Sender::Control, Sender::User(Ticket(900))] {
        assert_eq!(post(900, sender), Err(Failure::Full));
    }
}

#[test]
fn what_one_device_has_acknowledged_waits_for_others_apart_and_the_oldest_is_given_up() {
    let mut world = World::new(1);
    world.add(1);
    world.cut(0);
    let now = world.now;
    let mut acknowledge = |number: usize, len: usize| {
        let session = &mut world.devices[0].session;
        let body = vec![0; len].into();
        let content = DmContent::new(ContentId::new(id(number)), 0, DmKind::Data, body);
        session.post_letter(now, user(2), content, Sender::Control).unwrap();
        let last = session.direct.letters.values_mut().last().unwrap();
        last.acked = true;
        session.bound_acknowledged();
        session.direct.letters.values().map(|letter| letter.content.id).collect::<Vec<_>>()
    };
    for number in 0..300 {
        assert!(acknowledge(number, 1).len() <= 256);
    }
    let kept = acknowledge(300, 1);
    assert_eq!((kept.len(), kept[0]), (256, ContentId::new(id(45))));
    for number in 301..400 {
        acknowledge(number, 57_344);
    }
    assert_eq!(acknowledge(400, 57_344).len(), 18, "a mebibyte");
}
