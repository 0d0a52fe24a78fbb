//! Tags that come and go, and shards that come late, twice, or too many.

use super::*;
use darkchat_proto::limits::{MAX_SHARD_BITS, MAX_SHARD_TAGS};
use std::time::Duration;

const EPOCH: u64 = 1_800_000_000_000;

fn server(number: u16) -> ServerId {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    ServerId::new(key)
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn own() -> Interest {
    Interest::new(server(0), EPOCH)
}

/// Tags that spread over all shards.
fn tag(number: usize) -> Tag {
    Tag(u64::try_from(number).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn shard(number: u16, seq: u64, bits: u32, shard: u32, tags: &[u64]) -> InterestShard {
    let tags = tags.iter().map(|tag| Tag(*tag)).collect();
    InterestShard { server: server(number), epoch: EPOCH, seq, bits, shard, tags }
}

fn hear(interest: &mut Interest, now: Time, shard: InterestShard) -> ShardOutcome {
    let signed = shard.encode();
    interest.insert(now, Verified::unchecked(shard), &signed, Some(EPOCH))
}

fn wanting(interest: &Interest, tag: u64) -> Vec<RouterId> {
    interest.servers(Tag(tag)).collect()
}

/// Everything that is issued until nothing is left to do before `until`, signed at once, with the time of each.
fn run(interest: &mut Interest, until: Time) -> Vec<(Time, InterestShard)> {
    let mut sent = Vec::new();
    while let Some(at) = interest.deadline().filter(|at| *at <= until) {
        interest.expire(at);
        for shard in interest.due(at) {
            interest.issued(&shard, shard.encode());
            sent.push((at, shard));
        }
        assert!(interest.deadline().is_none_or(|next| next > at), "a deadline that does not move on");
    }
    sent
}

#[test]
fn the_digest_is_that_of_the_test_vector() {
    // `docs/vectors/dchat1-messages.json`, numbers.digest_parts and numbers.digest_shards.
    assert_eq!(shard_digest(0, EPOCH, 3), 745_430_900_267_644_340);
    assert_eq!(shard_digest(1, EPOCH, 5), 6_798_561_204_878_942_868);
    let mut interest = own();
    hear(&mut interest, ms(0), shard(1, 3, 1, 0, &[]));
    hear(&mut interest, ms(0), shard(1, 5, 1, 1, &[]));
    assert_eq!(interest.digest(server(1).router(), EPOCH), 6_053_148_034_739_656_480);
}

#[test]
fn changes_are_collected_for_a_tenth_of_a_second() {
    let mut interest = own();
    assert!(interest.want(ms(0), Tag(2)));
    assert!(interest.want(ms(60), Tag(1)));
    assert!(interest.due(ms(99)).is_empty());
    let due = interest.due(ms(100));
    assert_eq!(due, [shard(0, 1, 0, 0, &[1, 2])]);
    assert!(!interest.is_announced(Tag(1)), "not before it is signed");
    interest.issued(&due[0], Bytes::from_static(b"signed"));
    assert!(interest.is_announced(Tag(1)));
    assert_eq!(interest.shards(server(0).router()), ["signed"]);
    assert_eq!(interest.deadline(), None);
}

#[test]
fn a_tag_goes_five_seconds_after_the_last_reason_for_it() {
    let mut interest = own();
    assert!(interest.want(ms(0), Tag(1)));
    assert!(interest.want(ms(0), Tag(1)));
    run(&mut interest, ms(1_000));
    interest.unwant(ms(1_000), Tag(1));
    assert!(run(&mut interest, ms(9_000)).is_empty(), "somebody still wants it");
    interest.unwant(ms(10_000), Tag(1));
    interest.unwant(ms(10_000), Tag(1));
    assert!(interest.want(ms(14_999), Tag(1)));
    assert!(run(&mut interest, ms(30_000)).is_empty(), "who comes back in time costs nothing");
    interest.unwant(ms(30_000), Tag(1));
    let gone = run(&mut interest, ms(60_000));
    assert_eq!(gone, [(ms(35_100), shard(0, 2, 0, 0, &[]))]);
    assert_eq!(interest.own_len(), 0);
}

#[test]
fn shards_hold_eight_tags_on_average_and_are_cut_anew_when_there_are_four_times_as_many() {
    let mut interest = own();
    let mut now = ms(0);
    for number in 0..40_000 {
        assert!(interest.want(now, tag(number)));
        if (number + 1).is_power_of_two() {
            now = now + Duration::from_secs(10_000);
            run(&mut interest, now);
            let bits = match number + 1 {
                0..32 => 0,
                32..128 => 2,
                128..512 => 4,
                512..2_048 => 6,
                2_048..8_192 => 8,
                8_192..32_768 => 10,
                _ => 12,
            };
            assert_eq!(interest.shards(server(0).router()).len(), 1 << bits, "{} tags", number + 1);
        }
    }
    for number in 0..40_000 {
        interest.unwant(now, tag(number));
    }
    let sent = run(&mut interest, now + Duration::from_secs(100_000));
    assert_eq!(sent.last().map(|(_, shard)| (shard.bits, shard.tags.len())), Some((0, 0)));
}

#[test]
fn nobody_is_sent_more_shards_than_the_budget_allows_and_none_waits_for_ever() {
    let mut interest = own();
    for number in 0..600 {
        assert!(interest.want(ms(0), tag(number)));
    }
    let sent = run(&mut interest, ms(60_000));
    assert_eq!(sent.len(), 128, "7 bits");
    assert_eq!(sent.iter().filter(|(at, _)| *at == ms(100)).count(), 64);
    let (last, _) = sent.last().unwrap();
    assert_eq!(*last, ms(100 + 64 * 200));
    let parts: std::collections::BTreeSet<u32> = sent.iter().map(|(_, shard)| shard.shard).collect();
    assert_eq!(parts.len(), 128);
}

#[test]
fn what_our_shards_say_is_what_others_hear() {
    let (mut interest, mut other) = (own(), Interest::new(server(1), EPOCH));
    let mut now = ms(0);
    for number in 0..2_000 {
        assert!(interest.want(now, tag(number)));
        if number % 3 == 0 {
            interest.unwant(now, tag(number));
        }
        now = now + Duration::from_millis(70);
        for (at, shard) in run(&mut interest, now) {
            other.expire(at);
            hear(&mut other, at, shard);
        }
    }
    for (at, shard) in run(&mut interest, now + Duration::from_secs(600)) {
        other.expire(at);
        hear(&mut other, at, shard);
    }
    other.expire(now + Duration::from_secs(1_200));
    for number in 0..2_000 {
        let expected: &[RouterId] = if number % 3 == 0 { &[] } else { &[server(0).router()] };
        assert_eq!(other.servers(tag(number)).collect::<Vec<_>>(), expected, "tag {number}");
    }
    let us = server(0).router();
    assert_eq!(other.digest(us, EPOCH), interest.digest(us, EPOCH));
    assert_eq!(other.shards(us), interest.shards(us));
}

#[test]
fn another_epoch_issues_every_shard_again() {
    let mut interest = own();
    assert!(interest.want(ms(0), Tag(1)));
    let old = interest.due(ms(100));
    interest.set_epoch(ms(100), EPOCH + 1);
    interest.issued(&old[0], Bytes::new());
    assert!(!interest.is_announced(Tag(1)), "that was signed for the former epoch");
    let sent = run(&mut interest, ms(1_000));
    assert_eq!(sent[0].1, InterestShard { epoch: EPOCH + 1, ..shard(0, 2, 0, 0, &[1]) });
    assert!(interest.is_announced(Tag(1)));
}

/// Case E8 of the test plan, for our own; the next but one is about those of others.
#[test]
fn a_server_wants_no_more_tags_than_it_may() {
    let mut interest = own();
    for number in 0..131_072 {
        assert!(interest.want(ms(0), tag(number)));
    }
    assert!(!interest.want(ms(0), tag(131_072)));
    assert!(interest.want(ms(0), tag(5)), "one that it wants already");
    assert_eq!(interest.own_len(), MAX_TAGS_PER_SERVER);
    run(&mut interest, ms(100));
    assert_eq!(interest.own.bits_for_tests(), MAX_SHARD_BITS);
}

#[test]
fn tags_chosen_to_fall_into_one_shard_do_not_make_one_that_nobody_takes() {
    let mut interest = own();
    for number in 0..60_000 {
        assert!(interest.want(ms(0), tag(number)));
    }
    let later = ms(10_000_000);
    run(&mut interest, later);
    let (first, second) = (0, 1 << 51);
    for start in [first, second] {
        let taken = (0..5_000).take_while(|number| interest.want(later, Tag(start + 1 + number))).count();
        assert!((4_000..=MAX_SHARD_TAGS).contains(&taken), "{taken}");
    }
    for number in 0..60_000 {
        interest.unwant(later, tag(number));
    }
    let sent = run(&mut interest, ms(20_000_000));
    let largest = sent.into_iter().map(|(_, shard)| shard.tags.len()).max();
    assert!(largest <= Some(MAX_SHARD_TAGS), "a coarser cut would join both");
}

#[test]
fn the_newest_shard_wins_and_withdraws_what_it_does_not_name() {
    let mut interest = own();
    assert_eq!(hear(&mut interest, ms(0), shard(1, 2, 0, 0, &[1, 2])), ShardOutcome::Newer);
    assert_eq!(hear(&mut interest, ms(0), shard(2, 1, 0, 0, &[2])), ShardOutcome::Newer);
    assert_eq!(hear(&mut interest, ms(0), shard(1, 1, 0, 0, &[9])), ShardOutcome::Older);
    assert_eq!(hear(&mut interest, ms(0), shard(1, 2, 0, 0, &[9])), ShardOutcome::Older);
    assert_eq!(wanting(&interest, 2), [server(1).router(), server(2).router()]);
    assert_eq!(hear(&mut interest, ms(0), shard(1, 3, 0, 0, &[2, 3])), ShardOutcome::Newer);
    assert_eq!(wanting(&interest, 1), []);
    assert_eq!(wanting(&interest, 3), [server(1).router()]);
    assert_eq!(interest.others_len(), 3);
}

#[test]
fn shards_of_a_former_cut_count_for_five_more_seconds() {
    let mut interest = own();
    let high = 1 << 63;
    hear(&mut interest, ms(0), shard(1, 1, 0, 0, &[1, high]));
    hear(&mut interest, ms(1_000), shard(1, 2, 1, 0, &[1]));
    assert_eq!(wanting(&interest, high).len(), 1, "its new shard has not come yet");
    assert_eq!(hear(&mut interest, ms(1_000), shard(1, 1, 0, 0, &[5])), ShardOutcome::Older);
    assert_eq!(interest.deadline(), Some(ms(6_000)));
    interest.expire(ms(6_000));
    assert_eq!(wanting(&interest, high).len(), 0);
    assert_eq!(wanting(&interest, 1).len(), 1);
    assert_eq!(interest.others_len(), 1);
    assert_eq!(interest.deadline(), None);
}

#[test]
fn a_former_cut_counts_until_the_budget_let_all_new_shards_through() {
    let mut interest = own();
    hear(&mut interest, ms(0), shard(1, 1, 0, 0, &[1]));
    hear(&mut interest, ms(0), shard(1, 2, 7, 0, &[]));
    assert_eq!(interest.deadline(), Some(ms(5_000 + 13_000)));
}

#[test]
fn a_shard_needs_a_record_of_its_epoch() {
    let mut interest = own();
    let new = |shard: &InterestShard| (Verified::unchecked(shard.clone()), shard.encode());
    let (verified, signed) = new(&shard(1, 1, 0, 0, &[1]));
    assert_eq!(interest.insert(ms(0), verified.clone(), &signed, None), ShardOutcome::NoRecord);
    assert_eq!(interest.insert(ms(0), verified.clone(), &signed, Some(EPOCH + 1)), ShardOutcome::NoRecord);
    assert_eq!(interest.insert(ms(0), verified, &signed, Some(EPOCH)), ShardOutcome::Newer);
    let later = InterestShard { epoch: EPOCH + 1, ..shard(1, 1, 0, 0, &[2]) };
    let (verified, signed) = new(&later);
    assert_eq!(interest.insert(ms(0), verified, &signed, Some(EPOCH + 1)), ShardOutcome::Newer);
    assert_eq!(wanting(&interest, 1), [], "a new epoch forgets the former one");
    let (verified, signed) = new(&shard(0, 1, 0, 0, &[1]));
    assert_eq!(interest.insert(ms(0), verified, &signed, Some(EPOCH)), ShardOutcome::Own);
}

#[test]
fn the_interest_of_a_server_out_of_reach_is_kept_for_ten_minutes() {
    let mut interest = own();
    hear(&mut interest, ms(0), shard(1, 1, 0, 0, &[1]));
    interest.note_reachable(ms(1_000), |_| false);
    interest.note_reachable(ms(500_000), |_| false);
    assert_eq!(interest.deadline(), Some(ms(601_000)));
    interest.note_reachable(ms(600_000), |_| true);
    assert_eq!(interest.deadline(), None);
    interest.note_reachable(ms(600_001), |_| false);
    interest.expire(ms(1_200_001));
    assert_eq!(wanting(&interest, 1), []);
    assert_eq!(interest.others_len(), 0);
}

#[test]
fn one_server_cannot_fill_the_table_and_all_together_cannot_exceed_it() {
    let mut interest = own();
    let whole: Vec<u64> = (0..4_096).collect();
    let mut seq = 0;
    let mut fill = |interest: &mut Interest, number: u16| {
        let mut taken = 0;
        for part in 0..33_u32 {
            seq += 1;
            let tags: Vec<u64> = whole.iter().map(|tag| (u64::from(part) << 58) | tag).collect();
            let outcome = hear(interest, ms(0), shard(number, seq, 6, part, &tags));
            taken += usize::from(outcome == ShardOutcome::Newer) * tags.len();
            assert!(interest.others_len() <= MAX_TAGS_TOTAL);
        }
        taken
    };
    for number in 1..=15 {
        assert_eq!(fill(&mut interest, number), MAX_TAGS_PER_SERVER);
    }
    let rest = MAX_TAGS_TOTAL - interest.others_len();
    assert_eq!(fill(&mut interest, 16), rest / 4_096 * 4_096);
    assert!(interest.refused() > 0);
    let smaller = shard(1, 1_000_000, 6, 0, &[1]);
    assert_eq!(hear(&mut interest, ms(0), smaller), ShardOutcome::Newer, "what it knows may still change");
}

#[test]
fn empty_shards_and_swollen_bytes_are_counted_too() {
    let mut interest = own();
    for part in 0..1 << 14 {
        hear(&mut interest, ms(0), shard(1, u64::from(part) + 1, 14, part, &[]));
    }
    assert_eq!(interest.others_len(), 1 << 14);
    let shard = shard(2, 1, 0, 0, &[1]);
    let swollen = Bytes::from(vec![0; 300]);
    let outcome = interest.insert(ms(0), Verified::unchecked(shard), &swollen, Some(EPOCH));
    assert_eq!(outcome, ShardOutcome::Full);
}
