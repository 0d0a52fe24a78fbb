//! Time as the sans-IO crates see it: a duration since a start that the caller chose.

use crate::ParseError;
use std::ops::Add;
use std::time::Duration;

/// A moment, as the time since the start of a run. Printable, savable, the same on every platform.
///
/// ```
/// use darkchat_proto::Time;
/// use std::time::Duration;
/// let noon = Time::from_millis(5_000);
/// assert_eq!((noon + Duration::from_secs(1)).saturating_since(noon), Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The start of the run.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// Later than every moment of a run.
    pub const MAX: Self = Self(Duration::MAX);

    /// The moment `since_start` after the start.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The moment `ms` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// The time that has passed since the start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at [`Time::MAX`], so that no number from a peer can overflow it.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Reads a span of time as people type it: `500ms`, `10s`, `2m`, `1h`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(darkchat_proto::parse_duration("2m")?, Duration::from_secs(120));
/// assert!(darkchat_proto::parse_duration("2").is_err());
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
///
/// # Errors
/// [`ParseError::Duration`] for anything else, and for more than a `u64` of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = unit_ms.and_then(|unit_ms: u64| unit_ms.checked_mul(number.parse().ok()?));
    ms.map(Duration::from_millis).ok_or_else(|| ParseError::Duration { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_overflows_a_moment() {
        assert_eq!(Time::MAX + Duration::MAX, Time::MAX);
        assert_eq!(
            Time::from_millis(u64::MAX) + Duration::from_millis(1),
            Time::new(Duration::from_millis(1 << 63) * 2)
        );
        assert_eq!(Time::ZERO.saturating_since(Time::MAX), Duration::ZERO);
    }

    #[test]
    fn spans_have_a_whole_number_and_a_unit() {
        for (typed, ms) in [("0s", 0), ("500ms", 500), ("007s", 7_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(typed), Ok(Duration::from_millis(ms)), "{typed}");
        }
        for typed in [
            "",
            "s",
            "5",
            "5 s",
            "-1s",
            "+1s",
            "1.5s",
            "1d",
            "1S",
            "18446744073709551616ms",
            "5124095576030432h",
        ] {
            let text = typed.to_owned();
            assert_eq!(parse_duration(typed), Err(ParseError::Duration { text }), "{typed}");
        }
    }
}
