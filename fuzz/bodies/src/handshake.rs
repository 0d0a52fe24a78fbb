//! Bodies for the bytes of a stranger: the three messages of a link's handshake.

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{
    Credentials, Dialler, Identity, Initiator, InitiatorProof, LinkConfig, Responder, ResponderWaiting,
    ServerHello, StaticKey,
};
use darkchat_proto::{Auth, DeviceId, Hello, HelloReply};
use rand_core::{Infallible, TryCryptoRng, TryRng};

/// The same numbers in every run, so that a finding repeats.
pub(crate) struct Fixed(pub(crate) u64);

impl Fixed {
    /// Others, for one step.
    pub(crate) const fn split(&mut self) -> Self {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
        Self(self.0)
    }
}

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [a, b, c, d, ..] = self.try_next_u64()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.try_next_u64()?.to_be_bytes()[0];
        }
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn alice() -> Identity {
    Identity::from_seed([1; 32])
}

fn server() -> Identity {
    Identity::from_seed([2; 32])
}

/// A server gets anything as messages 1 and 3. It never panics, and takes nothing but the honest bytes.
///
/// The first byte says which: 0, the rest is message 1; 1, it is message 3 after an honest message 1; 2, it damages
/// an honest message 3; else it is the payload of one.
pub fn handshake_server(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    match which % 4 {
        0 => {
            let (config, key) = (LinkConfig::default(), StaticKey::generate(&mut Fixed(3)));
            let hello = ServerHello::new(server().server_id());
            let message = Bytes::copy_from_slice(data);
            if let Ok((responder, request)) =
                Responder::read_hello(&config, &key, hello, message, &mut Fixed(4))
            {
                let (reply, _) = responder.reply(server().sign(&request));
                assert!(reply.len() <= 512, "an answer to a stranger stays short: {}", reply.len());
            }
        }
        1 => {
            let Some((_, waiting)) = both() else { return };
            assert!(waiting.read_auth(Bytes::copy_from_slice(data)).is_err(), "a stranger came in");
        }
        2 => {
            let Some((proof, waiting)) = both() else { return };
            let alice = alice();
            let signature = alice.sign(&proof.request());
            let Ok((message, _)) = proof.finish(alice.public(), signature, Credentials::default()) else {
                return;
            };
            let (damaged, changed) = damage(&message, data);
            assert_eq!(waiting.read_auth(damaged).is_err(), changed);
        }
        _ => {
            let data = Bytes::copy_from_slice(data);
            if let Ok(hello) = Hello::decode(data.clone()) {
                assert_eq!(Hello::decode(hello.encode().into()).as_ref(), Ok(&hello));
            }
            if let Ok(auth) = Auth::decode(data) {
                assert_eq!(Auth::decode(auth.encode().into()).as_ref(), Ok(&auth));
            }
        }
    }
}

/// A client gets anything as message 2. It never panics, and takes nothing but the honest bytes.
///
/// The first byte says which: 0, the rest damages an honest one; 1, it is one; else it is the payload of one.
pub fn handshake_client(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let (initiator, message) = dial();
    match which % 3 {
        0 => {
            let Some((reply, _)) = answer(message) else { return };
            let (damaged, changed) = damage(&reply, data);
            assert_eq!(initiator.read_reply(damaged).is_err(), changed);
        }
        1 => {
            assert!(initiator.read_reply(Bytes::copy_from_slice(data)).is_err(), "nobody proved a key");
        }
        _ => {
            if let Ok(reply) = HelloReply::decode(Bytes::copy_from_slice(data)) {
                assert_eq!(HelloReply::decode(reply.encode().into()).as_ref(), Ok(&reply));
            }
        }
    }
}

fn dial() -> (Initiator, Bytes) {
    let dialler = Dialler::Client(DeviceId::new([5; 16]));
    Initiator::start(&LinkConfig::default(), dialler, Some(server().server_id()), &mut Fixed(6))
}

/// The honest answer to `message`.
fn answer(message: Bytes) -> Option<(Bytes, ResponderWaiting)> {
    let (config, key) = (LinkConfig::default(), StaticKey::generate(&mut Fixed(3)));
    let hello = ServerHello::new(server().server_id());
    let (responder, request) = Responder::read_hello(&config, &key, hello, message, &mut Fixed(4)).ok()?;
    let (reply, waiting) = responder.reply(server().sign(&request));
    Some((reply, waiting.ok()?))
}

/// Both ends after two honest messages.
fn both() -> Option<(InitiatorProof, ResponderWaiting)> {
    let (initiator, message) = dial();
    let (reply, waiting) = answer(message)?;
    Some((initiator.read_reply(reply).ok()?, waiting))
}

/// Flips bits of `message`: pairs of bytes in `script` say where and which; a last single byte cuts the end.
fn damage(message: &[u8], script: &[u8]) -> (Bytes, bool) {
    let mut damaged = BytesMut::from(message);
    let (pairs, rest) = script.as_chunks::<2>();
    for &[place, flips] in pairs {
        let place = usize::from(place) % damaged.len().max(1);
        if let Some(byte) = damaged.get_mut(place) {
            *byte ^= flips;
        }
    }
    if let [cut] = *rest {
        damaged.truncate(damaged.len().saturating_sub(usize::from(cut)));
    }
    let changed = damaged != message;
    (damaged.freeze(), changed)
}
