//! What happens to links, whoever is at the other end: they open, are heard, fall silent, close. Sections 3 and 11.

use crate::hop::Pace;
use crate::limits::PeerBudgets;
use crate::link::{LinkKind, NewLink, Verdict};
use crate::peers::{Aim, Peer};
use crate::queue::Item;
use crate::{Accept, DialId, LinkId, Node, Profile, Received};
use darkchat_crypto::Authenticated;
use darkchat_proto::{Addr, Code, Frame, Goodbye, Kind, Resume, ServerId};
use std::net::IpAddr;

/// Who was cut off for sending too fast stays away for so long, in milliseconds.
const RATE_RETRY_MS: u32 = 10_000;

/// A link as it opens.
pub(crate) struct Arrival {
    pub(crate) dial: Option<DialId>,
    pub(crate) accept: Accept,
    pub(crate) peer: Authenticated,
    pub(crate) remote: Addr,
    pub(crate) observed: IpAddr,
    pub(crate) resume: Option<Resume>,
}

impl Node {
    pub(crate) fn wall(&mut self, unix_ms: u64) {
        self.cx.set_wall(unix_ms);
        if self.announce.is_silent() {
            self.begin_epoch(unix_ms);
            self.announce_due();
        }
    }

    pub(crate) fn opened(&mut self, link: LinkId, arrival: Arrival) {
        let Arrival { dial, accept, peer, remote, observed, resume } = arrival;
        let user = peer.user().zip(peer.device());
        let kind = if user.is_some() { LinkKind::Client } else { LinkKind::Peer };
        let features = peer.features();
        let now = self.cx.now;
        let budgets = PeerBudgets::of(self.config.profile);
        let pace = (kind == LinkKind::Peer).then(|| Pace::new(peer.announced(), &budgets));
        if self.links.open(now, link, NewLink { kind, remote, observed, features, pace }).is_none() {
            return;
        }
        match (user, peer.server()) {
            (Some((user, device)), _) => {
                let replaces = self.sessions.of_device(user, device).is_some();
                match self.admit_client(dial, accept, replaces) {
                    Ok(()) => self.client_up(link, (user, device), resume.as_ref()),
                    Err(code) => self.close(link, code),
                }
            }
            (None, Some(server)) => self.server_opened(link, dial, accept, server),
            (None, None) => self.close(link, Code::BadFrame),
        }
    }

    fn admit_client(&mut self, dial: Option<DialId>, accept: Accept, replaces: bool) -> Result<(), Code> {
        if self.sessions.len() >= self.config.max_clients && !replaces {
            self.make_room_for_client();
        }
        if self.draining {
            Err(Code::Shutdown)
        } else if dial.is_some() || !matches!(accept, Accept::Clients | Accept::All) {
            Err(Code::Unauthorized)
        } else if self.sessions.len() >= self.config.max_clients && !replaces {
            Err(Code::Limit)
        } else {
            Ok(())
        }
    }

    fn server_opened(&mut self, link: LinkId, dial: Option<DialId>, accept: Accept, server: ServerId) {
        let now = self.cx.now;
        let aim = dial.and_then(|dial| self.peers.answered(now, dial, link, server));
        if server == self.identity {
            self.dialled_ourselves(aim);
            return self.close(link, Code::Conflict);
        }
        let chosen = if let Some(Aim::Chosen(target)) = &aim { Some(*target) } else { None };
        let admitted = match (dial, &aim) {
            (Some(_), None) => Err(Code::Ok),
            (Some(_), Some(_)) if chosen.is_some_and(|target| target.server != server) => {
                Err(Code::Unauthorized)
            }
            (Some(_), Some(_)) => self.admit_server(server),
            (None, _) if !matches!(accept, Accept::Peers | Accept::All) => Err(Code::Unauthorized),
            (None, _) => self.admit_server(server).and_then(|()| self.admit_inbound(&server)),
        };
        if let Err(code) = admitted {
            if let Some(target) = chosen {
                self.chosen_failed(&target, if target.server == server { Code::Timeout } else { code });
            }
            return self.close(link, code);
        }
        let is_named = matches!(aim, Some(Aim::Pinned(_))) || self.peers.is_named(&server);
        let profile = if is_named { Profile::Trusted } else { self.config.profile };
        let mut peer = Peer::new(now, server, aim.is_some(), profile);
        peer.chosen = chosen;
        self.peers.insert(link, peer);
        if aim.is_none() {
            self.welcome_server(link);
            self.server_up(link);
        }
    }

    fn admit_server(&self, server: ServerId) -> Result<(), Code> {
        if self.draining {
            Err(Code::Shutdown)
        } else if self.blame.is_barred(self.cx.now, server.router()) {
            Err(Code::Blocked)
        } else if self.peers.is_closed() || self.map.clashes(&server) || self.peers.clashes(&server) {
            Err(Code::Conflict)
        } else {
            Ok(())
        }
    }

    pub(crate) fn frame(&mut self, link: LinkId, frame: Received) {
        let Some((kind, is_finishing)) = self.links.heard(self.cx.now, link) else { return };
        if is_finishing {
            // A neighbour that counts what it got lets the link end early.
            if let Received::Other(Frame { kind: Kind::LinkAck { received }, .. }) = frame {
                self.counted(link, received);
            }
            return;
        }
        match kind {
            LinkKind::Client => self.client_frame(link, frame),
            LinkKind::Peer => self.server_frame(link, frame),
            LinkKind::Away(_) | LinkKind::Closing(_) => {}
        }
    }

    pub(crate) fn flushed(&mut self, link: LinkId, bytes: usize) {
        if let Verdict::Close(code) = self.links.flushed(&mut self.cx, link, bytes) {
            return self.close(link, code);
        }
        self.answer_pull(link);
    }

    pub(crate) fn closed(&mut self, link: LinkId, why: Code) {
        if self.keep_session(link, why) {
            return;
        }
        let routes = self.links.take_routes(&mut self.cx, link);
        let Some((_, why)) = self.links.closed(&mut self.cx, link, why) else { return };
        self.gone(link, why, routes);
    }

    /// Closes a link and says why.
    pub(crate) fn close(&mut self, link: LinkId, code: Code) {
        let mut goodbye = Goodbye::new(code);
        match code {
            Code::RateLimited => goodbye.retry_ms = RATE_RETRY_MS,
            Code::Shutdown if self.links.kind(link) == Some(LinkKind::Client) => self.say_where(&mut goodbye),
            Code::SlowConsumer => goodbye.text = format!("{} posts were dropped", self.links.dropped(link)),
            _ => {}
        }
        self.close_with(link, code, Some(goodbye));
    }

    /// Closes a link that said goodbye itself.
    pub(crate) fn close_silently(&mut self, link: LinkId, code: Code) {
        self.close_with(link, code, None);
    }

    fn close_with(&mut self, link: LinkId, code: Code, goodbye: Option<Goodbye>) {
        if self.links.is_away(link) {
            return self.end_away(link);
        }
        if self.links.kind(link).is_none() {
            return;
        }
        let routes = self.links.take_routes(&mut self.cx, link);
        self.links.close(&mut self.cx, link, code, goodbye);
        self.gone(link, code, routes);
    }

    /// Whoever was at a link is not there any more. The first time counts.
    fn gone(&mut self, link: LinkId, why: Code, routes: Vec<Item>) {
        self.client_down(link, why);
        self.server_down(link, why);
        self.strand(routes);
    }

    /// A link here or elsewhere is gone, and often more than one is: those behind the same cut are found now, and not
    /// one after another by the messages that each of them swallows.
    pub(crate) fn doubt_neighbours(&mut self) {
        if !self.peers.doubts(self.cx.now) {
            return;
        }
        let links: Vec<LinkId> = self.peers.up().map(|(_, link)| link).collect();
        for link in links {
            if let Verdict::Close(code) = self.links.doubt(&mut self.cx, link) {
                self.close(link, code);
            }
        }
    }

    pub(crate) fn timeout(&mut self) {
        let now = self.cx.now;
        let mut is_neighbour_silent = false;
        while let Some(link) = self.links.pop_due(now) {
            if let Verdict::Close(code) = self.links.wake(&mut self.cx, link) {
                is_neighbour_silent |= code == Code::Timeout && self.links.kind(link) == Some(LinkKind::Peer);
                self.close(link, code);
            }
        }
        if is_neighbour_silent {
            self.doubt_neighbours();
        }
        for (link, code) in self.peers.unwelcome(now) {
            self.close(link, code);
        }
        self.ease_checks();
        self.sync_due();
        self.announce_due();
        self.expire_spread();
        self.expire_limbo();
        self.expire_traces();
        self.expire_directs();
        self.expire_lookups();
        self.ask_refused();
        self.ask_due();
        self.choose_due();
        self.expire_away();
        self.leave_peers();
        self.dial_due();
    }
}
