//! Faults in rules that came later than the list of testplan 5.4; numbers go up within a group.

use super::{Edit, MESH, Mutant, NEIGHBOURS, RESUME, STORIES, client, node};

pub(super) const LATER: &[Mutant] = &[
    Mutant {
        number: 21,
        name: "a post that was refused counts as one that came before",
        edits: &[Edit {
            file: "crates/node/src/router.rs",
            text: "            self.cx.stats.refuse(RefusedFor::of(code));\n            self.refuse(link, req, code, 0);",
            by: "            self.cx.stats.refuse(RefusedFor::of(code));\n            if let Some(session) = self.sessions.get_mut(link) {\n                session.recent.insert(digest);\n            }\n            self.refuse(link, req, code, 0);",
        }],
        tests: &[node("tests::clients"), node("")],
    },
    Mutant {
        number: 22,
        name: "the node takes a post of another author",
        edits: &[Edit {
            file: "crates/node/src/router.rs",
            text: "if post.is_some_and(|post| post.author != session.user) {",
            by: "if post.is_some_and(|_| false) {",
        }],
        tests: &[node("tests::clients"), node("")],
    },
    Mutant {
        number: 23,
        name: "a route is sent back where it came from",
        edits: &[Edit {
            file: "crates/node/src/router.rs",
            text: "self.map.next_hops(&std::mem::take(&mut head.dst), from)",
            by: "self.map.next_hops(&std::mem::take(&mut head.dst), None)",
        }],
        tests: &[node("tests::servers"), node("")],
    },
    // ---- hop acknowledgement (protocol 9.6)
    Mutant {
        number: 30,
        name: "a route is counted before it was dealt with",
        edits: &[Edit {
            file: "crates/node/src/servers.rs",
            text: "                self.route(link, router::Received { head, payload, digest, check, channel });\n                self.links.count(&mut self.cx, link);",
            by: "                self.links.count(&mut self.cx, link);\n                self.route(link, router::Received { head, payload, digest, check, channel });",
        }],
        tests: &[node("tests::hops"), node("")],
    },
    Mutant {
        number: 31,
        name: "the last routes of a run are never counted",
        edits: &[Edit {
            file: "crates/node/src/hop.rs",
            text: "        self.tell_at.get_or_insert(now + TELL_AFTER);\n",
            by: "        _ = (now, TELL_AFTER);\n",
        }],
        tests: &[node("hop"), node(""), STORIES],
    },
    Mutant {
        number: 32,
        name: "a count over what was sent is accepted",
        edits: &[Edit {
            file: "crates/node/src/hop.rs",
            text: "if received > self.put_out {",
            by: "if received > u64::MAX - 1 {",
        }],
        tests: &[node("hop"), node("")],
    },
    Mutant {
        number: 33,
        name: "a neighbour that counts nothing is never dead",
        edits: &[Edit {
            file: "crates/node/src/hop.rs",
            text: "let flushed = self.kept.front()?.flushed?;",
            by: "let flushed = self.kept.front()?.flushed.filter(|_| false)?;",
        }],
        tests: &[node("hop"), node("")],
    },
    Mutant {
        number: 34,
        name: "a link that counts on is dead all the same",
        edits: &[Edit {
            file: "crates/node/src/hop.rs",
            text: "            self.counted = received;\n            self.progress = now;",
            by: "            self.counted = received;",
        }],
        tests: &[node("hop"), node("")],
    },
    Mutant {
        number: 35,
        name: "routes that a lost link kept are not sent again",
        edits: &[Edit {
            file: "crates/node/src/reroute.rs",
            text: "for item in self.behind.keep(self.cx.now, routes) {",
            by: "for item in routes {",
        }],
        tests: &[node("tests::hops"), node(""), STORIES],
    },
    Mutant {
        number: 36,
        name: "routes of a lost link go in another order",
        edits: &[Edit {
            file: "crates/node/src/link.rs",
            text: "routes.extend(waiting.filter(Item::is_route));",
            by: "routes.splice(0..0, waiting.filter(Item::is_route));",
        }],
        tests: &[node("tests::hops"), node("")],
    },
    Mutant {
        number: 37,
        name: "a frame in limbo is never tried again",
        edits: &[Edit {
            file: "crates/node/src/reroute.rs",
            text: "here.retain(|to| self.map.next_hop(*to, None).is_some());",
            by: "here.retain(|to| self.map.next_hop(*to, None).is_some() && self.draining);",
        }],
        tests: &[node("tests::hops"), node(""), STORIES],
    },
    Mutant {
        number: 38,
        name: "what a lost link kept goes before the neighbours know",
        edits: &[Edit {
            file: "crates/node/src/reroute.rs",
            text: "if is_over || self.map.is_told() {",
            by: "if is_over || !self.behind.is_empty() {",
        }],
        tests: &[node("tests::hops"), node(""), STORIES],
    },
    Mutant {
        number: 39,
        name: "of two links the newer does not take over what waited",
        edits: &[Edit {
            file: "crates/node/src/servers.rs",
            text: "            self.send_item(newer, item);",
            by: "            _ = newer;\n            self.cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);",
        }],
        tests: &[node("tests::servers"), node("")],
    },
    Mutant {
        number: 40,
        name: "a ring is not bounded by what the neighbour has counted",
        edits: &[Edit {
            file: "crates/node/src/link.rs",
            text: "hop.is_none_or(|hop| hop.has_room(len) && hop.may_send(now, len, destinations))",
            by: "hop.is_none_or(|hop| hop.may_send(now, len, destinations))",
        }],
        tests: &[node("tests::hops"), node("")],
    },
    Mutant {
        number: 41,
        name: "a message goes on by a longer way of which nobody knows",
        edits: &[Edit {
            file: "crates/node/src/reroute.rs",
            text: "if !is_message || self.map.is_told() || self.draining {",
            by: "if !is_message || !self.map.is_told() || self.draining {",
        }],
        tests: &[node("tests::behind"), node(""), MESH],
    },
    Mutant {
        number: 42,
        name: "who sent a packet that was cut is not told",
        edits: &[Edit {
            file: "crates/node/src/context.rs",
            text: "            self.cut.push((head.origin, head.corr));",
            by: "            _ = head.origin;",
        }],
        tests: &[node("tests::direct"), node("")],
    },
    Mutant {
        number: 43,
        name: "a later message overtakes one that waits for a record",
        edits: &[Edit {
            file: "crates/node/src/behind.rs",
            text: "(self.looked != Some(generation) || self.is_over(now))",
            by: "(self.looked != Some(generation) && self.is_over(now))",
        }],
        tests: &[node("tests::behind"), node("")],
    },
    Mutant {
        number: 44,
        name: "the copy of a packet that is cut ends the other one's",
        edits: &[Edit {
            file: "crates/node/src/direct.rs",
            text: "if matches!(code, Code::Limit | Code::Unreachable) && *ways > 1 {",
            by: "if matches!(code, Code::Limit | Code::Unreachable) && *ways > 2 {",
        }],
        tests: &[node("tests::cut"), node("")],
    },
    // ---- neighbours and addresses (protocol 9.5 and 10.4)
    Mutant {
        number: 60,
        name: "dials for strangers are not a second apart",
        edits: &[Edit {
            file: "crates/node/src/book.rs",
            text: "let is_held_back = place.is_paced() && !may_pace;",
            by: "let is_held_back = place.is_paced() && !may_pace && place.proven;",
        }],
        tests: &[node("tests::neighbours"), node(""), NEIGHBOURS],
    },
    Mutant {
        number: 61,
        name: "any number of addresses of one prefix is dialled",
        edits: &[Edit {
            file: "crates/node/src/scope.rs",
            text: "of_prefix < MAX_OF_PREFIX && !self.places",
            by: "of_prefix < usize::MAX && !self.places",
        }],
        tests: &[node("scope"), node("")],
    },
    Mutant {
        number: 62,
        name: "an address at which another key answered is dialled again",
        edits: &[Edit {
            file: "crates/node/src/book.rs",
            text: "if place.struck || place.due > now",
            by: "if place.due > now",
        }],
        tests: &[node("book"), node("")],
    },
    Mutant {
        number: 63,
        name: "a neighbour has us dial whatever address it names",
        edits: &[Edit {
            file: "crates/node/src/reach.rs",
            text: "addr.filter(is_own).filter(",
            by: "addr.filter(|addr| is_own(addr) || addr.port > 0).filter(",
        }],
        tests: &[node("reach"), node("")],
    },
    Mutant {
        number: 64,
        name: "a neighbour has us dial as often as it asks",
        edits: &[Edit {
            file: "crates/node/src/reach.rs",
            text: "self.probed.len() >= MAX_PROBED || self.probed.contains_key(&server)",
            by: "self.probed.len() >= MAX_PROBED",
        }],
        tests: &[node("reach"), node("")],
    },
    Mutant {
        number: 65,
        name: "all neighbours that we choose may stand in one network",
        edits: &[Edit {
            file: "crates/node/src/neighbours.rs",
            text: "scope::is_near(target.addr.ip) || of_group < MAX_OF_GROUP",
            by: "scope::is_near(target.addr.ip) || of_group < usize::MAX",
        }],
        tests: &[node("neighbours"), node("")],
    },
    Mutant {
        number: 66,
        name: "parts of a network never look for each other",
        edits: &[Edit {
            file: "crates/node/src/neighbours.rs",
            text: "if self.choice.heal_at.is_some_and(|at| at <= now) {\n            self.heal();",
            by: "if self.choice.heal_at.take_if(|at| *at <= now).is_some() {",
        }],
        tests: &[node("neighbours"), node(""), NEIGHBOURS],
    },
    Mutant {
        number: 67,
        name: "those who dial us take all places",
        edits: &[Edit {
            file: "crates/node/src/neighbours.rs",
            text: "if counts.inbound < max.saturating_sub(max / 2) && counts.all() < max {",
            by: "if counts.all() < max {",
        }],
        tests: &[node("neighbours"), node("")],
    },
    Mutant {
        number: 69,
        name: "an address that nobody came through to stands in the record",
        edits: &[Edit {
            file: "crates/node/src/reach.rs",
            text: "dialable.unwrap_or(candidate.confirmed)",
            by: "dialable.unwrap_or(true)",
        }],
        tests: &[node("reach"), node("")],
    },
    // ---- resumed sessions (protocol 5.4)
    Mutant {
        number: 70,
        name: "a session is resumed with any token",
        edits: &[Edit {
            file: "crates/node/src/resume.rs",
            text: "session.token.is_some_and(|token| token == resume.token)",
            by: "session.token.is_some()",
        }],
        tests: &[node("resume"), node(""), RESUME],
    },
    Mutant {
        number: 71,
        name: "a token is good twice",
        edits: &[Edit {
            file: "crates/node/src/resume.rs",
            text: "session.token = Some(self.cx.rng.next_16());",
            by: "_ = self.cx.rng.next_16();",
        }],
        tests: &[node("resume"), node(""), RESUME],
    },
    Mutant {
        number: 72,
        name: "frames that the client has go again",
        edits: &[Edit {
            file: "crates/node/src/resume.rs",
            text: "if number > received {",
            by: "if number > 0 {",
        }],
        tests: &[node("resume"), node(""), RESUME],
    },
    Mutant {
        number: 73,
        name: "what waited for a client that was away is forgotten",
        edits: &[Edit {
            file: "crates/node/src/link/away.rs",
            text: "link.queue = left.queue;",
            by: "drop(left.queue);",
        }],
        tests: &[node("resume"), node(""), RESUME],
    },
    Mutant {
        number: 74,
        name: "a session without a link is kept for ever",
        edits: &[Edit {
            file: "crates/node/src/resume.rs",
            text: "(link, self.cx.now + self.config.resume)",
            by: "(link, self.cx.now + self.config.resume.saturating_mul(1_000))",
        }],
        tests: &[node("resume"), node(""), RESUME],
    },
    Mutant {
        number: 75,
        name: "the client does not send again what the server lacks",
        edits: &[Edit {
            file: "crates/client/src/session/resume.rs",
            text: "Some(std::mem::take(&mut self.ring).into())",
            by: "self.ring.clear();\n        Some(Vec::new())",
        }],
        tests: &[client("resum"), client(""), RESUME],
    },
    // ---- links (protocol 3.5 and 9.5)
    Mutant {
        number: 85,
        name: "a dialled server is a neighbour before it says so",
        edits: &[Edit {
            file: "crates/node/src/links.rs",
            text: "        self.peers.insert(link, peer);\n        if aim.is_none() {",
            by: "        self.peers.insert(link, peer);\n        self.map.link_up(&server);\n        if aim.is_none() {",
        }],
        tests: &[node("tests::servers"), NEIGHBOURS],
    },
    // ---- a server's first records and its interest (protocol 9.2 and 9.4)
    Mutant {
        number: 80,
        name: "a record that names nobody is passed on",
        edits: &[Edit {
            file: "crates/node/src/sync.rs",
            text: "if forward && !names_nobody {",
            by: "if forward && (new_epoch || !names_nobody) {",
        }],
        tests: &[node("tests::epochs"), node("")],
    },
    Mutant {
        number: 81,
        name: "interest goes to those who do not know of its epoch",
        edits: &[Edit {
            file: "crates/node/src/announce.rs",
            text: "if !self.announce.introduced {\n            dst",
            by: "if !self.announce.introduced && self.draining {\n            dst",
        }],
        tests: &[node("tests::epochs"), node("")],
    },
    Mutant {
        number: 82,
        name: "interest that somebody swallowed is told again by the same ways",
        edits: &[Edit {
            file: "crates/node/src/announce.rs",
            text: "let through = self.any_neighbour();",
            by: "let through = self.any_neighbour().filter(|_| false);",
        }],
        tests: &[node("tests::epochs"), node(""), MESH],
    },
    // ---- forgers (protocol 11.3)
    Mutant {
        number: 50,
        name: "a server that was found guilty is let in",
        edits: &[Edit {
            file: "crates/node/src/links.rs",
            text: "} else if self.blame.is_barred(self.cx.now, server.router()) {",
            by: "} else if self.blame.is_barred(self.cx.now, server.router()) && self.draining {",
        }],
        tests: &[node("tests::blame"), node("")],
    },
    Mutant {
        number: 51,
        name: "whoever carried a forged post is guilty at once",
        edits: &[Edit {
            file: "crates/node/src/blame.rs",
            text: "Some(passed) if passed < GRACE => Ruling::Wait,",
            by: "Some(passed) if passed < GRACE => Ruling::Guilty,",
        }],
        tests: &[node("blame"), node("")],
    },
    Mutant {
        number: 52,
        name: "after a complaint nothing more is verified",
        edits: &[Edit {
            file: "crates/node/src/blame.rs",
            text: "let unchecked = self.links.iter().filter(|(_, suspect)| suspect.check_until.is_none());",
            by: "let unchecked = self.links.iter().filter(|(_, suspect)| suspect.check_until.is_some());",
        }],
        tests: &[node("blame"), node("")],
    },
];
