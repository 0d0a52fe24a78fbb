//! Administrators who change a channel without hearing of each other: in the end there is one channel.

use super::super::line::{Line, Taken};
use super::super::{Change, PrivateError};
use super::people::{WALL, key};
use darkchat_crypto::group::{Group, Writer};
use darkchat_crypto::{Identity, SeededRng};
use darkchat_proto::{ChannelId, Entry, Network, Rekey, Signed, UserId};
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 1_000;
/// People of one run: as few as make two partitions with an administrator and more than one other member each.
const PEOPLE: usize = 7;

/// One member's view, and what it has not delivered yet.
struct Member {
    me: Identity,
    line: Option<Line>,
    /// Rekeys that lead on from what this member does not know yet.
    orphans: Vec<Signed>,
    out: Vec<(UserId, Letter)>,
}

#[derive(Clone)]
enum Letter {
    Rekey(Signed),
    /// With the invitation of then; it is taken up at once.
    Welcome(Box<darkchat_proto::Invite>, Vec<Signed>),
}

struct Run {
    members: Vec<Member>,
    rng: SeededRng,
    now_ms: u64,
    /// Who hears whom.
    sides: Option<Vec<bool>>,
}

impl Run {
    /// Two administrators and two others in a channel; three outside.
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = SeededRng::new(bytes);
        let members: Vec<Member> = (0..PEOPLE)
            .map(|at| Member {
                me: key(u8::try_from(at).unwrap() + 1),
                line: None,
                orphans: Vec::new(),
                out: Vec::new(),
            })
            .collect();
        let ids: Vec<UserId> = members.iter().map(|member| member.me.user_id()).collect();
        let admins = ids[..2].to_vec();
        let group = Group::create(Network::default(), admins, Some(&ids[..4]), WALL, &mut rng).unwrap();
        let invite = group.invite("garden", &[]);
        let mut run = Self { members, rng, now_ms: WALL, sides: None };
        for member in &mut run.members[..4] {
            let mut group = Group::of_invite(&Network::default(), &invite, WALL).unwrap();
            group.know_members(&ids[..4]).unwrap();
            member.line = Some(Line::new(group, WALL));
        }
        run
    }

    fn random(&mut self, below: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(below).unwrap()).unwrap()
    }

    fn id(&self, who: usize) -> UserId {
        self.members[who].me.user_id()
    }

    /// An administrator carries out a change, and writes to all whom it concerns.
    fn change(&mut self, who: usize, change: &Change) -> Result<(), PrivateError> {
        let me = self.id(who);
        let Some(line) = &self.members[who].line else { return Err(PrivateError::NotPrivate) };
        let before = line.current().and_then(|tip| tip.members()).unwrap_or_default();
        let drafts = line.propose(me, change, ("garden", &[]), self.now_ms, &mut self.rng)?;
        let member = &mut self.members[who];
        let signed: Vec<Signed> = drafts
            .into_iter()
            .map(|draft| {
                let signature = member.me.sign(draft.request());
                draft.finish(signature)
            })
            .collect();
        let line = member.line.as_mut().unwrap();
        let mut to = BTreeSet::new();
        for one in &signed {
            line.take_up(&Network::default(), &me, one, self.now_ms).unwrap();
            to.extend(Rekey::decode(one.body.clone()).unwrap().members);
        }
        let invite = line.current().unwrap().group.invite("garden", &[]);
        for user in to.into_iter().filter(|user| *user != me) {
            if change.add.contains(&user) && !before.contains(&user) {
                member.out.push((user, Letter::Welcome(Box::new(invite.clone()), signed.clone())));
            } else {
                member.out.extend(signed.iter().map(|one| (user, Letter::Rekey(one.clone()))));
            }
        }
        Ok(())
    }

    fn hears(&self, one: usize, other: usize) -> bool {
        self.sides.as_ref().is_none_or(|sides| sides[one] == sides[other])
    }

    /// Delivers what can be delivered, in any order; what cannot stays.
    fn deliver(&mut self) {
        for who in 0..PEOPLE {
            let mut letters = std::mem::take(&mut self.members[who].out);
            while !letters.is_empty() {
                let at = self.random(letters.len());
                let (user, letter) = letters.swap_remove(at);
                let to = (0..PEOPLE).find(|to| self.id(*to) == user).unwrap();
                if self.hears(who, to) {
                    self.take(to, letter);
                } else {
                    self.members[who].out.push((user, letter));
                }
            }
        }
    }

    fn take(&mut self, who: usize, letter: Letter) {
        let (me, now_ms) = (self.id(who), self.now_ms);
        let member = &mut self.members[who];
        match letter {
            Letter::Rekey(signed) => member.orphans.push(signed),
            Letter::Welcome(invite, rekeys) => {
                if member.line.is_none() {
                    let group = Group::of_invite(&Network::default(), &invite, now_ms).unwrap();
                    member.line = Some(Line::new(group, now_ms));
                }
                member.orphans.extend(rekeys);
            }
        }
        let Some(line) = &mut member.line else { return };
        // What leads on from the unknown is tried again after each one that was taken.
        loop {
            let before = member.orphans.len();
            let mut is_out = false;
            member.orphans.retain(|signed| match line.take_up(&Network::default(), &me, signed, now_ms) {
                Ok(Taken::WithoutUs { .. }) => {
                    is_out = true;
                    false
                }
                Ok(_) => false,
                Err(_) => true,
            });
            if member.orphans.len() == before || is_out {
                return;
            }
        }
    }

    /// Administrators bring branches together, one after the other in a random order.
    fn merge(&mut self) {
        let first = self.random(2);
        for who in [first, 1 - first] {
            let is_split = self.members[who].line.as_ref().is_some_and(|line| line.is_split(self.now_ms));
            if is_split {
                let _removed_meanwhile = self.change(who, &Change::default());
            }
        }
    }

    /// What each member of the channel writes to.
    fn tips(&self, of: &BTreeSet<UserId>) -> BTreeMap<UserId, Option<ChannelId>> {
        let member = |user: &UserId| self.members.iter().find(|member| member.me.user_id() == *user);
        of.iter().map(|user| (*user, member(user).and_then(|one| one.line.as_ref()).map(Line::tip))).collect()
    }
}

/// Two partitions, an administrator in each. One removes, the other adds, once or more often; then they hear of each other.
fn converge(seed: u64) {
    let mut run = Run::new(seed);
    run.sides = Some((0..PEOPLE).map(|at| at % 2 == 0).collect());
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1 + run.random(3) {
        let admin = run.random(2);
        let (other, new) = (2 + run.random(2), 4 + run.random(3));
        let (other, new) = (run.id(other), run.id(new));
        let change = match run.random(4) {
            0 => Change { remove: vec![other], ..Change::default() },
            1 => Change { add: vec![new], ..Change::default() },
            2 => Change { add: vec![new], remove: vec![other], ..Change::default() },
            _ => Change::default(),
        };
        run.change(admin, &change).unwrap();
        added.extend(change.add);
        removed.extend(change.remove);
        run.now_ms += 1_000 * u64::try_from(run.random(3_000)).unwrap();
        run.deliver();
    }
    run.sides = None;
    for _ in 0..6 {
        run.deliver();
        run.merge();
        run.now_ms += 3_000;
    }
    run.deliver();
    let admin = run.members[0].line.as_ref().unwrap();
    assert!(!admin.is_split(run.now_ms), "seed {seed}");
    let members = admin.current().unwrap().members().unwrap();
    assert!(members.is_disjoint(&removed), "seed {seed}: removing wins");
    assert!(added.is_subset(&members), "seed {seed}: who was added in either is in");
    let tips = run.tips(&members);
    let expected = Some(admin.tip());
    assert!(tips.values().all(|tip| *tip == expected), "seed {seed}: {tips:#?}");
    reads(&mut run, &members, &removed, seed);
}

/// What one member writes now opens for every member, and for nobody who was removed.
fn reads(run: &mut Run, members: &BTreeSet<UserId>, removed: &BTreeSet<UserId>, seed: u64) {
    let (me, now_ms) = (run.id(0), run.now_ms);
    let member = &mut run.members[0];
    let line = member.line.as_mut().unwrap();
    let tip = line.tip();
    let group = &mut line.get_mut(&tip).unwrap().group;
    let entries = vec![Entry::text("who reads this?")];
    let draft = Writer::default().write(group, me, "", entries, now_ms, &mut run.rng).unwrap();
    let signature = member.me.sign(draft.request());
    let sealed = draft.finish(signature).unwrap();
    for member in &mut run.members {
        let user = member.me.user_id();
        let Some(line) = &mut member.line else { continue };
        let opened = line.generations.values_mut().any(|one| one.group.open(&sealed, now_ms).is_ok());
        if members.contains(&user) || removed.contains(&user) {
            assert_eq!(opened, members.contains(&user), "seed {seed}");
        }
    }
}

#[test]
fn concurrent_adding_and_removing_in_two_partitions_converge() {
    for seed in 0..SEEDS {
        converge(seed);
    }
}

#[test]
fn the_generations_of_a_channel_are_bounded_and_the_oldest_goes() {
    let mut run = Run::new(1);
    for _ in 0..100 {
        run.change(0, &Change::default()).unwrap();
        run.deliver();
        run.now_ms += 1_000;
    }
    let line = run.members[2].line.as_ref().unwrap();
    assert_eq!(line.generations.len(), super::super::line::GENERATIONS);
    assert_eq!(line.current().unwrap().group.generation(), 100);
    assert_eq!(line.tip(), run.members[0].line.as_ref().unwrap().tip());
}
