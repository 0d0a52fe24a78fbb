//! Where something is said: a public channel, `#ops`, or a private one by the name that it has here, `+garden`.

use darkchat_client::Channel;
use darkchat_proto::{ChannelName, ParseError};
use std::fmt;
use std::str::FromStr;

/// What stands before the name of a private channel.
const PRIVATE: char = '+';

/// A channel, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Public(ChannelName),
    Private(ChannelName),
}

impl Place {
    pub(crate) fn of(channel: &Channel) -> Self {
        Self::named(channel.name(), channel.private().is_some())
    }

    pub(crate) fn named(name: &ChannelName, is_private: bool) -> Self {
        if is_private { Self::Private(name.clone()) } else { Self::Public(name.clone()) }
    }
}

impl FromStr for Place {
    type Err = ParseError;

    /// A public channel whose name begins with `+` is written with its `#`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.strip_prefix(PRIVATE) {
            Some(name) => name.parse().map(Self::Private),
            None => text.parse().map(Self::Public),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(name) => name.fmt(f),
            Self::Private(name) => write!(f, "{PRIVATE}{}", name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_read_back_from_what_is_printed() {
        for (typed, printed) in
            [("ops", "#ops"), ("#Ops", "#ops"), ("+Garden", "+garden"), ("#+x", "#+x"), ("++x", "++x")]
        {
            let place: Place = typed.parse().unwrap();
            assert_eq!(place.to_string(), printed);
            assert_eq!(printed.parse(), Ok(place));
        }
        assert!("+".parse::<Place>().is_err());
    }
}
