//! The contract as a test: one call holds any transport to every rule of it.
//!
//! This is the whole test of a stranger's transport, here with [`Memory`](crate::Memory) in its place:
//!
//! ```
//! use darkchat_transport::{Memory, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! conformance::check(&Memory::default(), "mem://127.0.0.1:0".parse()?).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! It needs no particular runtime: a transport may use whichever it likes, as long as the caller runs it. A rule that
//! takes longer than [`PATIENCE`] counts as broken, so a check ends also where a transport hangs.

mod alarm;
mod rules;

use crate::{Addr, Transport};
use futures_util::future::{self, Either};
use std::fmt;
use std::io;
use std::pin::pin;
use std::time::Duration;

/// How long one rule may take in [`check`]: far longer than any transport needs, so only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Tries every [`Rule`] in turn, each with listeners and links of its own.
///
/// `addr` is where to listen, again and again: with a port of 0 if the transport has ports, so that no rule meets the
/// remains of the last.
///
/// # Errors
/// The first rule that is not kept, and how it showed.
pub async fn check(transport: &dyn Transport, addr: Addr) -> Result<(), Broken> {
    check_within(transport, addr, PATIENCE).await
}

/// The same with another time for each rule, for a carrier that is slower, or a test that is less patient.
///
/// # Errors
/// As [`check`].
pub async fn check_within(transport: &dyn Transport, addr: Addr, patience: Duration) -> Result<(), Broken> {
    for rule in Rule::ALL {
        let trial = pin!(rules::run(rule, transport, &addr));
        let outcome = match future::select(trial, pin!(alarm::after(patience))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => Err(Why::Late(patience)),
        };
        outcome.map_err(|why| Broken { rule, why })?;
    }
    Ok(())
}

/// A rule that a transport does not keep.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {why}")]
#[non_exhaustive]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// How it showed.
    #[source]
    pub why: Why,
}

/// How a broken rule showed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The transport failed where it must not. See what it says.
    #[error("it failed: {0}")]
    Failed(#[from] io::Error),
    /// A stream ended although the other side was still there.
    #[error("a stream ended too early")]
    Ended,
    /// The rule was not done within this time. Look for a waker that is not kept, or a wait for the wrong side.
    #[error("it was not done within {0:?}")]
    Late(Duration),
    /// It did something else than the rule says.
    #[error("{0}")]
    Wrong(&'static str),
    /// A unit came changed, split, merged, or out of order.
    #[error(
        "instead of unit {number} of {expected} bytes there came one of {came} bytes, or with other content"
    )]
    Unit {
        /// Which one, counted from 0.
        number: usize,
        /// Its length when it was sent, in bytes.
        expected: usize,
        /// The length of what came, in bytes.
        came: usize,
    },
}

/// What a transport must do, in the order in which it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// `schemes` names at least one, in lower case, and the scheme of the tested address is among them.
    Schemes,
    /// An address with a foreign scheme is neither dialled nor listened on.
    ForeignScheme,
    /// The listener reports an address that can be dialled, on port 0 the one that was chosen.
    BoundAddress,
    /// Units of 0, 1 and up to 65,535 bytes pass unchanged, both ways, and keep their borders.
    Borders,
    /// A longer unit is refused with `InvalidInput`, and changes nothing.
    TooLong,
    /// Units that are fed together arrive in order.
    Order,
    /// Both directions carry more than any buffer at once, without waiting for each other.
    BothWays,
    /// The sink pushes back when nobody reads, and nothing is lost by it.
    BackPressure,
    /// Closing the sink flushes, and ends the other side's stream with `None`.
    EndOnClose,
    /// Dropping a link ends the other side's stream.
    EndOnDrop,
    /// A dial does nothing before it is polled, and leaves nothing when it is dropped.
    DroppedDial,
    /// A caller whose set-up stalls does not hold up the next, and can still be finished.
    StalledSetUp,
    /// A hundred links live at once and do not mix.
    ManyLinks,
}

impl Rule {
    /// Every rule, in the order of [`check`].
    pub const ALL: [Self; 13] = [
        Self::Schemes,
        Self::ForeignScheme,
        Self::BoundAddress,
        Self::Borders,
        Self::TooLong,
        Self::Order,
        Self::BothWays,
        Self::BackPressure,
        Self::EndOnClose,
        Self::EndOnDrop,
        Self::DroppedDial,
        Self::StalledSetUp,
        Self::ManyLinks,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schemes => "schemes names what the transport takes, in lower case",
            Self::ForeignScheme => "a foreign scheme is refused",
            Self::BoundAddress => "the listener reports an address that can be dialled",
            Self::Borders => "units of every length pass unchanged",
            Self::TooLong => "a unit that is too long is refused and changes nothing",
            Self::Order => "units arrive in order",
            Self::BothWays => "both directions work at once",
            Self::BackPressure => "the sink pushes back when nobody reads",
            Self::EndOnClose => "closing the sink flushes and ends the other side's stream",
            Self::EndOnDrop => "dropping a link ends the other side's stream",
            Self::DroppedDial => "a dropped dial leaves nothing",
            Self::StalledSetUp => "a stalled set-up does not hold up the next caller",
            Self::ManyLinks => "a hundred links live at once",
        })
    }
}
