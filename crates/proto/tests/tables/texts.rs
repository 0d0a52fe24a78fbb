//! `texts.json`: what people type and programs print, and the ids that come of it.

use darkchat_proto::{
    ChannelId, ChannelName, Digest16, MessageId, Network, PostId, SafetyNumber, ServerAddr, ServerId, Tag,
    UserId, UserName,
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

const ABOUT: &str = "Texts of dchat/1, sections 2, 5.5, 6.1 and 7.9. Each row has what was `typed` and either what it means \
or, under `refused`, why it is not taken (in the words of this implementation). Addresses: `normal` is the one text \
of that address; a null port means the default of its use. A scheme other than tcp, ws and wss belongs to a transport \
of somebody else, and is refused where none takes it.";

pub(crate) fn texts() -> Value {
    json!({
        "about": ABOUT,
        "keys": keys(),
        "message_ids": message_ids(),
        "channels": channels(),
        "user_names": user_names(),
        "addresses": addresses(),
        "hashes": hashes(),
        "safety_numbers": safety_numbers(),
    })
}

/// Pairs of keys that differ at their first and at their last byte, one pair twice in the other order, and one key
/// with itself. The third number has groups that begin with zeros.
fn safety_numbers() -> Vec<Value> {
    let key = |first: u8, last: u8| {
        let mut bytes = [7; 32];
        (bytes[0], bytes[31]) = (first, last);
        UserId::new(bytes)
    };
    let pairs = [
        (key(1, 0), key(2, 0)),
        (key(2, 0), key(1, 0)),
        (key(9, 1), key(9, 2)),
        (key(0, 6), key(6, 0)),
        (key(5, 5), key(5, 5)),
    ];
    let row = |(one, other): (UserId, UserId)| {
        let number = SafetyNumber::of(&one, &other).to_string();
        json!({ "one": one.to_string(), "other": other.to_string(), "number": number })
    };
    pairs.into_iter().map(row).collect()
}

fn keys() -> Vec<Value> {
    let bytes: [u8; 32] = std::array::from_fn(|index| index as u8);
    let user = UserId::new(bytes).to_string();
    let server = ServerId::new(bytes).to_string();
    let wrong_check = format!("{}{}", &user[..55], if user.ends_with('a') { 'b' } else { 'a' });
    let mut rows = vec![
        json!({ "kind": "user", "key": HEXLOWER.encode(&bytes), "text": user, "mark": UserId::new(bytes).mark() }),
        json!({ "kind": "server", "key": HEXLOWER.encode(&bytes), "text": server }),
    ];
    for (typed, kind) in [
        (server.clone(), "user"),
        (user.clone(), "server"),
        (wrong_check, "user"),
        (user.to_uppercase(), "user"),
        (user[..55].to_owned(), "user"),
        (format!("{user}a"), "user"),
        (format!("{}1", &user[..55]), "user"),
        (String::new(), "server"),
    ] {
        let error = match kind {
            "user" => typed.parse::<UserId>().map(|_| ()),
            _ => typed.parse::<ServerId>().map(|_| ()),
        };
        rows.push(
            json!({ "kind": kind, "typed": typed, "refused": error.expect_err("refused").to_string() }),
        );
    }
    rows
}

fn message_ids() -> Vec<Value> {
    let post = "1e0a514bf75942eccb927d7ceb43dee6";
    let typed =
        [".0", ".63", ".64", ".00", ".+1", ".", "", ".0 ", "0.1"].map(|index| format!("{post}{index}"));
    let typed = typed.into_iter().chain([format!("{}.0", post.to_uppercase()), "1e.0".to_owned()]);
    typed
        .map(|typed| match typed.parse::<MessageId>() {
            Ok(id) => json!({ "typed": typed, "bytes": HEXLOWER.encode(&id.to_bytes()) }),
            Err(error) => json!({ "typed": typed, "refused": error.to_string() }),
        })
        .collect()
}

fn channels() -> Vec<Value> {
    let long = "a".repeat(65);
    let typed = [
        "ops",
        "#Ops",
        "##ops",
        "#",
        "",
        " ",
        "a b",
        "a\u{A0}b",
        "a\nb",
        "a\0b",
        "a\u{7F}",
        "a\u{9F}",
        "Ä",
        "A\u{308}",
        "ΣΟΦΟΣ",
        "Σ",
        "İ",
        "Ǆ",
        "\u{1E9E}",
        "\u{212A}",
        "\u{2126}",
        "Ａ",
        "ﬁ",
        "नमस्ते",
        "क\u{200D}ष",
        "🦀",
        "\u{202E}",
        "a\u{FEFF}",
        "\u{E0061}",
        "../../x",
        "%2e%2e",
        "CON",
        &long[..64],
        &long,
    ];
    typed
        .iter()
        .map(|typed| match typed.parse::<ChannelName>() {
            Ok(name) => {
                let id = ChannelId::of(&Network::default(), &name);
                json!({ "typed": typed, "name": name.as_str(), "channel_id": id.to_string() })
            }
            Err(error) => json!({ "typed": typed, "refused": error.to_string() }),
        })
        .collect()
}

fn user_names() -> Vec<Value> {
    let long = "é".repeat(25);
    let typed = [
        "",
        " ",
        "alice",
        "Alice B.",
        "e\u{301}",
        "#alice",
        "аdmin",
        "👩\u{200D}🚀",
        "❤\u{FE0F}",
        "a\u{200B}b",
        "a\u{202E}b",
        "a\u{2028}b",
        "a\u{AD}b",
        "a\u{E0041}b",
        "a\tb",
        "a\u{1B}[2J",
        "a\u{85}b",
        &long[..48],
        &long,
    ];
    typed
        .iter()
        .map(|typed| match typed.parse::<UserName>() {
            Ok(name) => json!({ "typed": typed, "name": name.as_str() }),
            Err(error) => json!({ "typed": typed, "refused": error.to_string() }),
        })
        .collect()
}

fn addresses() -> Vec<Value> {
    let key = ServerId::new(std::array::from_fn(|index| index as u8));
    let user = UserId::new(*key.as_bytes());
    let label = "a".repeat(63);
    let mut typed: Vec<String> = [
        "localhost",
        "127.0.0.1:8545",
        "chat.example",
        "CHAT.Example:9000",
        "[::1]",
        "[::1]:8545",
        "::1",
        "::1:8545",
        "[::1",
        "[::1]8545",
        "[127.0.0.1]",
        "[fe80::1%eth0]",
        "[0:0::0:1]",
        "[::ffff:192.0.2.7]:30303",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1/",
        "tcp://127.0.0.1/ws",
        "TCP://127.0.0.1",
        "ws://chat.example",
        "ws://chat.example/ws",
        "ws://chat.example/",
        "ws://chat.example/ws/",
        "ws://chat.example/ws?x",
        "ws://[2001:DB8::7]:8546/ws",
        "wss://chat.example:443/ws",
        "http://chat.example",
        "tcp://",
        "://host",
        "",
        " host",
        "host ",
        "ho st",
        "host:",
        "host:0",
        "host:00080",
        "host:65535",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:80:80",
        "a..b",
        ".host",
        "host.",
        "127.1",
        "0x7f000001",
        "1.2.3.256",
        "1.2.3.4.5",
        "010.0.0.1",
        "1.2.3.4.",
        "bücher.example",
        "xn--bcher-kva.example",
        "under_score",
        "-dash",
        "%31",
        "host\n",
        "mem://Somewhere",
        "tcp://ws://host",
    ]
    .map(str::to_owned)
    .into();
    typed.extend([
        format!("{key}@chat.example:8545"),
        format!("ws://{key}@[::1]/ws"),
        format!("tcp://{user}@chat.example"),
        "tcp://someone@chat.example".to_owned(),
        format!("tcp://{key}@"),
        format!("{label}.example"),
        format!("{label}a.example"),
        [label.as_str(); 4].join("."),
    ]);
    typed.iter().map(|typed| address(typed)).collect()
}

fn address(typed: &str) -> Value {
    match typed.parse::<ServerAddr>() {
        Ok(addr) => json!({
            "typed": typed,
            "normal": addr.to_string(),
            "scheme": addr.addr.scheme(),
            "host": addr.addr.host(),
            "port": addr.addr.port(),
            "path": addr.addr.path(),
            "key": addr.key.map(|key| key.to_string()),
            "for_clients": addr.addr.clone().or_client_port().port(),
            "for_peers": addr.addr.or_peer_port().port(),
        }),
        Err(error) => json!({ "typed": typed, "refused": error.to_string() }),
    }
}

fn hashes() -> Value {
    let lobby: ChannelName = "lobby".parse().expect("a channel name");
    let networks = ["main", "test net", "ネット"].map(|typed| {
        let network: Network = typed.parse().expect("a network name");
        let channel = ChannelId::of(&network, &lobby);
        let user = UserId::new([0xA1; 32]);
        json!({
            "network": typed,
            "channel_lobby": channel.to_string(),
            "tag_of_channel": Tag::of_channel(&network, &channel).0.to_string(),
            "tag_of_inbox_a1": Tag::of_inbox(&network, &user).0.to_string(),
        })
    });
    json!({
        "networks": networks,
        "router_of_key_00_to_1f": ServerId::new(std::array::from_fn(|index| index as u8)).router().0.to_string(),
        "post_id_of_body_abc": HEXLOWER.encode(PostId::of_body(b"abc").as_bytes()),
        "digest_of_deliver_abc": HEXLOWER.encode(Digest16::of(b"abc").as_bytes()),
    })
}
