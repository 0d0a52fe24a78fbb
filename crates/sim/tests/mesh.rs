//! The volume simulator at sizes that fit into every test run; `cargo xtask mesh` runs the large ones.

use darkchat_sim::mesh::{self, Form, Mesh, Report};

fn small() -> Mesh {
    Mesh { servers: 30, messages: 300, seconds: 20, channels: 6, ..Mesh::default() }
}

/// With so few links and so many destinations that ways lead through strangers too.
fn crossed(seed: u64) -> Mesh {
    Mesh { degree: 6, interested: 15, seed, ..small() }
}

fn assert_clean(report: &Report) {
    assert_eq!(
        (report.duplicates, report.reordered + report.order_violations, report.pending),
        (0, 0, 0),
        "{report:?}"
    );
    assert!(report.accounting_closes && report.unexplained_losses == 0, "{report:?}");
}

#[test]
fn everybody_hears_everything_once_for_hardly_more_than_the_best_tree_costs() {
    for interested in [1, 5, 20] {
        let report = mesh::run(&Mesh { interested, ..small() });
        assert_clean(&report);
        assert_eq!(report.delivered, 300 * interested as u64);
        assert_eq!(report.delivered, report.expected);
        let (cost, best) = (report.link_crossings_per_message, report.optimal_crossings);
        assert!(best > 1.0 && cost <= best * 1.05, "{cost} crossings, and {best} would do");
    }
}

#[test]
fn servers_that_know_one_address_each_find_the_rest_themselves() {
    let report = mesh::run(&Mesh { form: Form::Discovery, settle: 90, messages: 100, ..small() });
    assert_clean(&report);
    assert_eq!(report.delivered, report.expected, "{report:?}");
    assert!(report.links >= 30 * 4, "everybody is to have eight: {report:?}");
}

#[test]
fn a_world_read_from_its_own_report_runs_the_same() {
    let mesh = Mesh { messages: 50, loss: 0.2, seed: 9, ..small() };
    let first = mesh::run(&mesh);
    let text = serde_json::to_string(&first.world).unwrap();
    let again = mesh::run(&serde_json::from_str(&text).unwrap());
    assert_eq!(first, again);
    let other = mesh::run(&Mesh { seed: 10, ..mesh });
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn what_is_lost_on_links_that_are_cut_goes_another_way() {
    let report = mesh::run(&Mesh { loss: 2.0, messages: 2_000, ..small() });
    assert!(report.destroyed > 0 && report.resent > 0, "links are cut with messages on the way: {report:?}");
    let found = (report.delivered, report.duplicates, report.order_violations, report.unexplained_losses);
    assert_eq!(found, (report.expected, 0, 0, 0), "{report:?}");
    assert!(report.accounting_closes, "{report:?}");
}

#[test]
fn the_living_agree_soon_after_a_tenth_has_crashed() {
    let report = mesh::run(&Mesh { kill: 0.1, ..small() });
    assert!(report.reach_after_kill_s.is_some_and(|seconds| seconds < 1.0), "{report:?}");
    assert_eq!(report.unexplained_losses, 0, "{report:?}");
}

#[test]
fn halves_that_change_while_they_are_apart_agree_soon_after_one_address_is_reachable() {
    let still = Mesh { split: 60, seconds: 90, ..small() };
    let changing = Mesh { churn: 0.3, ..still.clone() };
    let (still, changing) = (mesh::run(&still), mesh::run(&changing));
    for report in [&still, &changing] {
        assert!(report.merged_after_split_s.is_some_and(|seconds| seconds < 30.0), "{report:?}");
        assert_eq!((report.duplicates, report.unexplained_losses), (0, 0), "{report:?}");
        assert!(report.accounting_closes && report.delivered * 100 >= report.expected * 99, "{report:?}");
    }
    assert!(
        changing.expected < still.expected,
        "whoever changes is promised nothing meanwhile: {changing:?}"
    );
}

/// Where links are as fast as in one house, a message that two servers send to and fro runs out of steps before they agree.
#[test]
fn what_meets_older_maps_while_a_cut_is_told_runs_out_of_no_steps() {
    let fast = Mesh { latency_min: 1, latency_max: 2, channels: 10, messages: 1_200, ..small() };
    let report = mesh::run(&Mesh { servers: 60, split: 5, seconds: 7, ..fast });
    assert_eq!((report.dropped.get("ttl"), report.duplicates, report.unexplained_losses), (None, 0, 0));
    assert_eq!(report.delivered, report.expected, "{report:?}");
}

#[test]
fn peers_that_lie_flood_and_forge_harm_nobody() {
    let report = mesh::run(&Mesh { flooders: 1, equivocators: 2, forgers: 2, ..small() });
    assert_eq!(report.delivered, report.expected, "{report:?}");
    assert_eq!((report.duplicates, report.unexplained_losses), (0, 0), "{report:?}");
    assert!(report.accounting_closes, "{report:?}");
}

#[test]
fn a_peer_that_passes_nothing_on_and_says_nothing_delays_and_loses_nothing() {
    let report = mesh::run(&Mesh { mutes: 2, ..crossed(3) });
    assert!(report.swallowed > 0 && report.resent > 0, "somebody sent through them: {report:?}");
    assert_eq!((report.delivered, report.duplicates), (report.expected, 0), "{report:?}");
}

#[test]
fn a_peer_that_acknowledges_what_it_swallows_loses_no_more_than_that() {
    let report = mesh::run(&Mesh { swallowers: 2, ..crossed(2) });
    assert!(report.swallowed > 0, "somebody sent through them: {report:?}");
    assert_eq!((report.duplicates, report.unexplained_losses), (0, 0), "{report:?}");
    assert!(report.expected - report.delivered <= report.swallowed, "{report:?}");
}

#[test]
fn interest_that_such_a_peer_swallows_is_told_again_by_other_ways() {
    for seed in 1..=3 {
        let report = mesh::run(&Mesh { swallowers: 4, ..crossed(seed) });
        assert_eq!((report.missing_unheard, report.unexplained_losses), (0, 0), "{report:?}");
        assert_eq!(report.expected, report.delivered + report.missing_swallowed, "{report:?}");
        assert!(report.missing_swallowed > 0, "somebody sent through them: {report:?}");
    }
}

#[test]
fn clients_that_say_nothing_for_minutes_are_still_there() {
    let report = mesh::run(&Mesh { messages: 12, seconds: 240, ..small() });
    assert_clean(&report);
    assert_eq!((report.delivered, report.closed.len()), (60, 0), "{report:?}");
}
