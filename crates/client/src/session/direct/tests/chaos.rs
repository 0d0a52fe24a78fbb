//! Invariant 9 of section 11.5: any interleaving of loss, repeats, reorder, both starting at once, restarts and lost
//! links: all that was acknowledged is shown exactly once, and no session stays stuck.

use super::world::{Faults, World, ms};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Cases; `DARKCHAT_DM_CASES` says another number.
const CASES: u32 = 60;
/// How long a session may take to work again when packets arrive again: one retry, and a handshake that itself is
/// repeated once.
const STUCK_MS: u64 = 15_000;

#[derive(Debug, Clone)]
enum Act {
    Say(usize, u8),
    Both,
    Pass(u64),
    Faults(u64, u64, u64),
    Restart(usize),
    Cut(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_usize..3, 1_u8..3).prop_map(|(who, to)| Act::Say(who, to)),
        1 => Just(Act::Both),
        3 => (1_u64..6_000).prop_map(Act::Pass),
        2 => (0_u64..80, 0_u64..50, 0_u64..3_000).prop_map(|(lost, twice, late)| Act::Faults(lost, twice, late)),
        1 => (0_usize..3).prop_map(Act::Restart),
        1 => (0_usize..3).prop_map(Act::Cut),
    ]
}

fn cases() -> u32 {
    std::env::var("DARKCHAT_DM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_was_shown_exactly_once_and_no_session_stays_stuck(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut world = World::new(seed);
        // Ann; Bob on two devices.
        for user in [1, 2, 2] {
            world.add(user);
        }
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::Say(who, to) => {
                    world.say(who, to, &number.to_string());
                }
                Act::Both => {
                    world.say(0, 2, &format!("{number} a"));
                    world.say(1, 1, &format!("{number} b"));
                }
                Act::Pass(span) => world.run(ms(span)),
                Act::Faults(lost, twice, late_ms) => world.faults = Faults { lost, twice, late_ms },
                Act::Restart(who) => world.restart(who),
                Act::Cut(who) => world.cut(who),
            }
        }
        // Packets arrive again, and links stand again.
        world.faults = Faults::default();
        while !(0..3).all(|who| world.is_connected(who)) {
            world.run(ms(100));
        }
        let last = [world.say(0, 2, "last a"), world.say(1, 1, "last b")];
        let since = world.now;
        while !last.iter().all(|id| world.is_acked(*id)) {
            world.run(ms(100));
            let passed = world.now.saturating_since(since);
            prop_assert!(passed <= ms(STUCK_MS), "stuck: {:?} {:?}", last.map(|id| world.is_acked(id)), world.failed);
        }
        world.run(ms(40_000));
        let mut once = BTreeSet::new();
        for shown in &world.shown {
            prop_assert!(once.insert((shown.who, shown.life, shown.id)), "shown twice: {shown:?}");
        }
        for (from, id) in &world.acked {
            let shown = world.shown.iter().filter(|shown| shown.id == *id && shown.who != *from);
            prop_assert!(shown.count() > 0, "acknowledged and not shown: {id:?}");
        }
        for device in &world.devices {
            prop_assert!(device.session.direct.letters.is_empty(), "{:?}", device.session.direct.letters);
        }
    }
}
