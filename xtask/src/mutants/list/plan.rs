//! The faults of testplan 5.4, under its numbers.

use super::{Edit, Mutant, NEIGHBOURS, PROTO, SERVER, STORIES, STRANGERS, Tests, client, crypto, node};

pub(super) const PLAN: &[Mutant] = &[
    Mutant {
        number: 1,
        name: "dedupe inserted before verify: a forged post is remembered",
        edits: &[
            Edit {
                file: "crates/client/src/session/order.rs",
                text: "    /// Gives up waiting where the time is over",
                by: "    pub(super) fn remember(&mut self, now: Time, id: PostId) {\n        self.seen.enter(now, id);\n    }\n\n    /// Gives up waiting where the time is over",
            },
            Edit {
                file: "crates/client/src/session/receiving.rs",
                text: "Received::Post { post: Err(VerifyError::BadSignature), .. } => self.stats.bad_signature += 1,",
                by: "Received::Post { post: Err(VerifyError::BadSignature), id, .. } => {\n                self.stats.bad_signature += 1;\n                self.order.remember(now, id);\n            }",
            },
        ],
        tests: &[client("receiving"), client("")],
    },
    Mutant {
        number: 2,
        name: "id from wire bytes, not from the signed ones",
        edits: &[
            Edit {
                file: "crates/client/src/session/input.rs",
                text: "match Deliver::decode(bytes) {",
                by: "let wire = bytes.clone();\n        match Deliver::decode(bytes) {",
            },
            Edit {
                file: "crates/client/src/session/input.rs",
                text: "PostId::of_body(&signed.body)",
                by: "PostId::of_body(&wire)",
            },
        ],
        tests: &[client("session"), client(""), STORIES],
    },
    Mutant {
        number: 3,
        name: "dedupe window off by one generation",
        edits: &[Edit {
            file: "crates/node/src/seen.rs",
            text: "if self.young.contains(&digest) || self.old.contains(&digest) {",
            by: "if self.young.contains(&digest) {",
        }],
        tests: &[node("seen"), node("")],
    },
    Mutant {
        number: 4,
        name: "interest not withdrawn on abrupt close",
        edits: &[Edit {
            file: "crates/node/src/clients.rs",
            text: "        for channel in &session.channels {\n            if let Some(tag) = self.channels.leave(channel, link) {\n                self.interest.unwant(self.cx.now, tag);\n            }\n        }",
            by: "        for channel in &session.channels {\n            _ = self.channels.leave(channel, link);\n        }",
        }],
        tests: &[node("clients"), node("")],
    },
    Mutant {
        number: 5,
        name: "TTL not decremented on one path: where a route is also for us",
        edits: &[Edit {
            file: "crates/node/src/router.rs",
            text: "head.ttl = head.ttl.min(ROUTE_TTL).saturating_sub(1);",
            by: "head.ttl = head.ttl.min(ROUTE_TTL).saturating_sub(u32::from(!ours));",
        }],
        tests: &[node("tests::operator"), node("")],
    },
    Mutant {
        number: 6,
        name: "the second link is kept after a simultaneous open",
        edits: &[Edit {
            file: "crates/node/src/servers.rs",
            text: "        self.close(older, Code::Conflict);",
            by: "",
        }],
        tests: &[node("tests::servers"), node(""), STORIES],
    },
    Mutant {
        number: 7,
        name: "queue bound counted in messages, not bytes",
        edits: &[Edit {
            file: "crates/node/src/link.rs",
            text: "let has_room = self.held().saturating_add(len) <= self.max_bytes();",
            by: "let has_room = len <= self.max_bytes() && frames < QUEUE_CLIENT_FRAMES;",
        }],
        tests: &[node("tests::slow"), node("")],
    },
    Mutant {
        number: 8,
        name: "slow client blocks the fan-out loop",
        edits: &[Edit {
            file: "crates/node/src/link/send.rs",
            text: "            taken = taken.saturating_add(u32::from(matches!(offer, Offer::Now | Offer::Waits)));",
            by: "            taken = taken.saturating_add(u32::from(matches!(offer, Offer::Now | Offer::Waits)));\n            if offer != Offer::Now {\n                break;\n            }",
        }],
        tests: &[node("tests::slow"), node(""), STORIES],
    },
    Mutant {
        number: 9,
        name: "per-sender order broken on path switch: shown as it arrives",
        edits: &[Edit {
            file: "crates/client/src/session/order.rs",
            text: "if first == stream.next && stream.held.is_empty() {",
            by: "if first >= stream.next && stream.held.is_empty() {",
        }],
        tests: &[client("order"), client("")],
    },
    Mutant {
        number: 10,
        name: "back-off without cap",
        edits: &[
            Edit { file: "crates/node/src/peers.rs", text: ".min(MAX_BACKOFF)", by: ".min(Duration::MAX)" },
            Edit { file: "crates/node/src/book.rs", text: ".min(most)", by: ".min(most.max(Duration::MAX))" },
        ],
        tests: &[node("peers"), node("")],
    },
    Mutant {
        number: 11,
        name: "time addition unchecked",
        edits: &[Edit {
            file: "crates/proto/src/time.rs",
            text: "Self(self.0.saturating_add(span))",
            by: "Self(self.0 + span)",
        }],
        tests: &[PROTO],
    },
    Mutant {
        number: 12,
        name: "sender taken from the post, not from the link (its task)",
        edits: &[Edit {
            file: "crates/server/src/link/check.rs",
            text: "if head.author != user {",
            by: "if false && head.author != user {",
        }],
        tests: &[SERVER],
    },
    Mutant {
        number: 13,
        name: "gap detector resets on reconnect",
        edits: &[Edit {
            file: "crates/client/src/session/linking.rs",
            text: "let resumable = self.resuming.lose(now);",
            by: "let resumable = self.resuming.lose(now);\n        self.order = super::order::Order::default();",
        }],
        tests: &[client("receiving"), client("")],
    },
    Mutant {
        number: 14,
        name: "gossiped address dialled without range check",
        edits: &[Edit {
            file: "crates/node/src/book.rs",
            text: "record.addrs.iter().filter(|addr| scope::permits(addr, lan))",
            by: "record.addrs.iter().filter(|addr| lan || addr.port > 0)",
        }],
        tests: &[node("book"), node(""), NEIGHBOURS],
    },
    Mutant {
        number: 15,
        name: "same AEAD key both ways",
        edits: &[Edit {
            file: "crates/crypto/src/noise.rs",
            text: "        kdf::noise(&self.symmetric.ck, &[])",
            by: "        let (there, _) = kdf::noise(&self.symmetric.ck, &[]);\n        (there.clone(), there)",
        }],
        tests: &[crypto("noise"), crypto("")],
    },
    Mutant {
        number: 16,
        name: "record counter not advanced: nonces repeat",
        edits: &[Edit {
            file: "crates/crypto/src/record.rs",
            text: "self.n = self.n.saturating_add(1);",
            by: "self.n = self.n.saturating_add(0);",
        }],
        tests: &[crypto("record"), crypto("")],
    },
    Mutant {
        number: 17,
        name: "plain verify",
        edits: &[Edit {
            file: "crates/crypto/src/verify.rs",
            text: "key.verify_strict(message, &signature.into())",
            by: "ed25519_dalek::Verifier::verify(&key, message, &signature.into())",
        }],
        tests: &[crypto("verify"), crypto("")],
    },
    Mutant {
        number: 18,
        name: "zero shared secret accepted",
        edits: &[Edit {
            file: "crates/crypto/src/dh.rs",
            text: "if shared.was_contributory() {",
            by: "if shared.was_contributory() || true {",
        }],
        tests: &[crypto("noise"), crypto("")],
    },
    Mutant {
        number: 19,
        name: "handshake timer restarted by each message",
        edits: &[
            Edit {
                file: "crates/server/src/accept.rs",
                text: "timeout(shared.limits.handshake_timeout, handshake(&shared, accept, link));",
                by: "timeout(Duration::MAX, handshake(&shared, accept, link));",
            },
            Edit {
                file: "crates/server/src/accept.rs",
                text: "let (established, resume) = open::respond(shared, &mut link, accept, message1).await?;",
                by: "let answering = open::respond(shared, &mut link, accept, message1);\n        let (established, resume) =\n            timeout(shared.limits.handshake_timeout, answering).await.map_err(|_| Late::Overdue)??;",
            },
        ],
        tests: &[STRANGERS, Tests::program("darkchat-server", &[])],
    },
    Mutant {
        number: 20,
        name: "join answered before its interest is known elsewhere",
        edits: &[Edit {
            file: "crates/node/src/announce.rs",
            text: "if reachable == 0 || waiting.is_empty() {",
            by: "if reachable == 0 || waiting.len() < usize::MAX {",
        }],
        tests: &[node("tests::servers"), node(""), STORIES],
    },
];
