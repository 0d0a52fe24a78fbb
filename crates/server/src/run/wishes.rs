//! Who asked for which link, and what they are told.

use crate::{LinkId, PeerError};
use darkchat_node::DialId;
use darkchat_proto::{Addr, Code, ServerAddr, ServerId};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;

/// Where an asker hears the outcome.
pub(crate) type Answer = oneshot::Sender<Result<ServerId, PeerError>>;

/// The operator's wishes for links, and those who wait to hear of one.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Addresses that stay wanted whatever happens: configured, or linked once.
    kept: BTreeSet<Addr>,
    dials: BTreeMap<DialId, Addr>,
    /// Links that we dialled and that are not up yet.
    opened: BTreeMap<LinkId, Addr>,
    asked: Vec<Asked>,
    /// Why the dial failed that the node is being told of.
    failure: Option<(Addr, PeerError)>,
}

#[derive(Debug)]
struct Asked {
    addr: Addr,
    /// The servers that were linked when the wish came: of two links between a pair one goes, and either end may
    /// be the first to tell, so this alone says for certain whether there was one before.
    linked: BTreeSet<ServerId>,
    answer: Answer,
}

impl Wishes {
    pub(crate) fn new(configured: &[ServerAddr]) -> Self {
        Self { kept: configured.iter().map(|peer| peer.addr.clone()).collect(), ..Self::default() }
    }

    /// Somebody wants a link. Those who no longer wait are forgotten, so the list is as long as the calls in progress.
    pub(crate) fn ask(&mut self, addr: Addr, linked: BTreeSet<ServerId>, answer: Answer) {
        self.asked.retain(|asked| !asked.answer.is_closed());
        self.asked.push(Asked { addr, linked, answer });
    }

    /// The operator wants that address no longer; who waits for it is told so by the end of its link.
    pub(crate) fn forget(&mut self, addr: &Addr) {
        self.kept.remove(addr);
    }

    /// A dial begins that somebody asked for.
    pub(crate) fn dialling(&mut self, dial: DialId, addr: &Addr) {
        self.dials.insert(dial, addr.clone());
    }

    /// A dial's handshake is complete, with that server.
    pub(crate) fn opened(&mut self, dial: DialId, link: LinkId, server: Option<ServerId>) {
        let Some(addr) = self.dials.remove(&dial) else { return };
        if let Some(server) = server {
            let is_old = |asked: &mut Asked| asked.addr == addr && asked.linked.contains(&server);
            let told: Vec<Asked> = self.asked.extract_if(.., is_old).collect();
            self.answer(told, || Err(PeerError::AlreadyConnected { id: server }));
        }
        self.opened.insert(link, addr);
    }

    /// A dial came to nothing; the node will name the address if it still matters.
    pub(crate) fn not_dialled(&mut self, dial: DialId, error: PeerError) {
        self.failure = self.dials.remove(&dial).map(|addr| (addr, error));
    }

    /// The failure of which the node had nothing to say.
    pub(crate) fn take_failure(&mut self) -> Option<(Addr, PeerError)> {
        self.failure.take()
    }

    /// A link is gone; where it was dialled, if it was never up.
    pub(crate) fn closed(&mut self, link: LinkId) -> Option<Addr> {
        self.opened.remove(&link)
    }

    /// A link that we dialled is up.
    pub(crate) fn up(&mut self, link: LinkId, addr: &Addr, peer: ServerId) {
        let dialled = self.opened.remove(&link);
        self.keep(dialled.as_ref().unwrap_or(addr), || Ok(peer));
    }

    /// There was a link with that server before.
    pub(crate) fn already(&mut self, addr: &Addr, peer: ServerId) {
        self.keep(addr, || Err(PeerError::AlreadyConnected { id: peer }));
    }

    fn keep(&mut self, addr: &Addr, reply: impl Fn() -> Result<ServerId, PeerError>) {
        let told: Vec<Asked> = self.asked.extract_if(.., |asked| asked.addr == *addr).collect();
        self.answer(told, reply);
    }

    /// Tells those who asked, and keeps what they asked for.
    fn answer(&mut self, told: Vec<Asked>, reply: impl Fn() -> Result<ServerId, PeerError>) {
        for asked in told {
            self.kept.insert(asked.addr);
            // Who no longer waits needs no answer.
            drop(asked.answer.send(reply()));
        }
    }

    /// There is no link. Whether nobody wants that address any more.
    pub(crate) fn failed(&mut self, addr: &Addr, why: Code) -> bool {
        let known = self.failure.take_if(|(of, _)| of == addr).map(|(_, error)| error);
        let refused = || match why {
            Code::Conflict => PeerError::Itself { addr: addr.clone() },
            code => PeerError::Refused { addr: addr.clone(), code },
        };
        self.fail(addr, known.unwrap_or_else(refused), refused)
    }

    /// The same, with a reason of our own.
    pub(crate) fn failed_for(&mut self, addr: &Addr, error: PeerError) -> bool {
        self.fail(addr, error, || PeerError::Refused { addr: addr.clone(), code: Code::Unreachable })
    }

    fn fail(&mut self, addr: &Addr, first: PeerError, others: impl Fn() -> PeerError) -> bool {
        let (mut first, mut is_asked) = (Some(first), false);
        for asked in self.asked.extract_if(.., |asked| asked.addr == *addr) {
            is_asked |= !asked.answer.is_closed();
            drop(asked.answer.send(Err(first.take().unwrap_or_else(&others))));
        }
        is_asked && !self.kept.contains(addr)
    }
}
