//! The numbers of the signatures that the session asks for: one sequence for whoever asks.

use super::SignId;

/// The last number that was given out.
#[derive(Debug, Default)]
pub(super) struct Signs(u64);

impl Signs {
    /// A number that was never used.
    pub(super) const fn next(&mut self) -> SignId {
        self.0 += 1;
        SignId(self.0)
    }
}
