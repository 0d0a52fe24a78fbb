//! Stories of several devices and the server between them, in virtual time.

mod bounds;
mod chaos;
mod faults;
mod stolen;
mod stories;
mod tables;
mod world;
