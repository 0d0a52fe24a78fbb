//! Stories about nodes, wired together in virtual time, and properties that hold under any input.

mod blame;
mod clients;
mod hops;
mod objects;
mod operator;
mod originals;
mod properties;
mod servers;
mod slow;
mod world;
