//! Many generated worlds: several servers, twenty people in several roles, strangers, and faults; every promise is
//! checked after every step. `cargo xtask sim` runs more and larger ones.

use darkchat_sim::worlds::{Size, check, run};

const SEEDS: u64 = 2_000;

/// Runs these seeds, and some of them twice.
#[expect(clippy::print_stdout, reason = "how much was simulated is worth a line")]
fn run_all(seeds: impl Iterator<Item = u64>) {
    let (mut worlds, mut steps, mut judged, mut talks) = (0, 0, 0, 0);
    for seed in seeds {
        let outcome = check(seed, Size::default(), false);
        worlds += 1;
        steps += outcome.steps;
        judged += outcome.judged;
        talks += outcome.talks;
    }
    println!("{worlds} worlds, {steps} steps, {judged} promised deliveries, {talks} direct messages");
    assert!(judged > worlds * 100, "too little was promised to mean anything: {judged}");
    assert!(talks > 50, "hardly anybody talked with anybody: {talks}");
}

#[test]
fn many_worlds_keep_every_promise_while_faults_last() {
    run_all((0..SEEDS).step_by(2));
}

#[test]
fn many_worlds_recover_when_faults_end() {
    run_all((1..SEEDS).step_by(2));
}

/// Runs one world aloud: `DARKCHAT_SEED=7 cargo test -p darkchat-sim --test worlds replay -- --nocapture`.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("DARKCHAT_SEED") else { return };
    let outcome = run(seed.parse().unwrap(), Size::default(), true);
    println!("{outcome:?}");
}
