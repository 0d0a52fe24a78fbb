//! How long the parts of a delivered message take: `cargo bench -p darkchat-node`.
//!
//! The work is that of which `cargo xtask count` counts the instructions. Times are of one machine, so nothing compares them.
#![expect(clippy::unwrap_used, reason = "a program that cannot make its input has failed")]

#[path = "../examples/delivery/stage.rs"]
#[expect(dead_code, reason = "what counts instructions looks at what was delivered")]
mod stage;

use bytes::BytesMut;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use stage::{Author, POSTS, SUBSCRIBERS, Stage};
use std::cell::RefCell;

fn main() {
    divan::main();
}

/// Posts that are read.
#[divan::bench]
fn decode(bencher: Bencher) {
    let frames = Author::new().frames();
    bencher.counter(ItemsCount::new(POSTS)).bench_local(|| stage::decode(&frames));
}

/// Signatures that are checked.
#[divan::bench]
fn verify(bencher: Bencher) {
    let (_, signed) = Author::new().post();
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| stage::is_signed(&signed));
}

/// Records of one link that are sealed, of some lengths in bytes.
#[divan::bench(args = [100, 1_000, 16_000])]
fn seal(bencher: Bencher, len: usize) {
    let mut sealer = stage::sealer();
    let record = || {
        let mut record = BytesMut::with_capacity(len + ROOM);
        record.resize(len, b'x');
        record
    };
    bencher.counter(BytesCount::new(len)).with_inputs(record).bench_local_refs(|record| {
        sealer.seal(record).unwrap();
    });
}

/// What a record adds at most, in bytes.
const ROOM: usize = 64;

/// Deliveries without sealing: what the node does, and a copy into what leaves.
#[divan::bench(sample_size = 1)]
fn route(bencher: Bencher) {
    turns(bencher, false);
}

/// Deliveries with all that they take of a processor in user space, but for system calls.
#[divan::bench(sample_size = 1)]
fn deliver(bencher: Bencher) {
    turns(bencher, true);
}

fn turns(bencher: Bencher, seals: bool) {
    let stage = RefCell::new(Stage::warm());
    let posts = || {
        let mut stage = stage.borrow_mut();
        stage.acknowledge();
        stage.posts()
    };
    let turn = |posts| stage.borrow_mut().turn(posts, seals);
    bencher.counter(ItemsCount::new(POSTS * SUBSCRIBERS)).with_inputs(posts).bench_local_values(turn);
}
