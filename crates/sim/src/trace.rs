//! What happened in a world: a hash over all of it, and the end of it in words.

use crate::Who;
use crate::mix::Mix;
use darkchat_proto::Time;
use std::collections::VecDeque;
use std::fmt;

/// How many steps are kept in words.
const KEPT: usize = 120;

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
    hash: Mix,
    steps: u64,
    last: VecDeque<Step>,
    aloud: bool,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: Mix::new(), steps: 0, last: VecDeque::with_capacity(KEPT), aloud: false }
    }

    /// Prints every step from now on.
    pub(crate) const fn aloud(&mut self) {
        self.aloud = true;
    }

    /// Adds a step; `bytes` is what was carried, if anything.
    pub(crate) fn step(&mut self, at: Time, who: Who, what: &'static str, link: Option<usize>, bytes: &[u8]) {
        self.steps += 1;
        let at_ns = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.hash.number(at_ns);
        for part in [&who.tag(), what.as_bytes(), bytes] {
            self.hash.bytes(part);
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

    pub(crate) const fn hash(&self) -> u64 {
        self.hash.hash()
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &Step> {
        self.last.iter()
    }
}

#[expect(clippy::print_stdout, reason = "only where a person asked for a replay")]
fn print_step(step: &Step) {
    println!("{step}");
}
