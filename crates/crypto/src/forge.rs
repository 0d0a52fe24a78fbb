//! Direct conversations that never were: why a real one proves nothing to others. Source: `docs/protocol.md`, section 7.1.
//!
//! Identities sign bundles and never a message. Every key of a conversation agrees with one of the receiver's, so the
//! receiver can write all of it alone, with the words that it likes, and with nobody's secrets but its own. The
//! result is what two devices would have sent, and no verifier can tell. This module does it, so that the claim is
//! tested and not only made; people who are accused by a transcript may point to it.

use crate::StaticKey;
use crate::direct::{Callee, DirectError, DirectKeys};
use crate::noise::Noise;
use crate::ratchet::{HalfOpen, Ratchet};
use bytes::Bytes;
use darkchat_proto::{
    DirectHead, Features, InitPayload, InitRef, Network, Packet, RespPayload, Signed, Time,
};
use rand_core::CryptoRng;

/// Who seems to say a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a conversation has two sides")]
pub enum Speaker {
    /// The one who seems to have called, and never did.
    Caller,
    /// The one who seems to have been called, and writes all this.
    Callee,
}

/// A conversation, as servers would have carried it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcript {
    /// The call.
    pub init: Bytes,
    /// Its answer.
    pub resp: Bytes,
    /// The messages, one a line.
    pub messages: Vec<Bytes>,
}

fn cut(packet: Bytes) -> Result<(DirectHead, Bytes), DirectError> {
    match Packet::decode(packet) {
        Ok(Packet::Message { head, sealed }) => Ok((head, sealed)),
        _ => Err(DirectError::Malformed),
    }
}

/// Writes a conversation from the callee's own key and the public bundle of somebody who seems to have called at
/// `time_ms` (Unix milliseconds). The first line is the caller's. Each line is a padded content.
///
/// `own_rng` is what the callee's device would have had: with the same, it answers the same call with the same bytes.
///
/// # Errors
/// [`DirectError`]: the bundle is none or has a weak key, a line is too long, or the first one is the callee's.
#[expect(clippy::too_many_arguments, reason = "all that a conversation is made of")]
pub fn transcript(
    network: &Network,
    own: &StaticKey,
    callee: &Callee,
    caller: &Signed,
    time_ms: u64,
    lines: &[(Speaker, &[u8])],
    own_rng: &mut impl CryptoRng,
    rng: &mut impl CryptoRng,
) -> Result<Transcript, DirectError> {
    let bundle = darkchat_proto::Bundle::decode(caller.body.clone()).map_err(|_| DirectError::Payload)?;
    let payload = InitPayload { bundle: caller.clone(), time_ms, features: Features::NONE };
    let seeming = StaticKey::generate(rng);
    let ephemeral = StaticKey::generate(own_rng);
    let prologue = callee.prologue(network);
    let mut noise = Noise::ik_forger(&prologue, own.clone(), ephemeral, bundle.dh, *seeming.public());
    let first = Bytes::from(noise.forge(&payload.encode())?);

    let pair = StaticKey::generate(own_rng);
    let answer = RespPayload { ratchet: *pair.public(), features: Features::NONE };
    let second = noise.write(&answer.encode())?;
    let reference = InitRef::of_noise(&first);
    let keys = DirectKeys::new(&noise);

    let now = Time::ZERO;
    let mut theirs = Ratchet::call(&keys, pair.public(), now, rng).map_err(|_| DirectError::WeakKey)?;
    let half_open = HalfOpen::new(&keys, pair, now);
    let mut ours = None;
    let mut messages = Vec::new();
    for (speaker, line) in lines {
        let packet = match (speaker, &mut ours) {
            (Speaker::Caller, _) => theirs.seal(now, line),
            (Speaker::Callee, Some(ours)) => Ratchet::seal(ours, now, line),
            (Speaker::Callee, None) => return Err(DirectError::Other),
        };
        let packet = packet.map_err(|_| DirectError::Payload)?;
        let (head, sealed) = cut(packet.clone())?;
        match (speaker, &mut ours) {
            (Speaker::Callee, _) => theirs.open(now, &head, &sealed, rng).map(drop),
            (Speaker::Caller, Some(ours)) => Ratchet::open(ours, now, &head, &sealed, own_rng).map(drop),
            (Speaker::Caller, None) => {
                half_open.open(now, &head, &sealed, own_rng).map(|(ratchet, _)| ours = Some(ratchet))
            }
        }
        .map_err(|_| DirectError::Refused)?;
        messages.push(packet);
    }
    let init = Packet::Init { key: callee.key_id(), noise: first }.encode();
    let resp = Packet::Resp { init: reference, noise: second.into() }.encode();
    Ok(Transcript { init, resp, messages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::Answering;
    use crate::testing::Seeded;
    use crate::{Identity, bundle, sign};
    use darkchat_proto::{Bundle, ContentId, DeviceId, DmContent, ServerId};

    const NOW: u64 = 1_800_000_000_000;

    fn signed_bundle(user: &Identity, key: &StaticKey) -> Signed {
        let body = Bundle {
            suite: bundle::SUITE,
            user: user.user_id(),
            device: DeviceId::new([1; 16]),
            dh: *key.public(),
            not_before_ms: NOW,
            not_after_ms: NOW + bundle::ROTATE_MS,
            server: ServerId::new([9; 32]),
            features: Features::NONE,
        }
        .encode();
        Signed { sig: user.sign(&sign::bundle(&Network::default(), &body)), body }
    }

    #[test]
    fn the_receivers_own_verifier_accepts_what_the_receiver_has_forged() {
        let network = Network::default();
        // Alice's secrets exist long enough to sign her bundle, which everybody may see.
        let (alices_id, alices_bundle) = {
            let alice = Identity::from_seed([1; 32]);
            (alice.user_id(), signed_bundle(&alice, &StaticKey::generate(&mut Seeded(1))))
        };
        let (bob, key) = (Identity::from_seed([2; 32]), StaticKey::generate(&mut Seeded(2)));
        let own = Callee::own(bob.user_id(), DeviceId::new([1; 16]), &key, &signed_bundle(&bob, &key).body);
        let line = |id: u8, text: &str| DmContent::text(ContentId::new([id; 16]), NOW, text).encode_padded();
        let said = [
            (Speaker::Caller, line(1, "let us rob the bank")),
            (Speaker::Caller, line(2, "tomorrow")),
            (Speaker::Callee, line(3, "no!")),
            (Speaker::Caller, line(4, "then alone")),
        ];
        let lines = said.each_ref().map(|(speaker, line)| (*speaker, line.as_ref()));
        let forged =
            transcript(&network, &key, &own, &alices_bundle, NOW, &lines, &mut Seeded(3), &mut Seeded(4))
                .unwrap();

        // Bob's device, the ordinary code: it answers the call with the same bytes and opens every line.
        let mut rng = Seeded(3);
        let (answering, payload) =
            Answering::read_init(&network, &key, &own, &forged.init, &mut rng).unwrap();
        let (caller, _) = answering.caller(&network, &payload, NOW).unwrap();
        assert_eq!(caller.user, alices_id, "it believes that alice has called");
        let (half_open, resp) = answering.establish(Features::NONE, Time::ZERO, &mut rng).unwrap();
        assert_eq!(resp, forged.resp);
        let mut ratchet = None;
        for ((speaker, said), packet) in said.iter().zip(&forged.messages) {
            let (head, sealed) = cut(packet.clone()).unwrap();
            let plain = match (speaker, &mut ratchet) {
                (Speaker::Callee, Some(ratchet)) => {
                    assert_eq!(&Ratchet::seal(ratchet, Time::ZERO, said).unwrap(), packet);
                    continue;
                }
                (_, Some(ratchet)) => Ratchet::open(ratchet, Time::ZERO, &head, &sealed, &mut rng).unwrap(),
                (_, None) => {
                    let (whole, plain) = half_open.open(Time::ZERO, &head, &sealed, &mut rng).unwrap();
                    ratchet = Some(whole);
                    plain
                }
            };
            assert_eq!(&plain, said);
        }
        let first = transcript(
            &network,
            &key,
            &own,
            &alices_bundle,
            NOW,
            &[(Speaker::Callee, b"")],
            &mut Seeded(3),
            &mut Seeded(4),
        );
        assert_eq!(first, Err(DirectError::Other), "who was called does not speak first");
    }

    #[test]
    fn somebody_elses_call_cannot_be_forged_without_a_key_of_one_of_the_two() {
        let network = Network::default();
        let (alice, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let (bobs_key, mallorys_key) =
            (StaticKey::generate(&mut Seeded(2)), StaticKey::generate(&mut Seeded(5)));
        let alices_bundle = signed_bundle(&alice, &StaticKey::generate(&mut Seeded(1)));
        let body = signed_bundle(&bob, &bobs_key).body;
        let own = Callee::own(bob.user_id(), DeviceId::new([1; 16]), &bobs_key, &body);
        let forged = transcript(
            &network,
            &mallorys_key,
            &own,
            &alices_bundle,
            NOW,
            &[],
            &mut Seeded(3),
            &mut Seeded(4),
        )
        .unwrap();
        let read = Answering::read_init(&network, &bobs_key, &own, &forged.init, &mut Seeded(3));
        assert_eq!(read.map(drop).unwrap_err(), DirectError::Refused);
    }
}
