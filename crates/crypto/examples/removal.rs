//! What it costs to remove one of 256 members: the rekey, a handshake and a message for each of the 254 others, and what
//! they do with it. Run it with `cargo run --release -p darkchat-crypto --example removal`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures and prints a figure"
)]

use darkchat_crypto::direct::{Answering, Callee, Calling};
use darkchat_crypto::group::Group;
use darkchat_crypto::{Identity, StaticKey, bundle, sign, system, verify};
use darkchat_proto::{
    Bundle, ContentId, DeviceId, DmContent, DmKind, Features, GroupControl, InitPayload, Network, Packet,
    ServerId, Signed, Time, UserId,
};
use std::error::Error;
use std::time::{Duration, Instant};

/// GROUP_MEMBERS.
const MEMBERS: usize = 256;
/// Any time will do.
const NOW_MS: u64 = 1_800_000_000_000;

struct Member {
    identity: Identity,
    key: StaticKey,
    bundle: Signed,
    group: Group,
}

fn announced(identity: &Identity, key: &StaticKey) -> Signed {
    let body = Bundle {
        suite: bundle::SUITE,
        user: identity.user_id(),
        device: DeviceId::new([1; 16]),
        dh: *key.public(),
        not_before_ms: NOW_MS,
        not_after_ms: NOW_MS + bundle::ROTATE_MS,
        server: ServerId::new([9; 32]),
        features: Features::NONE,
    }
    .encode();
    Signed { sig: identity.sign(&sign::bundle(&Network::default(), &body)), body }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (network, rng) = (Network::default(), &mut system::rng());
    let identities: Vec<Identity> = (0..MEMBERS).map(|_| Identity::generate()).collect();
    let users: Vec<UserId> = identities.iter().map(Identity::user_id).collect();
    let channel = Group::create(network.clone(), users[..1].to_vec(), Some(&users), NOW_MS, rng)?;
    let invite = channel.invite("garden", &[]);
    let mut members = Vec::new();
    for identity in identities {
        let key = StaticKey::generate(rng);
        let mut group = Group::of_invite(&network, &invite, NOW_MS)?;
        group.know_members(&users)?;
        members.push(Member { bundle: announced(&identity, &key), identity, key, group });
    }
    let (admin, others) = members.split_first().ok_or("an administrator")?;
    let (removed, stay) = others.split_last().ok_or("somebody to remove")?;

    let begun = Instant::now();
    let list: Vec<UserId> =
        users.iter().copied().filter(|user| *user != removed.identity.user_id()).collect();
    let gone = [removed.identity.user_id()];
    let (_, draft) = admin.group.rekey(users[0], Some(&list), &gone, "", ("garden", &[]), NOW_MS, rng)?;
    let signature = admin.identity.sign(draft.request());
    let control = GroupControl::Rekey(draft.finish(signature)).encode();
    let rekeyed = begun.elapsed();

    let (mut telling, mut hearing) = (Duration::ZERO, Duration::ZERO);
    for member in stay {
        let step = Instant::now();
        let bundle = verify::bundle(&network, &member.bundle)?;
        let payload = InitPayload { bundle: admin.bundle.clone(), time_ms: NOW_MS, features: Features::NONE };
        let callee = Callee::of(&bundle, &member.bundle.body);
        let (calling, init) = Calling::start(&network, &admin.key, &callee, &payload.encode(), rng)?;
        telling += step.elapsed();

        let step = Instant::now();
        let own =
            Callee::own(member.identity.user_id(), DeviceId::new([1; 16]), &member.key, &member.bundle.body);
        let (answering, payload) = Answering::read_init(&network, &member.key, &own, &init, rng)?;
        answering.caller(&network, &payload, NOW_MS)?;
        let (half_open, resp) = answering.establish(Features::NONE, Time::ZERO, rng)?;
        hearing += step.elapsed();

        let step = Instant::now();
        let (mut session, _) = calling.establish(&resp, Time::ZERO, rng)?;
        let content = DmContent::new(ContentId::new([7; 16]), NOW_MS, DmKind::Group, control.clone());
        let packet = session.seal(Time::ZERO, &content.encode_padded())?;
        telling += step.elapsed();

        let step = Instant::now();
        let Packet::Message { head, sealed } = Packet::decode(packet)? else {
            return Err("a message".into());
        };
        let (_, plain) = half_open.open(Time::ZERO, &head, &sealed, rng)?;
        let GroupControl::Rekey(signed) = GroupControl::decode(DmContent::decode_padded(plain)?.body)? else {
            return Err("a rekey".into());
        };
        member.group.successor(&verify::rekey(&network, &signed)?, NOW_MS)?;
        hearing += step.elapsed();
    }
    println!("members               {MEMBERS}");
    println!("rekey made            {:.1} ms", rekeyed.as_secs_f64() * 1e3);
    println!("administrator, in all {:.1} ms", (rekeyed + telling).as_secs_f64() * 1e3);
    println!("a member              {:.2} ms", hearing.as_secs_f64() * 1e3 / 254.0);
    println!("everybody on one core {:.1} ms", (rekeyed + telling + hearing).as_secs_f64() * 1e3);
    Ok(())
}
