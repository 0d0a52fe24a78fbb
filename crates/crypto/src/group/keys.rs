//! The secret of a private channel, hour by hour.

use super::{GroupError, MAX_JUMP, OVERLAP_MS, STEP_MS};
use crate::kdf::{Secret, derive};
use crate::label::{GROUP_KEY, GROUP_STEP};

/// The oldest secret that is still of use; those of later steps follow from it when they are needed.
pub(super) struct Steps {
    step: u32,
    secret: Secret,
    start_ms: u64,
}

/// `S[g, i+1]`
fn next(secret: &Secret) -> Secret {
    derive(&[0; 32], secret.as_slice(), GROUP_STEP)
}

impl Steps {
    pub(super) const fn new(step: u32, secret: Secret, start_ms: u64) -> Self {
        Self { step, secret, start_ms }
    }

    /// The oldest step that is kept.
    pub(super) const fn step(&self) -> u32 {
        self.step
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    pub(super) const fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// The step that `now_ms` is in; before the start it is the first.
    const fn at(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.start_ms) / STEP_MS
    }

    /// The step to write in.
    pub(super) fn current(&self, now_ms: u64) -> u64 {
        self.at(now_ms).max(self.step.into())
    }

    /// Whether a post of this step is taken at `now_ms`: the current one, the one before in the first 5 min and the
    /// next one in the last 5 min, as far as its secret is here.
    pub(super) fn accepts(&self, step: u32, now_ms: u64) -> bool {
        let oldest = self.at(now_ms.saturating_sub(OVERLAP_MS)).max(self.step.into());
        let newest = self.at(now_ms.saturating_add(OVERLAP_MS));
        (oldest..=newest).contains(&u64::from(step))
    }

    /// Moves on to the oldest step that is accepted at `now_ms`. Never back: what was wiped stays so.
    pub(super) fn advance(&mut self, now_ms: u64) -> Result<(), GroupError> {
        let oldest = self.at(now_ms.saturating_sub(OVERLAP_MS));
        let steps = oldest.saturating_sub(self.step.into());
        let too_old = GroupError::TooOld { steps };
        if steps > MAX_JUMP.into() {
            return Err(too_old);
        }
        let target = u32::try_from(oldest).map_err(|_| too_old)?;
        if steps > 0 {
            self.secret = self.at_step(target).ok_or(too_old)?;
            self.step = target;
        }
        Ok(())
    }

    /// When [`advance`](Self::advance) wipes what is kept now.
    pub(super) const fn next_ms(&self) -> u64 {
        let ends = (self.step as u64).saturating_add(1).saturating_mul(STEP_MS);
        self.start_ms.saturating_add(ends).saturating_add(OVERLAP_MS)
    }

    /// The secret of a step that is kept or follows within a year.
    fn at_step(&self, step: u32) -> Option<Secret> {
        let steps = step.checked_sub(self.step).filter(|steps| *steps <= MAX_JUMP)?;
        let mut secret = self.secret.clone();
        for _ in 0..steps {
            secret = next(&secret);
        }
        Some(secret)
    }

    /// The key of a stream in a step.
    pub(super) fn key(&self, step: u32, stream: u64) -> Option<Secret> {
        let secret = self.at_step(step)?;
        Some(derive(&stream.to_be_bytes(), secret.as_slice(), GROUP_KEY))
    }
}
