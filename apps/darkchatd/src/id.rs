//! `darkchatd id`: the server's key.

use crate::args::{IdAction, IdOptions};
use anyhow::Context as _;
use darkchat_crypto::{Identity, system};
use std::path::PathBuf;

/// The key file that is used when none is named.
pub(crate) fn default_key() -> anyhow::Result<PathBuf> {
    let folder =
        system::state_folder().context("no folder for the key: set HOME or DARKCHAT_HOME, or give --key")?;
    Ok(folder.join("server.key"))
}

/// Gives the line to print.
pub(crate) fn run(action: &IdAction, options: &IdOptions) -> anyhow::Result<String> {
    let path = match &options.key {
        Some(path) => path.clone(),
        None => default_key()?,
    };
    let identity = match action {
        IdAction::Show if !path.exists() => {
            anyhow::bail!("no key yet, make one with: darkchatd id new (looked at {})", path.display())
        }
        IdAction::Show => Identity::load(&path)?,
        IdAction::New => Identity::create(&path)?,
    };
    let id = identity.server_id().to_string();
    if !options.json {
        return Ok(id);
    }
    Ok(serde_json::json!({ "v": 1, "type": "identity", "id": id, "file": path }).to_string())
}
