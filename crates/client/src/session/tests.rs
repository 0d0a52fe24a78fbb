//! Stories of a session and a scripted server, in virtual time.

mod bounds;
mod chaos;
mod entering;
mod linking;
mod receiving;
mod sending;
mod stage;

use stage::{Stage, entry, ms, user};
