//! The vectors of `docs/protocol.md` section 15 through the public interface: ids, texts and what follows from keys.
//!
//! The ratchet's are in `tests/ratchet.rs`. The rest of the files is checked beside the code that it concerns, where
//! keys can be fixed: links in `src/handshake/tests.rs`, records in `src/record/tests.rs`, direct handshakes in
//! `src/direct/tests.rs`, private channels in `src/group/tests.rs`, signatures in `src/verify/tests.rs`, Wycheproof in
//! `src/wycheproof.rs`, Noise in `src/noise/tests.rs`.
#![expect(clippy::unwrap_used, reason = "what these helpers read is part of the test")]

use darkchat_crypto::{Identity, sign, verify};
use darkchat_proto::{ChannelId, ChannelName, Network, PostId, Signed, Tag};
use data_encoding::HEXLOWER;
use serde_json::Value;

fn file(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn identity(seed: &Value) -> Identity {
    Identity::from_seed(hex(seed).try_into().unwrap())
}

#[test]
fn seeds_give_the_ids_and_texts_of_the_vectors() {
    let ids = &file("dchat1-draft.json")["ids"];
    let [alice, bob, server] = ["alice_seed", "bob_seed", "server_seed"].map(|name| identity(&ids[name]));
    assert_eq!(alice.public().to_vec(), hex(&ids["alice"]));
    assert_eq!(bob.user_id().as_bytes().to_vec(), hex(&ids["bob"]));
    assert_eq!(server.server_id().as_bytes().to_vec(), hex(&ids["server"]));
    assert_eq!(alice.user_id().to_string(), ids["alice_text"]);
    assert_eq!(bob.user_id().to_string(), ids["bob_text"]);
    assert_eq!(server.server_id().to_string(), ids["server_text"]);
    assert_eq!(server.server_id().router().0.to_be_bytes().to_vec(), hex(&ids["router_id_server"]));
    let inbox = Tag::of_inbox(&Network::default(), &alice.user_id());
    assert_eq!(inbox.0.to_be_bytes().to_vec(), hex(&ids["alice_inbox_tag"]));
}

#[test]
fn a_post_is_signed_named_and_verified_as_in_the_vectors() {
    let (draft, messages) = (file("dchat1-draft.json"), file("dchat1-messages.json"));
    let network = Network::default();
    let alice = identity(&draft["ids"]["alice_seed"]);
    let post = &messages["post"];
    let body = hex(&post["body"]);
    let sig = alice.sign(&sign::post(&network, &body));
    let signed = Signed { body: body.clone().into(), sig };
    assert_eq!(signed.encode(), hex(&post["signed"]));
    assert_eq!(PostId::of_body(&body).as_bytes().to_vec(), hex(&post["post_id"]));

    let verified = verify::post(&network, &signed).unwrap();
    let general: ChannelName = "#General".parse().unwrap();
    assert_eq!(verified.channel, ChannelId::of(&network, &general));
    assert_eq!(verified.entries.len(), 3);

    let channel = &draft["channel"];
    assert_eq!(PostId::of_body(&hex(&channel["body"])).as_bytes().to_vec(), hex(&channel["message_id"]));
}

#[test]
fn every_vector_file_is_described_with_its_origin() {
    let folder = format!("{}/tests/vectors", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&name), "{name}");
    }
}
