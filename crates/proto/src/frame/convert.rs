//! Between the generated messages and the domain's types: lengths are checked on the way in.

use super::{
    Class, DmDeliver, Done, Goodbye, Have, Kind, Notice, Refusal, Route, RouteHead, SendDm, Want, Welcome,
};
use crate::limits::{MAX_ADDR_TEXT, MAX_DELIVER, MAX_TEXT};
use crate::record::{addr_from_wire, addr_to_wire};
use crate::{ChannelId, Code, DecodeError, DeviceId, RouterId, ServerId, SessionId, UserId, field, wire};
use bytes::Bytes;
use wire::frame::Kind as Wire;

/// A code of a later version still says that something was refused. TRUNCATED never travels (4.3), so a peer that
/// sends it has not said what it means either.
pub(super) fn code(number: i32) -> Code {
    match Code::from_number(number) {
        Some(Code::Truncated) | None => Code::Internal,
        Some(code) => code,
    }
}

fn channels(list: &[Bytes]) -> Result<Vec<ChannelId>, DecodeError> {
    list.iter().map(|id| field::fixed("channels", id).map(ChannelId::new)).collect()
}

fn sized(what: &'static str, bytes: Bytes, max: usize) -> Result<Bytes, DecodeError> {
    if bytes.len() > max { Err(DecodeError::TooLarge { what, len: bytes.len(), max }) } else { Ok(bytes) }
}

pub(super) fn from_wire(kind: Wire) -> Result<Kind, DecodeError> {
    Ok(match kind {
        Wire::Join(m) => Kind::Join { channels: channels(&m.channels)?, wait_spread: m.wait_spread },
        Wire::Leave(m) => Kind::Leave { channels: channels(&m.channels)? },
        Wire::Publish(m) => Kind::Publish { deliver: sized("Deliver", m.deliver, MAX_DELIVER)? },
        Wire::SetBundle(m) => Kind::SetBundle { bundle: m.bundle },
        Wire::Lookup(m) => Kind::Lookup { user: UserId::new(field::fixed("user", &m.user)?) },
        Wire::SendDm(m) => Kind::SendDm(send_dm(m)?),
        Wire::DmReject(m) => Kind::DmReject { delivery: m.r#ref, code: code(m.code) },
        Wire::Welcome(m) => Kind::Welcome(welcome(&m)?),
        Wire::Ok(m) => Kind::Ok(Done { local: m.local, servers: m.servers, spread: m.spread }),
        Wire::Error(m) => Kind::Error(Refusal {
            code: code(m.code),
            text: field::text("text", m.text, MAX_TEXT)?,
            retry_ms: m.retry_ms,
        }),
        Wire::Deliver(bytes) => Kind::Deliver(sized("Deliver", bytes, MAX_DELIVER)?),
        Wire::Dm(m) => Kind::Dm(dm(m)?),
        Wire::Found(m) => Kind::Found { bundles: m.bundles, complete: m.complete },
        Wire::DmStatus(m) => Kind::DmStatus(code(m.code)),
        Wire::Notice(m) => Kind::Notice(notice(m)?),
        Wire::Ping(m) => Kind::Ping { nonce: m.nonce, acked: m.acked },
        Wire::Pong(m) => Kind::Pong { nonce: m.nonce, acked: m.acked },
        Wire::Goodbye(m) => Kind::Goodbye(goodbye(m)?),
        Wire::Digest(m) => Kind::Digest { known: m.known.into_iter().map(have).collect(), more: m.more },
        Wire::Pull(m) => Kind::Pull { want: m.want.into_iter().map(want).collect() },
        Wire::Record(bytes) => Kind::Record(bytes),
        Wire::Shard(bytes) => Kind::Shard(bytes),
        Wire::Route(m) => Kind::Route(route(m)?),
        Wire::LinkAck(m) => Kind::LinkAck { received: m.received },
        Wire::RouteDone(m) => Kind::RouteDone { origin: RouterId(m.origin), id: m.id },
        Wire::DialBack(m) => {
            let addr = m.addr.as_ref().map(addr_from_wire).transpose()?.flatten();
            Kind::DialBack { addr, reachable: m.reachable }
        }
        Wire::Complaint(m) => Kind::Complaint { seconds: m.seconds },
    })
}

fn send_dm(m: wire::SendDm) -> Result<SendDm, DecodeError> {
    Ok(SendDm {
        user: UserId::new(field::fixed("user", &m.user)?),
        device: DeviceId::new(field::fixed("device", &m.device)?),
        server: ServerId::new(field::fixed("server", &m.server)?),
        packet: m.packet,
        attempt: m.attempt,
    })
}

pub(super) fn dm(m: wire::DmDeliver) -> Result<DmDeliver, DecodeError> {
    Ok(DmDeliver {
        user: UserId::new(field::fixed("user", &m.user)?),
        device: DeviceId::new(field::fixed("device", &m.device)?),
        packet: m.packet,
        delivery: m.r#ref,
    })
}

fn welcome(m: &wire::Welcome) -> Result<Welcome, DecodeError> {
    let observed_ip = match m.observed_ip.len() {
        0 => None,
        _ => Some(field::ip("observed_ip", &m.observed_ip)?),
    };
    Ok(Welcome {
        session: field::fixed_or_empty("session", &m.session)?.map(SessionId::new),
        resume_token: field::fixed_or_empty("resume_token", &m.resume_token)?,
        resume_ms: m.resume_ms,
        observed_ip,
        resumed: m.resumed,
        received: m.received,
    })
}

fn notice(m: wire::Notice) -> Result<Notice, DecodeError> {
    let text = field::text("text", m.text, MAX_TEXT)?;
    Ok(match wire::notice::Kind::try_from(m.kind) {
        Ok(wire::notice::Kind::Unspecified) => {
            return Err(DecodeError::Value { field: "Notice.kind", value: 0 });
        }
        Ok(wire::notice::Kind::Dropped) => {
            Notice::Dropped { channel: ChannelId::new(field::fixed("channel", &m.channel)?), count: m.count }
        }
        Ok(wire::notice::Kind::Draining) => Notice::Draining,
        Ok(wire::notice::Kind::Text) => Notice::Text(text),
        Err(_) => Notice::Unknown(m.kind),
    })
}

fn goodbye(m: wire::Goodbye) -> Result<Goodbye, DecodeError> {
    if let Some(long) = m.elsewhere.iter().find(|text| text.len() > MAX_ADDR_TEXT) {
        return Err(DecodeError::Length { field: "elsewhere", len: long.len() });
    }
    let text = field::text("text", m.text, MAX_TEXT)?;
    Ok(Goodbye { code: code(m.code), text, retry_ms: m.retry_ms, elsewhere: m.elsewhere })
}

fn have(m: wire::digest::Have) -> Have {
    Have { router: RouterId(m.router), epoch: m.epoch, seq: m.seq, shards: m.shards }
}

fn want(m: wire::pull::Want) -> Want {
    Want { router: RouterId(m.router), record: m.record, shards: m.shards }
}

fn route(m: wire::Route) -> Result<Route, DecodeError> {
    let class = match wire::Class::try_from(m.class) {
        Ok(wire::Class::Channel) => Class::Channel,
        Ok(wire::Class::Dm) => Class::Dm,
        Ok(wire::Class::LookupReq) => Class::LookupReq,
        Ok(wire::Class::LookupRep) => Class::LookupRep,
        Ok(wire::Class::DmStatus) => Class::DmStatus,
        Ok(wire::Class::Shard) => Class::Shard,
        Ok(wire::Class::Trace) => Class::Trace,
        Ok(wire::Class::TraceRep) => Class::TraceRep,
        _ => return Err(DecodeError::Value { field: "class", value: field::number(m.class) }),
    };
    let dst = m.dst.into_iter().map(RouterId).collect();
    let head = RouteHead {
        origin: RouterId(m.origin),
        id: m.id,
        ttl: m.ttl,
        dst,
        class,
        want_done: m.want_done,
        corr: m.corr,
    };
    Ok(Route { head, payload: m.payload })
}

/// The message without its payload, which the caller appends.
pub(super) fn route_head(head: &RouteHead) -> wire::Route {
    let class = match head.class {
        Class::Channel => wire::Class::Channel,
        Class::Dm => wire::Class::Dm,
        Class::LookupReq => wire::Class::LookupReq,
        Class::LookupRep => wire::Class::LookupRep,
        Class::DmStatus => wire::Class::DmStatus,
        Class::Shard => wire::Class::Shard,
        Class::Trace => wire::Class::Trace,
        Class::TraceRep => wire::Class::TraceRep,
    };
    wire::Route {
        origin: head.origin.0,
        id: head.id,
        ttl: head.ttl,
        dst: head.dst.iter().map(|router| router.0).collect(),
        class: class.into(),
        payload: Bytes::new(),
        want_done: head.want_done,
        corr: head.corr,
    }
}

pub(super) fn number(code: Code) -> i32 {
    let sent = if code == Code::Truncated { Code::Internal } else { code };
    i32::from(sent.number())
}

fn bytes(id: &[u8]) -> Bytes {
    Bytes::copy_from_slice(id)
}

/// `None` for the kinds whose bytes are written elsewhere or that no version of ours can write.
pub(super) fn to_wire(kind: &Kind) -> Option<Wire> {
    let ids = |channels: &[ChannelId]| channels.iter().map(|id| bytes(id.as_bytes())).collect();
    Some(match kind {
        Kind::Join { channels, wait_spread } => {
            Wire::Join(wire::Join { channels: ids(channels), wait_spread: *wait_spread })
        }
        Kind::Leave { channels } => Wire::Leave(wire::Leave { channels: ids(channels) }),
        Kind::Publish { deliver } => Wire::Publish(wire::Publish { deliver: deliver.clone() }),
        Kind::SetBundle { bundle } => Wire::SetBundle(wire::SetBundle { bundle: bundle.clone() }),
        Kind::Lookup { user } => Wire::Lookup(wire::Lookup { user: bytes(user.as_bytes()) }),
        Kind::SendDm(dm) => Wire::SendDm(wire::SendDm {
            user: bytes(dm.user.as_bytes()),
            device: bytes(dm.device.as_bytes()),
            server: bytes(dm.server.as_bytes()),
            packet: dm.packet.clone(),
            attempt: dm.attempt,
        }),
        Kind::DmReject { delivery, code } => {
            Wire::DmReject(wire::DmReject { r#ref: *delivery, code: number(*code) })
        }
        Kind::Welcome(welcome) => Wire::Welcome(welcome_to_wire(welcome)),
        Kind::Ok(done) => {
            Wire::Ok(wire::Ok { local: done.local, servers: done.servers, spread: done.spread })
        }
        Kind::Error(refusal) => Wire::Error(wire::Error {
            code: number(refusal.code),
            text: refusal.text.clone(),
            retry_ms: refusal.retry_ms,
        }),
        Kind::Dm(dm) => Wire::Dm(dm_to_wire(dm)),
        Kind::Found { bundles, complete } => {
            Wire::Found(wire::LookupResult { bundles: bundles.clone(), complete: *complete })
        }
        Kind::DmStatus(code) => Wire::DmStatus(wire::DmStatus { code: number(*code) }),
        Kind::Notice(notice) => Wire::Notice(notice_to_wire(notice)),
        Kind::Ping { nonce, acked } => Wire::Ping(wire::Ping { nonce: *nonce, acked: *acked }),
        Kind::Pong { nonce, acked } => Wire::Pong(wire::Pong { nonce: *nonce, acked: *acked }),
        Kind::Goodbye(goodbye) => Wire::Goodbye(wire::Goodbye {
            code: number(goodbye.code),
            text: goodbye.text.clone(),
            retry_ms: goodbye.retry_ms,
            elsewhere: goodbye.elsewhere.clone(),
        }),
        Kind::Digest { known, more } => {
            Wire::Digest(wire::Digest { known: known.iter().map(have_to_wire).collect(), more: *more })
        }
        Kind::Pull { want } => Wire::Pull(wire::Pull { want: want.iter().map(want_to_wire).collect() }),
        Kind::LinkAck { received } => Wire::LinkAck(wire::LinkAck { received: *received }),
        Kind::RouteDone { origin, id } => Wire::RouteDone(wire::RouteDone { origin: origin.0, id: *id }),
        Kind::DialBack { addr, reachable } => {
            Wire::DialBack(wire::DialBack { addr: addr.as_ref().map(addr_to_wire), reachable: *reachable })
        }
        Kind::Complaint { seconds } => Wire::Complaint(wire::Complaint { seconds: *seconds }),
        Kind::Deliver(_) | Kind::Record(_) | Kind::Shard(_) | Kind::Route(_) | Kind::Unknown(_) => {
            return None;
        }
    })
}

pub(super) fn dm_to_wire(dm: &DmDeliver) -> wire::DmDeliver {
    wire::DmDeliver {
        user: bytes(dm.user.as_bytes()),
        device: bytes(dm.device.as_bytes()),
        packet: dm.packet.clone(),
        r#ref: dm.delivery,
    }
}

fn welcome_to_wire(welcome: &Welcome) -> wire::Welcome {
    wire::Welcome {
        session: welcome.session.map_or_else(Bytes::new, |id| bytes(id.as_bytes())),
        resume_token: welcome.resume_token.map_or_else(Bytes::new, |token| bytes(&token)),
        resume_ms: welcome.resume_ms,
        observed_ip: welcome.observed_ip.map_or_else(Bytes::new, field::ip_bytes),
        resumed: welcome.resumed,
        received: welcome.received,
    }
}

fn notice_to_wire(notice: &Notice) -> wire::Notice {
    let empty = wire::Notice::default();
    match notice {
        Notice::Dropped { channel, count } => wire::Notice {
            kind: wire::notice::Kind::Dropped.into(),
            channel: bytes(channel.as_bytes()),
            count: *count,
            ..empty
        },
        Notice::Draining => wire::Notice { kind: wire::notice::Kind::Draining.into(), ..empty },
        Notice::Text(text) => {
            wire::Notice { kind: wire::notice::Kind::Text.into(), text: text.clone(), ..empty }
        }
        Notice::Unknown(kind) => wire::Notice { kind: *kind, ..empty },
    }
}

fn have_to_wire(have: &Have) -> wire::digest::Have {
    wire::digest::Have { router: have.router.0, epoch: have.epoch, seq: have.seq, shards: have.shards }
}

fn want_to_wire(want: &Want) -> wire::pull::Want {
    wire::pull::Want { router: want.router.0, record: want.record, shards: want.shards }
}
