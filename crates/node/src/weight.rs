//! What frames take of the memory: each counts once, however many links hold it, and for as long as somebody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum of all weights that live.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scales(Arc<AtomicUsize>);

impl Scales {
    pub(crate) fn weigh(&self, bytes: usize) -> Weight {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Weight { scales: self.clone(), bytes }
    }

    /// In bytes.
    pub(crate) fn sum(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A part of the sum until it is dropped; a clone is a part of its own.
#[derive(Debug)]
pub(crate) struct Weight {
    scales: Scales,
    bytes: usize,
}

impl Clone for Weight {
    fn clone(&self) -> Self {
        self.scales.weigh(self.bytes)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.scales.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_counts_until_it_and_each_clone_of_it_is_gone() {
        let scales = Scales::default();
        let (one, other) = (scales.weigh(10), scales.weigh(5));
        let again = one.clone();
        assert_eq!(scales.sum(), 25);
        drop(one);
        assert_eq!(scales.sum(), 15);
        drop((other, again));
        assert_eq!(scales.sum(), 0);
    }
}
