//! D18 of the test plan: whether the time that something takes says anything about a secret. It informs and is no gate:
//! what else the computer does is in it as well.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot begin has failed")]
#![expect(clippy::disallowed_methods, reason = "what is measured here is time")]

use bytes::BytesMut;
use darkchat_crypto::{
    Credentials, Dialler, Identity, Initiator, LinkConfig, Opener, Responder, Sealer, SeededRng, ServerHello,
    StaticKey, sign,
};
use darkchat_proto::{DeviceId, Network};
use rand_core::Rng as _;
use std::hint::black_box;
use std::time::Instant;

/// Samples of each case, both classes together.
const SAMPLES: usize = 1_000_000;
/// Those of a slow case.
const SAMPLES_SLOW: usize = 200_000;
/// What dudect takes for a sign of a leak (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017).
const LEAK: f64 = 4.5;

/// Mean and variance, taken up one by one (Welford).
#[derive(Default)]
struct Class {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Class {
    fn add(&mut self, sample: f64) {
        self.count += 1.0;
        let off = sample - self.mean;
        self.mean += off / self.count;
        self.squares += off * (sample - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Welch's t of two classes that are measured in random turns, without the slowest tenth, which is the computer's doing.
fn t(samples: usize, mut prepare: impl FnMut(bool) -> Box<dyn FnOnce()>) -> f64 {
    let mut rng = SeededRng::new([8; 32]);
    let mut taken: Vec<(bool, u128)> = Vec::with_capacity(samples);
    for _ in 0..samples {
        let class = rng.next_u32().is_multiple_of(2);
        let run = prepare(class);
        let begun = Instant::now();
        run();
        taken.push((class, begun.elapsed().as_nanos()));
    }
    let mut sorted: Vec<u128> = taken.iter().map(|(_, nanos)| *nanos).collect();
    sorted.sort_unstable();
    let most = sorted[samples * 9 / 10];
    let mut classes = [Class::default(), Class::default()];
    for (class, nanos) in taken.into_iter().filter(|(_, nanos)| *nanos <= most) {
        classes[usize::from(class)].add(nanos as f64);
    }
    let [one, other] = classes;
    (one.mean - other.mean) / (one.error() + other.error()).sqrt()
}

/// Both directions' ends of a link.
fn link() -> (Sealer, Opener) {
    let mut rng = SeededRng::new([1; 32]);
    let (alice, bob, config) =
        (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]), LinkConfig::default());
    let key = StaticKey::generate(&mut rng);
    let hello = ServerHello::new(bob.server_id());
    let (initiator, first) =
        Initiator::start(&config, Dialler::Client(DeviceId::new([1; 16])), None, &mut rng);
    let (responder, request) = Responder::read_hello(&config, &key, hello, first, &mut rng).unwrap();
    let (second, next) = responder.reply(bob.sign(&request));
    let proof = initiator.read_reply(second).unwrap();
    let signature = alice.sign(&proof.request());
    let (third, ours) = proof.finish(alice.public(), signature, Credentials::default()).unwrap();
    let (theirs, _) = next.unwrap().read_auth(third).unwrap();
    (ours.sealer, theirs.opener)
}

#[test]
#[ignore = "takes minutes, wants a release build and a quiet computer, and only informs"]
fn d18_time_says_nothing_about_tags_and_keys() {
    let mut told = Vec::new();

    // A forged tag that is wrong in its first byte, or in its last.
    let (mut sealer, opener) = link();
    let mut record = BytesMut::from(&[7; 64][..]);
    sealer.seal(&mut record).unwrap();
    let opener = std::rc::Rc::new(std::cell::RefCell::new(opener));
    told.push((
        "compare a tag",
        t(SAMPLES, |class| {
            let mut forged = record.clone();
            let at = if class { forged.len() - 16 } else { forged.len() - 1 };
            forged[at] ^= 1;
            let opener = opener.clone();
            Box::new(move || drop(black_box(opener.borrow_mut().open(forged))))
        }),
    ));

    // One key, or another each time.
    let mut rng = SeededRng::new([2; 32]);
    let mut seed = move |class: bool| {
        let mut seed = [0x55; 32];
        if class {
            rng.fill_bytes(&mut seed);
        }
        seed
    };
    told.push((
        "take an identity from its seed",
        t(SAMPLES_SLOW, |class| {
            let seed = seed(class);
            Box::new(move || drop(black_box(Identity::from_seed(seed))))
        }),
    ));
    told.push((
        "make an X25519 key",
        t(SAMPLES_SLOW, |class| {
            let mut rng = SeededRng::new(seed(class));
            Box::new(move || drop(black_box(StaticKey::generate(&mut rng))))
        }),
    ));
    let request = std::rc::Rc::new(sign::post(&Network::default(), &[9; 200]));
    told.push((
        "sign",
        t(SAMPLES_SLOW, |class| {
            let (identity, request) = (Identity::from_seed(seed(class)), request.clone());
            Box::new(move || {
                black_box(identity.sign(&request));
            })
        }),
    ));

    // What does leak is found: how long a loop runs that a secret ends.
    let leak = t(SAMPLES, |class| {
        let seed = [u8::from(class); 32];
        Box::new(move || {
            black_box((0..50 * u32::from(seed[0])).map(black_box).sum::<u32>());
        })
    });
    assert!(leak.abs() > LEAK, "the measurement sees what there is to see: t = {leak:.1}");
    for (what, t) in told {
        let meaning = if t.abs() < LEAK { "nothing to be seen" } else { "look closer" };
        println!("{what}: t = {t:.2}, {meaning}");
    }
}
