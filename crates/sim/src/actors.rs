//! Who lives in a world: servers, clients and strangers, each with what its driver keeps.

use crate::shown::Shown;
use crate::sign::Signer;
use darkchat_client::session::{Session, State};
use darkchat_node::{Config, LinkId, Node, Profile, Trace};
use darkchat_proto::{Addr, ChannelId, ChannelName, DeviceId, Resume, ServerAddr, ServerId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The wall clock at the start of a world, in Unix milliseconds.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;
/// Where servers take clients.
pub(crate) const CLIENT_PORT: u16 = 8545;
/// Where servers take peers.
pub(crate) const PEER_PORT: u16 = 30_303;

/// A server: its node and its driver's half.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) signer: Rc<Signer>,
    pub(crate) config: Config,
    /// How far its clock is ahead of the world's, in milliseconds.
    pub(crate) skew_ms: i64,
    /// What its clock showed when it stopped, in Unix milliseconds.
    pub(crate) stopped_ms: Option<u64>,
    /// `None` after a crash. In a box, because it is taken out for every input.
    pub(crate) node: Option<Box<Node>>,
    /// Counts its starts.
    pub(crate) life: u32,
    /// The links that its node knows, and their connections and ends.
    pub(crate) links: BTreeMap<LinkId, (usize, usize)>,
    pub(crate) next_link: u64,
    /// Those that its node dialled and that have not been welcomed.
    pub(crate) unwelcomed: BTreeSet<LinkId>,
    /// What clients have asked to join, by link: nothing of other channels may be sent to them.
    pub(crate) asked: BTreeMap<LinkId, BTreeSet<ChannelId>>,
    /// The same of lost links, by client, for the link that goes on.
    pub(crate) asked_before: BTreeMap<usize, BTreeSet<ChannelId>>,
    /// The earliest deadline that an event stands for.
    pub(crate) timer: Option<Time>,
    pub(crate) paused_until: Time,
    /// No server can connect to it.
    pub(crate) hidden: bool,
    /// It counts what it is to pass on, and passes nothing on.
    pub(crate) swallows: bool,
    /// Dials in progress that its node wants, and where.
    pub(crate) dialling: BTreeMap<u64, Addr>,
    /// The dials that the operator did not want: when and where.
    pub(crate) chosen: Vec<(Time, Addr)>,
    /// How many there were, and how many came here.
    pub(crate) chose: usize,
    pub(crate) was_chosen: usize,
    /// Whether others can dial it, as its newest record says.
    pub(crate) says_dialable: bool,
    /// Where a dial succeeded, and where local discovery found somebody.
    pub(crate) proven: BTreeSet<Addr>,
    pub(crate) found: BTreeSet<Addr>,
    /// Whom the operator named.
    pub(crate) peers: Vec<ServerAddr>,
    /// What came of the traces that were asked for, oldest first.
    pub(crate) traced: Vec<Trace>,
}

impl Host {
    pub(crate) fn id(&self) -> ServerId {
        ServerId::new(self.signer.public())
    }

    pub(crate) const fn profile(&self) -> Profile {
        self.config.profile
    }
}

/// The place of a server in the address plan.
pub(crate) fn host_name(server: usize) -> String {
    format!("10.{}.{}.1", server / 250, server % 250)
}

/// The public place of a server: each has a network of its own, which is no special one.
pub(crate) fn public_name(server: usize) -> String {
    format!("{}.{}.7.1", 20 + server % 70, server / 70)
}

/// Which server lives there.
pub(crate) fn host_of(addr: &Addr) -> Option<usize> {
    let parts: Vec<usize> = addr.host().split('.').map_while(|part| part.parse().ok()).collect();
    match parts[..] {
        [10, high, low, 1] => Some(high * 250 + low),
        [first @ 20..90, second, 7, 1] => Some(second * 70 + first - 20),
        _ => None,
    }
}

/// A user's program: its session, its driver's half, and what it was shown.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) signer: Rc<Signer>,
    pub(crate) device: DeviceId,
    pub(crate) session: Session,
    /// The connection that is dialled or open.
    pub(crate) connection: Option<usize>,
    pub(crate) state: State,
    pub(crate) next_ticket: u64,
    /// The channels that it is in, and since when, by the server's last word.
    pub(crate) joined: BTreeMap<ChannelId, Time>,
    /// The same at the moment when the link was lost, for the one that goes on.
    pub(crate) joined_before: BTreeMap<ChannelId, Time>,
    /// How often a server went on with its session.
    pub(crate) resumed: u64,
    /// What its last dial gives to the server.
    pub(crate) offers: Option<Resume>,
    /// The channels that its user wants to be in.
    pub(crate) wanted: BTreeMap<ChannelId, ChannelName>,
    /// What its user wished to send, and how often.
    pub(crate) wished: BTreeMap<(ChannelId, String), u64>,
    /// Wishes that were carried out, and that were not.
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) shown: Shown,
    pub(crate) timer: Option<Time>,
    /// Bytes a second; `None` reads at once.
    pub(crate) reads: Option<u64>,
    pub(crate) reads_again: Time,
    /// Its driver or its link did not keep up, or was disturbed, until then: nothing is promised to it.
    pub(crate) disturbed: Time,
    pub(crate) up_since: Option<Time>,
}

impl User {
    pub(crate) fn id(&self) -> UserId {
        UserId::new(self.signer.public())
    }

    pub(crate) fn ticket(&mut self) -> darkchat_client::session::Ticket {
        self.next_ticket += 1;
        darkchat_client::session::Ticket(self.next_ticket)
    }
}
