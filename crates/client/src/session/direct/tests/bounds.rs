//! What others can make us keep.

use super::world::{World, ms, user};
use crate::session::{Failure, Input, Received, Ticket};
use darkchat_proto::{
    Code, ContentId, DirectHead, DirectId, DmDeliver, Entry, Frame, InitRef, KeyId, Kind, Network, Packet,
};

#[test]
fn the_outbox_holds_256_contents_or_a_mebibyte() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world.cut(0);
    for number in 0..300 {
        world.say(0, 2, &number.to_string());
    }
    assert_eq!(world.failed.iter().filter(|(.., why)| *why == Failure::Full).count(), 44);
    let mut world = World::new(1);
    world.add(1);
    world.cut(0);
    for _ in 0..30 {
        world.say(0, 2, &"x".repeat(57_344));
    }
    assert_eq!(world.failed.len(), 30 - (1 << 20) / 57_344);
    world.failed.clear();
    world.say(0, 2, &"x".repeat(57_345));
    assert_eq!(world.failed[0].2, Failure::TooLarge { len: 57_345, max: 57_344 });
}

#[test]
fn a_packet_that_is_none_or_of_nobody_changes_nothing() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world.say(0, 2, "one");
    world.run(ms(500));
    let before = format!("{:?}", world.devices[1].session);
    let noise = bytes::Bytes::from(vec![9; 200]);
    let head = DirectHead { session: DirectId::new([1; 8]), dh: [2; 32], previous: 0, number: 0 };
    let packets = [
        Packet::Init { key: KeyId::new([0; 4]), noise: noise.clone() }.encode(),
        Packet::Resp { init: InitRef::new([0; 8]), noise: noise.clone() }.encode(),
        Packet::Message { head, sealed: noise.clone() }.encode(),
        noise,
    ];
    let device = world.devices[1].id;
    for packet in packets {
        let delivered = DmDeliver { user: user(2), device, packet, delivery: 0 };
        let frame = Frame::from(Kind::Dm(delivered));
        world.give(1, Input::Frame(Received::check(&Network::default(), frame)));
    }
    let strip = |text: &str| text.split("stats: Stats").next().unwrap().replace("read: Bucket", "").len();
    let after = format!("{:?}", world.devices[1].session);
    assert!(strip(&after).abs_diff(strip(&before)) < 40, "only counters and the budget of calls differ");
    assert_eq!(world.devices[1].session.stats().undecryptable, 3);
    let id = world.say(0, 2, "two");
    world.run(ms(500));
    assert!(world.is_acked(id));
}

#[test]
fn every_flipped_bit_of_a_recorded_packet_is_refused_and_the_session_works_on() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world.say(0, 2, "one");
    world.run(ms(500));
    world.faults.lost = 100;
    let id = world.say(0, 2, "two");
    world.run(ms(50));
    world.faults.lost = 0;
    let (to, frame) = world.recorded.last().cloned().unwrap();
    let Kind::Dm(delivered) = frame.kind else { panic!("a packet") };
    for bit in (0..delivered.packet.len() * 8).step_by(3) {
        let mut packet = delivered.packet.to_vec();
        packet[bit / 8] ^= 1 << (bit % 8);
        let frame = Kind::Dm(DmDeliver { packet: packet.into(), delivery: 0, ..delivered.clone() });
        world.hear(to, frame.into());
    }
    assert_eq!(world.texts(1), ["one"]);
    world.run(ms(4_000));
    assert!(world.is_acked(id));
    assert_eq!(world.texts(1), ["one", "two"]);
}

#[test]
fn own_packets_sent_back_are_refused() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world.say(0, 2, "one");
    world.run(ms(500));
    let (user, device) = (user(1), world.devices[0].id);
    for (_, frame) in world.recorded.clone() {
        let Kind::Dm(delivered) = frame.kind else { continue };
        world.hear(0, Kind::Dm(DmDeliver { user, device, delivery: 0, ..delivered }).into());
    }
    assert_eq!(world.texts(0), [""; 0]);
    let id = world.say(0, 2, "two");
    world.run(ms(500));
    assert!(world.is_acked(id));
}

#[test]
fn a_lie_about_a_lost_session_costs_one_handshake_in_ten_seconds_and_no_message() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world.say(0, 2, "one");
    world.run(ms(500));
    let calls = |world: &World| {
        world.recorded.iter().filter(|(to, frame)| {
        matches!(&frame.kind, Kind::Dm(delivered) if *to == 1 && delivered.packet.first() == Some(&1))
    }).count()
    };
    let before = calls(&world);
    for round in 0..50_u32 {
        world.say(0, 2, &round.to_string());
        for req in 1..400 {
            world.hear(0, Frame::replying(req, Kind::DmStatus(Code::NoSession)));
        }
        world.run(ms(100));
    }
    world.run(ms(5_000));
    assert!(calls(&world) - before <= 2, "{} handshakes", calls(&world) - before);
    assert_eq!(world.texts(1).len(), 51);
    assert_eq!(world.acked.len(), 51);
}

#[test]
fn many_callers_leave_sessions_and_records_within_their_bounds() {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    for _ in 0..12 {
        world.restart(0);
        world.run(ms(100));
        world.say(0, 2, "again");
        world.run(ms(1_500));
    }
    let direct = &world.devices[1].session.direct;
    let device = direct.peers[&user(1)].devices.values().next().unwrap();
    assert!(device.sessions.len() <= 4 && device.answered.len() <= 4);
    assert_eq!(world.texts(1).len(), 12);
}

#[test]
fn without_a_link_nothing_of_a_session_that_ended_is_sent() {
    let mut world = World::new(1);
    world.add(1);
    world.give(0, Input::Close);
    world.run(ms(100));
    let id = ContentId::new([1; 16]);
    let entry = Entry::text("too late");
    let to = user(2);
    world.devices[0]
        .session
        .handle(world.now, Input::SendDirect { ticket: Ticket(1), to, id, entry, reply_to: None });
    let told = std::iter::from_fn(|| world.devices[0].session.poll()).collect::<Vec<_>>();
    assert_eq!(format!("{told:?}"), "[Event(SendFailed { ticket: Ticket(1), why: Closed })]");
}
