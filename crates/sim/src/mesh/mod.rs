//! Many servers at volume: the real node in virtual time, with stand-ins for signatures and for clients.
//!
//! A [`Mesh`] is data and describes one run completely; [`run`] carries it out and gives a [`Report`]. It differs from
//! a [`World`](crate::World) in what it leaves out, so that a thousand servers fit into a minute: no client sessions,
//! no meters of link tasks, no pipes that fill up, and no check after every step. Frames are encoded by the node and
//! decoded at the other end, links have latencies and order, and nothing depends on a clock or a hash map.

mod agree;
mod churn;
mod engine;
mod faults;
mod graph;
mod host;
mod hostile;
mod judge;
mod link;
mod report;
mod script;
mod traffic;
mod world;

pub use report::Report;
pub use world::{Form, Mesh};

/// Carries out a run.
#[must_use]
pub fn run(mesh: &Mesh) -> Report {
    script::run(mesh, &mut || {})
}

/// Carries out a run, and calls `stands` when all servers have found each other and the messages begin: nothing here has
/// a clock, and a thousand servers that start at once are more work than what they carry.
#[must_use]
pub fn run_in_parts(mesh: &Mesh, stands: &mut dyn FnMut()) -> Report {
    script::run(mesh, stands)
}
