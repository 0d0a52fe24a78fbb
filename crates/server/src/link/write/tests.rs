//! What the writing half puts into records, and when it tells the loop.

use super::*;
use proptest::prelude::*;

fn outbox() -> Outbox {
    Outbox::new(LinkId(1))
}

proptest! {
    #[test]
    fn runs_come_out_as_one_stream_in_records_of_bounded_size(
        lens in prop::collection::vec(prop_oneof![0..300_usize, 4_000..5_000_usize, 16_000..40_000_usize], 0..40)
    ) {
        let outbox = outbox();
        let runs: Vec<Bytes> =
            lens.iter().enumerate().map(|(n, len)| Bytes::from(vec![n as u8; *len])).collect();
        runs.iter().for_each(|run| outbox.push([run.clone()].into_iter()));
        let mut waiting = outbox.take().unwrap_or_default();
        let mut all = Vec::new();
        while !waiting.is_empty() {
            let is_last = waiting.len() <= RECORD_FILL;
            let record = waiting.record(&Blanks::default());
            prop_assert!(record.len() == RECORD_FILL || is_last);
            all.extend_from_slice(&record);
        }
        prop_assert_eq!(all, runs.concat());
    }
}

#[test]
fn nothing_waits_where_nothing_was_to_be_sent() {
    let outbox = outbox();
    outbox.push([Bytes::new()].into_iter());
    assert!(outbox.take().is_none());
    outbox.push([Bytes::from_static(b"some"), Bytes::new()].into_iter());
    assert_eq!(outbox.written(), b"some");
}

#[test]
fn a_reader_that_is_behind_does_not_keep_the_turns_of_others_alive() {
    let outbox = outbox();
    for _ in 0..1_000 {
        let turn = Bytes::from(vec![7; 60_000]);
        outbox.push([turn.slice(..50)].into_iter());
    }
    assert!(outbox.runs() <= SHARED_RUNS);
    assert_eq!(outbox.written().len(), 50_000);
}

#[test]
fn the_loop_is_told_of_a_link_once_however_often_it_writes() {
    let (flushed, outbox) = (Flushed::default(), Arc::new(outbox()));
    flushed.add(&outbox, 3);
    flushed.add(&outbox, 4);
    assert_eq!(flushed.take().collect::<Vec<_>>(), [(LinkId(1), 7)]);
    assert_eq!(flushed.take().count(), 0);
    flushed.add(&outbox, 5);
    assert_eq!(flushed.take().collect::<Vec<_>>(), [(LinkId(1), 5)]);
}
