//! Servers behind network address translation, in network namespaces of this machine. Skipped where these need rights
//! or programs (`ip`, `nft`) that are not there.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use common::{Kind, Server, Speaker, client_in, heard_text, listen_in, reach_in, send_in, until};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// Without a sign of life a link is over after this time (protocol 3.5).
const DEAD_PEER: Duration = Duration::from_secs(30);
const DEAD_CLIENT: Duration = Duration::from_secs(75);
/// So long its client may come back to its session (protocol 5.4).
const RESUME: Duration = Duration::from_secs(10);
/// What a loaded machine may take beside.
const LATE: Duration = Duration::from_secs(5);
/// The numbers that are said while packets are lost: for some ten seconds, which is several times what it takes to
/// give up a silent link.
const SAID: usize = 500;

/// Namespaces that go when the test ends.
struct Namespaces(Vec<String>);

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            drop(Command::new("ip").args(["netns", "del", name]).status());
        }
    }
}

/// Runs a command line; whether it could be run and succeeded.
fn run(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else { return false };
    Command::new(program).args(words).output().is_ok_and(|out| out.status.success())
}

/// A public place `pub`, and two homes, each behind a router that translates and lets nothing in by itself.
fn build() -> Option<(Namespaces, [String; 3])> {
    let id = std::process::id();
    let name = |what: &str| format!("dc{id}{what}");
    let [public, router1, home1, router2, home2] = ["pub", "r1", "h1", "r2", "h2"].map(name);
    let all = [&public, &router1, &home1, &router2, &home2];
    if !run(&format!("ip netns add {public}")) {
        return None;
    }
    let namespaces = Namespaces(all.iter().map(|name| (*name).clone()).collect());
    let mut lines: Vec<String> = all[1..].iter().map(|name| format!("ip netns add {name}")).collect();
    lines.push(format!("ip -n {public} link add br0 type bridge"));
    for (number, router, home) in [(1, &router1, &home1), (2, &router2, &home2)] {
        lines.extend([
            format!("ip -n {router} link add out type veth peer name p{number} netns {public}"),
            format!("ip -n {public} link set p{number} master br0 up"),
            format!("ip -n {router} addr add 11.0.1.{}/24 dev out", number + 8),
            format!("ip -n {router} link set out up"),
            format!("ip -n {router} link add in type veth peer name eth0 netns {home}"),
            format!("ip -n {router} addr add 192.168.{number}.1/24 dev in"),
            format!("ip -n {router} link set in up"),
            format!("ip -n {home} addr add 192.168.{number}.2/24 dev eth0"),
            format!("ip -n {home} link set eth0 up"),
            format!("ip -n {home} route add default via 192.168.{number}.1"),
            format!("ip netns exec {router} sysctl -q -w net.ipv4.ip_forward=1"),
            format!("ip netns exec {router} nft add table ip nat"),
            format!("ip netns exec {router} nft add chain ip nat post {{ type nat hook postrouting priority 100 ; }}"),
            format!("ip netns exec {router} nft add rule ip nat post oifname out masquerade"),
        ]);
    }
    lines.push(format!("ip -n {public} addr add 11.0.1.1/24 dev br0"));
    lines.push(format!("ip -n {public} link set br0 up"));
    lines.extend([&public, &home1, &home2].map(|name| format!("ip -n {name} link set lo up")));
    carry_out(&lines)?;
    Some((namespaces, [public, home1, home2]))
}

fn carry_out(lines: &[String]) -> Option<()> {
    for line in lines {
        if !run(line) {
            eprintln!("not permitted or not there: {line}");
            return None;
        }
    }
    Some(())
}

/// Two places with a line between them; `name` tells those of one test from those of another.
fn line(name: &str) -> Option<(Namespaces, [String; 2])> {
    let [one, two] = ["1", "2"].map(|what| format!("dc{}{name}{what}", std::process::id()));
    if !run(&format!("ip netns add {one}")) {
        return None;
    }
    let namespaces = Namespaces(vec![one.clone(), two.clone()]);
    let mut lines = vec![
        format!("ip netns add {two}"),
        format!("ip -n {one} link add eth0 type veth peer name eth0 netns {two}"),
    ];
    for (number, name) in [(1, &one), (2, &two)] {
        lines.extend([
            format!("ip -n {name} addr add 11.0.2.{number}/24 dev eth0"),
            format!("ip -n {name} link set eth0 up"),
            format!("ip -n {name} link set lo up"),
        ]);
    }
    carry_out(&lines)?;
    Some((namespaces, [one, two]))
}

/// The same, and slow.
fn slow_line() -> Option<(Namespaces, [String; 2])> {
    let (namespaces, places) = line("s")?;
    let slow = |name: &String| {
        format!("ip netns exec {name} tc qdisc add dev eth0 root tbf rate 1mbit burst 16kb limit 4mb")
    };
    carry_out(&places.each_ref().map(slow))?;
    Some((namespaces, places))
}

/// Drops packets at this place from now on: of those that come (`input`) or go (`output`) the ones that match.
fn drop_packets(place: &str, hook: &str, matching: &str) -> Option<()> {
    let nft = format!("ip netns exec {place} nft add");
    carry_out(&[
        format!("{nft} table inet drops"),
        format!("{nft} chain inet drops all {{ type filter hook {hook} priority 0 ; }}"),
        format!("{nft} rule inet drops all {matching} drop"),
    ])
}

/// Case E19 of the test plan: programs die, and their systems' word of it is lost. It takes the 75 s of a client.
#[test]
fn e19_half_open_links_are_noticed_in_time_and_leave_no_ghost() {
    let Some((_namespaces, [one, two])) = line("g") else {
        eprintln!("skipped: no right to make network namespaces here");
        return;
    };
    let mut stays =
        Server::start_in(&one, Kind::Tcp, &["--peer-listen", "11.0.2.1:30303", "--tcp", "11.0.2.1:8545"]);
    let dies = Server::start_in(&two, Kind::Tcp, &["--no-peer-listen", "--connect", "11.0.2.1:30303"]);
    let there = listen_in(&two, dies.any(), "#ghost");
    let far = listen_in(&two, stays.any(), "#ghost");
    reach_in(&one, stays.any(), "#ghost", 1);
    let near = listen_in(&one, stays.any(), "#ghost");
    // Nobody hears from there any more that a connection has ended.
    if drop_packets(&two, "output", "tcp flags & (fin|rst) != 0").is_none() {
        eprintln!("skipped: no filter of packets here");
        return;
    }
    let begun = Instant::now();
    for program in [&dies.program, &there, &far] {
        program.signal("KILL");
    }
    stays.program.err.until(&["peer down", "TIMEOUT"]);
    assert!(begun.elapsed() < DEAD_PEER + LATE, "{:?}", begun.elapsed());
    assert_eq!(stays.ask("peers"), ["(none)"]);
    stays.program.err.until(&["client down", "TIMEOUT"]);
    assert!(begun.elapsed() < DEAD_CLIENT + LATE, "{:?}", begun.elapsed());
    until("the session that might have been resumed is over", || {
        let sent = send_in(&one, stays.any(), "#ghost", "who is left?");
        assert_eq!(sent["servers"], 0);
        sent["local"] == 1
    });
    assert!(begun.elapsed() < DEAD_CLIENT + RESUME + LATE, "{:?}", begun.elapsed());
    heard_text(&near, "who is left?");
}

/// The first half of case E14 of the test plan: what does not come is told, and what comes, comes once and in order.
#[test]
fn e14_a_line_that_loses_a_fifth_of_its_packets_brings_each_message_once_in_order_or_tells_that_it_is_lost() {
    let Some((_namespaces, places)) = line("l") else {
        eprintln!("skipped: no right to make network namespaces here");
        return;
    };
    let [one, two] = &places;
    let dialled =
        Server::start_in(one, Kind::Tcp, &["--peer-listen", "11.0.2.1:30303", "--budget", "trusted"]);
    let dialling = Server::start_in(two, Kind::Tcp, &["--no-peer-listen", "--connect", "11.0.2.1:30303"]);
    let listener = listen_in(two, dialling.any(), "#lossy");
    reach_in(one, dialled.any(), "#lossy", 1);
    heard_text(&listener, "probe");
    let fifth = "iifname eth0 numgen random mod 5 == 0";
    if places.iter().any(|place| drop_packets(place, "input", fifth).is_none()) {
        eprintln!("skipped: no filter of packets here");
        return;
    }
    let speaker = Speaker::start(client_in(one, dialled.any()).args(["chat", "-c", "#lossy"]));
    speaker.until(SAID);
    for place in &places {
        assert!(run(&format!("ip netns exec {place} nft delete table inet drops")));
    }
    let (mut shown, mut lost) = (Vec::new(), 0);
    while shown.last().is_none_or(|last| *last < 2 * SAID) {
        let line: Value = serde_json::from_str(&listener.out.next().unwrap()).unwrap();
        match line["type"].as_str() {
            Some("message") => shown.extend(number(&line)),
            Some("missed") => lost += line["count"].as_u64().unwrap(),
            _ => {}
        }
    }
    speaker.stop();
    assert!(shown.is_sorted_by(|one, two| one < two), "{shown:?}");
    let all = u64::try_from(shown.last().unwrap() + 1).unwrap();
    assert_eq!(u64::try_from(shown.len()).unwrap() + lost, all, "{shown:?}");
}

/// What a [`Speaker`] said in this line.
fn number(line: &Value) -> Option<usize> {
    line["text"].as_str()?.strip_prefix("number ")?.parse().ok()
}

/// The second half of case E14 of the test plan: what was sent in a moment takes ten seconds to arrive.
#[test]
fn e14_a_slow_line_is_not_taken_for_a_dead_one_and_brings_everything() {
    let Some((_namespaces, [one, two])) = slow_line() else {
        eprintln!("skipped: no right to make network namespaces with a slow line here");
        return;
    };
    let mut dialled = Server::start_in(&one, Kind::Tcp, &["--peer-listen", "11.0.2.1:30303"]);
    let dialling = Server::start_in(&two, Kind::Tcp, &["--no-peer-listen", "--connect", "11.0.2.1:30303"]);
    let listener = listen_in(&two, dialling.any(), "#slow");
    reach_in(&one, dialled.any(), "#slow", 1);
    let since = dialled.ask("peers");
    let long: Vec<String> = (0..24).map(|number| format!("{number} {}", "x".repeat(50_000))).collect();
    for text in &long {
        send_in(&one, dialled.any(), "#slow", text);
    }
    for text in &long {
        heard_text(&listener, text);
    }
    let address = |peers: &[String]| peers[0].split_whitespace().nth(2).map(str::to_owned);
    assert_eq!(address(&dialled.ask("peers")), address(&since), "the same connection all the time");
}

#[test]
fn two_servers_behind_routers_take_full_part_though_nobody_can_dial_them() {
    let Some((_namespaces, [public, home1, home2])) = build() else {
        eprintln!("skipped: no right to make network namespaces with address translation here");
        return;
    };
    let peers = ["--peer-listen", "11.0.1.1:30303", "--budget", "public"];
    let mut open = Server::start_in(&public, Kind::Tcp, &peers);
    let homes = [&home1, &home2].map(|home| {
        let more = ["--peer-listen", "0.0.0.0:30303", "--budget", "public", "--connect", "11.0.1.1:30303"];
        Server::start_in(home, Kind::Tcp, &more)
    });
    let places = [(&home1, homes[0].any()), (&home2, homes[1].any()), (&public, open.any())]
        .map(|(namespace, place)| (namespace.clone(), place.to_owned()));
    let listeners = places.clone().map(|(namespace, place)| listen_in(&namespace, &place, "#home"));
    for (number, (namespace, place)) in places.iter().enumerate() {
        reach_in(namespace, place, "#home", 2);
        let text = format!("from {number}");
        send_in(namespace, place, "#home", &text);
        for listener in &listeners {
            heard_text(listener, &text);
        }
    }
    // Each home was asked for at its router, where nothing answers: its record says so, and nobody dials it.
    let row =
        |map: &[String], id: &str| map.iter().find(|line| line.contains(id)).cloned().unwrap_or_default();
    let mut map = Vec::new();
    until("the open server knows that it can be dialled", || {
        map = open.ask("map");
        row(&map, &open.id).contains("dialable")
    });
    assert!(homes.iter().all(|home| !row(&map, &home.id).contains("dialable")), "{map:#?}");
}
