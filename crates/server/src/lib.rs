//! A darkchat node joined to links, to embed or to run.
//!
//! A [`Server`] is a handle. Behind it one task owns the decisions (`darkchat_node::Node`), and two tasks for each
//! link do what costs: the handshake, opening and sealing records, and signature checks. A server stores nothing.
//!
//! ```
//! use darkchat_crypto::Identity;
//! use darkchat_server::{Accept, Server};
//! use darkchat_transport::Memory;
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let memory = Memory::default();
//! let hub = Server::builder(Identity::generate())
//!     .transport(memory.clone())
//!     .listen("mem://hub".parse()?, Accept::Peers)
//!     .start()
//!     .await?;
//! let edge = Server::builder(Identity::generate())
//!     .transport(memory)
//!     .listen("mem://edge".parse()?, Accept::Clients)
//!     .start()
//!     .await?;
//!
//! assert_eq!(edge.connect("mem://hub".parse()?).await?, hub.id());
//! assert_eq!(edge.peers().len(), 1);
//!
//! edge.shutdown(Duration::from_secs(1)).await;
//! hub.shutdown(Duration::from_secs(1)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Shutdown is a future that is passed in, so that tests and signals take the same path:
//!
//! ```no_run
//! # use darkchat_crypto::Identity;
//! # use darkchat_server::Server;
//! # async fn example(stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(Identity::generate()).start().await?;
//! server.run_until(stop).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod builder;
mod clock;
mod dial;
mod error;
mod events;
mod gate;
mod limits;
mod link;
mod run;
mod server;
mod shared;
mod shown;
mod stats;

pub use builder::Builder;
pub use darkchat_node::{Accept, Event, Hop, LinkId, MapRow, Neighbours, NetworkMap, Profile, Trace};
pub use error::{PeerError, StartError, TraceError};
pub use events::Events;
pub use limits::Limits;
pub use server::{ConnectedClient, Peer, Server};
pub use stats::Stats;
