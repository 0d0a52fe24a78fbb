//! `darkchat id`: your key.

use crate::args::{Global, IdAction};
use crate::contacts;
use crate::failure::{Failure, What};
use crate::print::{self, Json};
use darkchat_crypto::{Identity, system};
use std::path::PathBuf;

/// The key file, as named or the usual one.
pub(crate) fn path(global: &Global) -> Result<PathBuf, Failure> {
    let usual = || system::state_folder().map(|folder| folder.join("identity.key"));
    global.identity.clone().or_else(usual).ok_or_else(|| {
        Failure::new(
            What::KeyFile,
            "no folder for the key: set HOME or DARKCHAT_HOME, or give --identity or --ephemeral",
        )
    })
}

/// The user's key; made when missing, with a notice.
pub(crate) fn load(global: &Global) -> Result<Identity, Failure> {
    if global.ephemeral {
        return Ok(Identity::generate());
    }
    let path = path(global)?;
    let is_new = !path.exists();
    let identity = Identity::load_or_create(&path)?;
    if is_new && !global.quiet {
        print::notice(&format!("made a key for you: {}", path.display()));
    }
    Ok(identity)
}

pub(crate) fn run(global: &Global, action: IdAction, json: bool) -> Result<(), Failure> {
    let path = path(global)?;
    if let IdAction::Number { whose } | IdAction::Words { whose } = &action {
        let number = contacts::number(global, contacts::book()?.to_verify(whose)?)?;
        let is_words = matches!(action, IdAction::Words { .. });
        let text = if is_words { contacts::words(&number) } else { number.to_string() };
        return print::out(format!("{text}\n").as_bytes());
    }
    let identity = match action {
        IdAction::Show if !path.exists() => {
            let text = format!("no key yet, make one with: darkchat id new (looked at {})", path.display());
            return Err(Failure::new(What::KeyFile, text));
        }
        IdAction::New => Identity::create(&path)?,
        _ => Identity::load(&path)?,
    };
    let id = identity.user_id();
    if json { print::json(&Json::identity(id, &path)) } else { print::out(format!("{id}\n").as_bytes()) }
}
