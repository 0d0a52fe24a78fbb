//! The link's task at a server: from the bytes of a frame to what the node may know of it, with stand-in signatures.

use bytes::{Bytes, BytesMut};
use darkchat_crypto::Verified;
use darkchat_node::{Check, Received};
use darkchat_proto::{
    Class, Code, Deliver, Digest16, Frame, InterestShard, Kind, RouterId, ServerId, ServerRecord, Signature,
    Signed,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// In place of a signature: the key twice. Who signs for another does not get past this.
pub(super) fn stub(server: &ServerId) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(server.as_bytes());
    bytes[32..].copy_from_slice(server.as_bytes());
    Signature::new(bytes)
}

/// A frame as one run of bytes, without its length.
pub(super) fn join(head: &Bytes, body: &Bytes) -> Bytes {
    let prefix = head.iter().position(|byte| byte & 0x80 == 0).map_or(head.len(), |last| last + 1);
    let mut whole = BytesMut::with_capacity(head.len() - prefix + body.len());
    whole.extend_from_slice(&head[prefix..]);
    whole.extend_from_slice(body);
    whole.freeze()
}

/// Records that were decoded before. Each comes over every link, in the very bytes in which it was first passed on, so
/// each is decoded once, and all nodes share what it was decoded to.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// By the place of the bytes, which is theirs as long as they are held here.
    known: BTreeMap<usize, Decoded>,
    order: VecDeque<usize>,
}

#[derive(Debug)]
struct Decoded {
    signed: Bytes,
    hash: u64,
    record: Option<Arc<ServerRecord>>,
}

/// The records kept: some for each of a few thousand servers.
const MAX_KNOWN: usize = 20_000;

impl Records {
    /// What the node gets for a frame that was decoded before, and the hash of its body.
    pub(super) fn repeated(&self, body: &Bytes) -> Option<(Received, u64)> {
        let known = self.known.get(&body.as_ptr().addr()).filter(|known| known.signed.len() == body.len())?;
        let received = match &known.record {
            Some(record) => Received::Record {
                record: Verified::unchecked(Arc::clone(record)),
                signed: known.signed.clone(),
            },
            None => refused(0, Code::BadSignature),
        };
        Some((received, known.hash))
    }

    /// Keeps what a body was decoded to, with its hash.
    pub(super) fn keep(&mut self, hash: u64, body: &Bytes, received: &mut Received) {
        let record = match received {
            Received::Record { record, signed } => {
                // Nodes keep what they are given: all of them these bytes.
                *signed = body.clone();
                Some(Verified::clone(record).into_inner())
            }
            _ => None,
        };
        if self.known.insert(body.as_ptr().addr(), Decoded { signed: body.clone(), hash, record }).is_none() {
            self.order.push_back(body.as_ptr().addr());
        }
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// What the node gets for a frame from a peer: one thing, or a shard and the route that brought it.
pub(super) fn receive(own: RouterId, frame: Frame) -> (Received, Option<Received>) {
    let req = frame.req;
    match frame.kind {
        Kind::Record(signed) => match record(&signed) {
            Some(record) => (Received::Record { record: Verified::unchecked(record).shared(), signed }, None),
            None => (refused(req, Code::BadSignature), None),
        },
        Kind::Shard(signed) => match shard(&signed) {
            Some(shard) => (Received::Shard { shard: Verified::unchecked(shard), signed }, None),
            None => (refused(req, Code::BadSignature), None),
        },
        Kind::Route(route) => {
            let is_ours = route.head.dst.contains(&own);
            let payload = route.payload;
            let (mut check, mut channel, mut digest) = (Check::NotChecked, None, Digest16::new([0; 16]));
            let mut carried = None;
            match route.head.class {
                // The node looks at the digest and the channel of what is for its own members, and at nothing else.
                Class::Channel if is_ours => {
                    channel = Deliver::decode(payload.clone()).ok().map(|deliver| deliver.channel);
                    digest = Digest16::of(&payload);
                }
                Class::Shard if is_ours => {
                    carried = shard(&payload);
                    check = if carried.is_some() { Check::Good } else { Check::Bad };
                }
                _ => {}
            }
            let route =
                Received::Route { head: route.head, payload: payload.clone(), digest, check, channel };
            match carried {
                Some(shard) => {
                    let shard = Received::Shard { shard: Verified::unchecked(shard), signed: payload };
                    (shard, Some(route))
                }
                None => (route, None),
            }
        }
        kind => (Received::Other(Frame { kind, ..frame }), None),
    }
}

const fn refused(req: u32, code: Code) -> Received {
    Received::Refused { req, code, retry_ms: 0 }
}

fn record(signed: &Bytes) -> Option<ServerRecord> {
    let signed = Signed::decode(signed.clone()).ok()?;
    let record = ServerRecord::decode(signed.body).ok()?;
    (stub(&record.server) == signed.sig).then_some(record)
}

fn shard(signed: &Bytes) -> Option<InterestShard> {
    let signed = Signed::decode(signed.clone()).ok()?;
    let shard = InterestShard::decode(signed.body).ok()?;
    (stub(&shard.server) == signed.sig).then_some(shard)
}
