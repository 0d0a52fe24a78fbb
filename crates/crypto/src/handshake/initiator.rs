//! The side that dials: a client, or a server that links with another.

use super::{
    Authenticated, Credentials, Dialler, Established, HandshakeError, LinkConfig, VERSIONS,
    initiator_request, read, responder_request,
};
use crate::dh::StaticKey;
use crate::noise::Noise;
use crate::record::{Opener, Sealer};
use crate::{SignRequest, verify};
use bytes::Bytes;
use darkchat_proto::{Announced, Auth, Features, Hello, HelloReply, Network, ServerId, Signature};
use rand_core::CryptoRng;

/// Has sent message 1 and waits for message 2.
#[derive(Debug)]
pub struct Initiator {
    noise: Noise,
    network: Network,
    dialler: Dialler,
    expect: Option<ServerId>,
    features: Features,
}

impl Initiator {
    /// Begins a handshake; returns message 1 too. Takes 64 bytes of randomness: ephemeral key, then static key.
    ///
    /// `expect` is the server's key as it is known or pinned; without one, the key that comes out must be judged by
    /// the caller before anything else ([`InitiatorProof::server`]).
    #[must_use]
    #[expect(clippy::expect_used, reason = "message 1 of XX is in clear and agrees on nothing")]
    pub fn start(
        config: &LinkConfig,
        dialler: Dialler,
        expect: Option<ServerId>,
        rng: &mut impl CryptoRng,
    ) -> (Self, Bytes) {
        let ephemeral = StaticKey::generate(rng);
        let fixed = StaticKey::generate(rng);
        let mut noise = Noise::xx_initiator(&config.prologue(), fixed, ephemeral);
        let features = config.features;
        let hello = Hello { versions: VERSIONS.to_vec(), role: dialler.role(), features };
        let message = noise.write(&hello.encode()).expect("nothing is sealed yet");
        let network = config.network.clone();
        (Self { noise, network, dialler, expect, features }, message.into())
    }

    /// Reads message 2 and makes the checks of section 3.2, in its order: version, expected key, signature.
    ///
    /// # Errors
    /// [`HandshakeError`]; nothing of our identity was sent.
    pub fn read_reply(self, message: Bytes) -> Result<InitiatorProof, HandshakeError> {
        let Self { mut noise, network, dialler, expect, features } = self;
        let h1 = *noise.hash();
        let reply = HelloReply::decode(read(&mut noise, &message)?)?;
        if !VERSIONS.contains(&reply.version) {
            return Err(HandshakeError::Version { theirs: reply.versions });
        }
        let found = ServerId::new(reply.server);
        if let Some(expected) = expect.filter(|expected| *expected != found) {
            return Err(HandshakeError::WrongServer { expected, found });
        }
        let fixed = noise.remote_static().ok_or(HandshakeError::Cut)?;
        let signature = reply.sig.ok_or(HandshakeError::BadSignature)?;
        verify::request(&reply.server, &responder_request(&network, &h1, fixed), &signature)?;
        let (announced, features) = (reply.announced, features & reply.features);
        Ok(InitiatorProof { noise, network, dialler, server: found, features, announced })
    }
}

/// Has a proven server at the other end, and now proves itself.
#[derive(Debug)]
pub struct InitiatorProof {
    noise: Noise,
    network: Network,
    dialler: Dialler,
    server: ServerId,
    features: Features,
    announced: Announced,
}

impl InitiatorProof {
    /// The server's key, proven.
    #[must_use]
    pub const fn server(&self) -> ServerId {
        self.server
    }

    /// The features that both ends offer.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// The numbers that the server announces.
    #[must_use]
    pub const fn announced(&self) -> &Announced {
        &self.announced
    }

    /// What our identity must sign. The same at each call.
    #[must_use]
    pub fn request(&self) -> SignRequest {
        let (h2, fixed) = (self.noise.hash(), self.noise.local_static());
        initiator_request(&self.network, self.dialler.role(), h2, fixed, self.server.as_bytes())
    }

    /// Makes message 3 and completes the handshake on this side.
    ///
    /// The signature is not looked at: it may come from a person, and the server judges it. A server that does not
    /// take it closes without a word.
    ///
    /// # Errors
    /// [`HandshakeError::Credentials`] if they are longer than their bounds allow.
    pub fn finish(
        self,
        identity: [u8; 32],
        signature: Signature,
        credentials: Credentials,
    ) -> Result<(Bytes, Established), HandshakeError> {
        let Self { mut noise, network: _, dialler, server, features, announced } = self;
        credentials.check()?;
        let Credentials { token, agent, resume } = credentials;
        let auth = Auth { identity, sig: signature, device: dialler.device(), token, agent, resume };
        let message = noise.write(&auth.encode())?;
        let (there, back) = noise.split();
        let identity = *server.as_bytes();
        let peer = Authenticated { identity, role: dialler.role(), device: None, features, announced };
        let established = Established { peer, sealer: Sealer::new(&there), opener: Opener::new(&back) };
        Ok((message.into(), established))
    }
}
