//! Records as they come in any order, and the ways that follow from them.

use super::*;
use darkchat_proto::{Features, InterestShard, Signature, Tag};

fn server(number: u16) -> ServerId {
    let mut key = [7; 32];
    key[6..8].copy_from_slice(&number.to_be_bytes());
    ServerId::new(key)
}

fn router(number: u16) -> RouterId {
    server(number).router()
}

fn secs(secs: u64) -> Time {
    Time::from_millis(secs * 1_000)
}

fn record(number: u16, epoch: u64, seq: u64, neighbours: &[u16]) -> ServerRecord {
    ServerRecord {
        server: server(number),
        epoch,
        seq,
        issued_ms: 0,
        addrs: Vec::new(),
        flags: RecordFlags::TRANSIT,
        neighbours: neighbours.iter().map(|number| router(*number)).collect(),
        version: 1,
        features: Features::NONE,
    }
}

fn signed(record: &ServerRecord) -> Bytes {
    Signed { body: record.encode(), sig: Signature::new([1; 64]) }.encode()
}

fn hear(map: &mut Map, now: Time, record: ServerRecord) -> RecordOutcome {
    let signed = signed(&record);
    map.insert(now, Verified::unchecked(record).shared(), &signed)
}

const NEW: RecordOutcome = RecordOutcome::Newer { forward: true, new_epoch: true, loses: false };
const NEWER: RecordOutcome = RecordOutcome::Newer { forward: true, new_epoch: false, loses: false };

/// Server 0 with its record and links to `neighbours`, and the other servers with theirs.
fn network(links: &[u16], others: &[(u16, &[u16])]) -> Map {
    let mut map = Map::new(server(0));
    let own = record(0, 1, 1, links);
    map.set_own(own.clone(), signed(&own));
    for link in links {
        map.link_up(&server(*link));
    }
    for (number, neighbours) in others {
        assert_eq!(hear(&mut map, secs(0), record(*number, 1, 1, neighbours)), NEW);
    }
    map
}

#[test]
fn the_newest_record_wins_in_whatever_order_they_come() {
    let mut map = Map::new(server(0));
    assert_eq!(hear(&mut map, secs(0), record(1, 5, 2, &[])), NEW);
    assert_eq!(hear(&mut map, secs(0), record(1, 5, 1, &[])), RecordOutcome::Older);
    assert_eq!(hear(&mut map, secs(0), record(1, 4, 9, &[])), RecordOutcome::Older);
    assert_eq!(hear(&mut map, secs(0), record(1, 5, 2, &[])), RecordOutcome::Known);
    assert_eq!(hear(&mut map, secs(0), record(1, 5, 3, &[])), NEWER);
    assert_eq!(hear(&mut map, secs(0), record(1, 6, 1, &[])), NEW);
    assert_eq!(map.known(router(1)).unwrap().record.epoch, 6);
}

#[test]
fn two_records_of_one_number_leave_the_smaller_hash_everywhere_and_mute_their_server() {
    let (one, two) = (record(1, 1, 1, &[2]), record(1, 1, 1, &[3]));
    let mut maps = [Map::new(server(0)), Map::new(server(9))];
    for (map, order) in maps.iter_mut().zip([[&one, &two], [&two, &one]]) {
        assert_eq!(hear(map, secs(1), order[0].clone()), NEW);
        assert_eq!(hear(map, secs(1), order[1].clone()), RecordOutcome::Equivocal);
        assert_eq!(map.equivocations(), 1);
        assert!(map.is_muted(secs(60), router(1)));
        let muted = RecordOutcome::Newer { forward: false, new_epoch: false, loses: true };
        assert_eq!(hear(map, secs(60), record(1, 1, 2, &[])), muted);
        assert!(!map.is_muted(secs(61), router(1)));
        assert_eq!(hear(map, secs(61), record(1, 1, 3, &[])), NEWER);
    }
    let mut maps = [Map::new(server(0)), Map::new(server(9))];
    for (map, order) in maps.iter_mut().zip([[&one, &two], [&two, &one]]) {
        for record in order {
            hear(map, secs(1), record.clone());
        }
    }
    let kept = maps.map(|map| map.known(router(1)).unwrap().record.clone());
    assert_eq!(kept[0], kept[1]);
}

#[test]
fn bytes_that_a_relay_adds_around_a_body_do_not_blame_its_author() {
    let mut map = Map::new(server(0));
    let record = record(1, 1, 1, &[]);
    assert_eq!(hear(&mut map, secs(0), record.clone()), NEW);
    let padded = [&signed(&record)[..], &[0x78, 0x01]].concat().into();
    assert_eq!(
        map.insert(secs(0), Verified::unchecked(record.clone()).shared(), &padded),
        RecordOutcome::Known
    );
    let swollen = [&signed(&record)[..], &[0x78, 0x01].repeat(MAX_SIGNED)].concat().into();
    assert_eq!(map.insert(secs(0), Verified::unchecked(record).shared(), &swollen), RecordOutcome::TooLarge);
}

#[test]
fn a_record_expires_after_its_last_refresh_and_our_own_never() {
    let mut map = network(&[1], &[(1, &[0])]);
    assert_eq!(map.deadline(), Some(secs(5_400)));
    hear(&mut map, secs(600), record(1, 1, 2, &[0]));
    assert_eq!(map.expire(secs(5_999)), []);
    assert_eq!(map.expire(secs(6_000)), [router(1)]);
    assert_eq!(map.deadline(), None);
    assert_eq!(map.len(), 1);
}

#[test]
fn a_full_map_refuses_strangers_and_takes_news_of_those_it_knows() {
    let mut map = network(&[], &[]);
    for number in 1..=4_096 {
        assert_eq!(hear(&mut map, secs(0), record(number, 1, 1, &[])), NEW);
    }
    assert_eq!(hear(&mut map, secs(0), record(5_000, 1, 1, &[])), RecordOutcome::Full);
    assert_eq!(hear(&mut map, secs(0), record(7, 1, 2, &[])), NEWER);
    assert_eq!(map.len(), MAX_SERVERS + 1);
    let stranger = Have { router: router(5_000), epoch: 1, seq: 1, shards: 0 };
    assert_eq!(map.wants(&Interest::new(server(0), 1), &[stranger]), []);
}

#[test]
fn of_two_servers_with_one_router_id_the_first_stays() {
    let mut map = network(&[], &[(1, &[])]);
    let mut key = *server(1).as_bytes();
    key[31] ^= 1;
    let twin = ServerRecord { server: ServerId::new(key), epoch: 9, ..record(1, 1, 1, &[]) };
    assert_eq!(hear(&mut map, secs(0), twin.clone()), RecordOutcome::Clash);
    assert!(map.clashes(&twin.server));
    assert!(!map.clashes(&server(1)));
    assert!(!map.clashes(&server(0)));
    let mut key = *server(0).as_bytes();
    key[31] ^= 1;
    assert!(map.clashes(&ServerId::new(key)));
}

#[test]
fn our_own_key_in_a_foreign_record_is_seen_and_changes_nothing() {
    let mut map = network(&[], &[]);
    assert_eq!(hear(&mut map, secs(0), record(0, 1, 1, &[])), RecordOutcome::Known);
    assert_eq!(hear(&mut map, secs(0), record(0, 1, 7, &[])), RecordOutcome::Own { later_epoch: false });
    assert_eq!(hear(&mut map, secs(0), record(0, 2, 1, &[])), RecordOutcome::Own { later_epoch: true });
    assert_eq!(map.known(router(0)).unwrap().number(), (1, 1));
}

#[test]
fn frames_take_a_shortest_way() {
    // 0 - 1 - 2 - 3 and 0 - 4 - 3
    let others: [(u16, &[u16]); 4] = [(1, &[0, 2]), (2, &[1, 3]), (3, &[2, 4]), (4, &[0, 3])];
    let mut map = network(&[1, 4], &others);
    let hops = [1, 2, 3, 4].map(|to| map.next_hop(router(to), None).unwrap());
    assert_eq!(hops, [1, 1, 4, 4].map(router));
    assert_eq!(map.reachable().collect::<Vec<_>>(), [1, 2, 3, 4].map(router));
}

#[test]
fn an_edge_counts_when_both_ends_name_it() {
    let mut map = network(&[1], &[(1, &[0, 2]), (2, &[])]);
    assert!(!map.is_reachable(router(2)));
    hear(&mut map, secs(1), record(2, 1, 2, &[1]));
    assert!(map.is_reachable(router(2)));
    hear(&mut map, secs(2), record(1, 1, 2, &[0]));
    assert!(!map.is_reachable(router(2)));
}

#[test]
fn our_own_links_count_before_any_record_names_them_and_not_after_they_are_gone() {
    let mut map = network(&[1], &[]);
    assert_eq!(map.next_hop(router(1), None), Some(router(1)));
    hear(&mut map, secs(0), record(1, 1, 1, &[0]));
    map.link_down(router(1));
    assert_eq!(map.next_hop(router(1), None), None);
}

#[test]
fn a_leaf_is_an_end_and_never_on_the_way() {
    let mut map = network(&[1, 2], &[(2, &[0, 3]), (3, &[1, 2])]);
    let leaf = ServerRecord { flags: RecordFlags::DIALABLE, ..record(1, 1, 1, &[0, 3]) };
    hear(&mut map, secs(0), leaf);
    assert_eq!(map.next_hop(router(1), None), Some(router(1)));
    assert_eq!(map.next_hop(router(3), None), Some(router(2)));
    map.link_down(router(2));
    assert_eq!(map.next_hop(router(3), None), None);
}

#[test]
fn who_is_about_to_leave_is_not_on_the_way_any_more() {
    let mut map = network(&[1, 2], &[(1, &[0, 3]), (2, &[0, 3]), (3, &[1, 2])]);
    let way = map.next_hop(router(3), None).unwrap();
    let (leaver, other) = if way == router(1) { (1, 2) } else { (2, 1) };
    let flags = RecordFlags::TRANSIT.with(RecordFlags::DRAINING);
    hear(&mut map, secs(0), ServerRecord { flags, ..record(leaver, 1, 2, &[0, 3]) });
    assert_eq!(map.next_hop(router(3), None), Some(router(other)));
    assert_eq!(map.next_hop(router(leaver), None), Some(router(leaver)), "it is still there");
}

#[test]
fn a_frame_goes_back_where_it_came_from_only_if_there_is_no_other_way() {
    let others: [(u16, &[u16]); 3] = [(1, &[0, 3]), (2, &[0, 3]), (3, &[1, 2])];
    let mut map = network(&[1, 2], &others);
    let first = map.next_hop(router(3), None).unwrap();
    let second = map.next_hop(router(3), Some(first)).unwrap();
    assert_ne!(first, second);
    map.link_down(second);
    assert_eq!(map.next_hop(router(3), Some(first)), Some(first));
}

#[test]
fn of_ways_of_one_length_our_private_order_chooses() {
    let others: Vec<(u16, &[u16])> = (1..=8).map(|number| (number, &[0, 9][..])).collect();
    let mut map = network(&[1, 2, 3, 4, 5, 6, 7, 8], &others);
    hear(&mut map, secs(0), record(9, 1, 1, &[1, 2, 3, 4, 5, 6, 7, 8]));
    let first = (1..=8).min_by_key(|number| rank(&server(0), &server(*number))).unwrap();
    assert_eq!(map.next_hop(router(9), None), Some(router(first)));
}

#[test]
fn a_peer_is_asked_for_what_is_newer_there_and_for_nothing_else() {
    let mut map = network(&[], &[(1, &[]), (2, &[]), (3, &[])]);
    let mut interest = Interest::new(server(0), 1);
    let shard = InterestShard { server: server(3), epoch: 1, seq: 4, bits: 0, shard: 0, tags: vec![Tag(5)] };
    interest.insert(secs(0), Verified::unchecked(shard), &Bytes::new(), Some(1));
    let rows: Vec<Have> = map.digest(&interest).collect();
    assert_eq!(rows.iter().map(|row| row.router).collect::<Vec<_>>(), [0, 1, 2, 3].map(router));
    assert_eq!(map.wants(&interest, &rows), [], "what we hold ourselves");

    let row = |number, epoch, seq, shards| Have { router: router(number), epoch, seq, shards };
    let want = |number, record, shards| Want { router: router(number), record, shards };
    let same = interest.digest(router(3), 1);
    let theirs = [row(0, 1, 0, 77), row(1, 1, 2, 0), row(2, 0, 9, 77), row(3, 1, 1, same), row(4, 1, 1, 77)];
    assert_eq!(map.wants(&interest, &theirs), [want(1, true, false), want(4, true, true)]);
    assert_eq!(map.wants(&interest, &[row(3, 1, 1, 78)]), [want(3, false, true)]);
    assert_eq!(map.wants(&interest, &[row(3, 2, 1, 78)]), [want(3, true, true)]);
    assert_eq!(map.wants(&interest, &[row(0, 2, 1, 0)]), [want(0, true, false)], "somebody has our key");
    hear(&mut map, secs(1), record(3, 2, 1, &[]));
    assert_eq!(map.digest(&interest).last().map(|row| row.shards), Some(0), "shards of an earlier epoch");
}

/// 0 has the neighbours 1 and 2; 3 lies behind both, 4 behind 1, and 5 behind 2.
fn fork() -> Map {
    let others: [(u16, &[u16]); 5] = [(1, &[0, 3, 4]), (2, &[0, 3, 5]), (3, &[1, 2]), (4, &[1]), (5, &[2])];
    network(&[1, 2], &others)
}

#[test]
fn destinations_share_a_neighbour_where_one_can_take_them() {
    let mut map = fork();
    for (dst, neighbour) in [([3, 4], 1), ([3, 5], 2)] {
        let (groups, lost) = map.next_hops(&dst.map(router), None);
        assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [router(neighbour)], "{dst:?}");
        assert_eq!((groups[&router(neighbour)].len(), lost), (2, Vec::new()));
    }
    let (groups, lost) = map.next_hops(&[3, 4, 5, 9].map(router), None);
    assert_eq!((groups.len(), groups.values().map(Vec::len).sum::<usize>(), lost), (2, 3, vec![router(9)]));
}

#[test]
fn ways_that_join_farther_on_are_preferred_to_ways_that_only_start_together() {
    // 31 to 33 lie three hops away: behind one neighbour each at its own server, behind the other all at server 20.
    for (spread, joined) in [(1, 2), (2, 1)] {
        let others: [(u16, &[u16]); 9] = [
            (spread, &[0, 11, 12, 13]),
            (joined, &[0, 20]),
            (11, &[spread, 31]),
            (12, &[spread, 32]),
            (13, &[spread, 33]),
            (20, &[joined, 31, 32, 33]),
            (31, &[11, 20]),
            (32, &[12, 20]),
            (33, &[13, 20]),
        ];
        let mut map = network(&[1, 2], &others);
        let (groups, lost) = map.next_hops(&[31, 32, 33].map(router), None);
        assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [router(joined)], "5 links in place of 7");
        assert_eq!((groups[&router(joined)].len(), lost), (3, Vec::new()));
        let (groups, _) = map.next_hops(&[31, 32, 33].map(router), Some(router(joined)));
        assert_eq!(
            groups.keys().copied().collect::<Vec<_>>(),
            [router(spread)],
            "not back where it came from"
        );
        let (groups, _) = map.next_hops(&[11, 31].map(router), None);
        assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [router(spread)], "11 takes 31 along");
    }
}

#[test]
fn next_hops_that_were_found_hold_until_the_map_changes_and_few_lists_are_kept() {
    let mut map = fork();
    let before = map.next_hops(&[3, 4].map(router), None);
    assert_eq!((map.next_hops(&[3, 4].map(router), None), map.found.len()), (before, 1));
    assert_eq!(
        map.next_hops(&[3, 4].map(router), Some(router(1))).0.len(),
        2,
        "another list with whom to avoid"
    );
    hear(&mut map, secs(1), record(4, 1, 2, &[2]));
    hear(&mut map, secs(1), record(2, 1, 2, &[0, 3, 4, 5]));
    let (groups, _) = map.next_hops(&[3, 4].map(router), None);
    assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [router(2)]);
    for number in 10..10 + 2 * u16::try_from(MAX_FOUND).unwrap() {
        map.next_hops(&[3, number].map(router), None);
        assert!(map.found.len() <= MAX_FOUND);
    }
}

#[test]
fn what_came_from_a_neighbour_goes_back_only_if_nobody_else_can_take_it() {
    let mut map = fork();
    let (groups, lost) = map.next_hops(&[3, 5].map(router), Some(router(1)));
    assert_eq!(groups.get(&router(2)), Some(&vec![router(3), router(5)]));
    assert_eq!((groups.len(), lost), (1, Vec::new()));
    let (groups, lost) = map.next_hops(&[3, 4].map(router), Some(router(1)));
    assert_eq!(groups.get(&router(2)), Some(&vec![router(3)]));
    assert_eq!(groups.get(&router(1)), Some(&vec![router(4)]), "nobody else has it");
    assert_eq!((groups.len(), lost), (2, Vec::new()));
    hear(&mut map, secs(1), record(4, 1, 2, &[1, 5]));
    hear(&mut map, secs(1), record(5, 1, 2, &[2, 4]));
    let (groups, _) = map.next_hops(&[4].map(router), Some(router(1)));
    assert_eq!(groups.get(&router(2)), Some(&vec![router(4)]), "through 5, a longer way");
}

#[test]
fn a_refresh_changes_nothing_and_another_neighbour_does() {
    let mut map = fork();
    let before = map.generation();
    assert_eq!(hear(&mut map, secs(1), record(3, 1, 2, &[1, 2])), NEWER);
    assert_eq!(map.generation(), before);
    hear(&mut map, secs(2), record(3, 1, 3, &[1]));
    assert_ne!(map.generation(), before);
    assert_eq!(map.next_hop(router(3), None), Some(router(1)));
    assert_eq!(map.next_hop(router(3), Some(router(1))), Some(router(1)));
}

#[test]
fn more_neighbours_than_share_frames_are_still_reached() {
    let links: Vec<u16> = (1..=100).collect();
    let behind: Vec<(u16, Vec<u16>)> = links.iter().map(|link| (*link, vec![0, link + 1_000])).collect();
    let ends: Vec<(u16, Vec<u16>)> = links.iter().map(|link| (link + 1_000, vec![*link])).collect();
    let others: Vec<(u16, &[u16])> =
        behind.iter().chain(&ends).map(|(number, names)| (*number, &names[..])).collect();
    let mut map = network(&links, &others);
    for (to, _) in &ends {
        assert_eq!(map.next_hop(router(*to), None), Some(router(to - 1_000)));
    }
    assert_eq!(map.reachable().count(), 200);
}

#[test]
fn random_changes_leave_the_same_ways_as_a_map_made_from_the_last_records() {
    let mut state = 7_u64;
    let mut random = |below: u16| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u16::try_from((state >> 33) % u64::from(below)).unwrap()
    };
    for round in 0..20 {
        let mut map = network(&[1, 2, 3], &[]);
        let mut last = BTreeMap::new();
        for step in 0..400 {
            let number = 1 + random(30);
            let names: Vec<u16> = (0..random(6)).map(|_| random(31)).collect();
            let record = record(number, 1, 1 + step, &names);
            hear(&mut map, secs(0), record.clone());
            last.insert(number, record);
            if random(20) == 0 {
                map.link_down(router(3));
                map.link_up(&server(3));
            }
        }
        let mut fresh = network(&[1, 2, 3], &[]);
        for record in last.into_values().rev() {
            hear(&mut fresh, secs(0), record);
        }
        assert!(map.reachable().eq(fresh.reachable().collect::<Vec<_>>()), "round {round}");
        for to in 1..=30 {
            let both = [&mut map, &mut fresh].map(|map| map.next_hop(router(to), None));
            assert_eq!(both[0], both[1], "round {round}, to {to}");
        }
    }
}
