//! Buffers that records are sealed in, used again by all links: a busy server fills tens of thousands a second, and to get
//! each from the system and give it back costs more than to copy into it.

use super::write::{RECORD_FILL, TAG};
use bytes::{Bytes, BytesMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers that are kept: as many as links write at once on a large machine, and 1 MiB together.
const KEPT: usize = 32;
/// Records from this length on get a buffer for a full one; what is shorter gets as much as it needs.
const LONG: usize = 8 * 1024;

/// Empty buffers for full records.
#[derive(Debug, Default)]
pub(crate) struct Blanks(Mutex<Vec<BytesMut>>);

impl Blanks {
    /// An empty buffer for a record of this length, with room for its tag.
    pub(super) fn take(&self, len: usize) -> BytesMut {
        if len < LONG {
            return BytesMut::with_capacity(len.saturating_add(TAG));
        }
        self.kept().pop().unwrap_or_else(|| BytesMut::with_capacity(len.max(RECORD_FILL).saturating_add(TAG)))
    }

    /// A sealed record has left. Whoever still holds some of it keeps its buffer.
    pub(super) fn give_back(&self, record: Bytes) {
        if record.len() < LONG {
            return;
        }
        let Ok(mut blank) = record.try_into_mut() else { return };
        blank.clear();
        let mut kept = self.kept();
        if blank.capacity() >= RECORD_FILL.saturating_add(TAG) && kept.len() < KEPT {
            kept.push(blank);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_its_record() {
        let blanks = Blanks::default();
        let mut record = blanks.take(LONG);
        record.resize(LONG, 7);
        let (place, record) = (record.as_ptr(), record.freeze());
        blanks.give_back(record.clone());
        assert!(blanks.kept().is_empty(), "the sink holds it");
        blanks.give_back(record);
        let again = blanks.take(RECORD_FILL);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (place, 0, RECORD_FILL + TAG));
    }

    #[test]
    fn few_are_kept_and_none_for_short_records() {
        let blanks = Blanks::default();
        assert_eq!(blanks.take(10).capacity(), 10 + TAG);
        blanks.give_back(Bytes::from(vec![7; 10]));
        assert!(blanks.kept().is_empty());
        let records: Vec<_> = (0..KEPT + 5).map(|_| blanks.take(RECORD_FILL)).collect();
        for mut record in records {
            record.resize(RECORD_FILL, 7);
            blanks.give_back(record.freeze());
        }
        assert_eq!(blanks.kept().len(), KEPT);
    }
}
