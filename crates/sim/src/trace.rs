//! What happened in a world: a hash over all of it, and the end of it in words.

use crate::Who;
use darkchat_proto::Time;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::fmt;

/// How many steps are kept in words.
const KEPT: usize = 120;

/// How many bytes are hashed at once.
const HASH_AT_ONCE: usize = 16 << 10;

/// One step, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    at: Time,
    who: Who,
    what: &'static str,
    link: Option<usize>,
    bytes: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>13.6} s  {:<12} {:<22}",
            self.at.since_start().as_secs_f64(),
            self.who.to_string(),
            self.what
        )?;
        if let Some(link) = self.link {
            write!(f, " connection {link}")?;
        }
        if self.bytes > 0 {
            write!(f, " {} B", self.bytes)?;
        }
        Ok(())
    }
}

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Sha256,
    /// Hashed when there is enough of it, because many small pieces cost more.
    unhashed: Vec<u8>,
    steps: u64,
    last: VecDeque<Step>,
    aloud: bool,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            hash: Sha256::new(),
            unhashed: Vec::new(),
            steps: 0,
            last: VecDeque::with_capacity(KEPT),
            aloud: false,
        }
    }

    /// Prints every step from now on.
    pub(crate) const fn aloud(&mut self) {
        self.aloud = true;
    }

    /// Adds a step; `bytes` is what was carried, if anything.
    pub(crate) fn step(&mut self, at: Time, who: Who, what: &'static str, link: Option<usize>, bytes: &[u8]) {
        self.steps += 1;
        let at_ns = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        for part in [&at_ns.to_le_bytes()[..], &who.tag(), what.as_bytes(), bytes] {
            self.unhashed.extend_from_slice(part);
        }
        if self.unhashed.len() > HASH_AT_ONCE {
            self.hash.update(&self.unhashed);
            self.unhashed.clear();
        }
        let step = Step { at, who, what, link, bytes: bytes.len() };
        if self.aloud {
            print_step(&step);
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(step);
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash.clone().chain_update(&self.unhashed).finalize().into()
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &Step> {
        self.last.iter()
    }
}

#[expect(clippy::print_stdout, reason = "only where a person asked for a replay")]
fn print_step(step: &Step) {
    println!("{step}");
}
