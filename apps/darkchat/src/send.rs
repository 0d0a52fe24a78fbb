//! `darkchat send`: one message, or one a line, from an argument, standard input or a file.

use crate::args::{Global, Send, Wait};
use crate::failure::{Failure, What};
use crate::place::Place;
use crate::print::{self, Json};
use crate::{apart, connect, keep};
use darkchat_client::{Channel, Client, Payload};
use darkchat_proto::limits::{MAX_DM_BODY, MAX_PAYLOAD};
use darkchat_proto::{Invite, UserId};
use std::io::{self, Read as _};

/// What is sent, read whole: a message that is too long fails before anything is sent.
async fn messages(args: &Send) -> Result<Vec<Vec<u8>>, Failure> {
    let is_input = args.file.is_none() && args.text.as_deref().is_none_or(|text| text == "-");
    let bytes = match (args.file.clone(), &args.text) {
        (Some(file), _) => {
            let cannot = format!("cannot read {}", file.display());
            let read = apart::wait_for(move || std::fs::read(file)).await;
            read.map_err(|error| Failure::new(What::Io, format!("{cannot}: {error}")))?
        }
        (None, Some(text)) if !is_input => text.clone().into_bytes(),
        _ => apart::wait_for(read_input).await?,
    };
    let messages = if args.each_line {
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    } else {
        vec![bytes.strip_suffix(b"\n").filter(|_| is_input).map(<[u8]>::to_vec).unwrap_or(bytes)]
    };
    if messages.iter().all(Vec::is_empty) {
        return Err(Failure::Usage("there is nothing to send: the message is empty".to_owned()));
    }
    let max = if args.to.is_some() { MAX_DM_BODY } else { MAX_PAYLOAD };
    match messages.iter().find(|message| message.len() > max) {
        Some(long) => Err(Failure::new(
            What::TooLarge,
            format!("a message has at most {max} bytes, this one has: {}", long.len()),
        )),
        None => Ok(messages),
    }
}

fn read_input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Valid UTF-8 goes as text, other bytes as data.
fn payload(bytes: Vec<u8>) -> Payload {
    match String::from_utf8(bytes) {
        Ok(text) => Payload::from(text),
        Err(error) => Payload::from(error.into_bytes()),
    }
}

/// The channel to send to; a private one with the newest secret that members know.
async fn open(
    client: &Client,
    global: &Global,
    args: &Send,
    invite: Option<Invite>,
) -> Result<Channel, Failure> {
    let channel = match (&args.channel, invite) {
        (Some(Place::Public(name)), _) => return Ok(client.join(name.clone()).await?),
        (Some(Place::Private(name)), _) => keep::come(client, global, name).await?,
        (None, Some(invite)) => keep::enter(client, global, invite, None).await?,
        (None, None) => return Err(Failure::Usage("there is no channel to send to".to_owned())),
    };
    keep::catch_up(&channel).await;
    Ok(channel)
}

pub(crate) async fn run(global: &Global, args: &Send) -> Result<(), Failure> {
    if args.to.is_none() && args.wait == Some(Wait::Received) {
        return Err(Failure::Usage(
            "a channel's messages are not acknowledged: --wait received goes with --to".into(),
        ));
    }
    let messages = messages(args).await?;
    let is_direct = args.to.is_some();
    let invite = match &args.invite {
        Some(file) => Some(keep::invite(file).await?),
        None => None,
    };
    let client = connect::once(global, is_direct).await?;
    let late = || Failure::new(What::Timeout, format!("not done within {:?}", args.timeout));
    let sending = async {
        match args.to {
            Some(user) => to_user(&client, args, user, messages).await,
            None => to_channel(&client, global, args, invite, messages).await,
        }
    };
    let done = tokio::time::timeout(args.timeout, sending).await.unwrap_or_else(|_| Err(late()));
    client.close().await;
    done
}

async fn to_channel(
    client: &Client,
    global: &Global,
    args: &Send,
    invite: Option<Invite>,
    messages: Vec<Vec<u8>>,
) -> Result<(), Failure> {
    let channel = open(client, global, args, invite).await?;
    for message in messages {
        let sent = channel.send(payload(message)).await?;
        if args.json {
            print::json(&Json::sent(&Place::of(&channel), &sent))?;
        }
    }
    keep::keep_now(&channel)?;
    Ok(channel.leave().await?)
}

async fn to_user(client: &Client, args: &Send, user: UserId, messages: Vec<Vec<u8>>) -> Result<(), Failure> {
    let direct = client.direct(user);
    let received = args.wait != Some(Wait::Accepted);
    for message in messages {
        let id = match received {
            true => direct.send(payload(message)).await?,
            false => direct.send_accepted(payload(message)).await?,
        };
        if args.json {
            print::json(&Json::sent_to(user, id, received))?;
        }
    }
    Ok(())
}
