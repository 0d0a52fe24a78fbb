//! Whatever happens to a session: it never panics, its deadlines move on, one seed is one run, and its streams keep
//! to the rules.

use super::*;
use crate::session::{Event, Input, Output, Received, Session};
use darkchat_proto::{
    Announced, ChannelId, Code, Content, Deliver, DeviceId, Done, Features, Frame, FrameStream, Goodbye,
    Kind, Network, Notice, Post, Refusal, ServerId, Time, UserId, Welcome,
};
use proptest::prelude::*;
use std::time::Duration;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Give(u8, u32),
    Answer(bool, u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0_u64..40_000).prop_map(Act::Pass),
        (any::<u8>(), 0_u32..300).prop_map(|(what, number)| Act::Give(what, number)),
        (any::<bool>(), 0_u32..40).prop_map(|(yes, re)| Act::Answer(yes, re)),
    ]
}

/// An input, as wild as it comes.
fn input(what: u8, number: u32) -> Input {
    let room = format!("room{}", number % 5);
    let channel = ChannelId::of(&Network::default(), &room.parse().unwrap());
    let ticket = crate::session::Ticket(number.into());
    let dial = crate::session::DialId(u64::from(number % 8));
    let frame = |kind: Kind| Input::Frame(Received::check(&Network::default(), kind.into()));
    match what % 20 {
        0 => Input::Connect,
        1..=3 => Input::Opened {
            dial,
            server: ServerId::new([1; 32]),
            announced: Announced::default(),
            features: if number.is_multiple_of(2) { Features::RESUME } else { Features::NONE },
        },
        4 => Input::DialFailed { dial, why: Code::from_number(i32::try_from(number % 23).unwrap()).unwrap() },
        5 => Input::Closed { why: Code::Truncated },
        6 => Input::Timeout,
        7 => Input::Flushed { bytes: usize::try_from(number).unwrap() * 1_000 },
        8..=9 => Input::Join { ticket, channel: room.parse().unwrap(), name: None },
        10 => Input::Leave { ticket, channel },
        11..=13 => {
            Input::Send { ticket, channel, entry: entry(&"x".repeat(usize::try_from(number * 100).unwrap())) }
        }
        14 => frame(Kind::Goodbye(Goodbye { retry_ms: number, ..Goodbye::new(Code::Shutdown) })),
        15..=16 => frame(Kind::Welcome(Welcome {
            resume_token: Some([5; 16]),
            resume_ms: 10_000,
            resumed: number.is_multiple_of(3),
            ..Welcome::default()
        })),
        17 => frame(Kind::Notice(Notice::Dropped { channel, count: number.into() })),
        18 => Input::Frame(Received::check(
            &Network::default(),
            stage::post(
                channel,
                &user(u8::try_from(number % 3).unwrap()),
                u64::from(number) + 1,
                stage::WALL,
                vec![entry("y"); 3],
            ),
        )),
        _ if number == 0 => Input::Close,
        _ => Input::Wall { unix_ms: stage::WALL + u64::from(number) },
    }
}

/// Runs the acts; gives everything that came out, as text.
fn run(acts: &[Act]) -> Result<Vec<String>, TestCaseError> {
    let mut session = Session::new(
        UserId::new([9; 32]),
        DeviceId::new([1; 16]),
        crate::session::Config { persist: true, ..Stage::config() },
        [4; 32],
    );
    let mut now = Time::ZERO;
    let mut trace = Vec::new();
    session.handle(now, Input::Wall { unix_ms: stage::WALL });
    session.handle(now, Input::Connect);
    for act in acts {
        match act {
            Act::Pass(ms) => {
                let end = now + Duration::from_millis(*ms);
                while let Some(at) = session.poll_timeout().filter(|at| *at <= end) {
                    now = now.max(at);
                    session.handle(now, Input::Timeout);
                    let next = session.poll_timeout();
                    prop_assert!(next.is_none_or(|next| next > now), "{next:?} at {now:?}");
                }
                now = end;
            }
            Act::Give(what, number) => session.handle(now, input(*what, *number)),
            Act::Answer(yes, re) => {
                let refusal = Refusal { code: Code::RateLimited, text: String::new(), retry_ms: re * 100 };
                let kind = if *yes { Kind::Ok(Done::default()) } else { Kind::Error(refusal) };
                session.handle(now, Input::Frame(Received::Other(Frame::replying(*re, kind))));
            }
        }
        while let Some(output) = session.poll() {
            trace.push(format!("{output:?}"));
            match output {
                Output::Sign { sign, .. } => {
                    let signature = darkchat_proto::Signature::new([0; 64]);
                    session.handle(now, Input::Signed { sign, signature });
                }
                Output::Close { .. } => session.handle(now, Input::Closed { why: Code::Ok }),
                _ => {}
            }
        }
    }
    Ok(trace)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_inputs_in_any_order_are_handled_and_one_seed_is_one_run(acts in prop::collection::vec(act(), 0..120)) {
        prop_assert_eq!(run(&acts)?, run(&acts)?);
    }

    /// S18: a server that answers late, refuses for the rate, and loses links; what it has taken in the end.
    #[test]
    fn entries_go_out_in_order_each_once_under_its_own_number(
        steps in prop::collection::vec((0_u8..10, 1_usize..40_000), 1..80),
    ) {
        let (mut stage, lobby) = Stage::joined();
        let mut server = Server::default();
        let mut wished = Vec::new();
        for (what, number) in steps {
            match what {
                0..=4 => {
                    let text = format!("{}:{}", wished.len(), "z".repeat(number % 20_000));
                    wished.push((stage.send(lobby, &text), text));
                }
                5..=6 => server.answer(&mut stage, number % 3),
                7 => server.refuse(&mut stage, u32::try_from(number % 2_000).unwrap()),
                8 => stage.pass(ms(u64::try_from(number % 1_500).unwrap())),
                _ => server.lose(&mut stage),
            }
        }
        for _ in 0..400 {
            server.answer(&mut stage, 50);
            stage.pass(ms(100));
            stage.server(Kind::Pong { nonce: 0, acked: 0 }.into());
        }
        let told = stage.told();
        let failed = |ticket| told.iter().any(|event| matches!(event, Event::SendFailed { ticket: of, .. } if *of == ticket));
        let answered = |ticket| told.iter().filter(|event| matches!(event, Event::Sent { ticket: of, .. } if *of == ticket)).count();
        let taken: Vec<&str> = server.taken.iter().map(|(_, text)| &**text).collect();
        let expected: Vec<&str> = wished.iter().filter(|(ticket, _)| !failed(*ticket)).map(|(_, text)| &**text).collect();
        let mut rest = taken.iter();
        prop_assert!(expected.iter().all(|text| rest.any(|other| other == text)), "in order, and all that did not fail");
        prop_assert!(server.taken.windows(2).all(|pair| pair[0].0 < pair[1].0), "numbers rise");
        for (ticket, _) in &wished {
            prop_assert_eq!(answered(*ticket) + usize::from(failed(*ticket)), 1, "one answer each");
        }
    }
}

/// A server that knows which numbers of our stream it has taken, as a receiver does.
#[derive(Default)]
struct Server {
    waiting: Vec<(u32, Post)>,
    taken: Vec<(u64, String)>,
    /// After a refusal: the number that must come first (5.2).
    refused: Option<u64>,
}

impl Server {
    fn arrive(&mut self, stage: &mut Stage) {
        self.waiting.extend(stage.published());
    }

    fn answer(&mut self, stage: &mut Stage, count: usize) {
        self.arrive(stage);
        for (req, post) in self.waiting.drain(..count.min(self.waiting.len())).collect::<Vec<_>>() {
            if self.refused.is_some_and(|first| first < post.seq) {
                stage.no(req, Code::RateLimited, 50);
                continue;
            }
            self.refused = None;
            let last = self.taken.last().map_or(0, |(number, _)| *number);
            if post.seq > last {
                let texts =
                    post.entries.iter().map(|entry| String::from_utf8(entry.content.to_vec()).unwrap());
                self.taken.extend((post.seq..).zip(texts));
            }
            stage.ok(req, Done::default());
        }
    }

    fn refuse(&mut self, stage: &mut Stage, retry_ms: u32) {
        self.arrive(stage);
        if self.waiting.is_empty() || self.refused.is_some() {
            return;
        }
        let (req, post) = self.waiting.remove(0);
        self.refused = Some(post.seq);
        stage.no(req, Code::RateLimited, retry_ms);
    }

    /// The link is lost; what the server had taken stays taken.
    fn lose(&mut self, stage: &mut Stage) {
        self.arrive(stage);
        self.waiting.clear();
        self.refused = None;
        stage.reconnect();
        let join = stage.sent().into_iter().find(|frame| matches!(frame.kind, Kind::Join { .. }));
        let join = join.expect("joined again").req;
        stage.ok(join, Done::default());
    }
}

#[test]
fn a_frame_of_the_session_is_one_that_a_server_decodes() {
    let (mut stage, lobby) = Stage::joined();
    stage.send(lobby, "x");
    let frame = stage.sent().pop().unwrap();
    let mut stream = FrameStream::default();
    stream.push(frame.encode_split().0);
    let decoded = Frame::decode(stream.next_frame().unwrap().unwrap()).unwrap();
    let Kind::Publish { deliver } = decoded.kind else { panic!("a post") };
    assert!(matches!(Deliver::decode(deliver), Ok(Deliver { content: Content::Public(_), .. })));
}
