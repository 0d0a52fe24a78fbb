//! The link's coming, living and going.

use super::connection::{Due, Next};
use super::{Budgets, CLOSE_WITHIN, DialId, Event, Failure, Membership, Output, Session, State};
use darkchat_proto::{Announced, Code, Frame, Goodbye, Kind, ServerId, Time};

/// A server's clock that differs by more is worth a warning: one of the two is wrong (6.3).
const CLOCK_WARNING_MS: u64 = 120_000;

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
                self.outputs.push_back(Output::Dial { dial, addr });
            }
            None => self.end(Code::Unreachable),
        }
    }

    pub(super) fn opened(&mut self, now: Time, dial: DialId, server: ServerId, announced: &Announced) {
        if !self.connection.opened(now, dial, server, announced) {
            return;
        }
        self.budgets = Budgets::new(announced, now);
        self.own.announced(announced.max_payload);
        let (server_ms, our_ms) = (announced.time_ms, self.wall.at(now));
        if server_ms != 0 && server_ms.abs_diff(our_ms) > CLOCK_WARNING_MS {
            self.event(Event::ClockDiffers { server_ms, our_ms });
        }
    }

    /// The server's welcome.
    pub(super) fn welcomed(&mut self, now: Time) {
        match self.connection.welcomed(now) {
            Some(state) => self.event(Event::State(state)),
            None => self.cut(Code::BadFrame),
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
        if self.connection.close(why) {
            self.outbox.clear();
            self.outputs.push_back(Output::Close { goodbye: told });
        }
    }

    /// The dial or the link is gone.
    pub(super) fn lost(&mut self, now: Time, told: Code) {
        self.outbox.clear();
        self.requests.clear();
        self.own.close();
        self.members.silence();
        self.forget_link();
        let (why, next) = self.connection.lost(now, told, &mut self.random);
        match next {
            Next::Dial => self.dial(now),
            Next::Wait(retry) => self.event(Event::State(State::Waiting { retry, why })),
            Next::End => self.end(why),
        }
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
    fn end(&mut self, why: Code) {
        self.connection.ended();
        self.leave_by = None;
        for id in self.channels.ids() {
            self.join_failed(id, Failure::Closed);
        }
        self.event(Event::State(State::Closed { why }));
    }

    /// The user goes.
    pub(super) fn close(&mut self, now: Time) {
        self.connection.end();
        if self.connection.is_up() {
            self.leave_by = Some(self.leave_by.unwrap_or(now + CLOSE_WITHIN));
            self.say_part(now);
        } else if self.connection.is_open() {
            self.hang_up(Code::Ok, None);
        } else if !self.connection.is_ended() {
            self.end(Code::Ok);
        }
    }

    /// After the user's wish to go: the goodbye, when all is out or the time is over.
    pub(super) fn finish_close(&mut self, now: Time) {
        let Some(by) = self.leave_by else { return };
        if by <= now || (self.own.all_idle() && self.outbox.is_empty()) {
            self.leave_by = None;
            self.hang_up(Code::Ok, Some(Goodbye::new(Code::Ok)));
        }
    }

    /// What the clock makes of the link.
    pub(super) fn check_link(&mut self, now: Time) {
        match self.connection.due(now) {
            Some(Due::Dial) => self.dial(now),
            Some(Due::Dead) => self.hang_up(Code::Timeout, None),
            Some(Due::Ping) => {
                let nonce = self.random.next();
                self.connection.sent(now);
                self.outbox.reply(&Frame::from(Kind::Ping { nonce, acked: 0 }));
            }
            None => {}
        }
    }
}
