//! The manual login, `chat --manual-login`: connect, sign and verify step by step, to see what a login is made of.

use crate::args::Global;
use crate::failure::{Failure, What};
use crate::{clean, connect, print};
use darkchat_client::ManualLogin;
use darkchat_proto::Signature;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use tokio::sync::mpsc;

/// Reads `/connect`, `/sign` and `/verify` until a server has taken the login; then the chat begins, on a link of its own.
pub(crate) async fn run(global: &Global, lines: &mut mpsc::Receiver<String>) -> Result<(), Failure> {
    print::notice(
        "a login in three steps: /connect, /sign, /verify; a server gives you 5 s for it, more with --handshake-timeout",
    );
    let (mut login, mut signature) = (None, None);
    while let Some(line) = lines.recv().await {
        let line = line.trim();
        let (verb, given) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match verb.to_lowercase().as_str() {
            "" => {}
            "/quit" => break,
            "/connect" => {
                signature = None;
                login = connect::manually(global).await.inspect(show).map_err(tell).ok();
            }
            "/sign" => match &login {
                Some(login) => {
                    let signed = login.sign();
                    print::notice(&format!("signature {}", HEXLOWER.encode(signed.as_bytes())));
                    signature = Some(signed);
                }
                None => print::notice("first /connect: without a server there is nothing to sign"),
            },
            "/verify" => match (login.take(), given_or(given, signature.take())) {
                (None, _) => print::notice("first /connect, then /sign"),
                (kept, None) => {
                    login = kept;
                    print::notice("first /sign, or give 128 hexadecimal digits: /verify DIGITS");
                }
                (Some(taken), Some(signed)) => match taken.verify(signed).await {
                    Ok(()) => {
                        print::notice("verified: the server has checked the signature and welcomes your key");
                        return Ok(());
                    }
                    Err(error) => print::notice(&clean::text(&error.to_string())),
                },
            },
            _ => print::notice("write /connect, /sign, /verify [SIGNATURE], or /quit"),
        }
    }
    Err(Failure::new(What::Closed, "no login"))
}

/// What a login is made of, so far.
fn show(login: &ManualLogin) {
    print::notice(&format!("connected; the server has proven its key {}", login.server()));
    print::notice(&format!("challenge {}", HEXLOWER.encode(&login.challenge())));
    print::notice(
        "it is the label dchat/1/link-client, the network, the hash of all that was said on this link,",
    );
    print::notice(
        "your key for this link, and the server's key: signed, it proves you here and nowhere else",
    );
}

fn tell(failure: Failure) {
    print::notice(&format!("not connected: {failure}"));
}

/// The signature that was typed, or else that of `/sign`.
fn given_or(given: &str, signed: Option<Signature>) -> Option<Signature> {
    if given.is_empty() {
        return signed;
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(given.as_bytes()).ok()?;
    Some(Signature::new(bytes.try_into().ok()?))
}
