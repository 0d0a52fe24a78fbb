//! Which of the last 1,024 numbers of a stream were seen. Source: `docs/protocol.md`, section 6.3.

/// Numbers that a window holds, as IPsec's and WireGuard's do.
pub(super) const WINDOW: u64 = 1_024;
const WORDS: usize = 16;

/// The highest number seen and a bitmap of the numbers up to it.
#[derive(Debug, Clone)]
pub(super) struct Window {
    highest: u64,
    /// Bit `n % 1,024` stands for number n of the last 1,024.
    bits: [u64; WORDS],
}

impl Window {
    /// A window below whose first number nothing was seen.
    pub(super) const fn before(first: u64) -> Self {
        Self { highest: first.saturating_sub(1), bits: [0; WORDS] }
    }

    /// Whether a number of `first..next` was seen, or lies below the window.
    pub(super) fn has_any(&self, first: u64, next: u64) -> bool {
        if first.saturating_add(WINDOW) <= self.highest {
            return true;
        }
        (first..next.min(self.highest.saturating_add(1))).any(|number| self.bit(number))
    }

    /// Enters `first..next`, at most 64 numbers.
    pub(super) fn enter(&mut self, first: u64, next: u64) {
        for number in first..next {
            self.raise(number);
            if let Some(word) = self.bits.get_mut(word_of(number)) {
                *word |= 1 << (number % 64);
            }
        }
    }

    fn bit(&self, number: u64) -> bool {
        self.bits.get(word_of(number)).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Moves the window up to `number` and forgets what falls out below.
    fn raise(&mut self, number: u64) {
        if number.saturating_sub(self.highest) >= WINDOW {
            self.bits = [0; WORDS];
        } else {
            for passed in self.highest.saturating_add(1)..=number {
                if let Some(word) = self.bits.get_mut(word_of(passed)) {
                    *word &= !(1 << (passed % 64));
                }
            }
        }
        self.highest = self.highest.max(number);
    }
}

/// The word of the bitmap that holds a number's bit.
fn word_of(number: u64) -> usize {
    usize::try_from(number % WINDOW / 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_window_knows_exactly_what_a_set_of_the_last_1024_numbers_knows(
            start in prop_oneof![Just(1_u64), Just(1 << 40), Just(u64::MAX - 5_000)],
            posts in prop::collection::vec((0_u64..3_000, 1_u64..=64), 1..200),
        ) {
            let mut window = Window::before(start);
            let mut seen: BTreeSet<u64> = BTreeSet::new();
            let mut highest = start - 1;
            for (offset, len) in posts {
                let (first, next) = (start + offset, start + offset + len);
                let below = first + WINDOW <= highest;
                let model = below || (first..next).any(|number| seen.contains(&number));
                prop_assert_eq!(window.has_any(first, next), model);
                if !model {
                    window.enter(first, next);
                    seen.extend(first..next);
                    highest = highest.max(next - 1);
                }
            }
        }
    }
}
