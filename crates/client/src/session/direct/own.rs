//! This device as others may call it: its short-lived keys, and what their bundles said. Source: `docs/protocol.md`,
//! section 7.2.

use super::Party;
use crate::session::SignId;
use bytes::Bytes;
use darkchat_crypto::direct::Callee;
use darkchat_crypto::{SeededRng, StaticKey, bundle};
use darkchat_proto::{Bundle, Features, KeyId, ServerId, Signature, Signed, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// The age at which the key is replaced (DH_ROTATE).
const ROTATE: Duration = Duration::from_millis(bundle::ROTATE_MS);
/// How long a replaced key still answers calls (DH_KEEP).
const KEEP: Duration = Duration::from_millis(bundle::KEEP_MS);
/// Bundles of one key that calls may still name: a device that logs in anew every second uses up 32 in half a minute,
/// and no caller's bundle is older.
const BUNDLES: usize = 32;
/// Keys at once: the one in use, and those that it replaced within [`KEEP`].
const KEYS: usize = 2;

/// A key of ours, and the bundles that named it.
#[derive(Debug)]
struct OwnKey {
    key: StaticKey,
    made: Time,
    replaced: Option<Time>,
    bundles: VecDeque<Callee>,
}

/// A bundle that is being signed.
#[derive(Debug)]
struct Unsigned {
    sign: SignId,
    body: Bytes,
}

/// This device's keys and bundles. Private halves are wiped when a key goes.
#[derive(Debug, Default)]
pub(super) struct OwnDevice {
    /// The newest last.
    keys: VecDeque<OwnKey>,
    unsigned: Option<Unsigned>,
    /// What calls carry: of this link, and signed.
    current: Option<Signed>,
    not_after_ms: u64,
}

impl OwnDevice {
    /// The body of a bundle for this link, to be signed; with a new key if the one at hand is old enough.
    pub(super) fn prepare(
        &mut self,
        now: Time,
        now_ms: u64,
        (own, server): (Party, ServerId),
        sign: SignId,
        secrets: &mut SeededRng,
    ) -> Bytes {
        self.rotate(now, secrets);
        let made = self.keys.back().map_or(now, |own| own.made);
        let dh = self.keys.back().map_or([0; 32], |own| *own.key.public());
        let left = (made + ROTATE + KEEP).saturating_since(now).as_millis();
        self.not_after_ms = now_ms.saturating_add(u64::try_from(left).unwrap_or(0));
        let Party { user, device } = own;
        let body = Bundle {
            suite: bundle::SUITE,
            user,
            device,
            dh,
            not_before_ms: now_ms,
            not_after_ms: self.not_after_ms,
            server,
            features: Features::NONE,
        }
        .encode();
        if let Some(own) = self.keys.back_mut() {
            own.bundles.push_back(Callee::own(user, device, &own.key, &body));
            if own.bundles.len() > BUNDLES {
                own.bundles.pop_front();
            }
        }
        self.unsigned = Some(Unsigned { sign, body: body.clone() });
        body
    }

    fn rotate(&mut self, now: Time, secrets: &mut SeededRng) {
        if self.keys.back().is_some_and(|own| now.saturating_since(own.made) < ROTATE) {
            return;
        }
        if let Some(own) = self.keys.back_mut() {
            own.replaced = Some(now);
        }
        let key = StaticKey::generate(secrets);
        self.keys.push_back(OwnKey { key, made: now, replaced: None, bundles: VecDeque::new() });
        if self.keys.len() > KEYS {
            self.keys.pop_front();
        }
    }

    /// Takes a signature; what to give to the server, if it is the one that is waited for.
    pub(super) fn signed(&mut self, sign: SignId, sig: Signature) -> Option<Bytes> {
        let unsigned = self.unsigned.take_if(|unsigned| unsigned.sign == sign)?;
        let signed = Signed { body: unsigned.body, sig };
        let bytes = signed.encode();
        self.current = Some(signed);
        Some(bytes)
    }

    /// The link is gone, and with it the server that the bundle named.
    pub(super) fn unset(&mut self) {
        self.unsigned = None;
        self.current = None;
    }

    /// Whether a bundle for this link is neither there nor on its way.
    pub(super) const fn is_unset(&self) -> bool {
        self.unsigned.is_none() && self.current.is_none()
    }

    /// What a call is made with: our key, and the bundle that names it.
    pub(super) fn caller(&self) -> Option<(&StaticKey, &Signed)> {
        Some((&self.keys.back()?.key, self.current.as_ref()?))
    }

    /// What a call to the bundle with this name is answered with.
    pub(super) fn callee(&self, id: KeyId) -> Option<(&StaticKey, &Callee)> {
        let mut own = self.keys.iter().flat_map(|own| own.bundles.iter().map(move |of| (&own.key, of)));
        own.find(|(_, callee)| callee.key_id() == id)
    }

    /// Wipes keys whose time is over. Says whether the one in use is due to be replaced: by its age, or because the
    /// wall clock has passed the end of its bundle.
    pub(super) fn expire(&mut self, now: Time, now_ms: u64) -> bool {
        self.keys.retain(|own| own.replaced.is_none_or(|at| now.saturating_since(at) < KEEP));
        self.current.is_some()
            && (self.keys.back().is_some_and(|own| now.saturating_since(own.made) >= ROTATE)
                || now_ms > self.not_after_ms)
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many bundles of them calls may name.
    #[cfg(test)]
    pub(super) fn bundles(&self) -> usize {
        self.keys.iter().map(|own| own.bundles.len()).sum()
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let keys = self.keys.iter().filter_map(|own| match own.replaced {
            Some(at) => Some(at + KEEP),
            None => self.current.is_some().then(|| own.made + ROTATE),
        });
        keys.min()
    }
}
