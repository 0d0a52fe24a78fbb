//! `darkchat recv`: prints what arrives, each message once.

use crate::args::{Global, Recv};
use crate::failure::{Failure, What};
use crate::people::People;
use crate::place::Place;
use crate::print::{self, Json};
use crate::{connect, keep};
use darkchat_client::{Channel, DirectMessage, Message, Received, State};
use darkchat_proto::UserId;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};

/// Something to print.
enum Item {
    Received(Place, Received<Message>),
    Direct(Received<DirectMessage>),
    State(State),
}

pub(crate) async fn run(global: &Global, args: &Recv) -> Result<(), Failure> {
    let listening = listen(global, args);
    match args.timeout {
        None => listening.await,
        Some(timeout) => match tokio::time::timeout(timeout, listening).await {
            Ok(done) => done,
            Err(_) if args.count.is_none() => Ok(()),
            Err(_) => {
                Err(Failure::new(What::Timeout, format!("fewer messages than asked for within {timeout:?}")))
            }
        },
    }
}

async fn listen(global: &Global, args: &Recv) -> Result<(), Failure> {
    let takes_direct = args.dm || args.all;
    let invite = match &args.invite {
        Some(file) => Some(keep::invite(file).await?),
        None => None,
    };
    // What changes in a private channel comes by direct messages.
    let is_private = invite.is_some() || args.channel.iter().any(|place| matches!(place, Place::Private(_)));
    let client = connect::lasting(global, takes_direct || is_private).await?;
    let mut items: SelectAll<BoxStream<'static, Item>> = SelectAll::new();
    items.push(client.state().map(Item::State).boxed());
    if args.json {
        print_state(&client.state().current())?;
    }
    let mut channels = Vec::new();
    for place in &args.channel {
        channels.push(match place {
            Place::Public(name) => client.join(name.clone()).await?,
            Place::Private(name) => keep::come(&client, global, name).await?,
        });
    }
    if let Some(invite) = invite {
        channels.push(keep::enter(&client, global, invite, None).await?);
    }
    for channel in channels {
        if args.json {
            print::json(&Json::joined(&Place::of(&channel), channel.spread()))?;
        }
        items.push(received(channel));
    }
    if takes_direct || is_private {
        items.push(client.inbox().map(Item::Direct).boxed());
    }
    let own = client.id();
    let mut people = People::new()?;
    people.refresh(&client)?;
    let mut left = args.count;
    while let Some(item) = items.next().await {
        let printed = match item {
            Item::State(state) => changed(args, &state)?,
            Item::Received(place, received) => show(args, &people, &place, &received)?,
            Item::Direct(received) => show_direct(args, &people, &received, own)?,
        };
        left = left.map(|left| left.saturating_sub(u64::from(printed)));
        if left == Some(0) {
            break;
        }
    }
    client.close().await;
    Ok(())
}

fn received(channel: Channel) -> BoxStream<'static, Item> {
    let place = Place::of(&channel);
    channel.map(move |received| Item::Received(place.clone(), received)).boxed()
}

fn print_state(state: &State) -> Result<(), Failure> {
    Json::state(state).map_or(Ok(()), |line| print::json(&line))
}

/// Whether a message was printed: never, but a connection that has ended for good ends the command.
fn changed(args: &Recv, state: &State) -> Result<bool, Failure> {
    if args.json {
        print_state(state)?;
    }
    match state {
        State::Closed { why } => Err(Failure::ended(*why)),
        _ => Ok(false),
    }
}

/// Whether a message was printed.
fn show(args: &Recv, people: &People, place: &Place, received: &Received<Message>) -> Result<bool, Failure> {
    match received {
        Received::Message(message) if args.from.is_some_and(|from| from != message.from) => return Ok(false),
        Received::Message(message) => {
            match (&args.format, args.raw, args.json) {
                (Some(format), ..) => print::out(&format.bytes(&message.into()))?,
                (None, true, _) => print::out(&[message.payload.as_bytes(), b"\n"].concat())?,
                (None, false, true) => print::json(&Json::message(message))?,
                (None, false, false) => {
                    let author = people.shown(message.name.as_str(), &message.from);
                    print::out(print::line(message, &author).as_bytes())?;
                }
            }
            return Ok(true);
        }
        Received::Missed(missed) if args.json => print::json(&Json::missed(&place.to_string(), missed))?,
        Received::Missed(missed) => print::notice(&print::missed(&place.to_string(), missed)),
        _ => {}
    }
    Ok(false)
}

/// Whether a direct message was printed.
fn show_direct(
    args: &Recv,
    people: &People,
    received: &Received<DirectMessage>,
    own: UserId,
) -> Result<bool, Failure> {
    match received {
        Received::Message(message) if !(args.dm || args.all) => {
            let from = people.shown("", &message.from);
            print::notice(&format!("a direct message of {from} came; --all shows them"));
        }
        Received::Message(message) if args.from.is_some_and(|from| from != message.from) => return Ok(false),
        Received::Message(message) => {
            match (&args.format, args.raw, args.json) {
                (Some(format), ..) => print::out(&format.bytes(&message.into()))?,
                (None, true, _) => print::out(&[message.payload.as_bytes(), b"\n"].concat())?,
                (None, false, true) => print::json(&Json::direct(message, own))?,
                (None, false, false) => print::out(people.direct_line(message, own).as_bytes())?,
            }
            return Ok(true);
        }
        Received::Missed(missed) if args.json => print::json(&Json::missed("direct", missed))?,
        Received::Missed(missed) => print::notice(&print::missed("direct messages", missed)),
        _ => {}
    }
    Ok(false)
}
