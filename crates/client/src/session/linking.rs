//! The link's coming, living and going.

use super::connection::{Due, Next};
use super::{Budgets, CLOSE_WITHIN, DialId, Event, Failure, Membership, Output, Session, State};
use darkchat_proto::{Announced, Code, Features, Frame, Goodbye, Kind, ServerId, Time, Welcome};
use std::time::Duration;

/// A server's clock that differs by more is worth a warning: one of the two is wrong (6.3).
const CLOCK_WARNING_MS: u64 = 120_000;
/// The most that a server's `resume_ms` is believed: nothing that it keeps is older than 10 s.
const RESUME_MAX: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn connect(&mut self, now: Time) {
        if self.connection.is_idle() {
            self.dial(now);
        }
    }

    fn dial(&mut self, now: Time) {
        match self.connection.dial(now) {
            Some((dial, addr, suggested)) => {
                self.event(Event::State(State::Connecting { addr: addr.clone(), suggested }));
                let resume = self.resuming.offer(now, addr.key);
                self.outputs.push_back(Output::Dial { dial, addr, resume });
            }
            None => self.end(now, Code::Unreachable),
        }
    }

    pub(super) fn opened(
        &mut self,
        now: Time,
        (dial, server): (DialId, ServerId),
        announced: &Announced,
        features: Features,
    ) {
        if !self.connection.opened(now, dial, server, announced) {
            return;
        }
        self.resumes = features.contains(Features::RESUME);
        self.seals = features.contains(Features::SEALED);
        self.budgets = Budgets::new(announced, now);
        self.own.announced(announced.max_payload);
        self.direct.opened(announced.posts_per_s, now);
        let (server_ms, our_ms) = (announced.time_ms, self.wall.at(now));
        if server_ms != 0 && server_ms.abs_diff(our_ms) > CLOCK_WARNING_MS {
            self.event(Event::ClockDiffers { server_ms, our_ms });
        }
    }

    /// The server's welcome.
    pub(super) fn welcomed(&mut self, now: Time, welcome: &Welcome) {
        let Some((state, server)) = self.connection.welcomed(now) else { return self.cut(Code::BadFrame) };
        let mut again = Vec::new();
        if welcome.resumed {
            match self.resuming.again(welcome.received) {
                Some(frames) => again = frames,
                // It goes on with something that we did not offer, or do not have any more.
                None => return self.cut(Code::Internal),
            }
        } else if self.resuming.is_waiting() {
            self.forget();
        }
        let span = Duration::from_millis(welcome.resume_ms.into()).min(RESUME_MAX);
        self.resuming.welcomed(welcome.resume_token.filter(|_| self.resumes), server, span);
        if welcome.resumed {
            for frame in &again {
                self.budgets.take_post(1, frame.len());
            }
            self.own.go_again();
            self.outbox.go_on(again);
            self.event(Event::Resumed);
            self.event(Event::State(state));
        } else {
            self.direct_welcomed(now, state);
        }
    }

    /// The server's goodbye: it closes, and so do we.
    pub(super) fn farewell(&mut self, goodbye: Goodbye) {
        self.connection.goodbye(&goodbye);
        let why = goodbye.code;
        self.event(Event::Goodbye(goodbye));
        self.hang_up(why, None);
    }

    /// The server breaks the protocol: the link ends with this code.
    pub(super) fn cut(&mut self, why: Code) {
        self.hang_up(why, Some(Goodbye::new(why)));
    }

    fn hang_up(&mut self, why: Code, goodbye: Option<Goodbye>) {
        // Before the welcome we say nothing, whatever is wrong (3.5).
        let told = goodbye.filter(|_| self.connection.is_up());
        // A dead link is a lost one; every other end that we know of ends the session.
        if why != Code::Timeout {
            self.resuming.clear();
        }
        if self.connection.close(why) {
            if self.resuming.is_possible() {
                self.outbox.hold();
            } else {
                self.outbox.clear();
            }
            self.outputs.push_back(Output::Close { goodbye: told });
        }
    }

    /// The dial or the link is gone.
    pub(super) fn lost(&mut self, now: Time, told: Code) {
        let resumable = self.resuming.lose(now);
        let (why, next) = self.connection.lost(now, told, resumable, &mut self.random);
        if resumable && next != Next::End {
            self.outbox.hold();
        } else {
            self.forget();
        }
        match next {
            Next::Dial => self.dial(now),
            Next::Wait(retry) => self.event(Event::State(State::Waiting { retry, why })),
            Next::End => self.end(now, why),
        }
    }

    /// Nothing goes on from the lost link: what it was asked is asked again.
    fn forget(&mut self) {
        self.resuming.clear();
        self.outbox.clear();
        self.requests.clear();
        self.own.close();
        self.members.silence();
        self.direct_lost();
        self.forget_link();
    }

    /// Gives up a session that no link came for in time. A dial that offered it is waited for.
    pub(super) fn expire_resume(&mut self, now: Time) {
        if self.resume_deadline().is_some_and(|until| until <= now) {
            self.forget();
        }
    }

    /// When a session is given up that no link came for.
    pub(super) fn resume_deadline(&self) -> Option<Time> {
        self.resuming.deadline().filter(|_| self.connection.is_waiting())
    }

    /// The channels' part of a lost link: members wait for the next one, and who was leaving has left.
    fn forget_link(&mut self) {
        for id in self.channels.ids() {
            match self.channels.get(&id).map(|channel| channel.membership.clone()) {
                Some(Membership::Draining(_) | Membership::Leaving(_)) => self.left(id),
                Some(_) => self.channels.set(id, Membership::Wanted),
                None => {}
            }
        }
    }

    /// Nothing will happen any more: every wish gets its answer.
    fn end(&mut self, now: Time, why: Code) {
        self.connection.ended();
        self.leave_by = None;
        for id in self.channels.ids() {
            self.join_failed(id, Failure::Closed);
        }
        self.end_direct(now);
        self.event(Event::State(State::Closed { why }));
    }

    /// The user goes.
    pub(super) fn close(&mut self, now: Time) {
        self.connection.end();
        if self.connection.is_up() {
            self.leave_by = Some(self.leave_by.unwrap_or(now + CLOSE_WITHIN));
            self.direct.stir();
            self.say_part(now);
        } else if self.connection.is_open() {
            self.hang_up(Code::Ok, None);
        } else if !self.connection.is_ended() {
            self.end(now, Code::Ok);
        }
    }

    /// After the user's wish to go: the goodbye, when all is out or the time is over.
    pub(super) fn finish_close(&mut self, now: Time) {
        let Some(by) = self.leave_by else { return };
        if by <= now || (self.own.all_idle() && self.direct.is_idle() && self.outbox.is_empty()) {
            self.leave_by = None;
            self.hang_up(Code::Ok, Some(Goodbye::new(Code::Ok)));
        }
    }

    /// What the clock makes of the link.
    pub(super) fn check_link(&mut self, now: Time) {
        match self.connection.due(now) {
            Some(Due::Dial) => self.dial(now),
            Some(Due::Dead) => self.hang_up(Code::Timeout, None),
            Some(Due::Ping) => self.ping(now),
            None => {}
        }
    }

    /// Asks whether the server is there, and tells how many of its frames were processed.
    pub(super) fn ping(&mut self, now: Time) {
        let (nonce, acked) = (self.random.next(), self.resuming.ask());
        self.connection.sent(now);
        self.outbox.reply(&Frame::from(Kind::Ping { nonce, acked }));
    }
}
