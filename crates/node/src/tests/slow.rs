//! Stories of those who do not read.
