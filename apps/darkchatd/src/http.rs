//! Visitors of the web page: their requests are answered beside the links, within bounds of their own.
//!
//! A connection carries one request. So none is held open between two, nothing can hide behind another's request, and
//! an upgrade always comes on a fresh connection, where the transport takes it without HTTP's buffers.

use axum::Router;
use darkchat_transport_ws::Plain;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Visitors that are answered at the same time: one takes about 24 KiB.
const VISITORS_MAX: usize = 256;
/// Of these, from one address that is not this machine, where a proxy may stand for many.
const OF_ONE_MAX: usize = 32;
/// How long an answer may take: all of the page is there within it on a line of 20 kbit/s.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// The head is whole before a visitor comes here, so this is only a second guard.
const HEAD_MAX: Duration = Duration::from_secs(3);
/// Bytes that wait to be read or written: a head has at most half as many.
const BUFFER_MAX: usize = 16 * 1024;

/// The limits of visitors by name, for operators.
pub(crate) const fn limits() -> [(&'static str, u64); 2] {
    [("web_visitors", VISITORS_MAX as u64), ("web_visitors_of_address", OF_ONE_MAX as u64)]
}

/// Those who are being answered, by address.
#[derive(Debug, Default)]
struct Visitors(Mutex<BTreeMap<IpAddr, usize>>);

impl Visitors {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more, if there is room.
    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Visit> {
        let source = source(ip);
        let mut all = self.lock();
        let of_one = all.get(&source).copied().unwrap_or_default();
        if all.values().sum::<usize>() >= VISITORS_MAX || (of_one >= OF_ONE_MAX && !source.is_loopback()) {
            return None;
        }
        all.insert(source, of_one.saturating_add(1));
        Some(Visit { visitors: Arc::clone(self), source })
    }
}

/// An IPv4 address, or the /64 that an IPv6 network gives to one household.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        ip => ip,
    }
}

/// Counts a visitor until it is dropped.
#[derive(Debug)]
struct Visit {
    visitors: Arc<Visitors>,
    source: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut all = self.visitors.lock();
        if let Some(count) = all.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.source);
            }
        }
    }
}

/// Answers whoever is no link. Whoever is one too many is hung up on.
pub(crate) fn answering(router: Router) -> impl Fn(Plain) + Send + Sync + 'static {
    let visitors = Arc::new(Visitors::default());
    move |plain| {
        let ip = plain.remote().ip().unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let Some(visit) = visitors.enter(ip) else {
            tracing::debug!(remote = %plain.remote(), "too many visitors");
            return;
        };
        let answer = answer(router.clone(), plain);
        tokio::spawn(async move {
            // Whoever takes longer, or hangs up, has seen as much as there was time for.
            let _ = timeout(VISIT_MAX, answer).await;
            drop(visit);
        });
    }
}

async fn answer(router: Router, plain: Plain) {
    let remote = plain.remote().clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).keep_alive(false).max_buf_size(BUFFER_MAX);
    let answered = http.serve_connection(TokioIo::new(plain), TowerToHyperService::new(router));
    match Box::pin(answered.without_shutdown()).await {
        // What was sent with the request would reset the connection and take the answer back.
        Ok(parts) => parts.io.into_inner().hang_up().await,
        Err(error) => tracing::debug!(%remote, %error, "visitor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(visitors: &Arc<Visitors>, ip: &str, count: usize) -> Vec<Visit> {
        (0..count).map_while(|_| visitors.enter(ip.parse().unwrap())).collect()
    }

    #[test]
    fn one_address_gets_its_share_and_all_together_no_more_than_there_is_room_for() {
        let visitors = Arc::new(Visitors::default());
        let mut inside = vec![enter(&visitors, "192.0.2.1", VISITORS_MAX)];
        assert_eq!(inside[0].len(), OF_ONE_MAX);
        inside.push(enter(&visitors, "2001:db8::1", 20));
        inside.push(enter(&visitors, "2001:db8::2:1", VISITORS_MAX));
        assert_eq!(inside[1].len() + inside[2].len(), OF_ONE_MAX, "one /64 is one");
        inside.push(enter(&visitors, "127.0.0.1", VISITORS_MAX));
        assert_eq!(inside.iter().map(Vec::len).sum::<usize>(), VISITORS_MAX);
        assert!(visitors.enter("192.0.2.2".parse().unwrap()).is_none());
        inside.clear();
        assert!(visitors.lock().is_empty(), "who left is forgotten");
    }
}
