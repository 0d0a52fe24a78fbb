//! What a device's bundle must be for the one who uses it. Source: `docs/protocol.md`, section 7.2.
//!
//! [`verify::bundle`](crate::verify::bundle) has proven who signed it; these rules say whether it serves here and now.

use crate::Verified;
use darkchat_proto::{Bundle, Code, DeviceId, ServerId, UserId};
use std::cmp::Reverse;

/// The only suite of this version: X25519, AES-256-GCM, SHA-256.
pub const SUITE: u32 = 1;
/// The longest life of a bundle, in milliseconds: 24 h, so that a stolen key is worth little soon.
pub const LIFE_MS: u64 = 24 * 3_600_000;
/// How far clocks may differ, in milliseconds: 300 s, as everywhere.
pub const CLOCK_MS: u64 = 300_000;
/// The age at which a device's key is replaced, in milliseconds: 12 h.
pub const ROTATE_MS: u64 = 12 * 3_600_000;
/// How long a replaced key is kept, for calls that are on their way, in milliseconds: 10 min.
pub const KEEP_MS: u64 = 600_000;
/// The most devices of one user that are written to.
pub const MAX_DEVICES: usize = 8;

/// What a bundle is expected to say. Source: sections 5.2 and 7.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the protocol compares")]
pub struct Expected {
    /// The user who was asked for, or whose session it is.
    pub user: UserId,
    /// The device, where it is known: a server knows its session's.
    pub device: Option<DeviceId>,
    /// The server, where it is known: the one that packets will be sent to, or the one that is asked to keep it.
    pub server: Option<ServerId>,
}

impl Expected {
    /// A bundle of this user, whichever the device and the server.
    #[must_use]
    pub const fn of(user: UserId) -> Self {
        Self { user, device: None, server: None }
    }
}

/// Why a bundle does not serve. Nothing was kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Of another user, device or server than expected.
    #[error("bundle of another user, device or server")]
    Other,
    /// Not valid yet, not valid any more, or made to live too long.
    #[error("bundle is not valid at this time")]
    Stale,
    /// Of a suite that this version does not have.
    #[error("bundle of an unknown suite: {suite}")]
    Suite {
        /// What it names.
        suite: u32,
    },
    /// Its key is zero.
    #[error("bundle without a key")]
    NoKey,
}

impl BundleError {
    /// The code that this fault has on the wire.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Other => Code::Unauthorized,
            Self::Stale => Code::Stale,
            Self::Suite { .. } => Code::Unsupported,
            Self::NoKey => Code::BadFrame,
        }
    }
}

/// Whether a bundle whose signature is good serves at `now_ms` (Unix milliseconds), in the order of section 7.2.
///
/// ```
/// use darkchat_crypto::bundle::{self, BundleError, Expected};
/// use darkchat_crypto::{Identity, StaticKey, sign, system, verify};
/// use darkchat_proto::{Bundle, DeviceId, Features, Network, ServerId, Signed};
///
/// let (bob, network, now_ms) = (Identity::generate(), Network::default(), 1_800_000_000_000);
/// let body = Bundle {
///     suite: bundle::SUITE,
///     user: bob.user_id(),
///     device: DeviceId::new([2; 16]),
///     dh: *StaticKey::generate(&mut system::rng()).public(),
///     not_before_ms: now_ms,
///     not_after_ms: now_ms + bundle::ROTATE_MS,
///     server: ServerId::new([9; 32]),
///     features: Features::NONE,
/// }
/// .encode();
/// let signed = Signed { sig: bob.sign(&sign::bundle(&network, &body)), body };
/// let checked = verify::bundle(&network, &signed)?;
/// let expected = Expected::of(bob.user_id());
/// assert_eq!(bundle::check(&checked, &expected, now_ms), Ok(()));
/// assert_eq!(bundle::check(&checked, &expected, now_ms + bundle::LIFE_MS), Err(BundleError::Stale));
/// # Ok::<(), darkchat_crypto::VerifyError>(())
/// ```
///
/// # Errors
/// [`BundleError`], the first rule that it breaks.
pub fn check(bundle: &Verified<Bundle>, expected: &Expected, now_ms: u64) -> Result<(), BundleError> {
    let Expected { user, device, server } = expected;
    if bundle.user != *user || device.is_some_and(|device| bundle.device != device) {
        return Err(BundleError::Other);
    }
    let life = bundle.not_after_ms.checked_sub(bundle.not_before_ms).ok_or(BundleError::Stale)?;
    let has_begun = now_ms.saturating_add(CLOCK_MS) >= bundle.not_before_ms;
    let has_ended = now_ms > bundle.not_after_ms.saturating_add(CLOCK_MS);
    if life > LIFE_MS || !has_begun || has_ended {
        return Err(BundleError::Stale);
    }
    if bundle.suite != SUITE {
        return Err(BundleError::Suite { suite: bundle.suite });
    }
    if bundle.dh == [0; 32] {
        return Err(BundleError::NoKey);
    }
    if server.is_some_and(|server| bundle.server != server) { Err(BundleError::Other) } else { Ok(()) }
}

/// The bundles to write to, among those of one user that serve: one a device, the newest
/// [`MAX_DEVICES`] by `not_before`.
#[must_use]
pub fn newest(mut bundles: Vec<Verified<Bundle>>) -> Vec<Verified<Bundle>> {
    bundles.sort_by_key(|bundle| Reverse(bundle.not_before_ms));
    let mut chosen: Vec<Verified<Bundle>> = Vec::new();
    for bundle in bundles {
        if chosen.len() < MAX_DEVICES && chosen.iter().all(|other| other.device != bundle.device) {
            chosen.push(bundle);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::proven;
    use darkchat_proto::Features;

    const NOW: u64 = 1_800_000_000_000;

    fn bundle() -> Bundle {
        Bundle {
            suite: SUITE,
            user: UserId::new([1; 32]),
            device: DeviceId::new([2; 16]),
            dh: [3; 32],
            not_before_ms: NOW,
            not_after_ms: NOW + LIFE_MS,
            server: ServerId::new([4; 32]),
            features: Features::NONE,
        }
    }

    fn judge(bundle: Bundle, now_ms: u64) -> Result<(), BundleError> {
        let (device, server) = (Some(DeviceId::new([2; 16])), Some(ServerId::new([4; 32])));
        check(&proven(bundle), &Expected { user: UserId::new([1; 32]), device, server }, now_ms)
    }

    #[test]
    fn a_bundle_serves_from_300_s_before_its_life_until_300_s_after_it() {
        for (now, expected) in [
            (NOW - CLOCK_MS - 1, Err(BundleError::Stale)),
            (NOW - CLOCK_MS, Ok(())),
            (NOW + LIFE_MS + CLOCK_MS, Ok(())),
            (NOW + LIFE_MS + CLOCK_MS + 1, Err(BundleError::Stale)),
            (u64::MAX, Err(BundleError::Stale)),
            (0, Err(BundleError::Stale)),
        ] {
            assert_eq!(judge(bundle(), now), expected, "{now}");
        }
    }

    #[test]
    fn the_times_are_those_of_the_protocol() {
        assert_eq!((LIFE_MS, ROTATE_MS, KEEP_MS, CLOCK_MS), (86_400_000, 43_200_000, 600_000, 300_000));
    }

    #[test]
    fn a_life_over_24_h_or_backwards_is_stale_whatever_the_time() {
        for (from, to) in [(NOW, NOW + LIFE_MS + 1), (NOW, NOW - 1), (0, u64::MAX), (u64::MAX, 0)] {
            let odd = Bundle { not_before_ms: from, not_after_ms: to, ..bundle() };
            assert_eq!(judge(odd, NOW), Err(BundleError::Stale), "{from} to {to}");
        }
        let last = Bundle { not_before_ms: u64::MAX, not_after_ms: u64::MAX, ..bundle() };
        assert_eq!(judge(last, u64::MAX), Ok(()), "no number overflows");
    }

    #[test]
    fn another_user_device_server_suite_or_key_does_not_serve() {
        let codes = [
            (Bundle { user: UserId::new([9; 32]), ..bundle() }, Code::Unauthorized),
            (Bundle { device: DeviceId::new([9; 16]), ..bundle() }, Code::Unauthorized),
            (Bundle { server: ServerId::new([9; 32]), ..bundle() }, Code::Unauthorized),
            (Bundle { suite: 2, ..bundle() }, Code::Unsupported),
            (Bundle { suite: 0, ..bundle() }, Code::Unsupported),
            (Bundle { dh: [0; 32], ..bundle() }, Code::BadFrame),
        ];
        for (odd, code) in codes {
            assert_eq!(judge(odd.clone(), NOW).map_err(|error| error.code()), Err(code), "{odd:?}");
        }
        let elsewhere = Bundle { device: DeviceId::new([9; 16]), server: ServerId::new([9; 32]), ..bundle() };
        assert_eq!(check(&proven(elsewhere), &Expected::of(UserId::new([1; 32])), NOW), Ok(()));
    }

    #[test]
    fn eight_devices_are_written_to_the_newest_bundle_of_each() {
        let of = |device: u8, age: u64| {
            proven(Bundle { device: DeviceId::new([device; 16]), not_before_ms: NOW - age, ..bundle() })
        };
        let all = (0..12).flat_map(|device| [of(device, 100 - u64::from(device)), of(device, 500)]).collect();
        let chosen = newest(all);
        let devices: Vec<u8> = chosen.iter().map(|bundle| bundle.device.as_bytes()[0]).collect();
        assert_eq!(devices, [11, 10, 9, 8, 7, 6, 5, 4]);
        assert!(chosen.iter().all(|bundle| bundle.not_before_ms > NOW - 500));
    }
}
