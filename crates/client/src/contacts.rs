//! The people that the user knows by name, and what it thinks of their keys: a text file of lines `NAME KEY STATUS`.
//! Source: `docs/protocol.md`, section 7.9, "key continuity".

use crate::textfile::{TextFile, TextFileError};
use darkchat_proto::UserId;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// More than a file of contacts has, in bytes: 4,096 lines.
const FILE_MAX: u64 = 1 << 20;
/// Contacts of one user: as many people as nobody knows.
const CONTACTS: usize = 4_096;
/// A contact's name, in bytes.
const NAME_MAX: usize = 48;
/// What stands for a name where a key is blocked that never had one.
const NOBODY: &str = "-";

/// What the user has found of a contact's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Taken as it was given.
    Known,
    /// The safety number was compared, on another way.
    Verified,
    /// Nothing of this key is wanted.
    Blocked,
    /// Another key for a name that has one. Nothing goes to that name until the user decides.
    New,
}

impl Standing {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Known, "known"),
        (Self::Verified, "verified"),
        (Self::Blocked, "blocked"),
        (Self::New, "new"),
    ];

    /// The word in the file and in listings.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(standing, _)| *standing == self).map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(standing, _)| *standing)
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contact {
    /// What the user calls it: no white space. `-` for a blocked key without a name.
    pub name: String,
    /// The key.
    pub user: UserId,
    /// What the user thinks of it.
    pub standing: Standing,
}

/// Why there is nobody to send to, or a contact was not changed. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The file cannot be used; the source says why.
    #[error("cannot use the contacts: {0}")]
    File(#[from] TextFileError),
    /// Nobody is called so, and it is no key. Add the contact first.
    #[error("no contact of this name, and not a key: {name}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The name has another key now. Compare the number with the new one, or trust it, or remove the contact: until then
    /// nothing goes to either.
    #[error(
        "the key of {name} has changed, from {old} to {new}: nothing is sent to {name} until you verify or trust it"
    )]
    Changed {
        /// The contact.
        name: String,
        /// The key that it had.
        old: UserId,
        /// The key that it is said to have now.
        new: UserId,
    },
    /// The key is blocked.
    #[error("you have blocked {name}")]
    Blocked {
        /// The contact, or the key.
        name: String,
    },
    /// A name has 1 to 48 bytes without white space or control characters, and is no key.
    #[error("not a name for a contact: 1 to 48 bytes without white space, and not a key")]
    Name,
    /// 4,096 contacts, and no more.
    #[error("too many contacts, the most is: {CONTACTS}")]
    TooMany,
    /// The number that was given is not the one of these two keys: somebody may stand between.
    #[error("the numbers differ: this is not the key that {name} has, or not yours that {name} sees")]
    Differs {
        /// The contact.
        name: String,
    },
}

/// The file of contacts. Read at each use, so that several programs may share it; a missing file is empty.
///
/// ```
/// use darkchat_client::{ContactBook, ContactError, Standing};
/// use darkchat_crypto::Identity;
/// let folder = std::env::temp_dir().join(format!("darkchat-doc-contacts-{}", std::process::id()));
/// let book = ContactBook::new(folder.join("contacts"));
/// let (ann, other) = (Identity::generate().user_id(), Identity::generate().user_id());
///
/// book.add("ann", ann)?;
/// assert_eq!(book.find("ann")?.user, ann);
///
/// // Another key for a name is never taken silently.
/// book.add("ann", other)?;
/// assert!(matches!(book.find("ann"), Err(ContactError::Changed { .. })));
/// book.trust("ann")?;
/// assert_eq!((book.find("ann")?.user, book.find("ann")?.standing), (other, Standing::Known));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContactBook {
    file: TextFile,
}

impl ContactBook {
    /// The file at this path. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: TextFile::new(path, FILE_MAX) }
    }

    /// All contacts, in the order of the file.
    ///
    /// # Errors
    /// [`ContactError::File`].
    pub fn all(&self) -> Result<Vec<Contact>, ContactError> {
        self.parse(self.file.read()?.as_deref().map_or("", String::as_str))
    }

    /// Whom a name or a key means, to send to. A key needs no contact.
    ///
    /// # Errors
    /// [`ContactError`]: nobody, blocked, or a key that has changed.
    pub fn find(&self, name: &str) -> Result<Contact, ContactError> {
        let all = self.all()?;
        let found = match name.parse::<UserId>() {
            Ok(user) => {
                let stranger = || Contact { name: NOBODY.to_owned(), user, standing: Standing::Known };
                all.iter()
                    .find(|one| one.user == user && one.standing != Standing::New)
                    .cloned()
                    .unwrap_or_else(stranger)
            }
            Err(_) => current(&all, name)?.clone(),
        };
        let old = all.iter().find(|one| one.name == found.name && one.standing == Standing::New);
        if let Some(new) = old.filter(|_| found.name != NOBODY) {
            return Err(ContactError::Changed { name: found.name, old: found.user, new: new.user });
        }
        if found.standing == Standing::Blocked {
            return Err(ContactError::Blocked { name: name.to_owned() });
        }
        Ok(found)
    }

    /// The contact with this key, under the name that it has now.
    ///
    /// # Errors
    /// [`ContactError::File`].
    pub fn of(&self, user: &UserId) -> Result<Option<Contact>, ContactError> {
        Ok(self.all()?.into_iter().find(|one| one.user == *user && one.standing != Standing::New))
    }

    /// The key whose number is to be compared for a name: the new one, where it has changed.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn to_verify(&self, name: &str) -> Result<UserId, ContactError> {
        if let Ok(user) = name.parse() {
            return Ok(user);
        }
        let all = self.all()?;
        let new = all.iter().find(|one| one.name == name && one.standing == Standing::New);
        Ok(new.map_or_else(|| current(&all, name), Ok)?.user)
    }

    /// Takes a contact up. Another key for a name that has one stands beside it, as [`Standing::New`], until the user
    /// decides; the same key changes nothing.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn add(&self, name: &str, user: UserId) -> Result<Standing, ContactError> {
        if !is_name(name) {
            return Err(ContactError::Name);
        }
        let mut became = Standing::Known;
        self.change(|all| {
            if let Some(same) = all.iter().find(|one| one.name == name && one.user == user) {
                became = same.standing;
                return Ok(());
            }
            if all.iter().any(|one| one.name == name) {
                became = Standing::New;
            }
            all.retain(|one| !(one.name == name && one.standing == Standing::New));
            all.retain(|one| one.user != user || one.standing == Standing::Blocked || one.name != NOBODY);
            all.push(Contact { name: name.to_owned(), user, standing: became });
            Ok(())
        })?;
        Ok(became)
    }

    /// The number was compared: the key, the new one where it has changed, is the contact's.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn verify(&self, name: &str) -> Result<(), ContactError> {
        self.settle(name, Standing::Verified)
    }

    /// The user takes the new key of a contact without comparing.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn trust(&self, name: &str) -> Result<(), ContactError> {
        self.settle(name, Standing::Known)
    }

    /// Blocks a contact or a key; or takes it back.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn block(&self, name: &str, is_blocked: bool) -> Result<UserId, ContactError> {
        let user = self.to_verify(name)?;
        let to = if is_blocked { Standing::Blocked } else { Standing::Known };
        self.change(|all| {
            let known = all.iter().any(|one| one.user == user);
            for one in all.iter_mut().filter(|one| one.user == user) {
                one.standing = to;
            }
            if !known && is_blocked {
                all.push(Contact { name: NOBODY.to_owned(), user, standing: to });
            }
            all.retain(|one| one.name != NOBODY || one.standing == Standing::Blocked);
            Ok(())
        })?;
        Ok(user)
    }

    /// Forgets a contact, with a new key of that name.
    ///
    /// # Errors
    /// [`ContactError`].
    pub fn remove(&self, name: &str) -> Result<(), ContactError> {
        self.change(|all| {
            let before = all.len();
            let key = name.parse::<UserId>().ok();
            all.retain(|one| one.name != name && Some(one.user) != key);
            if all.len() == before { Err(ContactError::Unknown { name: name.to_owned() }) } else { Ok(()) }
        })
    }

    fn settle(&self, name: &str, to: Standing) -> Result<(), ContactError> {
        self.change(|all| {
            let key = name.parse::<UserId>().ok();
            let is_meant = |one: &Contact| one.name == name || Some(one.user) == key;
            let new =
                all.iter().find(|one| is_meant(one) && one.standing == Standing::New).map(|one| one.user);
            if let Some(new) = new {
                all.retain(|one| !is_meant(one) || one.user == new);
            }
            let mut found = false;
            for one in all.iter_mut().filter(|one| is_meant(one)) {
                one.standing = to;
                found = true;
            }
            if found { Ok(()) } else { Err(ContactError::Unknown { name: name.to_owned() }) }
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Contact>) -> Result<(), ContactError>,
    ) -> Result<(), ContactError> {
        self.file.change(|text| {
            let mut all = self.parse(text.as_deref().map_or("", String::as_str))?;
            change(&mut all)?;
            if all.len() > CONTACTS {
                return Err(ContactError::TooMany);
            }
            let lines = all.iter().map(|one| format!("{} {} {}\n", one.name, one.user, one.standing.word()));
            Ok(Zeroizing::new(lines.collect()))
        })
    }

    /// Reads every line, so that a broken file is refused whatever is looked for.
    fn parse(&self, text: &str) -> Result<Vec<Contact>, ContactError> {
        let mut all = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = || self.file.malformed(number);
            let mut words = line.split_whitespace();
            let (Some(name), Some(key), Some(standing)) = (words.next(), words.next(), words.next()) else {
                return Err(malformed().into());
            };
            let user = key.parse().map_err(|_| malformed())?;
            let standing = Standing::of(standing).ok_or_else(malformed)?;
            all.push(Contact { name: name.to_owned(), user, standing });
        }
        Ok(all)
    }
}

/// The contact that a name has now.
fn current<'a>(all: &'a [Contact], name: &str) -> Result<&'a Contact, ContactError> {
    let known = |one: &&Contact| one.name == name && one.standing != Standing::New && name != NOBODY;
    all.iter().find(known).ok_or_else(|| ContactError::Unknown { name: name.to_owned() })
}

fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| {
        !letter.is_whitespace() && !letter.is_control() && !darkchat_proto::is_invisible(letter)
    };
    (1..=NAME_MAX).contains(&name.len())
        && name.chars().all(is_plain)
        && name != NOBODY
        && !name.starts_with('#')
        && name.parse::<UserId>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_crypto::Identity;
    use std::fs;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> (Self, ContactBook) {
            let folder =
                std::env::temp_dir().join(format!("darkchat-contacts-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let book = ContactBook::new(folder.join("contacts"));
            (Self(folder), book)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn key(seed: u8) -> UserId {
        Identity::from_seed([seed; 32]).user_id()
    }

    fn lines(book: &ContactBook) -> Vec<(String, UserId, Standing)> {
        book.all().unwrap().into_iter().map(|one| (one.name, one.user, one.standing)).collect()
    }

    #[test]
    fn a_changed_key_stops_sending_until_it_is_trusted_or_verified() {
        let (_folder, book) = Folder::new("changed");
        assert!(matches!(book.find("ann"), Err(ContactError::Unknown { .. })));
        assert_eq!(book.find(&key(9).to_string()).unwrap().user, key(9), "a key needs no contact");
        book.add("ann", key(1)).unwrap();
        book.verify("ann").unwrap();
        assert_eq!(book.add("ann", key(2)).unwrap(), Standing::New);
        for asked in ["ann".to_owned(), key(1).to_string()] {
            let Err(ContactError::Changed { old, new, .. }) = book.find(&asked) else { panic!() };
            assert_eq!((old, new), (key(1), key(2)));
        }
        assert_eq!(book.to_verify("ann").unwrap(), key(2));
        assert_eq!(book.of(&key(2)).unwrap(), None, "it is nobody's yet");
        book.verify("ann").unwrap();
        assert_eq!(lines(&book), [("ann".to_owned(), key(2), Standing::Verified)]);
        assert_eq!(book.add("ann", key(2)).unwrap(), Standing::Verified, "the same key changes nothing");
    }

    #[test]
    fn blocking_needs_no_contact_and_is_taken_back() {
        let (_folder, book) = Folder::new("blocked");
        book.add("bob", key(3)).unwrap();
        book.block("bob", true).unwrap();
        book.block(&key(4).to_string(), true).unwrap();
        assert!(matches!(book.find("bob"), Err(ContactError::Blocked { .. })));
        assert!(matches!(book.find(&key(4).to_string()), Err(ContactError::Blocked { .. })));
        book.block("bob", false).unwrap();
        book.block(&key(4).to_string(), false).unwrap();
        assert_eq!(lines(&book), [("bob".to_owned(), key(3), Standing::Known)]);
        book.remove("bob").unwrap();
        assert!(matches!(book.remove("bob"), Err(ContactError::Unknown { .. })));
    }

    #[test]
    fn names_are_words_and_a_damaged_file_names_its_line_and_stays() {
        let (folder, book) = Folder::new("names");
        for name in
            ["", "two words", "-", "#ann", "a\u{202e}b", "tab\t", &"n".repeat(49), &key(1).to_string()]
        {
            assert!(matches!(book.add(name, key(1)), Err(ContactError::Name)), "{name:?}");
        }
        book.add(&"n".repeat(48), key(1)).unwrap();
        let path = folder.0.join("contacts");
        fs::write(&path, format!("# mine\n\nann {} known\nbob nothing\n", key(1))).unwrap();
        let error = book.add("carol", key(2)).unwrap_err();
        assert!(matches!(error, ContactError::File(TextFileError::Malformed { line: 4, .. })), "{error}");
        assert!(fs::read_to_string(&path).unwrap().ends_with("bob nothing\n"));
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_its_owners_alone_and_is_refused_otherwise() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, book) = Folder::new("mode");
        book.add("ann", key(1)).unwrap();
        let path = folder.0.join("contacts");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = book.all().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn contacts_are_bounded() {
        let (_folder, book) = Folder::new("bound");
        let text: String = (0..CONTACTS).map(|at| format!("n{at} {} known\n", key(1))).collect();
        book.file.change::<ContactError>(|_| Ok(Zeroizing::new(text))).unwrap();
        assert!(matches!(book.add("one-more", key(2)), Err(ContactError::TooMany)));
        assert_eq!(book.all().unwrap().len(), CONTACTS);
    }
}
