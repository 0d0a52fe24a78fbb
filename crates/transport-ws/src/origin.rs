//! Which web pages may open a link. Source: `docs/protocol.md`, section 3.1.

use darkchat_transport::Addr;
use std::fmt;
use std::str::FromStr;

/// Where a web page came from: scheme, host and port, as browsers tell it. A default port and upper case make no
/// difference.
///
/// ```
/// use darkchat_transport_ws::Origin;
/// let origin: Origin = "HTTPS://Chat.Example:443".parse()?;
/// assert_eq!(origin, "https://chat.example".parse()?);
/// assert!("null".parse::<Origin>().is_err());
/// # Ok::<(), darkchat_transport_ws::NoOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Addr);

/// The text is no origin of the form `https://host` or `http://host:port`. Nothing was changed; correct the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an origin has a scheme, a host, perhaps a port and nothing else: {text}")]
pub struct NoOrigin {
    text: String,
}

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let wrong = || NoOrigin { text: text.to_owned() };
        let lower = text.to_ascii_lowercase();
        let default = match lower.split_once("://") {
            Some(("http", _)) => 80,
            Some(("https", _)) => 443,
            _ => return Err(wrong()),
        };
        let addr: Addr = lower.parse().map_err(|_| wrong())?;
        if !addr.path().is_empty() {
            return Err(wrong());
        }
        let host = addr.ip().map_or_else(|| addr.host().to_owned(), |ip| ip.to_string());
        let port = addr.port().unwrap_or(default);
        Addr::new(addr.scheme(), &host, Some(port)).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rule of a listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    pub(crate) allowed: Vec<Origin>,
    /// In lower case.
    pub(crate) names: Vec<String>,
    pub(crate) required: bool,
}

impl Admission {
    /// Whether a caller with these headers may come in; `host` is the `Host` header, `secure` that it came over TLS.
    pub(crate) fn admits(&self, origin: Option<&str>, host: &str, secure: bool) -> bool {
        let Some(origin) = origin else { return !self.required };
        let Ok(origin) = origin.parse::<Origin>() else { return false };
        self.allowed.contains(&origin) || self.is_own(&origin, host, secure)
    }

    /// Whether the page was served by whom the browser is calling now, under a name that is surely ours.
    fn is_own(&self, origin: &Origin, host: &str, secure: bool) -> bool {
        let scheme = if secure { "https" } else { "http" };
        let Ok(own) = format!("{scheme}://{host}").parse::<Origin>() else { return false };
        let name = own.0.host();
        let is_ours =
            own.0.ip().is_some() || name == "localhost" || self.names.iter().any(|ours| ours == name);
        is_ours && *origin == own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission {
            allowed: vec![
                "https://good.example".parse().unwrap(),
                "http://dev.example:3000".parse().unwrap(),
            ],
            names: vec!["chat.example".into()],
            required: false,
        }
    }

    #[test]
    fn b7_listed_origins_pass_in_any_writing() {
        for origin in ["https://good.example", "HTTPS://GOOD.example:443", "http://dev.example:3000"] {
            assert!(admission().admits(Some(origin), "127.0.0.1:8546", false), "{origin}");
        }
    }

    #[test]
    fn b7_the_own_page_passes_by_address_localhost_or_configured_name() {
        for host in [
            "127.0.0.1:8546",
            "[::1]:8546",
            "localhost:8546",
            "LocalHost:8546",
            "chat.example",
            "chat.example:80",
        ] {
            let origin = format!("http://{}", host.to_ascii_lowercase());
            assert!(admission().admits(Some(&origin), host, false), "{host}");
        }
    }

    #[test]
    fn b7_over_tls_the_own_page_is_one_of_https() {
        for (origin, host) in
            [("https://127.0.0.1:8546", "127.0.0.1:8546"), ("https://chat.example", "chat.example")]
        {
            assert!(admission().admits(Some(origin), host, true), "{origin}");
            assert!(!admission().admits(Some(origin), host, false), "{origin}");
        }
        assert!(!admission().admits(Some("http://127.0.0.1:8546"), "127.0.0.1:8546", true));
    }

    #[test]
    fn b7_a_name_that_only_points_here_is_not_ours() {
        assert!(!admission().admits(Some("http://rebound.example:8546"), "rebound.example:8546", false));
    }

    #[test]
    fn b7_every_other_origin_is_refused() {
        let others = [
            "null",
            "",
            "https://other.example",
            "http://good.example",
            "https://good.example.evil.test",
            "https://good.example@evil.test",
            "https://good.example/",
            "https://good.example:444",
            "https://good.example https://evil.test",
            "http://127.0.0.1:9999",
            "https://127.0.0.1:8546",
            "http://127.0.0.1",
            "file://",
            "ws://127.0.0.1:8546",
        ];
        for origin in others {
            assert!(!admission().admits(Some(origin), "127.0.0.1:8546", false), "{origin}");
        }
    }

    #[test]
    fn b7_an_absent_origin_follows_the_option() {
        assert!(admission().admits(None, "127.0.0.1:8546", false));
        assert!(!Admission { required: true, ..admission() }.admits(None, "127.0.0.1:8546", false));
    }
}
