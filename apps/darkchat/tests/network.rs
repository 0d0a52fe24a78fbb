//! The network as people use it: real servers of every kind, real clients, loopback sockets.

mod common;

use common::{Kind, Server, heard, heard_text, listen, reach, send};

const KINDS: [Kind; 3] = [Kind::Tcp, Kind::Ws, Kind::Full];

#[test]
fn a_line_of_three_kinds_is_one_network_for_those_in_the_channel() {
    // Without it the three would find each other and be no line.
    let b = Server::start(Kind::Ws, &["--no-lan"]);
    let a = Server::start(Kind::Tcp, &["--no-lan", "--connect", &b.peers]);
    let c = Server::start(Kind::Full, &["--no-lan", "--connect", &b.peers]);
    let places = [a.addr("tcp"), b.addr("ws"), c.addr("ws")];
    let stranger = listen(c.addr("tcp"), "#elsewhere", &[]);
    let listeners = places.map(|place| listen(place, "#lobby", &[]));
    for (number, place) in places.iter().enumerate() {
        reach(place, "#lobby", 2);
        let text = format!("from {number}");
        send(place, "#lobby", "ann", &text);
        for listener in &listeners {
            let message = heard_text(listener, &text);
            assert_eq!((&message["name"], &message["channel"]), (&"ann".into(), &"#lobby".into()));
            assert!(message["from"].as_str().is_some_and(|key| key.starts_with('u') && key.len() == 56));
        }
    }
    send(c.addr("tcp"), "#elsewhere", "", "only here");
    assert_eq!(heard(&stranger)["text"], "only here");
}

#[test]
fn all_nine_ordered_pairs_of_kinds_peer_and_carry() {
    for dialling in KINDS {
        for dialled in KINDS {
            let one = Server::start(dialled, &[]);
            let mut two = Server::start(dialling, &[]);
            two.peer_with(&one);
            let listeners = [listen(one.any(), "#pair", &[]), listen(two.any(), "#pair", &[])];
            for (place, text) in [(one.any(), "from the dialled"), (two.any(), "from the dialling")] {
                reach(place, "#pair", 1);
                send(place, "#pair", "", text);
                for listener in &listeners {
                    heard_text(listener, text);
                }
            }
        }
    }
}

#[test]
fn peering_with_oneself_twice_or_crosswise_leaves_at_most_one_link() {
    let mut one = Server::start(Kind::Tcp, &[]);
    let mut two = Server::start(Kind::Tcp, &[]);
    let own = one.peers.clone();
    assert!(one.ask(&format!("connect {own}"))[0].starts_with("error: "));
    assert_eq!(one.ask("peers"), ["(none)"]);
    one.peer_with(&two);
    assert!(one.ask(&format!("connect {}", two.peers))[0].starts_with("already connected "));
    assert!(two.ask(&format!("connect {}", one.peers))[0].starts_with("already connected "));
    assert_eq!((one.ask("peers").len(), two.ask("peers").len()), (1, 1));
}

#[test]
fn a_server_that_comes_back_is_linked_again_without_being_asked() {
    let first = Server::start(Kind::Tcp, &[]);
    let address = first.peers.trim_start_matches("tcp://").to_owned();
    let other = Server::start(Kind::Tcp, &["--connect", &address]);
    let listener = listen(other.any(), "#back", &[]);
    reach(first.any(), "#back", 1);
    drop(first);
    let again = Server::start(Kind::Tcp, &["--peer-listen", &address]);
    reach(again.any(), "#back", 1);
    send(again.any(), "#back", "", "here again");
    heard_text(&listener, "here again");
}

#[test]
fn one_address_is_enough_for_servers_on_one_machine_to_find_each_other() {
    let first = Server::start(Kind::Tcp, &[]);
    let mut others: Vec<Server> =
        (0..4).map(|_| Server::start(Kind::Tcp, &["--connect", &first.peers])).collect();
    for server in &mut others {
        server.await_peers(4);
    }
    let (one, two) = (&others[0], &others[3]);
    let listener = listen(one.any(), "#mesh", &[]);
    drop(first);
    reach(two.any(), "#mesh", 1);
    send(two.any(), "#mesh", "", "without the first");
    heard_text(&listener, "without the first");
}
