//! Tests of `connection`.
