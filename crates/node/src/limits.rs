//! Token buckets and the profiles of budgets, for the node and for the link tasks. Source: `docs/protocol.md`, 10.1.

/// Which set of budgets is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// For strangers: the numbers of section 10.1.
    #[default]
    Public,
    /// For servers whose listeners are all on loopback: a hundred times those numbers.
    Trusted,
}
