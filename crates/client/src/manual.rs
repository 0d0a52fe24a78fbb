//! The login step by step, for people who want to see what is signed: connect, sign, verify. Source:
//! `docs/protocol.md`, section 3.2, "manual login".

use crate::error::ConnectError;
use crate::run::dial::{Dialler, Greeted};
use bytes::{Bytes, BytesMut};
use darkchat_crypto::Established;
use darkchat_proto::{Code, Frame, FrameStream, Goodbye, Kind, ServerAddr, ServerId, Signature};
use futures_util::{SinkExt as _, StreamExt as _};
use std::fmt;
use std::io;

/// A link on which the server has proven its key, and waits for our proof. It waits 5 s, unless its operator gives people
/// more time (`--handshake-timeout`).
///
/// ```
/// use darkchat_client::{Client, ManualLoginError};
/// use darkchat_crypto::Identity;
/// use darkchat_proto::Signature;
/// use darkchat_server::{Accept, Server};
/// use darkchat_transport::Memory;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let memory = Memory::default();
/// let server = Server::builder(Identity::generate())
///     .transport(memory.clone())
///     .listen("mem://station".parse()?, Accept::Clients)
///     .start()
///     .await?;
///
/// // Connect: the server proves its key, and everything that was agreed on goes into the challenge.
/// let login = Client::builder(Identity::generate()).transport(memory.clone()).manual_login("mem://station".parse()?).await?;
/// assert_eq!(login.server(), server.id());
/// assert!(login.challenge().starts_with(b"dchat/1/link-client\0main\0"));
/// // Sign, and verify: the server looks at the signature.
/// let signature = login.sign();
/// login.verify(signature).await?;
///
/// let login = Client::builder(Identity::generate()).transport(memory).manual_login("mem://station".parse()?).await?;
/// let wrong = login.verify(Signature::new([7; 64])).await;
/// assert!(matches!(wrong, Err(ManualLoginError::Malformed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct ManualLogin {
    dialler: Dialler,
    addr: ServerAddr,
    greeted: Greeted,
}

/// Why a manual login did not come to an end. There is no link any more; connect again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManualLoginError {
    /// The server closed without a word: the signature is none of this key over this challenge, or it came too late. Not a
    /// code of the protocol's, in which such an end is silent.
    #[error(
        "MALFORMED: the server closed without a word, it did not take the signature, or it came too late"
    )]
    Malformed,
    /// The signature is good, and the server does not take us. Its code says why.
    #[error("the server refuses the connection ({code}): {text}")]
    Refused {
        /// Why.
        code: Code,
        /// The server's words: clean them before a terminal gets them.
        text: String,
    },
    /// The link broke.
    #[error("the link broke")]
    Link(#[from] io::Error),
}

impl fmt::Debug for ManualLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualLogin").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl ManualLogin {
    pub(crate) async fn connect(dialler: Dialler, addr: ServerAddr) -> Result<Self, ConnectError> {
        let greeted = dialler.greet(&addr).await?;
        Ok(Self { dialler, addr, greeted })
    }

    /// The key that the server has proven.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.greeted.proof.server()
    }

    /// The bytes to sign: the label, the network, the hash of all that was said so far, our key of this link, and the
    /// server's identity. So the signature is of no use in another link, at another server or in another network.
    #[must_use]
    pub fn challenge(&self) -> Bytes {
        Bytes::copy_from_slice(self.greeted.proof.request().bytes())
    }

    /// The signature by our key.
    #[must_use]
    pub fn sign(&self) -> Signature {
        self.dialler.identity.sign(&self.greeted.proof.request())
    }

    /// Sends a signature and waits for the server's answer. `Ok`: it has welcomed our key; the link is then ended.
    ///
    /// # Errors
    /// [`ManualLoginError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the link.
    pub async fn verify(self, signature: Signature) -> Result<(), ManualLoginError> {
        let Self { dialler, greeted: Greeted { mut link, proof, .. }, .. } = self;
        let finished = proof.finish(dialler.identity.public(), signature, dialler.credentials.clone());
        let (auth, Established { mut opener, mut sealer, .. }) =
            finished.map_err(|_| ManualLoginError::Malformed)?;
        link.sink.send(auth).await?;
        let Some(Ok(unit)) = link.units.next().await else { return Err(ManualLoginError::Malformed) };
        let unit = unit.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let plain = opener.open(unit).map_err(|_| ManualLoginError::Malformed)?;
        let mut frames = FrameStream::default();
        frames.push(plain.freeze());
        let first = frames.next_frame().ok().flatten().and_then(|frame| Frame::decode(frame).ok());
        match first.map(|frame| frame.kind) {
            Some(Kind::Welcome(_)) => {
                let goodbye = Frame::from(Kind::Goodbye(Goodbye::new(Code::Ok)));
                let mut record = BytesMut::from(&goodbye.encode_split().0[..]);
                // The login has been shown; how the link ends is of no interest to anybody any more.
                if sealer.seal(&mut record).is_ok() {
                    let _ended = link.sink.send(record.freeze()).await;
                }
                Ok(())
            }
            Some(Kind::Goodbye(Goodbye { code, text, .. })) => Err(ManualLoginError::Refused { code, text }),
            _ => Err(ManualLoginError::Malformed),
        }
    }
}
