//! Bodies for text that people type or claim.

use darkchat_proto::limits::MAX_NAME;
use darkchat_proto::{Addr, ChannelName, Network, ServerAddr, ServerId, UserId, UserName, is_invisible};

/// The longest channel name, in bytes.
const MAX_CHANNEL_NAME: usize = 64;

/// A name is refused, or shows nothing hidden and is its own normal form.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(name) = text.parse::<ChannelName>() {
        assert!((1..=MAX_CHANNEL_NAME).contains(&name.as_str().len()));
        let hidden = |it: char| it.is_control() || it.is_whitespace() || is_invisible(it);
        assert!(!name.as_str().contains(hidden), "{name:?}");
        assert_eq!(name.to_string().parse().as_ref(), Ok(&name), "normalising is done once");
    }
    if let Ok(name) = text.parse::<UserName>() {
        assert!(name.as_str().len() <= MAX_NAME);
        assert!(!name.as_str().contains(|it: char| it.is_control() || is_invisible(it)), "{name:?}");
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
    }
    if let Ok(network) = text.parse::<Network>() {
        assert!(!network.as_str().contains('\0'), "{network:?}");
        assert_eq!(network.as_str().parse().as_ref(), Ok(&network));
    }
}

/// An address or a key is refused, or prints as something that reads back to the same.
pub fn address_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(addr) = text.parse::<ServerAddr>() {
        assert_eq!(addr.to_string().parse().as_ref(), Ok(&addr));
    }
    if let Ok(addr) = text.parse::<Addr>() {
        assert_eq!(addr.to_string().parse().as_ref(), Ok(&addr));
    }
    if let Ok(user) = text.parse::<UserId>() {
        assert_eq!(user.to_string(), text, "one key has one text");
        assert!(text.parse::<ServerId>().is_err(), "a user is no server");
    }
    if let Ok(server) = text.parse::<ServerId>() {
        assert_eq!(server.to_string(), text, "one key has one text");
    }
}
