//! A bare link with a server: handshake, records, frames, and nothing that costs more.

use super::{Failure, skim};
use crate::args::Global;
use crate::connect;
use crate::failure::What;
use bytes::{Bytes, BytesMut};
use darkchat_client::{Builder, Client};
use darkchat_crypto::{
    Credentials, Dialler, Established, Identity, Initiator, LinkConfig, Opener, Sealer, system,
};
use darkchat_proto::{
    Announced, ChannelId, ChannelName, Code, DeviceId, Features, Frame, FrameStream, Goodbye, Kind, Network,
    Notice, ServerAddr, UserId,
};
use darkchat_transport::{BoxSink, BoxStream, Transport as _};
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::Ws;
use futures_util::{SinkExt as _, StreamExt as _};
use rand_core::Rng as _;
use std::fmt::Display;
use std::io;

/// What clients of the library offer, so that the server does the same work for us.
fn features() -> Features {
    Features::RESUME | Features::SEALED
}
/// A ping tells the server at least after so many frames what was processed, as the library does (protocol 5.4).
const ACK_FRAMES: u64 = 64;

/// A server, and what it takes to dial it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) server: ServerAddr,
    pub(crate) network: Network,
    websockets: Ws,
}

/// A link whose ends have proven themselves, and that was welcomed.
pub(crate) struct Link {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) user: UserId,
    pub(crate) announced: Announced,
    next_req: u32,
}

/// What comes.
pub(crate) struct Reader {
    units: BoxStream<io::Result<Bytes>>,
    opener: Opener,
    frames: FrameStream,
    /// Frames of the session that were processed.
    received: u64,
    /// How many of them a ping has told.
    told: u64,
}

/// What goes.
pub(crate) struct Writer {
    sink: BoxSink,
    sealer: Sealer,
}

/// What a reader makes of a frame.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A frame with a post.
    Post(Bytes),
    Reply(u32, Kind),
    /// Posts that the server dropped.
    Dropped(u64),
    Ping(u64),
    Goodbye(Goodbye),
    Other,
}

impl Target {
    /// The server of the command line, or another one.
    pub(crate) fn of(global: &Global, other: Option<&ServerAddr>) -> Result<Self, Failure> {
        let [server] = &global.server[..] else {
            return Err(Failure::Usage("one server is measured at a time: give one --server".to_owned()));
        };
        let ServerAddr { addr, key } = other.unwrap_or(server).clone();
        let server = ServerAddr { addr: addr.or_client_port(), key };
        let websockets = connect::websockets(global)?;
        Ok(Self { server, network: global.network.clone(), websockets })
    }

    /// The id of a public channel there.
    pub(crate) fn channel(&self, name: &ChannelName) -> ChannelId {
        ChannelId::of(&self.network, name)
    }

    /// A client of the library, as a user that nobody knows.
    pub(crate) async fn client(&self, choose: impl FnOnce(Builder) -> Builder) -> Result<Client, Failure> {
        let builder = Client::builder(Identity::generate())
            .transport(Tcp::default())
            .transport(self.websockets.clone())
            .network(self.network.clone())
            .announce(false)
            .reconnect(false);
        Ok(choose(builder).connect(self.server.clone()).await?)
    }

    /// Connects as a user that nobody knows.
    pub(crate) async fn connect(&self, identity: &Identity) -> Result<Link, Failure> {
        let addr = &self.server.addr;
        let broken = |error: &dyn Display| cannot_connect(addr, error);
        let (tcp, ws) = (Tcp::default(), &self.websockets);
        let dial = if tcp.schemes().contains(&addr.scheme()) {
            tcp.dial(addr.clone())
        } else {
            ws.dial(addr.clone())
        };
        let mut link = dial.await.map_err(|error| broken(&error))?;
        let config = LinkConfig { network: self.network.clone(), secret: None, features: features() };
        let mut device = [0; 16];
        system::rng().fill_bytes(&mut device);
        let role = Dialler::Client(DeviceId::new(device));
        let (initiator, hello) = Initiator::start(&config, role, self.server.key, &mut system::rng());
        link.sink.send(hello).await.map_err(|error| broken(&error))?;
        let hung_up = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let reply = link.units.next().await.unwrap_or_else(|| Err(hung_up()));
        let reply = reply.map_err(|error| broken(&error))?;
        let proof = initiator.read_reply(reply).map_err(|error| broken(&error))?;
        let (signature, announced) = (identity.sign(&proof.request()), *proof.announced());
        let (auth, established) = proof
            .finish(identity.public(), signature, Credentials::default())
            .map_err(|error| broken(&error))?;
        link.sink.send(auth).await.map_err(|error| broken(&error))?;
        let Established { sealer, opener, .. } = established;
        let reader =
            Reader { units: link.units, opener, frames: FrameStream::default(), received: 0, told: 0 };
        let writer = Writer { sink: link.sink, sealer };
        let mut link = Link { reader, writer, user: identity.user_id(), announced, next_req: 0 };
        match link.reader.next().await? {
            Some(Heard::Reply(_, Kind::Welcome(_))) => Ok(link),
            Some(Heard::Goodbye(goodbye)) => Err(Failure::ended(goodbye.code)),
            _ => Err(broken(&hung_up())),
        }
    }
}

fn cannot_connect(place: &dyn Display, error: &dyn Display) -> Failure {
    Failure::new(What::Connect, format!("cannot connect to {place}: {error}"))
}

impl Link {
    /// The number of the next question.
    pub(crate) fn req(&mut self) -> u32 {
        self.next_req = self.next_req.wrapping_add(1).max(1);
        self.next_req
    }

    /// Asks, and waits for the answer; what else comes meanwhile is left out.
    pub(crate) async fn ask(&mut self, kind: Kind) -> Result<(), Failure> {
        let req = self.req();
        self.writer.send(&Frame::asking(req, kind)).await?;
        loop {
            match self.reader.next().await? {
                Some(Heard::Reply(re, Kind::Ok(_))) if re == req => return Ok(()),
                Some(Heard::Reply(re, Kind::Error(refusal))) if re == req => {
                    return Err(Failure::Of {
                        what: What::Refused,
                        message: format!("refused ({}): {}", refusal.code, refusal.code.sentence()),
                        reason: Some(refusal.code),
                        retry: None,
                    });
                }
                Some(Heard::Goodbye(goodbye)) => return Err(Failure::ended(goodbye.code)),
                Some(Heard::Ping(nonce)) => self.pong(nonce).await?,
                Some(_) => {}
                None => return Err(Failure::ended(Code::Truncated)),
            }
        }
    }

    /// Joins channels; `spread`: as soon as all servers know.
    pub(crate) async fn join(&mut self, channels: Vec<ChannelId>, spread: bool) -> Result<(), Failure> {
        self.ask(Kind::Join { channels, wait_spread: spread }).await
    }

    pub(crate) async fn pong(&mut self, nonce: u64) -> Result<(), Failure> {
        let acked = self.reader.tell();
        self.writer.send(&Kind::Pong { nonce, acked }.into()).await
    }

    /// Shows that we live, and what we have.
    pub(crate) async fn ping(&mut self) -> Result<(), Failure> {
        let acked = self.reader.tell();
        self.writer.send(&Kind::Ping { nonce: 1, acked }.into()).await
    }

    /// Says goodbye and hangs up.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        let goodbye = Goodbye { code: Code::Ok, text: String::new(), retry_ms: 0, elsewhere: Vec::new() };
        self.writer.send(&Kind::Goodbye(goodbye).into()).await?;
        Ok(self.writer.sink.close().await?)
    }
}

impl Reader {
    /// What comes next; `None` at the end of the link. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, Failure> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(|error| nonsense(&error))? {
                return self.heard(frame).map(Some);
            }
            let Some(unit) = self.units.next().await else { return Ok(None) };
            let record = unit?.try_into_mut().unwrap_or_else(|unit| BytesMut::from(&unit[..]));
            let plain = self.opener.open(record).map_err(|error| nonsense(&error))?;
            self.frames.push(plain.freeze());
        }
    }

    fn heard(&mut self, frame: Bytes) -> Result<Heard, Failure> {
        if skim::post(&frame).is_some() {
            self.received += 1;
            return Ok(Heard::Post(frame));
        }
        let frame = Frame::decode(frame).map_err(|error| nonsense(&error))?;
        Ok(match frame.kind {
            Kind::Notice(Notice::Dropped { count, .. }) => {
                self.received += 1;
                Heard::Dropped(count)
            }
            Kind::Ping { nonce, .. } => Heard::Ping(nonce),
            Kind::Goodbye(goodbye) => Heard::Goodbye(goodbye),
            kind @ Kind::Welcome(_) => Heard::Reply(frame.re, kind),
            kind @ (Kind::Ok(_) | Kind::Error(_)) => {
                self.received += 1;
                Heard::Reply(frame.re, kind)
            }
            Kind::Notice(_) | Kind::Dm(_) | Kind::Found { .. } | Kind::DmStatus(_) => {
                self.received += 1;
                Heard::Other
            }
            _ => Heard::Other,
        })
    }

    /// Whether the server is to hear what was processed.
    pub(crate) const fn wants_ping(&self) -> bool {
        self.received - self.told >= ACK_FRAMES
    }

    const fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.received
    }
}

fn nonsense(error: &dyn Display) -> Failure {
    Failure::new(What::Closed, format!("the server sends nonsense: {error}"))
}

impl Writer {
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), Failure> {
        let mut record = BytesMut::new();
        put(frame, &mut record);
        self.seal(record).await
    }

    /// Sends whole frames as one record.
    pub(crate) async fn seal(&mut self, mut record: BytesMut) -> Result<(), Failure> {
        self.sealer.seal(&mut record).map_err(|error| Failure::new(What::Closed, error.to_string()))?;
        Ok(self.sink.send(record.freeze()).await?)
    }
}

/// Appends a frame to a record.
pub(crate) fn put(frame: &Frame, record: &mut BytesMut) {
    let (head, body) = frame.encode_split();
    record.extend_from_slice(&head);
    record.extend_from_slice(&body);
}
