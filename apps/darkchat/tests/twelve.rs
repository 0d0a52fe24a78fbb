//! Twelve servers that know one address: they find each other, and account for every message while some of them die,
//! stand still and come back.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Kind, Program, Server, client, listen, reach, until};
use serde_json::Value;
use std::collections::BTreeSet;

const SERVERS: usize = 12;
/// Fewer neighbours than that and a server looks for more.
const MIN_NEIGHBOURS: usize = 4;
const CHANNEL: &str = "#twelve";

/// What a listener was shown, and how many it was told that it missed.
#[derive(Debug, Default)]
struct Account {
    shown: Vec<u64>,
    missed: u64,
    /// It was told that it missed an unknown number.
    missed_some: bool,
}

impl Account {
    /// Reads a listener up to the message with this number.
    fn read(&mut self, listener: &Program, until: u64) {
        while self.shown.last() != Some(&until) {
            let line = listener.out.next().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            match line["type"].as_str() {
                Some("message") => {
                    self.shown.extend(line["text"].as_str().and_then(|text| text.parse::<u64>().ok()))
                }
                Some("missed") => match line["count"].as_u64() {
                    Some(count) => self.missed += count,
                    None => self.missed_some = true,
                },
                _ => {}
            }
        }
    }

    fn assert_in_order_and_once(&self) {
        assert!(
            self.shown.is_sorted_by(|one, two| one < two),
            "each once, in the order sent: {:?}",
            self.shown
        );
    }

    fn assert_whole(&self, all: std::ops::Range<u64>, who: usize) {
        self.assert_in_order_and_once();
        let shown: BTreeSet<u64> = self.shown.iter().copied().filter(|number| all.contains(number)).collect();
        let lost: Vec<u64> = all.filter(|number| !shown.contains(number)).collect();
        assert!(lost.is_empty(), "listener {who} lost {lost:?} and was told of {}", self.missed);
    }
}

/// A program that sends numbers.
struct Sender {
    program: Program,
    next: u64,
}

impl Sender {
    fn new(server: &str) -> Self {
        let program = Program::start(client(server).args(["chat", "-c", CHANNEL]));
        program.err.until(&["-- joined", CHANNEL]);
        Self { program, next: 1 }
    }

    /// Sends so many, one after the other: each is heard at the sender's own server before the next one goes.
    fn send(&mut self, count: u64, listener: &Program, account: &mut Account) -> u64 {
        for _ in 0..count {
            self.program.say(&self.next.to_string());
            account.read(listener, self.next);
            self.next += 1;
        }
        self.next - 1
    }
}

fn neighbours(server: &mut Server) -> usize {
    server.ask("peers").iter().filter(|line| line.starts_with('s')).count()
}

/// Starts the servers and waits until each has neighbours enough and a post reaches all of them.
fn network() -> (Vec<Server>, Vec<Program>) {
    let first = Server::start(Kind::Tcp, &[]);
    let bootstrap = first.peers.clone();
    let mut servers = vec![first];
    servers.extend((1..SERVERS).map(|_| Server::start(Kind::Tcp, &["--connect", &bootstrap])));
    for server in &mut servers {
        until("neighbours enough", || neighbours(server) >= MIN_NEIGHBOURS);
    }
    let listeners: Vec<Program> = servers.iter().map(|server| listen(server.any(), CHANNEL, &[])).collect();
    for server in &servers {
        reach(server.any(), CHANNEL, u64::try_from(SERVERS - 1).unwrap());
    }
    (servers, listeners)
}

#[test]
fn twelve_servers_from_one_address_account_for_every_message_whatever_happens_to_some_of_them() {
    let (mut servers, mut listeners) = network();
    let mut sender = Sender::new(servers[0].any());
    let mut accounts: Vec<Account> = listeners.iter().map(|_| Account::default()).collect();

    // In peace everybody hears everything.
    let last = sender.send(100, &listeners[0], &mut accounts[0]);
    for (who, (account, listener)) in accounts.iter_mut().zip(&listeners).enumerate() {
        account.read(listener, last);
        account.assert_whole(1..last + 1, who);
        assert_eq!((account.missed, account.missed_some), (0, false), "listener {who}");
    }

    // One is killed, and one stands still, in the middle of the talk.
    let (killed, stopped) = (SERVERS - 1, SERVERS - 2);
    sender.send(20, &listeners[0], &mut accounts[0]);
    servers[killed].program.signal("KILL");
    sender.send(20, &listeners[0], &mut accounts[0]);
    servers[stopped].program.signal("STOP");
    let last = sender.send(200, &listeners[0], &mut accounts[0]);
    let survivors = |who: &usize| *who != killed && *who != stopped;
    for who in (0..SERVERS).filter(survivors) {
        accounts[who].read(&listeners[who], last);
        accounts[who].assert_whole(1..last + 1, who);
    }

    // The one that stood still goes on: what it missed is either shown or told.
    servers[stopped].program.signal("CONT");
    drop(listeners.remove(killed));
    accounts.remove(killed);
    let dead = servers.remove(killed);
    let address = dead.peers.clone();
    drop(dead);
    let port = address.trim_start_matches("tcp://");
    let bootstrap = servers[0].peers.clone();
    servers.push(Server::start(Kind::Tcp, &["--connect", &bootstrap, "--peer-listen", port]));
    listeners.push(listen(servers[killed].any(), CHANNEL, &[]));
    accounts.push(Account::default());
    for server in &servers {
        reach(server.any(), CHANNEL, u64::try_from(SERVERS - 1).unwrap());
    }
    let first_after = sender.next;
    let last = sender.send(100, &listeners[0], &mut accounts[0]);
    for (who, (account, listener)) in accounts.iter_mut().zip(&listeners).enumerate() {
        account.read(listener, last);
        account.assert_whole(first_after..last + 1, who);
    }
    for (who, account) in accounts.iter().enumerate().filter(|(who, _)| survivors(who)) {
        account.assert_whole(1..last + 1, who);
        assert_eq!((account.missed, account.missed_some), (0, false), "listener {who}");
    }
    let account = &accounts[stopped];
    let shown = u64::try_from(account.shown.len()).unwrap();
    assert!(
        shown + account.missed == last || account.missed_some,
        "{shown} shown, {} told, of {last}",
        account.missed
    );
}
