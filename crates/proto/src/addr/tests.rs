//! Addresses: what is typed, what is printed, and what is only a default.

use super::*;

fn addr(text: &str) -> Addr {
    text.parse().unwrap()
}

fn reason(text: &str) -> &'static str {
    match text.parse::<ServerAddr>().unwrap_err() {
        ParseError::Address { reason, .. } => reason,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn bare_addresses_are_tcp() {
    for (typed, normal) in [
        ("chat.example", "tcp://chat.example"),
        ("chat.example:1", "tcp://chat.example:1"),
        ("192.0.2.7", "tcp://192.0.2.7"),
        ("[2001:DB8::7]:2", "tcp://[2001:db8::7]:2"),
    ] {
        assert_eq!(addr(typed).to_string(), normal);
    }
}

#[test]
fn one_place_has_one_text() {
    for (typed, normal) in [
        ("tcp://CHAT.Example", "tcp://chat.example"),
        ("ws://Chat.example", "ws://chat.example/ws"),
        ("wss://chat.example:08443/ws", "wss://chat.example:8443/ws"),
        ("[0:0:0:0:0:0:0:1]", "tcp://[::1]"),
        ("[::FFFF:c000:0207]:9", "tcp://192.0.2.7:9"),
    ] {
        assert_eq!(addr(typed).to_string(), normal);
        assert_eq!(addr(normal), addr(typed));
    }
    assert_eq!(Addr::new("ws", "Chat.EXAMPLE", Some(1)), Ok(addr("ws://chat.example:1/ws")));
    assert_eq!(Addr::new("tcp", "0::1", None), Ok(addr("[::1]")));
}

#[test]
fn a_missing_port_depends_on_scheme_and_use() {
    let ports = |text: &str| (addr(text).or_client_port().port(), addr(text).or_peer_port().port());
    assert_eq!(ports("host"), (Some(8_545), Some(30_303)));
    assert_eq!(ports("ws://host"), (Some(8_546), Some(8_546)));
    assert_eq!(ports("wss://host"), (Some(443), Some(443)));
    assert_eq!(ports("mem://host"), (None, None));
    assert_eq!(ports("host:0"), (Some(0), Some(0)), "0 is written, so it stays");
}

#[test]
fn only_websockets_have_a_path_and_only_one() {
    for typed in [
        "tcp://host/",
        "tcp://host/ws",
        "host/ws",
        "ws://host/",
        "ws://host/ws/",
        "ws://host/WS",
        "ws://host/ws?a",
    ] {
        assert_eq!(reason(typed), "the only path is /ws, and tcp has none", "{typed}");
    }
    assert_eq!(addr("ws://host/ws"), addr("ws://host"));
    assert_eq!(addr("other://host/a/b?c=d").path(), "/a/b?c=d");
    assert_eq!(reason("other://host/a b"), "the path has a character that a path cannot have");
    assert_eq!(reason("other://host/\u{1B}[2J"), "the path has a character that a path cannot have");
}

#[test]
fn schemes_are_small_letters() {
    for typed in ["TCP://host", "1tcp://host", "://host", "t_p://host", "tcp ://host", "ｔcp://host"] {
        assert_eq!(
            reason(typed),
            "a scheme has small letters, and digits, +, - or . after the first",
            "{typed}"
        );
    }
    assert_eq!(addr("a1+b-c.d://host").scheme(), "a1+b-c.d");
    assert!(Addr::new("", "host", None).is_err());
}

#[test]
fn a_spelling_that_only_a_resolver_would_read_as_ipv4_is_refused() {
    for typed in [
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x",
        "127.0.0.0x1",
        "1.2.3.256",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4.",
        "a.1",
    ] {
        assert_eq!(reason(typed), "the host looks like an IPv4 address and is none", "{typed}");
    }
    for typed in ["1.2.3.4", "1.example", "0x7f.example", "host1", "mem://1"] {
        assert!(typed.parse::<Addr>().is_ok(), "{typed}");
    }
}

#[test]
fn hosts_have_letters_digits_and_no_empty_parts() {
    let neither = "the host is neither a name nor an IP address; IPv6 needs brackets";
    for typed in
        [" host", "ho st", "host\n", "h\0st", "h%41", "b\u{FC}cher", "a,b", "a@b@c", "\u{202E}host", "ho\\st"]
    {
        let refused = typed.parse::<Addr>();
        assert_eq!(refused, Err(ParseError::Address { reason: neither, text: typed.to_owned() }));
    }
    for typed in ["a..b", ".a", ".", "..", "a..", &format!("{}.b", "a".repeat(64))] {
        assert_eq!(reason(typed), "a part of the host name is empty or longer than 63 characters", "{typed}");
    }
    for typed in ["", "tcp://", ":80", "ws:///ws"] {
        assert_eq!(reason(typed), "the host is missing", "{typed}");
    }
    assert_eq!(reason(&format!("{}.b", "a.".repeat(126))), neither, "254 bytes");
}

#[test]
fn ports_are_numbers_and_ipv6_stands_in_brackets() {
    for typed in
        ["host:", "host:65536", "host:-1", "host:+1", "host: 1", "host:0x1", "host:99999999999999999999"]
    {
        assert_eq!(reason(typed), "the port is not a number from 0 to 65535", "{typed}");
    }
    for typed in ["::1", "::1:80", "a:1:2", "2001:db8::7"] {
        assert_eq!(reason(typed), "IPv6 needs brackets", "{typed}");
    }
    assert_eq!(reason("[::1"), "a bracket is not closed");
    assert_eq!(reason("[::1]80"), "something follows the bracket");
    for typed in ["[host]", "[127.0.0.1]", "[]", "[fe80::1%1]", "[[::1]]"] {
        assert_eq!(reason(typed), "there is no IPv6 address in the brackets", "{typed}");
    }
}

#[test]
fn a_key_stands_before_the_host_and_belongs_to_a_server() {
    let key = ServerId::new([7; 32]);
    for (typed, normal) in [
        (format!("{key}@host"), format!("tcp://{key}@host")),
        (format!("tcp://{key}@[::1]:1"), format!("tcp://{key}@[::1]:1")),
        (format!("ws://{key}@host"), format!("ws://{key}@host/ws")),
    ] {
        let server: ServerAddr = typed.parse().unwrap();
        assert_eq!(server.key, Some(key));
        assert_eq!(server.to_string(), normal);
        assert_eq!(normal.parse(), Ok(server));
    }
    let user = crate::UserId::new([7; 32]).to_string();
    let refused = format!("{user}@host").parse::<ServerAddr>();
    assert_eq!(refused, Err(ParseError::WrongKind { expected: "server", letter: 's', text: user }));
    assert!(matches!("someone@host".parse::<ServerAddr>(), Err(ParseError::Key { .. })));
    assert!(matches!("@host".parse::<ServerAddr>(), Err(ParseError::Key { .. })));
    assert!(format!("{key}@host").parse::<Addr>().is_err(), "an address alone has no key");
}

#[test]
fn sockets_and_addresses_become_each_other() {
    let socket: SocketAddr = "[::ffff:192.0.2.7]:80".parse().unwrap();
    let plain: SocketAddr = "192.0.2.7:80".parse().unwrap();
    assert_eq!(Addr::from_socket("tcp", socket), addr("192.0.2.7:80"));
    assert_eq!(Addr::from_socket("ws", plain), addr("ws://192.0.2.7:80/ws"));
    assert_eq!(addr("192.0.2.7:80").socket_addr(), Some(plain));
    assert_eq!(addr("192.0.2.7").socket_addr(), None);
    assert_eq!(addr("192.0.2.7").with_port(80).socket_addr(), Some(plain));
    assert_eq!(addr("host:80").ip(), None);
}

#[test]
fn loopback_is_what_cannot_be_elsewhere() {
    for here in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "ws://127.0.0.1",
        "mem://a",
    ] {
        assert!(addr(here).is_loopback(), "{here}");
    }
    for elsewhere in ["host", "localhost.example", "0.0.0.0", "[::]", "192.168.0.1", "128.0.0.1", "other://a"]
    {
        assert!(!addr(elsewhere).is_loopback(), "{elsewhere}");
    }
}

#[test]
fn gossip_dials_what_it_says() {
    let gossip = GossipAddr { ip: "::ffff:192.0.2.7".parse().unwrap(), port: 30_303, carrier: Carrier::Tcp };
    assert_eq!(gossip.to_addr(), addr("192.0.2.7:30303"));
    let gossip = GossipAddr { ip: "2001:db8::7".parse().unwrap(), port: 8_546, carrier: Carrier::Ws };
    assert_eq!(gossip.to_addr().to_string(), "ws://[2001:db8::7]:8546/ws");
}
