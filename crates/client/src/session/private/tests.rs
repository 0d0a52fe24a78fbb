//! Private channels as stories of several people, and as a simulation of administrators who do not hear of each other.

mod branches;
mod people;
mod stories;
