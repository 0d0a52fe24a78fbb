//! What every decoder and state machine of darkchat must hold for any input: one function a fuzz target.
//!
//! cargo-fuzz drives these functions with coverage; the tests of this crate run each on its committed corpus and on
//! generated input, so that no compiler is too old to notice a crash. A body returns nothing: it panics when a
//! promise is broken.
//!
//! ```
//! darkchat_fuzz_bodies::frame_decode(b"\x08\x01\xf2\x01\x00");
//! darkchat_fuzz_bodies::names("#Ops".as_bytes());
//! ```

mod direct;
mod handshake;
mod node;
mod text;
mod wire;

pub use direct::dm_session;
pub use handshake::{handshake_client, handshake_server};
pub use node::node_step;
pub use text::{address_text, names};
pub use wire::{frame_decode, frame_stream, peer_record, post};

/// A fuzz target: the name of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, as the tests and `fuzz/fuzz_targets` run them.
pub const TARGETS: &[Target] = &[
    ("frame_decode", frame_decode),
    ("frame_stream", frame_stream),
    ("handshake_server", handshake_server),
    ("handshake_client", handshake_client),
    ("post", post),
    ("peer_record", peer_record),
    ("names", names),
    ("address_text", address_text),
    ("node_step", node_step),
    ("dm_session", dm_session),
];
