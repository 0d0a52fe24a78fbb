//! What the user thinks of other keys, as the program told it. Source: `docs/protocol.md`, section 7.9.

use darkchat_proto::UserId;
use std::collections::BTreeMap;

/// Keys that the user has an opinion of: as many people as nobody knows.
const CONTACTS: usize = 4_096;

/// What the user thinks of a key. A key is never trusted by itself: somebody's new key is a new contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Trust {
    /// Nothing yet.
    #[default]
    Unknown,
    /// A contact, whose number was not compared.
    Known,
    /// A contact with whom the safety number was compared, on another way.
    Verified,
    /// Nothing of this key is to be shown, and no call of it is answered.
    Blocked,
}

/// The opinions that were told.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<UserId, Trust>);

impl Contacts {
    /// Takes an opinion; [`Trust::Unknown`] forgets the key. More than [`CONTACTS`] are not taken.
    pub(super) fn set(&mut self, user: UserId, trust: Trust) {
        if trust == Trust::Unknown {
            self.0.remove(&user);
        } else if self.0.len() < CONTACTS || self.0.contains_key(&user) {
            self.0.insert(user, trust);
        }
    }

    pub(super) fn trust(&self, user: &UserId) -> Trust {
        self.0.get(user).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_are_bounded_and_can_be_changed_and_forgotten() {
        let mut contacts = Contacts::default();
        let user = |number: usize| {
            let mut key = [1; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            UserId::new(key)
        };
        for number in 0..=CONTACTS {
            contacts.set(user(number), Trust::Known);
        }
        assert_eq!(contacts.0.len(), CONTACTS);
        assert_eq!(contacts.trust(&user(CONTACTS)), Trust::Unknown);
        contacts.set(user(0), Trust::Blocked);
        assert_eq!(contacts.trust(&user(0)), Trust::Blocked);
        contacts.set(user(0), Trust::Unknown);
        contacts.set(user(CONTACTS), Trust::Verified);
        assert_eq!(contacts.trust(&user(CONTACTS)), Trust::Verified);
    }
}
