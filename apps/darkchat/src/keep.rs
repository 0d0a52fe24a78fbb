//! Private channels in the folder of darkchat: come to, entered, and written down again whenever they move on.

use crate::args::Global;
use crate::failure::{Failure, What};
use crate::{apart, print};
use darkchat_client::{Channel, Client, KeptChannels, SavedChannel, TextFileError};
use darkchat_crypto::system;
use darkchat_proto::limits::MAX_INVITE;
use darkchat_proto::{ChannelName, Invite};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// The variable that may hold an invitation.
const VARIABLE: &str = "DARKCHAT_INVITE";
/// How long a command waits for members to say what it missed, before it uses the secret that it has.
const ASK: Duration = Duration::from_secs(3);
/// More than an invitation's text has, in bytes, with the address of a page before it.
const TEXT_MAX: u64 = 2 * MAX_INVITE as u64 + 1_024;

/// Where private channels are kept.
pub(crate) fn folder() -> Result<KeptChannels, Failure> {
    let folder = system::state_folder()
        .ok_or_else(|| Failure::new(What::Io, "no folder for private channels: set HOME or DARKCHAT_HOME"))?;
    Ok(KeptChannels::new(folder.join("channels")))
}

/// The invitation of a file, or of standard input for `-`.
pub(crate) async fn invite(file: &Path) -> Result<Invite, Failure> {
    let text = if file == Path::new("-") {
        apart::wait_for(|| text_of(io::stdin().lock())).await?
    } else {
        let cannot =
            |error: io::Error| Failure::new(What::Io, format!("cannot read {}: {error}", file.display()));
        let path = file.to_owned();
        apart::wait_for(move || text_of(File::open(path)?)).await.map_err(cannot)?
    };
    parsed(&text)
}

/// The invitation of this file, or else of the environment, if it holds one.
pub(crate) async fn invite_at_hand(file: Option<&Path>) -> Result<Option<Invite>, Failure> {
    match (file, std::env::var_os(VARIABLE)) {
        (Some(file), _) => invite(file).await.map(Some),
        (None, Some(value)) => parsed(&value.to_string_lossy()).map(Some),
        (None, None) => Ok(None),
    }
}

/// What is wrong with it is said without repeating any of it.
fn parsed(text: &str) -> Result<Invite, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{error}")))
}

fn text_of(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(TEXT_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Comes back to a private channel that is kept here.
pub(crate) async fn come(client: &Client, global: &Global, name: &ChannelName) -> Result<Channel, Failure> {
    let saved = load(name)?;
    let channel = client.restore_private(saved).await?;
    keep(&channel, global)?;
    Ok(channel)
}

pub(crate) fn load(name: &ChannelName) -> Result<SavedChannel, Failure> {
    folder()?.load(name)?.ok_or_else(|| {
        let text = format!("no private channel +{}; join it with: darkchat channel join FILE", name.as_str());
        Failure::new(What::Io, text)
    })
}

/// Enters a private channel by its invitation, and keeps it here.
pub(crate) async fn enter(
    client: &Client,
    global: &Global,
    invite: Invite,
    name: Option<ChannelName>,
) -> Result<Channel, Failure> {
    let channel = client.join_private(invite, name).await?;
    keep(&channel, global)?;
    Ok(channel)
}

/// Writes a channel down, and again whenever it moves on, until it ends.
pub(crate) fn keep(channel: &Channel, global: &Global) -> Result<(), Failure> {
    let Some(mut private) = channel.private() else { return Ok(()) };
    let folder = folder()?;
    folder.save(&private.saved())?;
    let quiet = global.quiet;
    tokio::spawn(async move {
        while private.changed().await {
            if let Err(error) = folder.save(&private.saved())
                && !quiet
            {
                print::notice(&format!("a private channel cannot be written down: {error}"));
            }
        }
    });
    Ok(())
}

/// Writes a channel down for the last time before a command ends.
pub(crate) fn keep_now(channel: &Channel) -> Result<(), Failure> {
    match channel.private() {
        Some(private) => Ok(folder()?.save(&private.saved())?),
        None => Ok(()),
    }
}

/// Waits until members have said what was missed, if any of them is there.
pub(crate) async fn catch_up(channel: &Channel) {
    let Some(mut private) = channel.private() else { return };
    let told = async { while private.view().asking && private.changed().await {} };
    // Nobody there who knows more: then what is known here has to do.
    let _late = tokio::time::timeout(ASK, told).await;
}

impl From<TextFileError> for Failure {
    fn from(error: TextFileError) -> Self {
        let what = match &error {
            TextFileError::Exposed { .. } => What::KeyFile,
            _ => What::Io,
        };
        Self::new(what, crate::failure::chain(&error))
    }
}
