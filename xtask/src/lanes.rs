//! Work that mostly waits, or takes one processor: several pieces at a time.

use anyhow::Result;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// The processors of this machine.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Does this for all of them, so many at a time, in their order. Those that failed, and why; none hides another.
pub(crate) fn each<T: Send>(
    items: Vec<T>,
    lanes: usize,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Vec<(T, anyhow::Error)> {
    let (waiting, failed) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(item) = next() {
                    if let Err(error) = work(&item) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((item, error));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    #[test]
    fn all_is_done_once_and_what_fails_is_told() {
        let done = Mutex::new(Vec::new());
        let failed = each((0..100).collect(), 3, |number| {
            done.lock().expect("nobody panics").push(*number);
            ensure!(number % 50 != 7, "no luck");
            Ok(())
        });
        let (mut done, mut failed): (Vec<i32>, Vec<i32>) = (
            done.into_inner().expect("nobody panics"),
            failed.into_iter().map(|(number, _)| number).collect(),
        );
        done.sort_unstable();
        failed.sort_unstable();
        assert_eq!((done, failed), ((0..100).collect(), vec![7, 57]));
    }
}
