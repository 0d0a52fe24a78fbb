//! `darkchat contacts`, and the numbers that two people compare: who is who, and whose key was compared.

use crate::args::{ContactsAction, Global};
use crate::failure::{Failure, What};
use crate::id;
use crate::print::{self, Json};
use darkchat_client::{Contact, ContactBook, ContactError, Standing, Trust};
use darkchat_crypto::{Identity, system};
use darkchat_proto::{SafetyNumber, UserId};
use std::collections::BTreeMap;

/// What stands in the file for the name of a blocked key that has none.
pub(crate) const NOBODY: &str = "-";

/// The contacts in the folder of darkchat.
pub(crate) fn book() -> Result<ContactBook, Failure> {
    let folder = system::state_folder()
        .ok_or_else(|| Failure::new(What::Io, "no folder for contacts: set HOME or DARKCHAT_HOME"))?;
    Ok(ContactBook::new(folder.join("contacts")))
}

pub(crate) fn run(global: &Global, action: &ContactsAction) -> Result<(), Failure> {
    let book = book()?;
    if let ContactsAction::List { json: true } = action {
        return book.all()?.iter().try_for_each(|contact| print::json(&Json::contact(contact)));
    }
    let lines = carry_out(&book, || own(global), action)?;
    lines.iter().try_for_each(|line| print::out(format!("{line}\n").as_bytes()))
}

/// Does what was asked for, and gives the lines to show.
pub(crate) fn carry_out(
    book: &ContactBook,
    own: impl FnOnce() -> Result<UserId, Failure>,
    action: &ContactsAction,
) -> Result<Vec<String>, Failure> {
    match action {
        ContactsAction::List { .. } => return Ok(book.all()?.iter().map(line).collect()),
        ContactsAction::Add { contact, key } => {
            if book.add(contact, *key)? == Standing::New {
                // What goes to a name must not change because somebody says so.
                book.find(contact)?;
            }
        }
        ContactsAction::Verify { contact, said } => {
            let user = book.to_verify(contact)?;
            let number = SafetyNumber::of(&own()?, &user);
            if said.is_empty() {
                print::notice(
                    "compare on a way that no server controls, then verify with what the other one says",
                );
                return Ok(vec![number.to_string(), words(&number)]);
            }
            if !number.is_said_by(&said.join(" ")) {
                return Err(ContactError::Differs { name: contact.clone() }.into());
            }
            book.verify(contact)?;
        }
        ContactsAction::Trust { contact } => book.trust(contact)?,
        ContactsAction::Block { contact } => drop(book.block(contact, true)?),
        ContactsAction::Unblock { contact } => drop(book.block(contact, false)?),
        ContactsAction::Rm { contact } => book.remove(contact)?,
    }
    Ok(Vec::new())
}

/// A contact, as it is listed.
pub(crate) fn line(contact: &Contact) -> String {
    format!("{} {} {}", contact.name, contact.user, contact.standing.word())
}

/// What the contacts' standings mean for what their keys send. Of a key with several lines the most decided one counts:
/// who is blocked under one name is blocked.
pub(crate) fn opinions(all: &[Contact]) -> BTreeMap<UserId, Trust> {
    let mut opinions = BTreeMap::new();
    for contact in all {
        let opinion = opinions.entry(contact.user).or_default();
        *opinion = std::cmp::max(*opinion, trust(contact.standing));
    }
    opinions
}

const fn trust(standing: Standing) -> Trust {
    match standing {
        Standing::Verified => Trust::Verified,
        Standing::Blocked => Trust::Blocked,
        Standing::Known => Trust::Known,
        // The key of a name that has another one is a stranger's until the user decides.
        _ => Trust::Unknown,
    }
}

/// Whom to send to: a key, or a contact's name as long as it means one key.
pub(crate) fn person(text: &str) -> Result<UserId, String> {
    let find = || Ok::<_, Failure>(book()?.find(text)?.user);
    find().map_err(|failure| failure.to_string())
}

/// The number of our key and another's.
pub(crate) fn number(global: &Global, user: UserId) -> Result<SafetyNumber, Failure> {
    Ok(SafetyNumber::of(&own(global)?, &user))
}

fn own(global: &Global) -> Result<UserId, Failure> {
    Ok(Identity::load(id::path(global)?)?.user_id())
}

pub(crate) fn words(number: &SafetyNumber) -> String {
    number.words().collect::<Vec<_>>().join(" ")
}

impl From<ContactError> for Failure {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::File(error) => error.into(),
            ContactError::Changed { .. } | ContactError::Blocked { .. } | ContactError::Differs { .. } => {
                Self::new(What::Refused, error.to_string())
            }
            ContactError::Unknown { .. } | ContactError::Name => Self::Usage(error.to_string()),
            _ => Self::new(What::Io, error.to_string()),
        }
    }
}
