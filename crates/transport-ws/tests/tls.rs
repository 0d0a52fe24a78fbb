//! WebSocket inside TLS: the contract holds, and only those are believed who should be.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use darkchat_transport::conformance::check;
use darkchat_transport::{Addr, Link, Transport};
use darkchat_transport_ws::{Certificate, Trust, Ws};
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate that signs itself, and its key, both as PEM.
fn self_signed(name: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn certificate((chain, key): &(String, String)) -> Certificate {
    Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

fn trust(pem: &str) -> Ws {
    Ws::default().trust(Trust::only(pem.as_bytes()).unwrap())
}

/// Listens, sends every unit back, and ends with the test.
async fn echo(ws: Ws) -> Addr {
    let mut listener = ws.listen("wss://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = listener.addr.clone();
    tokio::spawn(async move {
        while let Some(Ok(incoming)) = listener.incoming.next().await {
            tokio::spawn(async move {
                let Link { mut units, mut sink, .. } = incoming.link.await?;
                while let Some(unit) = units.next().await {
                    sink.send(unit?).await?;
                }
                Ok::<_, io::Error>(())
            });
        }
    });
    addr
}

async fn says(ws: &Ws, addr: &Addr) -> io::Result<()> {
    let mut link = ws.dial(addr.clone()).await?;
    link.sink.send("hello".into()).await?;
    assert_eq!(link.units.next().await.unwrap()?, "hello");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_keeps_the_contract() {
    let pair = self_signed("localhost");
    let ws = trust(&pair.0).certificate(certificate(&pair));
    check(&ws, "wss://127.0.0.1:0".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_chosen_certificate_is_believed_under_every_name_and_no_other_is() {
    let (pair, other) = (self_signed("chat.example"), self_signed("chat.example"));
    let addr = echo(Ws::default().certificate(certificate(&pair))).await;
    assert_eq!(addr.scheme(), "wss");
    says(&trust(&pair.0), &addr).await.unwrap();
    says(&trust(&format!("{}{}", other.0, pair.0)), &addr).await.unwrap();
    let refused = says(&trust(&other.0), &addr).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");
}

#[tokio::test]
async fn an_authority_is_believed_for_the_name_that_was_dialled() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&params, &key);
    let of = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let ours = echo(Ws::default().certificate(certificate(&of("127.0.0.1")))).await;
    says(&trust(&authority.pem()), &ours).await.unwrap();
    let others = echo(Ws::default().certificate(certificate(&of("other.example")))).await;
    assert_eq!(says(&trust(&authority.pem()), &others).await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_certificate_is_replaced_for_those_who_come_later_and_a_bad_one_is_not_taken() {
    let (former, later) = (self_signed("localhost"), self_signed("localhost"));
    let shown = certificate(&former);
    let addr = echo(Ws::default().certificate(shown.clone())).await;
    let mut link = trust(&former.0).dial(addr.clone()).await.unwrap();
    assert!(shown.replace(later.0.as_bytes(), former.1.as_bytes()).is_err(), "another's key");
    says(&trust(&former.0), &addr).await.unwrap();
    shown.replace(later.0.as_bytes(), later.1.as_bytes()).unwrap();
    says(&trust(&later.0), &addr).await.unwrap();
    assert!(says(&trust(&former.0), &addr).await.is_err());
    link.sink.send("still here".into()).await.unwrap();
    assert_eq!(link.units.next().await.unwrap().unwrap(), "still here");
}

#[tokio::test]
async fn http_without_tls_is_told_so_and_everything_else_gets_nothing() {
    let addr = echo(Ws::default().certificate(certificate(&self_signed("localhost")))).await;
    let answer = async |said: &[u8]| {
        let mut stream = TcpStream::connect(addr.socket_addr().unwrap()).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    };
    let http = answer(b"GET /ws HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(http.starts_with("HTTP/1.1 400 ") && http.contains("TLS") && !http.contains("evil"), "{http}");
    assert_eq!(answer(b"SSH-2.0-OpenSSH_9.6\r\n").await, "");
}

#[tokio::test]
async fn an_address_under_wss_is_not_listened_on_without_a_certificate() {
    let refused = Ws::default().listen("wss://127.0.0.1:0".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn whom_the_operating_system_does_not_trust_is_not_believed_by_default() {
    let addr = echo(Ws::default().certificate(certificate(&self_signed("127.0.0.1")))).await;
    assert!(says(&Ws::default(), &addr).await.is_err());
}
