//! What members of private channels tell each other over direct messages: where private channels meet them. Source:
//! `docs/protocol.md`, sections 7.5 and 8.1.

use super::direct::Sender;
use super::{Failure, Session};
use darkchat_proto::{ContentId, DmContent, DmKind, GroupControl, Time, UserId};

impl Session {
    /// Sends a control to all devices of a user, sealed, and repeats it until one of them has acknowledged it.
    /// [`control_done`](Self::control_done) tells the outcome under the same id, once.
    ///
    /// # Errors
    /// [`Failure`]: `TooLarge`, `Full` (256 contents or 1 MiB wait already) or `Closed`; nothing is sent then, and no
    /// outcome follows.
    pub(super) fn send_control(
        &mut self,
        now: Time,
        to: UserId,
        control: &GroupControl,
    ) -> Result<ContentId, Failure> {
        let id = self.content_id();
        let content = DmContent::new(id, self.wall.at(now), DmKind::Group, control.encode());
        self.post_letter(now, to, content, Sender::Control)?;
        Ok(id)
    }
}
