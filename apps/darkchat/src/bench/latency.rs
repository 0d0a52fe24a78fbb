//! How long messages took, from the moment at which they were to leave.

use super::Failure;
use crate::failure::What;
use hdrhistogram::Histogram;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Histograms that subscribers share, so that they do not wait for each other.
const SHARDS: usize = 8;
/// The least that a histogram tells apart, in nanoseconds: a microsecond.
const LEAST_NS: u64 = 1_000;
/// The most that it holds, in nanoseconds: ten minutes.
const MOST_NS: u64 = 600_000_000_000;
/// Digits that it keeps.
const DIGITS: u8 = 3;

/// Moments as nanoseconds since the program began: they travel in messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        self.at(Instant::now())
    }

    pub(crate) fn at(self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.0).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Times on the way, of all messages to all subscribers.
#[derive(Debug)]
pub(crate) struct Latencies {
    pub(crate) clock: Clock,
    shards: Vec<Mutex<Histogram<u64>>>,
}

impl Latencies {
    pub(crate) fn start() -> Result<Self, Failure> {
        let one = || Histogram::new_with_bounds(LEAST_NS, MOST_NS, DIGITS).map(Mutex::new);
        let shards: Result<_, _> = (0..SHARDS).map(|_| one()).collect();
        let shards = shards.map_err(|error| Failure::new(What::Io, error.to_string()))?;
        Ok(Self { clock: Clock::start(), shards })
    }

    /// Subscriber `who` has messages now that were to leave at these moments.
    pub(crate) fn arrived(&self, who: usize, stamps: impl Iterator<Item = u64>) {
        let now = self.clock.now();
        let Some(shard) = self.shards.get(who % SHARDS) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        for stamp in stamps {
            shard.saturating_record(now.saturating_sub(stamp));
        }
    }

    /// Forgets all, and gives what it was.
    pub(crate) fn take(&self) -> Quantiles {
        let mut shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(mut all) = shards.next().map(|mut first| {
            let all = first.clone();
            first.reset();
            all
        }) else {
            return Quantiles::default();
        };
        for mut shard in shards {
            // All have the same bounds, so one always fits into the other.
            let _fits = all.add(&*shard);
            shard.reset();
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(all.value_at_quantile(quantile));
        if all.is_empty() {
            return Quantiles::default();
        }
        Quantiles {
            p50_us: Some(at(0.5)),
            p99_us: Some(at(0.99)),
            p999_us: Some(at(0.999)),
            max_us: Some(micros(all.max())),
        }
    }
}

/// What is told of a histogram, in microseconds; nothing of an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quantiles {
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_late_when_it_left_counts_from_when_it_was_to_leave() {
        let latencies = Latencies::start().unwrap();
        let now = latencies.clock.now();
        std::thread::scope(|scope| {
            for who in 0..20 {
                let latencies = &latencies;
                scope.spawn(move || latencies.arrived(who, std::iter::repeat_n(now, 50)));
            }
        });
        let early = Clock(Instant::now().checked_sub(Duration::from_secs(3)).unwrap());
        let late = Latencies { clock: early, shards: latencies.shards };
        late.arrived(7, std::iter::once(0));
        let Quantiles { p50_us, max_us, .. } = late.take();
        assert!(p50_us.unwrap() < 3e6 && max_us.unwrap() >= 3e6, "{p50_us:?} {max_us:?}");
        assert!(late.take().p50_us.is_none(), "what was taken is gone");
    }
}
