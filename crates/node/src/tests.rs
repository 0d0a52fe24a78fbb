//! Stories about nodes, wired together in virtual time, and properties that hold under any input.

mod behind;
mod blame;
mod clients;
mod cut;
mod direct;
mod epochs;
mod flooding;
mod hops;
mod lookup;
mod neighbours;
mod objects;
mod operator;
mod originals;
mod properties;
mod reach;
mod relays;
mod resume;
mod servers;
mod slow;
mod world;
