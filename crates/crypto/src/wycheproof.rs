//! Every case of Wycheproof that fits this protocol, through the functions that the protocol uses (D1, D2).

use crate::aead::Aead;
use crate::kdf;
use crate::testing::{array, hex, key, vectors};
use crate::verify;
use serde_json::Value;

/// All cases of a file with their groups; the count says that none was lost.
fn cases(name: &str, count: usize) -> Vec<(Value, Value)> {
    let file = vectors(name);
    let all: Vec<(Value, Value)> = file["testGroups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["tests"].as_array().unwrap().iter().map(|case| (group.clone(), case.clone())))
        .collect();
    assert_eq!(all.len(), count, "{name}");
    all
}

fn is_valid(case: &Value) -> bool {
    match case["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("a label that needs a decision: {other}"),
    }
}

#[test]
fn ed25519() {
    for (group, case) in cases("ed25519_test.json", 151) {
        let key = array(&group["publicKey"]["pk"]);
        let good = <[u8; 64]>::try_from(hex(&case["sig"]))
            .is_ok_and(|signature| verify::strict(&key, &hex(&case["msg"]), &signature).is_ok());
        assert_eq!(good, is_valid(&case), "case {}", case["tcId"]);
    }
}

#[test]
fn x25519() {
    let mut zero = 0;
    for (_, case) in cases("x25519_test.json", 518) {
        let shared = hex(&case["shared"]);
        let result = key(&case["private"]).agree(&array(&case["public"]));
        if shared.iter().all(|byte| *byte == 0) {
            zero += 1;
            assert!(result.is_err(), "case {}", case["tcId"]);
        } else {
            assert_eq!(result.unwrap().as_slice(), shared, "case {}", case["tcId"]);
        }
    }
    assert_eq!(zero, 31);
}

#[test]
fn aes_gcm() {
    let mut ran = 0;
    for (group, case) in cases("aes_gcm_test.json", 316) {
        if (group["keySize"].as_u64(), group["ivSize"].as_u64()) != (Some(256), Some(96)) {
            continue;
        }
        assert_eq!(group["tagSize"], 128);
        ran += 1;
        let aead = Aead::new(&array(&case["key"]));
        let (nonce, aad) = (array(&case["iv"]), hex(&case["aad"]));
        let mut sealed = [hex(&case["ct"]), hex(&case["tag"])].concat();
        let before = sealed.clone();
        if is_valid(&case) {
            let mut text = hex(&case["msg"]);
            let tag = aead.seal(nonce, &aad, &mut text).unwrap();
            assert_eq!([text, tag.to_vec()].concat(), sealed, "case {}", case["tcId"]);
            assert_eq!(
                aead.open(nonce, &aad, &mut sealed).unwrap(),
                hex(&case["msg"]),
                "case {}",
                case["tcId"]
            );
        } else {
            assert!(aead.open(nonce, &aad, &mut sealed).is_err(), "case {}", case["tcId"]);
            assert_eq!(sealed, before, "a failed open changed the bytes: case {}", case["tcId"]);
        }
    }
    assert_eq!(ran, 66);
}

#[test]
fn hkdf_sha256() {
    for (_, case) in cases("hkdf_sha256_test.json", 86) {
        let mut out = vec![0; usize::try_from(case["size"].as_u64().unwrap()).unwrap()];
        let done = kdf::expand(&hex(&case["salt"]), &hex(&case["ikm"]), &hex(&case["info"]), &mut out);
        assert_eq!(done.is_ok(), is_valid(&case), "case {}", case["tcId"]);
        if done.is_ok() {
            assert_eq!(out, hex(&case["okm"]), "case {}", case["tcId"]);
        }
    }
}

#[test]
fn hmac_sha256() {
    for (group, case) in cases("hmac_sha256_test.json", 174) {
        let len = usize::try_from(group["tagSize"].as_u64().unwrap()).unwrap() / 8;
        let tag = kdf::hmac(&hex(&case["key"]), &[&hex(&case["msg"])]);
        assert_eq!(tag[..len] == hex(&case["tag"]), is_valid(&case), "case {}", case["tcId"]);
    }
}
