//! The side that is dialled: always a server.

use super::{
    Authenticated, Credentials, Established, HandshakeError, LinkConfig, VERSIONS, initiator_request, read,
    responder_request,
};
use crate::dh::StaticKey;
use crate::noise::Noise;
use crate::record::{Opener, Sealer};
use crate::{SignRequest, verify};
use bytes::Bytes;
use darkchat_proto::{
    Announced, Auth, DecodeError, DeviceId, Features, Hello, HelloReply, Network, Role, ServerId, Signature,
};
use rand_core::CryptoRng;

/// What a server says of itself in message 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by servers; a new field is a new protocol feature")]
pub struct ServerHello {
    /// Its key.
    pub server: ServerId,
    /// The numbers that the initiator shall obey.
    pub announced: Announced,
}

impl ServerHello {
    /// A server that announces nothing: the protocol's constants count.
    #[must_use]
    pub fn new(server: ServerId) -> Self {
        Self { server, announced: Announced::default() }
    }
}

/// Has read message 1 and needs a signature for message 2.
#[derive(Debug)]
pub struct Responder {
    noise: Noise,
    message: Vec<u8>,
    network: Network,
    hello: Hello,
    ours: ServerHello,
    features: Features,
}

impl Responder {
    /// Reads message 1 and says what the server must sign. Takes 32 bytes of randomness.
    ///
    /// `key` is the server's for this process. The key agreements of message 2 are made here, so that a weak key
    /// costs no signature.
    ///
    /// # Errors
    /// [`HandshakeError`]: close without a byte.
    pub fn read_hello(
        config: &LinkConfig,
        key: &StaticKey,
        ours: ServerHello,
        message: Bytes,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, SignRequest), HandshakeError> {
        let mut noise = Noise::xx_responder(&config.prologue(), key.clone(), StaticKey::generate(rng));
        let hello = Hello::decode(read(&mut noise, &message)?)?;
        let request = responder_request(&config.network, noise.hash(), key.public());
        let message = noise.write_keys()?;
        let (network, features) = (config.network.clone(), config.features);
        Ok((Self { noise, message, network, hello, ours, features }, request))
    }

    /// Makes message 2, to be sent in every case, and the next step.
    ///
    /// Without a protocol version in common message 2 says so, and the next step is
    /// [`HandshakeError::Version`]: send the message and close.
    #[must_use = "the message is to be sent, and the next step to be taken"]
    #[expect(clippy::expect_used, reason = "the key agreements were made before, and the payload is short")]
    pub fn reply(self, signature: Signature) -> (Bytes, Result<ResponderWaiting, HandshakeError>) {
        let Self { mut noise, mut message, network, hello, ours, features } = self;
        let common = VERSIONS.iter().filter(|version| hello.versions.contains(version)).max();
        let reply = HelloReply {
            version: common.copied().unwrap_or_default(),
            versions: VERSIONS.to_vec(),
            features,
            server: *ours.server.as_bytes(),
            sig: Some(signature),
            announced: ours.announced,
        };
        noise.write_payload(&mut message, &reply.encode()).expect("AES-GCM seals what is below 64 GiB");
        let features = features & hello.features;
        let waiting = ResponderWaiting { noise, network, role: hello.role, server: ours.server, features };
        let next = common.map(|_| waiting).ok_or(HandshakeError::Version { theirs: hello.versions });
        (message.into(), next)
    }
}

/// Has sent message 2 and waits for message 3.
#[derive(Debug)]
pub struct ResponderWaiting {
    noise: Noise,
    network: Network,
    role: Role,
    server: ServerId,
    features: Features,
}

impl ResponderWaiting {
    /// The role that the initiator wants; it signs it in message 3.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Reads message 3 and completes the handshake on this side.
    ///
    /// # Errors
    /// [`HandshakeError`]: close without a byte.
    pub fn read_auth(self, message: Bytes) -> Result<(Established, Credentials), HandshakeError> {
        let Self { mut noise, network, role, server, features } = self;
        let h2 = *noise.hash();
        let Auth { identity, sig, device, token, agent, resume } = Auth::decode(read(&mut noise, &message)?)?;
        check_device(role, device)?;
        let fixed = noise.remote_static().ok_or(HandshakeError::Cut)?;
        verify::request(&identity, &initiator_request(&network, role, &h2, fixed, server.as_bytes()), &sig)?;
        let (there, back) = noise.split();
        let announced = Announced::default();
        let peer = Authenticated { identity, role, device, features, announced };
        let established = Established { peer, sealer: Sealer::new(&back), opener: Opener::new(&there) };
        Ok((established, Credentials { token, agent, resume }))
    }
}

/// Clients name their device, peers have none.
fn check_device(role: Role, device: Option<DeviceId>) -> Result<(), DecodeError> {
    let len = if device.is_some() { 16 } else { 0 };
    if device.is_some() == (role == Role::Client) {
        Ok(())
    } else {
        Err(DecodeError::Length { field: "device", len })
    }
}
