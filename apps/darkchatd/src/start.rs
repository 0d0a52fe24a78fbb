//! From arguments to a running server, and from a signal to its end.

use crate::args::{Budget, Dialable, Prompt, Run};
use crate::lan::Sieve;
use crate::log::LogLines;
use crate::mdns::{Announcement, Started};
use crate::prompt::Style;
use crate::report::Report;
use crate::signals::{Hangups, Signals};
use crate::site::Site;
use crate::terminal::Found;
use crate::tls::Files;
use crate::web::Web;
use crate::{http, id, lan, log, mdns, print, prompt, report, web};
use anyhow::Context as _;
use darkchat_crypto::Identity;
use darkchat_crypto::system::{KeyFileError, KeyLock};
use darkchat_proto::{Addr, ServerAddr, ServerId};
use darkchat_server::{Accept, Limits, Profile, Server};
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::{Certificate, Origin, Ws};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long it may take to tell the local network that this server goes.
const TAKE_BACK: Duration = Duration::from_secs(1);

/// The profile in force: as asked for, else those for strangers unless all listeners are on loopback.
pub(crate) fn profile(run: &Run) -> Profile {
    match run.budget {
        Some(Budget::Public) => Profile::Public,
        Some(Budget::Trusted) => Profile::Trusted,
        Some(Budget::Unmetered) => Profile::Unmetered,
        None if run.listeners().are_loopback() => Profile::Trusted,
        None => Profile::Public,
    }
}

/// All of them, with what else was asked for.
pub(crate) fn limits(run: &Run) -> Limits {
    Limits { handshake_timeout: run.handshake_timeout, ..Limits::of(profile(run)) }
}

fn key(run: &Run) -> anyhow::Result<(Identity, Option<KeyLock>)> {
    if run.ephemeral {
        return Ok((Identity::generate(), None));
    }
    let path = run.key.clone().map_or_else(id::default_key, Ok)?;
    let (identity, lock) = Identity::load_or_create_locked(&path).map_err(|error| match error {
        KeyFileError::Locked { .. } => anyhow::Error::new(error)
            .context("for a second server on this machine, give it --key FILE or --ephemeral"),
        // A server that is given another key instead is refused by all who know this one.
        _ => error.into(),
    })?;
    Ok((identity, Some(lock)))
}

/// WebSockets, with the page beside them.
fn websockets(run: &Run, server: ServerId, certificate: Option<Certificate>) -> anyhow::Result<Ws> {
    let site = match (&run.web_root, run.no_web) {
        (_, true) => None,
        (Some(folder), _) => Some(Site::of_folder(folder)?),
        (None, _) => Some(Site::embedded()),
    };
    // A listener that was named by its host is known under that name.
    let own = run.listeners().clients.into_iter().map(|addr| addr.host().to_owned());
    let names: Vec<String> = run.web_host.iter().cloned().chain(own).collect();
    let web = Web::new(server, &run.network, site, &names)?;
    let mut ws = Ws::default().otherwise(http::answering(web::router(web)));
    for name in &names {
        ws = ws.serve_as(name);
    }
    // Where a proxy ends TLS, the page comes from the standard port of https, which nobody here listens on.
    let proxied: Vec<Origin> =
        run.web_host.iter().filter_map(|name| format!("https://{name}").parse().ok()).collect();
    for origin in run.origin.iter().cloned().chain(proxied) {
        ws = ws.allow_origin(origin);
    }
    Ok(match certificate {
        Some(certificate) => ws.certificate(certificate),
        None => ws,
    })
}

async fn start(run: &Run, identity: Identity, certificate: Option<Certificate>) -> anyhow::Result<Server> {
    let listeners = run.listeners();
    let ws = websockets(run, identity.server_id(), certificate)?;
    let mut builder = Server::builder(identity)
        .transport(Tcp::default())
        .transport(ws)
        .network(run.network.clone())
        .limits(limits(run));
    for addr in listeners.clients {
        builder = builder.listen(addr, Accept::Clients);
    }
    if let Some(addr) = listeners.peers {
        builder = builder.listen(addr, Accept::Peers);
    }
    builder = match run.dialable {
        Dialable::Auto => builder,
        Dialable::Yes => builder.dialable(true),
        Dialable::No => builder.dialable(false),
    };
    if run.lan || run.no_lan {
        builder = builder.lan(run.lan);
    }
    for addr in &run.advertise {
        builder = builder.advertise(*addr);
    }
    for ServerAddr { addr, key } in run.connect.clone() {
        builder = builder.peer(ServerAddr { addr: addr.or_peer_port(), key });
    }
    for ServerAddr { addr, key } in run.elsewhere.clone() {
        builder = builder.elsewhere(ServerAddr { addr: addr.or_client_port(), key });
    }
    Ok(builder.start().await?)
}

fn report(run: &Run, server: &Server) -> Report {
    let taking = |wanted: Accept| -> Vec<Addr> {
        server.addrs().into_iter().filter(|(_, accept)| *accept == wanted).map(|(addr, _)| addr).collect()
    };
    let clients = taking(Accept::Clients);
    let web = if run.no_web { Vec::new() } else { clients.iter().filter_map(report::web_url).collect() };
    let limits = crate::limits::name(profile(run));
    Report {
        id: server.id(),
        network: run.network.clone(),
        clients,
        web,
        peers: taking(Accept::Peers),
        limits,
        certificate: run.tls_cert.clone(),
    }
}

/// Finds other servers of the local network from now on, if that is asked for. It can be done without.
fn find(run: &Run, server: &Server) -> Option<Finding> {
    let place = run.mdns_place()?;
    let peers = server.addrs().into_iter().find(|(_, accept)| *accept == Accept::Peers);
    let (own, network) = (server.id(), run.network.clone());
    let peers = peers.map(|(addr, _)| addr);
    let own = Announcement { server: own, network: network.clone(), place, peers };
    let Started { seen, ended } = mdns::start(own)
        .inspect_err(|error| tracing::warn!("servers of the local network are not looked for: {error:#}"))
        .ok()?;
    let sieve = Sieve::new(Instant::now(), server.id(), network, place);
    let server = server.clone();
    let found = move |addr| {
        let server = server.clone();
        async move { server.found(addr).await }
    };
    Some(Finding { task: tokio::spawn(lan::hand_on(seen, sieve, found)), ended })
}

/// The search for servers of the local network.
struct Finding {
    task: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Finding {
    /// Takes the announcement back.
    async fn stop(self) {
        self.task.abort();
        drop(self.task.await);
        drop(tokio::time::timeout(TAKE_BACK, self.ended).await);
    }
}

/// Reads again at every hangup what may have changed: the certificate, if there is one.
async fn reload(mut hangups: Hangups, shown: Option<(Files, Certificate)>) {
    loop {
        hangups.next().await;
        let Some((files, certificate)) = &shown else { continue };
        match files.reload(certificate) {
            Ok(()) => tracing::info!(cert = %files.cert.display(), "certificate read again"),
            Err(error) => tracing::warn!("the former certificate stays: {error:#}"),
        }
    }
}

/// Waits for a reason to stop: the number of a signal, or none for the prompt's `exit`.
///
/// # Errors
/// The server is gone, or standard output.
async fn reason_to_stop(
    server: &Server,
    signal: impl Future<Output = i32>,
    exit: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Option<i32>> {
    tokio::select! {
        signal = signal => Ok(Some(signal)),
        done = exit => done.map(|()| None),
        () = server.ended() => Err(anyhow::anyhow!("the server has ended by itself, which it never should")),
    }
}

/// Runs a server until a signal or the prompt's `exit`. The exit code is 0, unless a second signal ends it at once.
///
/// # Errors
/// The key file's, [`StartError`](darkchat_server::StartError) for an address that cannot be bound, those of the ports
/// file and standard output, and that the server has ended by itself.
pub(crate) async fn serve(run: Run, logs: &LogLines) -> anyhow::Result<ExitCode> {
    log::start(run.log_level.level(), logs.clone()).context("cannot start the thread that writes the log")?;
    let (mut signals, hangups) = Signals::catch().context("cannot catch signals")?;
    let (identity, _lock) = key(&run)?;
    let files = run.tls_cert.clone().zip(run.tls_key.clone()).map(|(cert, key)| Files { cert, key });
    let certificate = files.as_ref().map(Files::load).transpose()?;
    let server = start(&run, identity, certificate.clone()).await?;
    tokio::spawn(reload(hangups, files.zip(certificate)));
    let report = report(&run, &server);
    print(&report.to_string())?;
    if let Some(path) = &run.ports_file {
        report
            .write_ports_file(path)
            .with_context(|| format!("cannot write the ports file {}", path.display()))?;
    }
    let finding = find(&run, &server);
    print("ready\n")?;
    let style = match run.prompt {
        Prompt::Auto => Style::of_terminal(),
        Prompt::Always => Some(Style::always()),
        Prompt::Never => None,
    };
    let found = style.filter(|style| *style == Style::Terminal).and_then(|_| Found::now());
    let exit = async {
        match style {
            None => std::future::pending().await,
            Some(style) => {
                if style == Style::Terminal {
                    print(&report.next_steps())?;
                }
                let lines = prompt::read(style, logs.clone());
                prompt::serve(server.clone(), run.network.clone(), lines).await;
                Ok::<(), anyhow::Error>(())
            }
        }
    };
    let reason = reason_to_stop(&server, signals.next(), exit).await;
    if let Some(found) = &found {
        found.put_back();
        logs.divert(None);
    }
    if let Ok(Some(signal)) = reason {
        tracing::info!(signal, "stopping");
    }
    let stop = async {
        if let Some(finding) = finding {
            finding.stop().await;
        }
        server.run_until(std::future::ready(())).await;
    };
    tokio::select! {
        () = stop => reason.map(|_| ExitCode::SUCCESS),
        signal = signals.next() => {
            Ok(ExitCode::from(u8::try_from(128_i32.saturating_add(signal)).unwrap_or(u8::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    /// Who starts it again must hear of it: a process that goes on without its server serves nobody.
    #[tokio::test]
    async fn a_server_that_is_gone_is_a_failure_and_a_signal_or_exit_is_none() {
        let server = Server::builder(Identity::generate()).start().await.unwrap();
        assert_eq!(reason_to_stop(&server, ready(15), pending()).await.unwrap(), Some(15));
        assert_eq!(reason_to_stop(&server, pending(), ready(Ok(()))).await.unwrap(), None);
        let other = server.clone();
        let gone = reason_to_stop(&server, pending(), pending());
        let (gone, ()) = tokio::join!(gone, other.shutdown(Duration::ZERO));
        assert!(gone.is_err());
    }
}
