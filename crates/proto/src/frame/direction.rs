//! Which end of which link may send which kind of frame. Source: `docs/protocol.md`, sections 4.1 and 4.4.

use super::{Kind, Refusal};
use crate::Code;

/// Who may send a kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// A client to its server.
    Client,
    /// A server to its client.
    Server,
    /// A server to a server.
    Peer,
    /// A server to a client or to a server.
    ServerOrPeer,
    /// Anyone.
    Any,
}

impl Kind {
    /// Who may send this kind; `None` for one of a later version.
    #[must_use]
    pub const fn sender(&self) -> Option<Sender> {
        Some(match self {
            Self::Join { .. } | Self::Leave { .. } | Self::Publish { .. } | Self::SetBundle { .. } => {
                Sender::Client
            }
            Self::Lookup { .. } | Self::SendDm(_) | Self::DmReject { .. } => Sender::Client,
            Self::Welcome(_) | Self::Ok(_) | Self::Error(_) => Sender::ServerOrPeer,
            Self::Deliver(_) | Self::Dm(_) | Self::Found { .. } | Self::DmStatus(_) | Self::Notice(_) => {
                Sender::Server
            }
            Self::Ping { .. } | Self::Pong { .. } | Self::Goodbye(_) => Sender::Any,
            Self::Digest { .. } | Self::Pull { .. } | Self::Record(_) | Self::Shard(_) | Self::Route(_) => {
                Sender::Peer
            }
            Self::LinkAck { .. }
            | Self::RouteDone { .. }
            | Self::DialBack { .. }
            | Self::Complaint { .. } => Sender::Peer,
            Self::Unknown(_) => return None,
        })
    }

    /// Whether a client may send this kind to its server. `Error(UNSUPPORTED)` may pass in any direction.
    ///
    /// Like the two below, false for a kind of a later version: whether that is answered or ignored stands in 4.4
    /// and not here.
    #[must_use]
    pub fn is_from_client(&self) -> bool {
        matches!(self.sender(), Some(Sender::Client | Sender::Any)) || self.is_unsupported()
    }

    /// Whether a server may send this kind to its client.
    #[must_use]
    pub const fn is_from_server(&self) -> bool {
        matches!(self.sender(), Some(Sender::Server | Sender::ServerOrPeer | Sender::Any))
    }

    /// Whether a server may send this kind to a server.
    #[must_use]
    pub const fn is_from_peer(&self) -> bool {
        matches!(self.sender(), Some(Sender::Peer | Sender::ServerOrPeer | Sender::Any))
    }

    /// Whether a server counts this kind among the frames of a client's session (5.4): the numbers 10 to 19.
    #[must_use]
    pub const fn counts_from_client(&self) -> bool {
        matches!(self.sender(), Some(Sender::Client)) || matches!(self, Self::Unknown(10..=19))
    }

    /// Whether a client counts this kind among the frames of its session (5.4): the numbers 20 to 29, `Welcome`
    /// excepted.
    #[must_use]
    pub const fn counts_from_server(&self) -> bool {
        match self {
            Self::Welcome(_) => false,
            Self::Unknown(number) => matches!(*number, 20..=29),
            _ => matches!(self.sender(), Some(Sender::Server | Sender::ServerOrPeer)),
        }
    }

    fn is_unsupported(&self) -> bool {
        matches!(self, Self::Error(Refusal { code: Code::Unsupported, .. }))
    }
}
