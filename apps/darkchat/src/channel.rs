//! `darkchat channel`: private channels, made, entered, changed and listed by scripts.

use crate::args::{ChannelAction, Global};
use crate::failure::{Failure, What};
use crate::place::Place;
use crate::print::{self, Json};
use crate::{clean, connect, keep};
use darkchat_client::{Change, Channel, Charter, Client, Private, PrivateError};
use darkchat_proto::ChannelName;
use std::path::Path;
use std::time::Duration;

/// How long making a channel waits until those who are online have their invitations.
const INVITING: Duration = Duration::from_secs(3);

pub(crate) async fn run(global: &Global, action: &ChannelAction) -> Result<(), Failure> {
    match action {
        ChannelAction::Create { place: name, member, admin, listed, json } => {
            let members = (*listed || !member.is_empty()).then(|| member.clone());
            let servers = global.server.iter().map(ToString::to_string).collect();
            let charter = Charter { members, admins: admin.clone(), servers };
            let client = connect::once(global, true).await?;
            let done = create(&client, global, name, charter, *json).await;
            client.close().await;
            done
        }
        ChannelAction::Join { file, called: name, json } => {
            let invite = match keep::invite_at_hand(file.as_deref()).await? {
                Some(invite) => invite,
                None => keep::invite(Path::new("-")).await?,
            };
            let client = connect::once(global, true).await?;
            let done = async {
                let channel = keep::enter(&client, global, invite, name.clone()).await?;
                keep::catch_up(&channel).await;
                keep::keep_now(&channel)?;
                report(&channel, *json)
            };
            let done = done.await;
            client.close().await;
            done
        }
        ChannelAction::Invite { place: name, to: None } => link(name),
        ChannelAction::Invite { place: name, to: Some(to) } => {
            with(global, name, async |_, private| Ok(private.offer(*to).await?)).await
        }
        ChannelAction::Add { place: name, key, timeout } => {
            let change = Change { add: key.clone(), ..Change::default() };
            changed(global, name, change, *timeout).await
        }
        ChannelAction::Remove { place: name, key, reason, timeout } => {
            let change = Change { remove: key.clone(), reason: reason.clone(), ..Change::default() };
            changed(global, name, change, *timeout).await
        }
        ChannelAction::Rekey { place: name, reason, timeout } => {
            changed(global, name, Change { reason: reason.clone(), ..Change::default() }, *timeout).await
        }
        ChannelAction::List { json } => list(*json),
        ChannelAction::Leave { place: name } => match keep::folder()?.forget(name)? {
            true => Ok(()),
            false => Err(Failure::new(What::Io, format!("no private channel +{}", name.as_str()))),
        },
    }
}

async fn create(
    client: &Client,
    global: &Global,
    name: &ChannelName,
    charter: Charter,
    json: bool,
) -> Result<(), Failure> {
    if keep::folder()?.load(name)?.is_some() {
        return Err(Failure::new(What::Io, format!("there is a private channel +{} already", name.as_str())));
    }
    let channel = client.create_private(name.clone(), charter).await?;
    keep::keep(&channel, global)?;
    if let Some(private) = channel.private() {
        told(private, INVITING).await;
    }
    keep::keep_now(&channel)?;
    report(&channel, json)
}

/// Prints the invitation as it is now. Moving the secret on to the present hour needs no server.
fn link(name: &ChannelName) -> Result<(), Failure> {
    let saved = keep::load(name)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let (saved, invite) = saved.at(now_ms).map_err(private_failure)?;
    keep::folder()?.save(&saved)?;
    print::out(format!("{}\n", invite.to_text()).as_bytes())
}

async fn changed(
    global: &Global,
    name: &ChannelName,
    change: Change,
    timeout: Duration,
) -> Result<(), Failure> {
    with(global, name, async |channel, private| {
        private.change(change).await.map_err(private_failure)?;
        // The new secret is kept before anybody hears of it: without it we would be out ourselves.
        keep::keep_now(channel)?;
        for user in told(private, timeout).await {
            print::notice(&format!("not told yet: {user}"));
        }
        Ok(())
    })
    .await
}

/// Does something in a kept channel, with the newest secret that members know.
async fn with(
    global: &Global,
    name: &ChannelName,
    act: impl AsyncFnOnce(&Channel, Private) -> Result<(), Failure>,
) -> Result<(), Failure> {
    keep::load(name)?;
    let client = connect::once(global, true).await?;
    let done = async {
        let channel = keep::come(&client, global, name).await?;
        keep::catch_up(&channel).await;
        let Some(private) = channel.private() else { return Ok(()) };
        let done = act(&channel, private).await;
        keep::keep_now(&channel)?;
        done
    };
    let done = done.await;
    client.close().await;
    done
}

/// Waits until everybody is told, and gives those who are not.
async fn told(mut private: Private, timeout: Duration) -> Vec<darkchat_proto::UserId> {
    let all = async { while !private.view().untold.is_empty() && private.changed().await {} };
    let _late = tokio::time::timeout(timeout, all).await;
    private.view().untold.clone()
}

fn list(json: bool) -> Result<(), Failure> {
    let folder = keep::folder()?;
    for name in folder.names()? {
        let Some(saved) = folder.load(&name)? else { continue };
        let Some(view) = saved.view() else { continue };
        if json {
            print::json(&Json::private(&name, &view))?;
        } else {
            let members =
                view.members.as_ref().map_or_else(|| "by link".to_owned(), |list| list.len().to_string());
            let place = clean::text(&Place::Private(name).to_string());
            print::out(format!("{place} generation {} members {members}\n", view.generation).as_bytes())?;
        }
    }
    Ok(())
}

fn report(channel: &Channel, json: bool) -> Result<(), Failure> {
    match channel.private() {
        Some(private) if json => print::json(&Json::private(channel.name(), &private.view())),
        _ => print::out(format!("{}\n", clean::text(&Place::of(channel).to_string())).as_bytes()),
    }
}

pub(crate) fn private_failure(error: PrivateError) -> Failure {
    Failure::new(What::Refused, error.to_string())
}
