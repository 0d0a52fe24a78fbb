//! What one delivered message costs, in parts: fixed input through the real code, for `cargo xtask count` to count.
//!
//! `delivery PART` does the work of one part once, in a function whose name begins with `counted`: one turn of a server
//! that gets 64 posts of one publisher, each with one message of 64 bytes, for 100 subscribers. It prints how many
//! messages that was and on what, and fails where a part did not do its work.
#![expect(clippy::unwrap_used, reason = "a program that cannot make its input has failed")]
#![expect(clippy::print_stdout, reason = "a program that answers")]

#[expect(dead_code, reason = "what times the parts seals single records too")]
mod stage;

use bytes::Bytes;
use darkchat_node::Received;
use darkchat_proto::{Deliver, Signed};
use stage::{Author, CHANNEL, POSTS, SUBSCRIBERS, Stage};

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let deliveries = match part.as_str() {
        "decode" => decode(),
        "verify" => verify(),
        "route" => turn(false),
        "deliver" => turn(true),
        other => {
            println!("not a part: {other:?}; there are: decode verify route deliver");
            std::process::exit(2);
        }
    };
    println!("messages {deliveries}");
    println!("machine {}", machine());
}

/// The kind of processor, and those of its features that ciphers, curves and copies look for.
fn machine() -> String {
    let mut machine = std::env::consts::ARCH.to_owned();
    #[cfg(target_arch = "x86_64")]
    for (name, is_there) in [
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("sha", is_x86_feature_detected!("sha")),
    ] {
        if is_there {
            machine.push_str(&format!(" {name}"));
        }
    }
    machine
}

/// The posts of a turn are read; one a message.
fn decode() -> u64 {
    let frames = Author::new().frames();
    let posts = counted_decode(&frames);
    assert!(posts.iter().all(|post| post.channel == CHANNEL));
    POSTS
}

#[inline(never)]
fn counted_decode(frames: &[Bytes]) -> Vec<Deliver> {
    stage::decode(frames)
}

/// The signature of one post is checked.
fn verify() -> u64 {
    let (_, signed) = Author::new().post();
    assert!(counted_verify(&signed));
    1
}

#[inline(never)]
fn counted_verify(signed: &Signed) -> bool {
    stage::is_signed(signed)
}

/// One turn of a server that has been at it for a while; whether what leaves is sealed.
fn turn(seals: bool) -> u64 {
    let mut stage = Stage::warm();
    let (posts, before) = (stage.posts(), stage.delivered());
    counted_turn(&mut stage, posts, seals);
    let delivered = stage.delivered() - before;
    assert_eq!(delivered, POSTS * SUBSCRIBERS, "everything that was sent has left");
    delivered
}

#[inline(never)]
fn counted_turn(stage: &mut Stage, posts: Vec<Received>, seals: bool) {
    stage.turn(posts, seals);
}
