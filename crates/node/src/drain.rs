//! How a server leaves: it says so, lets out what it has taken, and goes. Source: `docs/protocol.md`, sections 5.3 and 9.2.

use crate::link::{LinkKind, Verdict};
use crate::{LinkId, Node};
use darkchat_proto::limits::MAX_ELSEWHERE;
use darkchat_proto::{Code, Frame, Goodbye, Kind, Notice};
use std::time::Duration;

/// Links with peers stay for so long, so that the record that says that we leave is signed and out before they end.
const PEERS_STAY: Duration = Duration::from_millis(200);
/// The wait that clients are asked for is at most the first, and the second more for each of them, up to the third; in
/// milliseconds.
const RETURN: (usize, usize, usize) = (1_000, 1, 10_000);

impl Node {
    /// The operator wants an end.
    pub(crate) fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.leave_at = Some(self.cx.now + PEERS_STAY);
        self.peers.close();
        self.announce_now();
        while self.away.deadline().is_some() {
            self.make_room_for_client();
        }
        for link in self.links_of(LinkKind::Client) {
            self.send(link, &Frame::from(Kind::Notice(Notice::Draining)));
            self.finish(link);
        }
    }

    /// Ends the links with peers when their time has come. What was accepted leaves first.
    pub(crate) fn leave_peers(&mut self) {
        if self.leave_at.is_none_or(|at| at > self.cx.now) {
            return;
        }
        self.leave_at = None;
        for link in self.links_of(LinkKind::Peer) {
            self.finish(link);
        }
    }

    fn links_of(&self, kind: LinkKind) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.kind == kind).map(|(link, _)| link).collect()
    }

    fn finish(&mut self, link: LinkId) {
        if let Verdict::Close(code) = self.links.finish(&mut self.cx, link, Code::Shutdown) {
            self.close(link, code);
        }
    }

    /// Tells a client where it may go, and to wait a little: not all come at once.
    pub(crate) fn say_where(&mut self, goodbye: &mut Goodbye) {
        let (least, each, most) = RETURN;
        let span = least.saturating_add(each.saturating_mul(self.sessions.len())).min(most);
        goodbye.retry_ms = u32::try_from(self.cx.rng.below(span)).unwrap_or(u32::MAX);
        goodbye.elsewhere =
            self.config.elsewhere.iter().take(MAX_ELSEWHERE).map(ToString::to_string).collect();
    }
}
