//! Finding servers by multicast DNS: this server's announcement, and what others announce. RFC 6762 and RFC 6763.
//!
//! The service is `_darkchat._tcp.local.` at the port for peers, with two properties: `key`, the text of the server's
//! key, and `net`, the name of its network.

use crate::lan::{MAX_IPS, Place, SIGHTINGS_WAITING, Sighting};
use anyhow::Context as _;
use darkchat_proto::{Addr, Network, PORT_PEER, ServerId};
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const SERVICE: &str = "_darkchat._tcp.local.";
/// The longest property that is looked at, in bytes: a key's text has 56, a network's name at most 32.
const MAX_PROPERTY: usize = 56;
/// How long the library is waited for at most: for an event, for a figure, and for its last words.
const SHORT: Duration = Duration::from_millis(200);
/// How often the library's memory is looked at; it has no bound of its own.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// With more records than this in its memory the library begins anew: some for each of 256 servers.
const MAX_RECORDS: i64 = 4_096;
/// How long to wait before beginning anew.
const RESTART: Duration = Duration::from_secs(5);

/// What this server announces.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub(crate) server: ServerId,
    pub(crate) network: Network,
    pub(crate) place: Place,
    /// Where other servers are taken; nothing is announced without it.
    pub(crate) peers: Option<Addr>,
}

/// What was started: the sightings, and the end of the thread that makes them.
pub(crate) struct Started {
    pub(crate) seen: mpsc::Receiver<Sighting>,
    /// Closed when the last word was said, soon after the receiver of sightings is dropped.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Looks, and lets itself be found, until the receiver of sightings is dropped.
///
/// # Errors
/// The library could not be started.
pub(crate) fn start(own: Announcement) -> anyhow::Result<Started> {
    let (sightings, seen) = mpsc::channel(SIGHTINGS_WAITING);
    let (ending, ended) = oneshot::channel();
    let first = Round::begin(&own)?;
    let rounds = move || {
        keep_on(&own, first, &sightings);
        drop(ending);
    };
    std::thread::Builder::new()
        .name("mdns".to_owned())
        .spawn(rounds)
        .context("cannot start the thread for multicast DNS")?;
    Ok(Started { seen, ended })
}

/// One round after the other, until nobody wants to know.
fn keep_on(own: &Announcement, first: Round, sightings: &mpsc::Sender<Sighting>) {
    let mut round = Some(first);
    loop {
        if let Some(round) = round.take() {
            round.listen(sightings);
        }
        let until = Instant::now() + RESTART;
        while Instant::now() < until {
            if sightings.is_closed() {
                return;
            }
            std::thread::sleep(SHORT);
        }
        tracing::warn!("multicast DNS begins anew: it ended, or remembered too much");
        round = Round::begin(own).ok();
    }
}

/// The library, from one beginning to the next.
struct Round {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
}

impl Round {
    fn begin(own: &Announcement) -> anyhow::Result<Self> {
        let daemon = ServiceDaemon::new().context("cannot start multicast DNS")?;
        daemon.disable_interface(match own.place {
            Place::Lan => vec![IfKind::LoopbackV4, IfKind::LoopbackV6],
            Place::Loopback => vec![IfKind::All],
        })?;
        if own.place == Place::Loopback {
            daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        }
        let events = daemon.browse(SERVICE)?;
        if let Some(service) = service(own)? {
            daemon.register(service)?;
        }
        Ok(Self { daemon, events })
    }

    /// Passes sightings on until nobody wants them, the library ends, or it remembers too much.
    fn listen(self, sightings: &mpsc::Sender<Sighting>) {
        let mut looked = Instant::now();
        while !sightings.is_closed() {
            match self.events.recv_timeout(SHORT) {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    if let Some(sighting) = sighting(&service) {
                        // Without room it is lost, which one of many may be.
                        drop(sightings.try_send(sighting));
                    }
                }
                Ok(_) => {}
                Err(_) if self.events.is_disconnected() => break,
                Err(_) => {}
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                if self.remembers().is_none_or(|records| records > MAX_RECORDS) {
                    break;
                }
            }
        }
        if let Ok(ended) = self.daemon.shutdown() {
            drop(ended.recv_timeout(SHORT));
        }
    }

    fn remembers(&self) -> Option<i64> {
        let counters = self.daemon.get_metrics().ok()?.recv_timeout(SHORT).ok()?;
        Some(counters.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| *count).sum())
    }
}

/// The announcement; `None` without a place where others could dial us.
fn service(own: &Announcement) -> anyhow::Result<Option<ServiceInfo>> {
    let Some(addr) = &own.peers else { return Ok(None) };
    let ip = addr.ip();
    let is_any = ip.is_some_and(|ip| ip.is_unspecified());
    let can_be_dialled = ip.is_some_and(|ip| own.place.holds(ip));
    if !is_any && !can_be_dialled {
        return Ok(None);
    }
    let (key, port) = (own.server.to_string(), addr.port().unwrap_or(PORT_PEER));
    let properties = [("key", key.as_str()), ("net", own.network.as_str())];
    let ips: Vec<IpAddr> = ip.filter(|_| !is_any).into_iter().collect();
    let host = format!("{key}.local.");
    let mut service = ServiceInfo::new(SERVICE, &key, &host, ips.as_slice(), port, &properties[..])?;
    // The name is a key, so nobody else has it and nothing is to be probed.
    service.set_requires_probe(false);
    if is_any {
        service = service.enable_addr_auto();
        if ip.is_some_and(|ip| ip.is_ipv4()) {
            service.set_interfaces(vec![IfKind::IPv4]);
        }
    }
    Ok(Some(service))
}

/// What an announcement says, if it is no longer than ours.
fn sighting(service: &ResolvedService) -> Option<Sighting> {
    let property = |name: &str| {
        let value = service.txt_properties.get_property_val(name).flatten()?;
        let is_short = value.len() <= MAX_PROPERTY;
        is_short.then(|| std::str::from_utf8(value).ok().map(str::to_owned)).flatten()
    };
    let mut ips: Vec<IpAddr> = service.addresses.iter().map(|ip| ip.to_ip_addr()).collect();
    ips.sort_unstable();
    ips.truncate(MAX_IPS);
    Some(Sighting { key: property("key")?, network: property("net")?, ips, port: service.port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(place: Place, peers: Option<&str>) -> Announcement {
        let peers = peers.map(|addr| addr.parse().unwrap());
        Announcement { server: ServerId::new([2; 32]), network: Network::default(), place, peers }
    }

    fn announced(place: Place, peers: &str) -> Option<ServiceInfo> {
        service(&own(place, Some(peers))).unwrap()
    }

    #[test]
    fn what_is_announced_is_seen_as_it_was() {
        let service = announced(Place::Lan, "tcp://192.168.1.7:4000").unwrap();
        let seen = sighting(&service.as_resolved_service()).unwrap();
        let key = ServerId::new([2; 32]).to_string();
        let ips = vec![IpAddr::from([192, 168, 1, 7])];
        assert_eq!(seen, Sighting { key, network: "main".to_owned(), ips, port: 4_000 });
    }

    #[test]
    fn a_port_that_others_cannot_reach_is_not_announced() {
        assert!(announced(Place::Lan, "tcp://127.0.0.1:30303").is_none());
        assert!(announced(Place::Lan, "tcp://[::1]:30303").is_none());
        assert!(announced(Place::Lan, "tcp://somewhere:30303").is_none());
        assert!(announced(Place::Loopback, "tcp://192.168.1.7:30303").is_none());
        assert!(service(&own(Place::Lan, None)).unwrap().is_none());
        assert!(announced(Place::Loopback, "tcp://127.0.0.1:30303").is_some());
        let any = announced(Place::Lan, "tcp://0.0.0.0:30303").unwrap();
        assert!(any.is_addr_auto() && any.get_addresses().is_empty());
    }

    #[test]
    fn properties_that_are_missing_too_long_or_no_text_are_no_sighting() {
        let long = "x".repeat(57);
        for properties in [
            &[("key", "a")][..],
            &[("net", "a")],
            &[("key", long.as_str()), ("net", "main")],
            &[("key", "a"), ("net", long.as_str())],
        ] {
            let service = ServiceInfo::new(SERVICE, "a", "a.local.", "10.0.0.1", 1, properties).unwrap();
            assert_eq!(sighting(&service.as_resolved_service()), None);
        }
        let many: Vec<IpAddr> = (0..50).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let properties = [("key", "a"), ("net", "b")];
        let service = ServiceInfo::new(SERVICE, "a", "a.local.", &many[..], 1, &properties[..]).unwrap();
        assert_eq!(sighting(&service.as_resolved_service()).unwrap().ips.len(), MAX_IPS);
    }
}
