//! A darkchat user, as a library: connect, join channels, send, and receive what others have signed.
//!
//! ```
//! use darkchat_client::{Client, Received};
//! use darkchat_crypto::Identity;
//! use darkchat_server::{Accept, Server};
//! use darkchat_transport::Memory;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! // A server in this process; elsewhere it is an address such as "chat.example:8545", and a transport `Tcp`.
//! let memory = Memory::default();
//! let server = Server::builder(Identity::generate())
//!     .transport(memory.clone())
//!     .listen("mem://station".parse()?, Accept::Clients)
//!     .start()
//!     .await?;
//!
//! // Ok: the server has proven its key, and has welcomed ours.
//! let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
//! let bob = Client::builder(Identity::generate())
//!     .transport(memory)
//!     .name("bob".parse()?)
//!     .connect("mem://station".parse()?)
//!     .await?;
//!
//! // A channel is a stream of messages, and the way to send some.
//! let mut anns = ann.join("lobby".parse()?).await?;
//! let bobs = bob.join("lobby".parse()?).await?;
//! let sent = bobs.send("hello").await?; // Ok: our server has taken it
//! assert_eq!(sent.local, 1); // and has queued it for one other session
//!
//! match anns.recv().await {
//!     Some(Received::Message(message)) => {
//!         assert_eq!(message.from, bob.id()); // proven by a signature
//!         assert_eq!(message.name.as_str(), "bob"); // only claimed
//!         assert_eq!(message.payload.as_text(), Some("hello"));
//!     }
//!     Some(Received::Missed(missed)) => println!("some will not come: {missed:?}"),
//!     _ => println!("the channel has ended"),
//! }
//! bob.close().await; // sends what is queued, says goodbye
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What it promises
//!
//! - A message is shown at most once, and one author's messages in the order in which they were sent.
//! - Whatever is shown was signed by the key in [`Message::from`], for that channel, in that network. Servers cannot
//!   forge, change or move it; they can delay or drop it.
//! - What will not come is told: [`Received::Missed`]. A program that does not read hears of it in the same way, and
//!   never stalls the link.
//! - [`Sent`] means one thing: our server checked it and queued it. It does not mean that anybody got it.
//! - A lost link is made again, at the same or another address, and channels are joined again ([`State`],
//!   [`Builder::also`], [`Builder::reconnect`]).
//! - Nothing is stored but the keys of servers ([`Builder::known_servers`]), and every queue has a bound.
//!
//! Each async function says what holds when its future is dropped half way. Errors are one enum a verb; each variant
//! tells its cause, its effect and what to do.
//!
//! # How it is made
//!
//! [`session::Session`] decides everything and does nothing: facts in, wishes out, no clock and no socket. Around it
//! one task runs the loop, and two for the link open, verify, seal and write. Programs for other runtimes, and
//! simulators, may drive a session themselves. The normative description is `docs/protocol.md`.

mod builder;
mod channel;
mod client;
mod contacts;
mod direct;
mod error;
mod file;
mod kept;
mod known;
mod manual;
mod message;
mod private;
mod queue;
mod room;
mod run;
mod sender;
pub mod session;
mod state;
mod textfile;

pub use builder::Builder;
pub use channel::{Channel, MemberChanges};
pub use client::Client;
pub use contacts::{Contact, ContactBook, ContactError, Standing};
pub use direct::{Direct, Inbox};
pub use error::{ConnectError, JoinError, SendError, TrySendError};
pub use kept::KeptChannels;
pub use known::{KnownServers, KnownServersError};
pub use manual::{ManualLogin, ManualLoginError};
pub use message::{
    Cause, Content, DirectMessage, Member, MemberChange, Message, Missed, Payload, PrivateView, Received,
    Sent,
};
pub use private::Private;
pub use sender::Sender;
pub use session::{Change, Charter, Fault, PrivateError, SavedChannel, SavedError, State, Stats, Trust};
pub use state::{Note, Notes, StateWatch};
pub use textfile::TextFileError;

/// The code that the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
