//! Who signs and who checks: real Ed25519, or a stand-in that costs a thousandth and refuses the same forgeries.

use crate::mix::Mix;
use bytes::Bytes;
use darkchat_crypto::{Identity, SignRequest, Verified, VerifyError, sign, verify};
use darkchat_proto::{Bundle, InterestShard, Network, Post, ServerRecord, Signature, Signed};

/// Which signatures a world uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signing {
    /// Ed25519.
    Real,
    /// A hash over key and request in its place: whoever alters a body or names another key does not know it, as
    /// long as nobody in the world computes it for another.
    StandIn,
}

/// A key that signs in either way.
#[derive(Debug)]
pub(crate) struct Signer {
    identity: Identity,
    signing: Signing,
}

impl Signer {
    pub(crate) fn new(seed: [u8; 32], signing: Signing) -> Self {
        Self { identity: Identity::from_seed(seed), signing }
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.identity.public()
    }

    pub(crate) fn sign(&self, request: &SignRequest) -> Signature {
        match self.signing {
            Signing::Real => self.identity.sign(request),
            Signing::StandIn => stand_in(&self.public(), request),
        }
    }

    /// An encoded `Signed`.
    pub(crate) fn signed(&self, body: Bytes, request: &SignRequest) -> Bytes {
        Signed { body, sig: self.sign(request) }.encode()
    }
}

fn stand_in(public: &[u8; 32], request: &SignRequest) -> Signature {
    let mut mix = Mix::new();
    mix.bytes(public);
    mix.bytes(request.bytes());
    let mut bytes = [0; 64];
    for word in bytes.as_chunks_mut().0 {
        mix.number(1);
        *word = mix.hash().to_le_bytes();
    }
    Signature::new(bytes)
}

/// Turns the sum of a body and its stand-in signature into a proof.
fn checked<T>(
    body: T,
    key: [u8; 32],
    request: &SignRequest,
    sig: &Signature,
) -> Result<Verified<T>, VerifyError> {
    if stand_in(&key, request) == *sig {
        Ok(Verified::unchecked(body))
    } else {
        Err(VerifyError::BadSignature)
    }
}

impl Signing {
    pub(crate) fn post(self, network: &Network, signed: &Signed) -> Result<Verified<Post>, VerifyError> {
        if self == Self::Real {
            return verify::post(network, signed);
        }
        let post = Post::decode(signed.body.clone())?;
        let key = *post.author.as_bytes();
        checked(post, key, &sign::post(network, &signed.body), &signed.sig)
    }

    pub(crate) fn bundle(self, network: &Network, signed: &Signed) -> Result<Verified<Bundle>, VerifyError> {
        if self == Self::Real {
            return verify::bundle(network, signed);
        }
        let bundle = Bundle::decode(signed.body.clone())?;
        let key = *bundle.user.as_bytes();
        checked(bundle, key, &sign::bundle(network, &signed.body), &signed.sig)
    }

    pub(crate) fn record(
        self,
        network: &Network,
        signed: &Signed,
    ) -> Result<Verified<ServerRecord>, VerifyError> {
        if self == Self::Real {
            return verify::record(network, signed);
        }
        let record = ServerRecord::decode(signed.body.clone())?;
        let key = *record.server.as_bytes();
        checked(record, key, &sign::record(network, &signed.body), &signed.sig)
    }

    pub(crate) fn shard(
        self,
        network: &Network,
        signed: &Signed,
    ) -> Result<Verified<InterestShard>, VerifyError> {
        if self == Self::Real {
            return verify::shard(network, signed);
        }
        let shard = InterestShard::decode(signed.body.clone())?;
        let key = *shard.server.as_bytes();
        checked(shard, key, &sign::shard(network, &signed.body), &signed.sig)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{ChannelId, Entry, UserId};

    fn post(author: [u8; 32]) -> Post {
        Post {
            author: UserId::new(author),
            channel: ChannelId::new([2; 32]),
            stream: 1,
            seq: 1,
            time_ms: 1,
            name: String::new(),
            entries: vec![Entry::text("hi")],
        }
    }

    #[test]
    fn both_ways_of_signing_take_the_author_and_refuse_everybody_else() {
        let network = Network::default();
        for signing in [Signing::Real, Signing::StandIn] {
            let (ann, eve) = (Signer::new([1; 32], signing), Signer::new([2; 32], signing));
            let body = post(ann.public()).encode();
            let request = sign::post(&network, &body);
            let good = Signed { body: body.clone(), sig: ann.sign(&request) };
            assert!(signing.post(&network, &good).is_ok());
            let forged = Signed { body: body.clone(), sig: eve.sign(&request) };
            assert_eq!(signing.post(&network, &forged), Err(VerifyError::BadSignature));
            let altered = Signed { body: Post { seq: 2, ..post(ann.public()) }.encode(), ..good.clone() };
            assert_eq!(signing.post(&network, &altered), Err(VerifyError::BadSignature));
            let elsewhere = Signed { sig: ann.sign(&sign::record(&network, &body)), ..good };
            assert_eq!(signing.post(&network, &elsewhere), Err(VerifyError::BadSignature));
        }
    }
}
