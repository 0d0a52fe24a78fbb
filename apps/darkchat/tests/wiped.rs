//! D17 of the test plan: once a client's session has closed, its program's memory holds no key of it any more.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use common::{Kind, Person, Program, Server, until};
use darkchat_crypto::StaticKey;
use darkchat_proto::Invite;
use data_encoding::BASE64URL_NOPAD;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

/// How long a program is held where it would end, in microseconds: far longer than its memory takes to read.
const HELD_US: u32 = 60_000_000;
/// `exit_group`, by which a program ends when all of it has been dropped that is.
const EXIT_GROUP: &str = if cfg!(target_arch = "x86_64") { "231 " } else { "94 " };
/// Different bytes among 32 random ones: hardly ever fewer.
const DIVERSE: usize = 22;
/// What looks through memory costs an agreement each time; there are a few hundred on a quiet page.
const STEP: usize = 8;

/// A program that is held when it has done everything but end.
fn held(program: &Command) -> Program {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group"]);
    command.args(["-e", &format!("inject=exit_group:delay_enter={HELD_US}")]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Program::start(&mut command)
}

/// Whether programs can be held here at all; says so if not.
fn can_hold() -> bool {
    let mut tried = Command::new("strace");
    tried.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=exit_group",
        "-e",
        "inject=exit_group:delay_enter=1",
        "true",
    ]);
    let can = tried.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace is missing, too old, or may not trace");
    }
    can
}

/// The program that strace has started.
fn traced(program: &Program) -> u32 {
    let strace = program.pid();
    let children = format!("/proc/{strace}/task/{strace}/children");
    let mut pid = None;
    until("the program runs", || {
        pid = std::fs::read_to_string(&children).ok().and_then(|text| text.split(' ').next()?.parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

fn await_end(pid: u32) {
    until("the program ends", || {
        std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap().starts_with(EXIT_GROUP)
    });
}

/// All that a program may write to.
fn memory(pid: u32) -> Vec<(String, Vec<u8>)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let writable =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with("rw")));
    let parts = writable.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut part = vec![0; usize::try_from(to - from).ok()?];
        memory.seek(SeekFrom::Start(from)).ok()?;
        memory.read_exact(&mut part).ok()?;
        Some((line.to_owned(), part))
    });
    parts.collect()
}

/// Gives the same 32 bytes as often as it is asked.
struct Fixed([u8; 32]);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn is_diverse(bytes: &[u8]) -> bool {
    bytes.iter().collect::<BTreeSet<_>>().len() >= DIVERSE
}

/// Private halves of X25519 pairs: whatever stands beside its own public half.
fn pairs(memory: &[(String, Vec<u8>)]) -> Vec<(String, [u8; 32])> {
    let mut found = Vec::new();
    for (place, part) in memory {
        for at in (0..part.len().saturating_sub(64)).step_by(STEP) {
            let (one, other) = (&part[at..at + 32], &part[at + 32..at + 64]);
            // Almost all of memory is zeros or pointers.
            if one[0] == 0 && one[8] == 0 || !is_diverse(one) || !is_diverse(other) {
                continue;
            }
            for (secret, public) in [(one, other), (other, one)] {
                let secret: [u8; 32] = secret.try_into().unwrap();
                if public[31] < 0x80 && StaticKey::generate(&mut Fixed(secret)).public() == public {
                    found.push((place.clone(), secret));
                }
            }
        }
    }
    found
}

/// The S-box of AES (FIPS 197, 5.1.1).
fn s_box() -> [u8; 256] {
    let mut boxed = [0; 256];
    let (mut power, mut inverse) = (1_u8, 1_u8);
    loop {
        // Times 3 and divided by 3: a generator and its inverse.
        power ^= (power << 1) ^ if power & 0x80 == 0 { 0 } else { 0x1B };
        inverse ^= inverse << 1;
        inverse ^= inverse << 2;
        inverse ^= inverse << 4;
        inverse ^= if inverse & 0x80 == 0 { 0 } else { 9 };
        let turned = (1..5).fold(inverse, |sum, by| sum ^ inverse.rotate_left(by));
        boxed[usize::from(power)] = turned ^ 0x63;
        if power == 1 {
            break;
        }
    }
    boxed[0] = 0x63;
    boxed
}

/// Keys of AES-256 that stand before what follows from them (FIPS 197, 5.2).
fn ciphers(memory: &[(String, Vec<u8>)]) -> Vec<(String, [u8; 32])> {
    let boxed = s_box();
    let word = |part: &[u8], at: usize| -> [u8; 4] { part[4 * at..4 * at + 4].try_into().unwrap() };
    let xor = |one: [u8; 4], other: [u8; 4]| std::array::from_fn::<u8, 4, _>(|at| one[at] ^ other[at]);
    let substituted = |word: [u8; 4]| word.map(|byte| boxed[usize::from(byte)]);
    let mut found = Vec::new();
    for (place, part) in memory {
        for at in (0..part.len().saturating_sub(64)).step_by(STEP) {
            let part = &part[at..at + 64];
            let [a, b, c, d] = substituted(word(part, 7));
            let first = xor(word(part, 0), [b ^ 1, c, d, a]);
            let fifth = xor(word(part, 4), substituted(word(part, 11)));
            if word(part, 8) == first && word(part, 12) == fifth && is_diverse(&part[..32]) {
                found.push((place.clone(), part[..32].try_into().unwrap()));
            }
        }
    }
    found
}

/// Where bytes stand.
fn places(memory: &[(String, Vec<u8>)], needle: &[u8]) -> Vec<String> {
    let has = |part: &&(String, Vec<u8>)| part.1.windows(needle.len()).any(|bytes| bytes == needle);
    memory.iter().filter(has).map(|(place, _)| place.clone()).collect()
}

/// The secrets of a private channel's generations, as they were written down.
fn secrets(folder: &Path) -> BTreeSet<[u8; 32]> {
    let text = std::fs::read_to_string(folder.join("channels/garden")).unwrap();
    let saved = text.lines().filter_map(|line| line.strip_prefix("generation "));
    let invites =
        saved.map(|line| Invite::decode(BASE64URL_NOPAD.decode(line.as_bytes()).unwrap().into()).unwrap());
    invites.map(|invite| *invite.secret.as_bytes()).collect()
}

/// What is left of the keys of a program that is held at its end.
fn left(pid: u32, secrets: &BTreeSet<[u8; 32]>) -> Vec<String> {
    let memory = memory(pid);
    let secrets = secrets.iter().flat_map(|secret| places(&memory, secret));
    let secrets = secrets.map(|place| format!("a channel's secret in {place}"));
    let pairs = pairs(&memory).into_iter().map(|(place, _)| format!("a private key in {place}"));
    let ciphers = ciphers(&memory).into_iter().map(|(place, _)| format!("a cipher's key in {place}"));
    secrets.chain(pairs).chain(ciphers).collect()
}

#[test]
fn d17_no_key_of_a_closed_session_is_left_in_memory() {
    if !can_hold() {
        return;
    }
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (Person::new(server.any()), Person::new(server.any()));
    ann.run(&["channel", "create", "garden", "--listed"], "");
    let key = bob.run(&["id", "new"], "");
    let mut bobs = Program::start(&mut bob.darkchat(&["chat", "-c", "lobby"]));
    bobs.err.until(&["lobby"]);

    // Ann talks in private and in a private channel, which she changes twice.
    let mut anns = held(&ann.darkchat(&["chat", "-c", "+garden"]));
    anns.err.until(&["garden"]);
    let pid = traced(&anns);
    anns.say(&format!("/msg {key} are you there?"));
    bobs.out.until(&["are you there?"]);
    let me = ann.run(&["id"], "");
    bobs.say(&format!("/msg {me} yes"));
    anns.out.until(&["yes"]);
    let mut known = secrets(ann.folder.path());
    anns.say(&format!("/add {key}"));
    bobs.err.until(&["/accept"]);
    bobs.say("/accept");
    bobs.err.until(&["garden"]);
    anns.say("behind the door");
    bobs.out.until(&["behind the door"]);
    anns.say(&format!("/remove {key}"));
    until("the channel has moved on twice", || {
        known.extend(secrets(ann.folder.path()));
        known.len() >= 3
    });

    // What is there is found while it is there.
    let live = memory(pid);
    assert!(known.iter().any(|secret| !places(&live, secret).is_empty()), "the search finds secrets");
    assert!(pairs(&live).len() >= 2, "the search finds private keys");
    if ciphers(&live).is_empty() {
        eprintln!("this processor's keys of AES are kept in another form, and not looked for");
    }
    drop(live);
    anns.say("/quit");
    await_end(pid);
    let left = left(pid, &known);
    assert!(left.is_empty(), "{left:#?}");
}
