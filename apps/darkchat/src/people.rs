//! The people that the user knows: whom a name means, how somebody is shown, and who is not heard.

use crate::failure::{Failure, What};
use crate::{clean, contacts, print};
use darkchat_client::{Client, ContactBook, DirectMessage, Standing, Trust};
use darkchat_crypto::system;
use darkchat_proto::UserId;
use std::collections::BTreeMap;

/// The contacts as they were read last; the file bounds how many there are.
pub(crate) struct People {
    /// `None` where there is no folder: then everybody is a stranger.
    book: Option<ContactBook>,
    names: BTreeMap<UserId, String>,
    opinions: BTreeMap<UserId, Trust>,
}

impl People {
    /// Nobody is known before the first [`People::refresh`].
    pub(crate) fn new() -> Result<Self, Failure> {
        let book = system::state_folder().map(|_| contacts::book()).transpose()?;
        Ok(Self { book, names: BTreeMap::new(), opinions: BTreeMap::new() })
    }

    /// Reads the contacts, and tells the session what the user thinks of their keys now.
    pub(crate) fn refresh(&mut self, client: &Client) -> Result<(), Failure> {
        let Some(book) = &self.book else { return Ok(()) };
        let all = book.all()?;
        let opinions = contacts::opinions(&all);
        for gone in self.opinions.keys().filter(|user| !opinions.contains_key(user)) {
            client.trust(*gone, Trust::Unknown);
        }
        for (user, trust) in opinions.iter().filter(|(user, trust)| self.opinions.get(user) != Some(trust)) {
            client.trust(*user, *trust);
        }
        self.opinions = opinions;
        self.names.clear();
        for contact in
            all.into_iter().filter(|one| one.standing != Standing::New && one.name != contacts::NOBODY)
        {
            self.names.entry(contact.user).or_insert(contact.name);
        }
        Ok(())
    }

    pub(crate) fn book(&self) -> Result<&ContactBook, Failure> {
        self.book.as_ref().ok_or_else(|| Failure::new(What::Io, "no folder for contacts"))
    }

    /// Whom a contact's name or a key means, to send to.
    pub(crate) fn find(&self, whom: &str) -> Result<UserId, Failure> {
        match (&self.book, whom.parse()) {
            (None, Ok(user)) => Ok(user),
            _ => Ok(self.book()?.find(whom)?.user),
        }
    }

    /// Whether a contact is called that, as they were read last.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.values().any(|known| known == name)
    }

    /// The name that the user gave to this key; a stranger's claim and its mark otherwise.
    pub(crate) fn shown(&self, claim: &str, user: &UserId) -> String {
        self.names.get(user).map_or_else(|| clean::name(claim, user), |name| clean::text(name))
    }

    /// A finished line for people, of a direct message that came to `own` or that another device of `own` sent.
    pub(crate) fn direct_line(&self, message: &DirectMessage, own: UserId) -> String {
        let author = self.shown(message.name.as_str(), &message.from);
        let to = (message.to != own).then(|| self.shown("", &message.to));
        print::direct_line(message, &author, to.as_deref())
    }

    /// With whom one is about to talk, and how sure that is.
    pub(crate) fn introduced(&self, user: &UserId) -> String {
        let Some(name) = self.names.get(user) else {
            return format!("~{}, end-to-end encrypted", user.mark());
        };
        let compared = if self.trust(user) == Trust::Verified { "compared" } else { "not compared" };
        format!("{} ({}), end-to-end encrypted, number {compared}", clean::text(name), user.mark())
    }

    pub(crate) fn is_blocked(&self, user: &UserId) -> bool {
        self.trust(user) == Trust::Blocked
    }

    fn trust(&self, user: &UserId) -> Trust {
        self.opinions.get(user).copied().unwrap_or_default()
    }
}
