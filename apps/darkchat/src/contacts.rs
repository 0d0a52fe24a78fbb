//! `darkchat contacts`, and the numbers that two people compare: who is who, and whose key was compared.

use crate::args::{ContactsAction, Global};
use crate::failure::{Failure, What};
use crate::id;
use crate::print::{self, Json};
use darkchat_client::{ContactBook, ContactError, Standing};
use darkchat_crypto::{Identity, system};
use darkchat_proto::{SafetyNumber, UserId};

/// The contacts in the folder of darkchat.
pub(crate) fn book() -> Result<ContactBook, Failure> {
    let folder = system::state_folder()
        .ok_or_else(|| Failure::new(What::Io, "no folder for contacts: set HOME or DARKCHAT_HOME"))?;
    Ok(ContactBook::new(folder.join("contacts")))
}

pub(crate) fn run(global: &Global, action: &ContactsAction) -> Result<(), Failure> {
    let book = book()?;
    match action {
        ContactsAction::List { json } => {
            for contact in book.all()? {
                if *json {
                    print::json(&Json::contact(&contact))?;
                } else {
                    let line = format!("{} {} {}\n", contact.name, contact.user, contact.standing.word());
                    print::out(line.as_bytes())?;
                }
            }
        }
        ContactsAction::Add { contact, key } => {
            if book.add(contact, *key)? == Standing::New {
                // What goes to a name must not change because somebody says so.
                book.find(contact)?;
            }
        }
        ContactsAction::Verify { contact, said } if said.is_empty() => compare(global, &book, contact)?,
        ContactsAction::Verify { contact, said } => {
            let number = number(global, book.to_verify(contact)?)?;
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
    Ok(())
}

/// Whom to send to: a key, or a contact's name as long as it means one key.
pub(crate) fn person(text: &str) -> Result<UserId, String> {
    let find = || Ok::<_, Failure>(book()?.find(text)?.user);
    find().map_err(|failure| failure.to_string())
}

/// Prints what both people must find equal.
fn compare(global: &Global, book: &ContactBook, name: &str) -> Result<(), Failure> {
    let user = book.to_verify(name)?;
    let number = number(global, user)?;
    print::notice(
        "compare on a way that no server controls, then give what the other one says to this command",
    );
    print::out(format!("{number}\n{}\n", words(&number)).as_bytes())
}

/// The number of our key and another's.
pub(crate) fn number(global: &Global, user: UserId) -> Result<SafetyNumber, Failure> {
    let own = Identity::load(id::path(global)?)?.user_id();
    Ok(SafetyNumber::of(&own, &user))
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
