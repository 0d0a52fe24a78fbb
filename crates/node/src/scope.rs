//! Which addresses that others name are dialled, and how often. Source: `docs/protocol.md`, section 10.4.

use darkchat_proto::{GossipAddr, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Below this only [`HTTPS`] is dialled: what listens there is no chat server, and may harm whoever speaks to it.
const FIRST_PORT: u16 = 1_024;
const HTTPS: u16 = 443;
/// For so long an address, and a prefix, remember that strangers had them dialled.
const MEMORY: Duration = Duration::from_secs(300);
/// So many addresses of one prefix are dialled in that time.
pub(crate) const MAX_OF_PREFIX: usize = 4;
/// Between two such dials to anywhere.
const APART: Duration = Duration::from_secs(1);

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// To one machine on the internet.
    Global,
    /// To this machine, or to one of a private network.
    Near,
    /// To no machine, to many, or to one that nobody needs to name.
    Never,
}

/// Whether an address that somebody else named may be dialled; `near` permits private and loopback ranges too.
pub(crate) fn permits(addr: &GossipAddr, near: bool) -> bool {
    if addr.port < FIRST_PORT && addr.port != HTTPS {
        return false;
    }
    match range(addr.ip) {
        Range::Global => true,
        Range::Near => near,
        Range::Never => false,
    }
}

/// Whether an address is private or loopback: there the limits against harm to strangers would only harm ourselves.
pub(crate) fn is_near(ip: IpAddr) -> bool {
    range(ip) == Range::Near
}

fn range(ip: IpAddr) -> Range {
    match ip.to_canonical() {
        IpAddr::V4(ip) => range_v4(ip),
        IpAddr::V6(ip) => range_v6(ip),
    }
}

const fn range_v4(ip: Ipv4Addr) -> Range {
    if ip.is_private() || ip.is_loopback() {
        return Range::Near;
    }
    match ip.octets() {
        // This network, shared, link-local, protocol assignments, 6to4 relays.
        [0, ..] | [100, 64..=127, ..] | [169, 254, ..] | [192, 0, 0, _] | [192, 88, 99, _] => Range::Never,
        // Documentation, benchmarking, multicast and what is reserved, broadcast among it.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] | [224..=255, ..] => {
            Range::Never
        }
        _ => Range::Global,
    }
}

fn range_v6(ip: Ipv6Addr) -> Range {
    if ip.is_loopback() || ip.is_unique_local() {
        return Range::Near;
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        range_v4(Ipv4Addr::new(a, b, c, d))
    };
    let only_global = |ranges: &[Range]| {
        let all = ranges.iter().all(|range| *range == Range::Global);
        if all { Range::Global } else { Range::Never }
    };
    match ip.segments() {
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => only_global(&[v4(high, low)]),
        // 6to4.
        [0x2002, high, low, ..] => only_global(&[v4(high, low)]),
        // Teredo: its server's address, and the client's, inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            only_global(&[v4(high, low), v4(!client_high, !client_low)])
        }
        // Protocol assignments, benchmarking and ORCHID among them; documentation, in two ranges.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Range::Never,
        [0x2000..=0x3fff, ..] => Range::Global,
        _ => Range::Never,
    }
}

/// The part of an address by which an operator's network is known: of chosen neighbours only few may share it.
pub(crate) fn group(ip: IpAddr) -> IpAddr {
    masked(ip, 16, 32)
}

fn masked(ip: IpAddr, bits_v4: u32, bits_v6: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits_v4)).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits_v6)).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

/// How often addresses are dialled that strangers named and at which nobody has proven a key yet.
///
/// One list serves all three limits: dials are a second apart, so it never holds more than 301.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    recent: VecDeque<(Time, SocketAddr)>,
}

impl Pace {
    /// How long until any such dial may be made.
    pub(crate) fn wait(&self, now: Time) -> Duration {
        let last = self.recent.back().map(|(at, _)| *at);
        last.map_or(Duration::ZERO, |at| (at + APART).saturating_since(now))
    }

    /// What was dialled so within the last five minutes.
    pub(crate) fn recent(&self, now: Time) -> Recent {
        let mut recent = Recent::default();
        for (_, place) in self.recent.iter().filter(|(at, _)| now.saturating_since(*at) < MEMORY) {
            recent.places.insert(*place);
            let count = recent.prefixes.entry(prefix(place.ip())).or_insert(0);
            *count = count.saturating_add(1);
        }
        recent
    }

    /// Such a dial is made.
    pub(crate) fn note(&mut self, now: Time, addr: &GossipAddr) {
        self.prune(now);
        self.recent.push_back((now, place(addr)));
    }

    pub(crate) fn len(&self) -> usize {
        self.recent.len()
    }

    fn prune(&mut self, now: Time) {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_since(*at) >= MEMORY) {
            self.recent.pop_front();
        }
    }
}

/// What was dialled lately, made once for many questions.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    places: BTreeSet<SocketAddr>,
    prefixes: BTreeMap<IpAddr, usize>,
}

impl Recent {
    /// Whether this address was left alone for long enough, and its prefix too.
    pub(crate) fn admits(&self, addr: &GossipAddr) -> bool {
        let place = place(addr);
        let of_prefix = self.prefixes.get(&prefix(place.ip())).copied().unwrap_or_default();
        of_prefix < MAX_OF_PREFIX && !self.places.contains(&place)
    }
}

fn prefix(ip: IpAddr) -> IpAddr {
    masked(ip, 24, 48)
}

/// Two carriers at one port are one place to whoever is annoyed there.
fn place(addr: &GossipAddr) -> SocketAddr {
    SocketAddr::new(addr.ip.to_canonical(), addr.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::Carrier;

    fn addr(ip: &str, port: u16) -> GossipAddr {
        GossipAddr { ip: ip.parse().unwrap(), port, carrier: Carrier::Tcp }
    }

    /// Case E5 of the test plan.
    #[test]
    fn e5_only_global_unicast_is_dialled_for_strangers_and_near_ranges_where_the_operator_allows_them() {
        for ip in
            ["8.8.8.8", "2606:4700::1", "100.63.0.1", "172.32.0.1", "64:ff9b::808:808", "2002:808:808::1"]
        {
            assert!(permits(&addr(ip, 30_303), false), "{ip}");
        }
        let near = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.1",
            "192.168.1.1",
            "::1",
            "fc00::1",
            "fdff::1",
        ];
        for ip in near.into_iter().chain(["::ffff:127.0.0.1", "::ffff:10.0.0.1"]) {
            assert!(!permits(&addr(ip, 30_303), false) && permits(&addr(ip, 30_303), true), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.1.1",
            "192.0.0.1",
            "192.0.2.7",
            "198.51.100.1",
            "203.0.113.9",
            "198.18.0.1",
            "198.19.255.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "2001:2::1",
            "2001:20::1",
            "100::1",
            "64:ff9b:1::1",
            "5f00::1",
            "::ffff:169.254.1.1",
            "::ffff:224.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::1",
            "2001:0:808:808::80ff:fffe",
            "2001:0:7f00:1::f7f7:f7f7",
        ] {
            assert!(!permits(&addr(ip, 30_303), true), "{ip}");
        }
        assert!(
            permits(&addr("2001:0:808:808::f7f7:f7f7", 30_303), false),
            "Teredo between global addresses"
        );
    }

    #[test]
    fn e5_ports_of_other_services_are_not_dialled() {
        for port in [0, 22, 25, 80, 442, 444, 1_023] {
            assert!(!permits(&addr("8.8.8.8", port), true), "{port}");
        }
        for port in [443, 1_024, 30_303, 65_535] {
            assert!(permits(&addr("8.8.8.8", port), false), "{port}");
        }
    }

    /// Cases E6 and E7 of the test plan.
    #[test]
    fn e6_e7_dials_for_strangers_are_a_second_apart_few_to_a_prefix_and_one_to_an_address() {
        let mut pace = Pace::default();
        let mut now = Time::ZERO;
        let mut made: Vec<(Time, GossipAddr)> = Vec::new();
        for number in 0..10_000_u32 {
            let [_, high, low, _] = (number << 8).to_be_bytes();
            let target = addr(&format!("8.{high}.{}.{}", low % 4, low / 4 + 1), 30_303);
            if pace.wait(now).is_zero() && pace.recent(now).admits(&target) {
                pace.note(now, &target);
                made.push((now, target));
            }
            assert!(pace.len() <= 301);
            now = now + Duration::from_millis(100);
        }
        assert!(made.len() > 100, "{}", made.len());
        for (index, (at, target)) in made.iter().enumerate() {
            let before = made[..index].iter().filter(|(then, _)| at.saturating_since(*then) < MEMORY);
            let [of_prefix, same] = [24, 32].map(|bits| {
                let of = |ip| masked(ip, bits, 48);
                before.clone().filter(|(_, other)| of(other.ip) == of(target.ip)).count()
            });
            assert!(of_prefix < MAX_OF_PREFIX && same == 0);
            assert!(index == 0 || at.saturating_since(made[index - 1].0) >= APART);
        }
    }

    #[test]
    fn a_place_is_one_whatever_carrier_and_form_it_is_named_in() {
        let mut pace = Pace::default();
        pace.note(Time::ZERO, &addr("8.8.8.8", 30_303));
        let again = GossipAddr { carrier: Carrier::Ws, ..addr("::ffff:8.8.8.8", 30_303) };
        assert!(
            !pace.recent(Time::ZERO).admits(&again)
                && pace.recent(Time::ZERO).admits(&addr("8.8.8.8", 30_304))
        );
        assert_eq!(group("8.8.8.8".parse().unwrap()), group("::ffff:8.8.1.1".parse().unwrap()));
        assert_ne!(group("2606:4700::1".parse().unwrap()), group("2606:4701::1".parse().unwrap()));
    }
}
