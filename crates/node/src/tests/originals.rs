//! The defects of the program that came before, each with the test that would have shown it.
