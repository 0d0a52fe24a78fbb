//! A TCP listener as strangers meet it: raw bytes in, raw bytes out. Names begin with the case of the test plan.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use darkchat_transport::{Incoming, Listener, Transport};
use darkchat_transport_tcp::Tcp;
use futures_util::{SinkExt, StreamExt};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MAGIC: &[u8] = b"\x44\x43\x48\x41\x54\x01\x0d\x0a";

/// Fails instead of hanging. Nothing here depends on how soon something happens.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

async fn listen() -> (Listener, SocketAddr) {
    let listener = Tcp::default().listen("tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = listener.addr.socket_addr().unwrap();
    (listener, addr)
}

async fn next(listener: &mut Listener) -> Incoming {
    within(listener.incoming.next()).await.unwrap().unwrap()
}

/// What a stranger who says this gets, until the end, and what the listener makes of it.
async fn say(words: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut listener, addr) = listen().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let incoming = next(&mut listener).await;
    let stranger = async {
        // The listener may hang up before everything is said.
        let _ = stream.write_all(words).await;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        // The listener waits for this before it hangs up on an HTTP client.
        drop(stream);
        answer
    };
    let set_up = async { incoming.link.await.err().map(|error| error.kind()) };
    within(async { tokio::join!(stranger, set_up) }).await
}

#[tokio::test]
async fn a9_http_get_is_answered_with_the_fixed_400() {
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET ", &format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000))]
    {
        let (answer, error) = say(request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", text.len())), "{answer}");
        assert_eq!(error, Some(ErrorKind::InvalidData));
    }
}

#[tokio::test]
async fn a9_whoever_speaks_something_else_is_closed_without_a_byte() {
    let noise: Vec<u8> =
        (0..1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8 | 1).collect();
    let strangers: [&[u8]; 8] = [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO mail.example\r\n",
        b"GETX",
        b"DCHAT\x02\r\n",
        b"DCHAT\x01\n\n",
        &noise,
    ];
    for words in strangers {
        assert_eq!(say(words).await, (vec![], Some(ErrorKind::InvalidData)), "{:?}", &words[..4]);
    }
}

#[tokio::test]
async fn a9_a_stranger_is_closed_at_its_first_wrong_byte() {
    let (mut listener, addr) = listen().await;
    for words in [&b"X"[..], b"DCHAT\x01\rX", b"GEX"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(words).await.unwrap();
        let error = within(next(&mut listener).await.link).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "the stranger is still there, and not waited for");
    }
}

#[tokio::test]
async fn c1_a_set_up_that_is_dropped_hangs_up_without_a_byte() {
    let (mut listener, addr) = listen().await;
    for words in [&b""[..], b"DCHAT", b"GE"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut link = next(&mut listener).await.link;
        assert!(futures_util::poll!(&mut link).is_pending(), "it waits for more");
        drop(link);
        let mut answer = Vec::new();
        match within(stream.read_to_end(&mut answer)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn the_magic_may_come_byte_by_byte_and_nothing_behind_it_is_lost() {
    let (mut listener, addr) = listen().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let incoming = next(&mut listener).await;
    let caller = async {
        for byte in [MAGIC, b"\x00\x03one\x00\x00\x00\x03", b"two"].concat() {
            stream.write_all(&[byte]).await.unwrap();
        }
        stream
    };
    let (mut stream, link) = within(async { tokio::join!(caller, incoming.link) }).await;
    let mut link = link.unwrap();
    for unit in ["one", "", "two"] {
        assert_eq!(within(link.units.next()).await.unwrap().unwrap(), unit);
    }
    link.sink.send("back".into()).await.unwrap();
    let mut back = [0; 6];
    within(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"\x00\x04back");
}

#[tokio::test]
async fn an_end_inside_the_magic_or_a_unit_is_an_error() {
    let (mut listener, addr) = listen().await;
    for (words, set_up) in
        [(&MAGIC[..5], false), (&[MAGIC, b"\x00"].concat(), true), (&[MAGIC, b"\x00\x09part"].concat(), true)]
    {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(words).await.unwrap();
        drop(stream);
        let error = match within(next(&mut listener).await.link).await {
            Ok(mut link) if set_up => {
                let error = within(link.units.next()).await.unwrap().unwrap_err();
                assert!(link.units.next().await.is_none(), "an error is the last item");
                error
            }
            other => other.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_dial_says_the_magic_first_and_nothing_else() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = format!("tcp://{}", server.local_addr().unwrap()).parse().unwrap();
    let link = within(Tcp::default().dial(addr)).await.unwrap();
    let (mut stream, _) = server.accept().await.unwrap();
    drop(link);
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, MAGIC);
}

#[tokio::test]
async fn a_dial_tries_every_address_of_a_name() {
    // `localhost` is often ::1 first, where nobody listens here.
    let (mut listener, addr) = listen().await;
    let dial = Tcp::default().dial(format!("tcp://localhost:{}", addr.port()).parse().unwrap());
    let (near, far) = within(async { tokio::join!(dial, next(&mut listener)) }).await;
    assert!(near.is_ok() && far.link.await.is_ok());
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_free_again_after_the_listener() {
    let (listener, _) = listen().await;
    let addr = listener.addr.clone();
    let error = Tcp::default().listen(addr.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(listener);
    Tcp::default().listen(addr).await.unwrap();
}

#[tokio::test]
async fn an_ipv4_caller_of_a_dual_listener_is_known_by_its_ipv4_address() {
    let Ok(mut listener) = Tcp::default().listen("tcp://[::]:0".parse().unwrap()).await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let place = ("127.0.0.1", listener.addr.port().unwrap());
    let Ok(_stream) = TcpStream::connect(place).await else {
        eprintln!("skipped: this machine does not take IPv4 on [::]");
        return;
    };
    assert_eq!(next(&mut listener).await.remote.host(), "127.0.0.1");
}

/// Whether this process may open few files, as [`c3_without_descriptors_accepting_pauses_and_recovers`] starts it.
#[cfg(unix)]
const FEW_FILES: &str = "DARKCHAT_TEST_FEW_FILES";

/// Runs itself in a process with few descriptors, because the limit belongs to the whole process.
#[cfg(unix)]
#[test]
fn c3_without_descriptors_accepting_pauses_and_recovers() {
    if std::env::var_os(FEW_FILES).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(accept_with_few_files());
    }
    let own = std::env::current_exe().unwrap();
    let test = "c3_without_descriptors_accepting_pauses_and_recovers";
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\" --nocapture", own.to_str().unwrap(), test])
        .env(FEW_FILES, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

#[cfg(unix)]
async fn accept_with_few_files() {
    let (mut listener, addr) = listen().await;
    // The backlog takes callers for whom no descriptor is left.
    let mut callers = Vec::new();
    while let Ok(stream) = TcpStream::connect(addr).await {
        callers.push(stream);
    }
    let spare = callers.len() / 2;
    callers.truncate(spare);
    let (mut accepted, mut errors) = (Vec::new(), Vec::new());
    let start = std::time::Instant::now();
    while errors.len() < 5 {
        match within(listener.incoming.next()).await.expect("an error does not end the stream") {
            Ok(incoming) => accepted.push(incoming),
            Err(error) => errors.push(error),
        }
    }
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "five errors without a pause of 100 ms between them"
    );
    assert!(errors.iter().all(|error: &std::io::Error| error.raw_os_error().is_some()));
    accepted.clear();
    assert!(
        within(listener.incoming.next()).await.unwrap().is_ok(),
        "it recovers when descriptors are free again"
    );
}
