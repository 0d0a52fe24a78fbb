//! What the WebSocket port answers besides links: the page, `/healthz` and `/.well-known/darkchat`.

use crate::site::{File, Site};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HOST, HeaderName, IF_NONE_MATCH, REFERRER_POLICY, UPGRADE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::get;
use darkchat_proto::{Addr, Network, ServerId, VERSION};
use serde::Serialize;
use std::sync::Arc;

/// What a page may load and do. Source: `docs/protocol.md`, section 10.7.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
     img-src 'self' data: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'",
);
/// Other windows get no handle of the page's, and other sites cannot embed what is here.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TEXT: &str = "text/plain; charset=utf-8";
/// Where links are made.
const LINKS: &str = "/ws";

/// What is said here, and to whom.
#[derive(Debug)]
pub(crate) struct Web {
    site: Option<Site>,
    about: String,
    /// Host names under which this server is known, in lower case.
    names: Vec<String>,
}

/// `/.well-known/darkchat`.
#[derive(Debug, Serialize)]
struct About<'a> {
    v: u32,
    /// The key that the server proves in the link's handshake.
    server: String,
    network: &'a str,
    /// Of the protocol inside.
    versions: [u32; 1],
    /// Where links are made, below the address of the page.
    path: &'a str,
    /// SHA-256 over the page's files; null without a page.
    page: Option<&'a str>,
}

impl Web {
    pub(crate) fn new(
        server: ServerId,
        network: &Network,
        site: Option<Site>,
        names: &[String],
    ) -> anyhow::Result<Self> {
        let about = About {
            v: 1,
            server: server.to_string(),
            network: network.as_str(),
            versions: [VERSION],
            path: LINKS,
            page: site.as_ref().map(|site| site.hash.as_str()),
        };
        let about = serde_json::to_string(&about)? + "\n";
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { site, about, names })
    }

    /// Whether a request that names this host means us. Anybody can let a name of theirs point to this machine; a page
    /// under such a name would be theirs and could read what is ours.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(addr) = format!("http://{host}").parse::<Addr>() else { return false };
        let known = || self.names.iter().any(|name| name == addr.host());
        addr.path().is_empty() && (addr.ip().is_some() || addr.host() == "localhost" || known())
    }
}

/// All answers.
pub(crate) fn router(web: Web) -> Router {
    let web = Arc::new(web);
    Router::new()
        .route("/healthz", get(async || text(StatusCode::OK, "ok\n")))
        .route("/.well-known/darkchat", get(about))
        .route(LINKS, get(no_upgrade))
        .fallback(page)
        .layer(middleware::from_fn_with_state(web.clone(), guard))
        .with_state(web)
}

/// Lets nobody in who means another host or does more than read, and puts the headers on every answer.
async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response<Body> {
    let mut answer = if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        answer
    } else if only(request.headers(), &HOST).is_some_and(|host| web.is_ours(host)) {
        next.run(request).await
    } else {
        text(StatusCode::MISDIRECTED_REQUEST, "This server is not known by that host name.\n")
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok())
}

async fn about(State(web): State<Arc<Web>>) -> Response<Body> {
    let mut answer = text(StatusCode::OK, web.about.clone());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The transport takes upgrades before they come here.
async fn no_upgrade() -> Response<Body> {
    let mut answer = text(StatusCode::UPGRADE_REQUIRED, "There is only a WebSocket here.\n");
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer
}

async fn page(State(web): State<Arc<Web>>, request: Request) -> Response<Body> {
    let file = web.site.as_ref().and_then(|site| site.file(request.uri().path()));
    file.map_or_else(
        || text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        |file| send(file, request.method() == Method::HEAD, request.headers()),
    )
}

/// A file, or that the asker has it already.
fn send(file: &File, is_head: bool, asks: &HeaderMap) -> Response<Body> {
    let gzip = file.gzip.as_ref().filter(|_| takes_gzip(asks));
    let tag = if gzip.is_some() { format!("\"{}-gz\"", file.tag) } else { format!("\"{}\"", file.tag) };
    let bytes = gzip.unwrap_or(&file.plain);
    let has_it = has(asks, &tag);
    let body = if is_head || has_it { Body::empty() } else { bytes.clone().into() };
    let mut answer = Response::new(body);
    if has_it {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // It may be kept, and is asked for again each time: what is here changes with the program.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    if !has_it {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(CONTENT_LENGTH, bytes.len().into());
        if gzip.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    answer
}

/// Whether gzip is among the encodings that are asked for, and not with the weight 0 that forbids it.
fn takes_gzip(asks: &HeaderMap) -> bool {
    listed(asks, &ACCEPT_ENCODING).any(|wish| {
        let mut parts = wish.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(str::parse::<f32>);
        is_gzip && weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0))
    })
}

/// Whether the asker has the version with this tag. Source: RFC 9110, section 13.1.2.
fn has(asks: &HeaderMap, tag: &str) -> bool {
    listed(asks, &IF_NONE_MATCH).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The elements of a header that is a list.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ours_by_address_localhost_or_configured_name() {
        let names = ["Chat.Example".to_owned()];
        let web = Web::new(ServerId::new([7; 32]), &Network::default(), None, &names).unwrap();
        for host in
            ["127.0.0.1", "192.0.2.7:80", "[::1]:8546", "localhost", "LOCALHOST:1", "chat.example:443"]
        {
            assert!(web.is_ours(host), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "chat.example.", "localhost/x", "a@127.0.0.1"]
        {
            assert!(!web.is_ours(host), "{host}");
        }
    }

    fn asks(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_ask_for_it() {
        for wish in ["gzip", "br, GZIP", "gzip;q=0.5", "*", "deflate;q=1, gzip ; q=1.0"] {
            assert!(takes_gzip(&asks(ACCEPT_ENCODING, wish)), "{wish}");
        }
        for wish in ["", "br", "gzip;q=0", "gzip;q=0.0", "gzip;q=x", "xgzip"] {
            assert!(!takes_gzip(&asks(ACCEPT_ENCODING, wish)), "{wish}");
        }
    }

    #[test]
    fn who_names_the_tag_has_the_file() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(has(&asks(IF_NONE_MATCH, known), "\"a\""), "{known}");
        }
        for known in ["", "a", "\"b\"", "\"a-gz\""] {
            assert!(!has(&asks(IF_NONE_MATCH, known), "\"a\""), "{known}");
        }
    }
}
