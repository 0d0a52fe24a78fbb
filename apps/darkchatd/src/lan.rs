//! Servers of the same local network, whatever finds them: what of it is believed, and how much of it.
//!
//! A discovery gives [`Sighting`]s to a channel, and nothing else of it is known here; so another one can stand in the
//! place of [`mdns`](crate::mdns). Nothing that it says is proven: the handshake proves the key of whoever is dialled.

use darkchat_proto::{Addr, Network, ServerAddr, ServerId};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Sightings that wait: a network of many servers answers at once. What finds no room is lost: one server that is
/// linked tells of all others.
pub(crate) const SIGHTINGS_WAITING: usize = 64;
/// The most addresses of one sighting that are looked at: as many as a server's record holds.
pub(crate) const MAX_IPS: usize = 8;
/// The most addresses that are believed in [`WINDOW`], so that nobody in the network can make us dial without end.
const MAX_BELIEVED: usize = 64;
const WINDOW: Duration = Duration::from_secs(60);

/// Where servers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the interfaces that lead to other machines.
    Lan,
    /// On this machine.
    Loopback,
}

impl Place {
    /// Whether a server that is looked for here can be dialled there. IPv6 addresses that need an interface beside
    /// them cannot be written in ours.
    pub(crate) const fn holds(self, ip: IpAddr) -> bool {
        match (self, ip.is_loopback()) {
            (Self::Loopback, is_loopback) => is_loopback,
            (Self::Lan, true) => false,
            (Self::Lan, false) => {
                let needs_interface = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
                !needs_interface && !ip.is_unspecified() && !ip.is_multicast()
            }
        }
    }
}

/// What a discovery saw. Texts are as long as it let them be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The text of the server's key, as it was told.
    pub(crate) key: String,
    /// The name of its network, as it was told.
    pub(crate) network: String,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) port: u16,
}

/// Decides which sightings are believed.
#[derive(Debug)]
pub(crate) struct Sieve {
    own: ServerId,
    network: Network,
    place: Place,
    /// What was believed since that time.
    since: Instant,
    believed: BTreeSet<ServerAddr>,
}

impl Sieve {
    pub(crate) const fn new(now: Instant, own: ServerId, network: Network, place: Place) -> Self {
        Self { own, network, place, since: now, believed: BTreeSet::new() }
    }

    /// The addresses to dial: of another server of our network, with the key that it must prove, each once a minute.
    pub(crate) fn believe(&mut self, now: Instant, seen: &Sighting) -> Vec<ServerAddr> {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.since = now;
            self.believed.clear();
        }
        let Ok(key) = seen.key.parse::<ServerId>() else { return Vec::new() };
        if key == self.own || seen.network != self.network.as_str() || seen.port == 0 {
            return Vec::new();
        }
        let ips: BTreeSet<IpAddr> = seen.ips.iter().take(MAX_IPS).map(IpAddr::to_canonical).collect();
        let mut new = Vec::new();
        for ip in ips.into_iter().filter(|ip| self.place.holds(*ip)) {
            let addr = Addr::from_socket("tcp", SocketAddr::new(ip, seen.port));
            let addr = ServerAddr { addr, key: Some(key) };
            if self.believed.len() < MAX_BELIEVED && self.believed.insert(addr.clone()) {
                new.push(addr);
            }
        }
        new
    }
}

/// Hands on what is believed until the discovery ends.
pub(crate) async fn hand_on<F: Future<Output = ()>>(
    mut seen: mpsc::Receiver<Sighting>,
    mut sieve: Sieve,
    found: impl Fn(ServerAddr) -> F,
) {
    while let Some(sighting) = seen.recv().await {
        for addr in sieve.believe(Instant::now(), &sighting) {
            tracing::debug!(%addr, "found in the local network");
            found(addr).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const OWN: ServerId = ServerId::new([1; 32]);

    fn sieve(place: Place) -> Sieve {
        Sieve::new(Instant::now(), OWN, Network::default(), place)
    }

    fn sighting(key: u8, ips: &[&str]) -> Sighting {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Sighting { key: ServerId::new([key; 32]).to_string(), network: "main".to_owned(), ips, port: 30_303 }
    }

    fn believed(place: Place, seen: &Sighting) -> Vec<String> {
        sieve(place).believe(Instant::now(), seen).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn another_server_of_our_network_is_believed_with_its_key() {
        let key = ServerId::new([2; 32]);
        let found = believed(Place::Lan, &sighting(2, &["192.168.1.7", "::ffff:192.168.1.7", "fd00::7"]));
        assert_eq!(found, [format!("tcp://{key}@192.168.1.7:30303"), format!("tcp://{key}@[fd00::7]:30303")]);
    }

    #[test]
    fn what_is_not_another_server_of_our_network_is_not_believed() {
        let good = sighting(2, &["192.168.1.7"]);
        let nobody: [Sighting; 5] = [
            sighting(1, &["192.168.1.7"]),
            Sighting { network: "other".to_owned(), ..good.clone() },
            Sighting { key: String::new(), ..good.clone() },
            Sighting { key: good.key.to_uppercase(), ..good.clone() },
            Sighting { port: 0, ..good },
        ];
        for seen in nobody {
            assert!(believed(Place::Lan, &seen).is_empty(), "{seen:?}");
        }
    }

    #[test]
    fn the_lan_names_no_address_of_this_machine_and_this_machine_no_other() {
        let seen = sighting(2, &["127.0.0.1", "::1", "0.0.0.0", "224.0.0.251", "fe80::1", "10.0.0.2"]);
        assert!(believed(Place::Lan, &seen)[0].ends_with("@10.0.0.2:30303"));
        assert_eq!(believed(Place::Lan, &seen).len(), 1);
        let here: Vec<String> = believed(Place::Loopback, &seen);
        assert!(here[0].ends_with("@127.0.0.1:30303") && here[1].ends_with("@[::1]:30303"), "{here:?}");
        assert_eq!(here.len(), 2);
    }

    #[test]
    fn whoever_floods_gets_sixty_four_addresses_a_minute() {
        let mut sieve = sieve(Place::Lan);
        let start = sieve.since;
        let many: Vec<IpAddr> = (0..20).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let first = Sighting { ips: many, ..sighting(2, &[]) };
        assert_eq!(sieve.believe(start, &first).len(), MAX_IPS, "of one sighting");
        assert!(sieve.believe(start, &first).is_empty(), "once a minute");
        let flood = |sieve: &mut Sieve, at: Instant| -> usize {
            let seen = |port: u16| Sighting { port, ..sighting(3, &["10.0.0.1"]) };
            (1..1_000).map(|port| sieve.believe(at, &seen(port)).len()).sum()
        };
        assert_eq!(flood(&mut sieve, start + WINDOW / 2), MAX_BELIEVED - MAX_IPS);
        assert_eq!(flood(&mut sieve, start + WINDOW), MAX_BELIEVED, "and again in the next");
        assert!(sieve.believed.len() <= MAX_BELIEVED);
    }

    #[tokio::test]
    async fn any_source_of_sightings_will_do() {
        let (source, seen) = mpsc::channel(SIGHTINGS_WAITING);
        for key in [1, 2, 3] {
            source.send(sighting(key, &["127.0.0.1"])).await.unwrap();
        }
        drop(source);
        let found = Mutex::new(Vec::new());
        hand_on(seen, sieve(Place::Loopback), |addr| {
            found.lock().unwrap().push(addr.key);
            std::future::ready(())
        })
        .await;
        let keys = [2, 3].map(|key| Some(ServerId::new([key; 32])));
        assert_eq!(found.into_inner().unwrap(), keys);
    }
}
