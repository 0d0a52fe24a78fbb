//! A2, A14: strangers cost memory for what they send and not for what they announce. In a binary of its own, because
//! it counts what the whole process allocates.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot make its input has failed; what it measured is worth a line"
)]

use darkchat_crypto::Identity;
use darkchat_server::{Accept, Profile, Server};
use darkchat_transport_tcp::Tcp;
use peak_alloc::PeakAlloc;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What begins a connection, before its first unit.
const MAGIC: &[u8] = b"DCHAT\x01\r\n";
/// What a stranger may cost who sends a unit of 4 KiB, in bytes.
const A_UNIT: usize = 8 * 1024;
/// What two waves of strangers may differ by, for each of them, in bytes: a sixtieth of what was announced.
const NOISE: usize = 1024;
/// Longer than the server lets a stranger stay: only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server() -> (Server, SocketAddr) {
    let server = Server::builder(Identity::generate())
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse().expect("an address"), Accept::All)
        .profile(Profile::Trusted)
        .start()
        .await
        .expect("it starts");
    let (addr, _) = server.addrs().first().cloned().expect("one listener");
    (server, addr.socket_addr().expect("a socket"))
}

/// So many strangers say the same, and stay until they are sent away.
fn strangers(count: usize, place: SocketAddr, words: &[u8]) {
    let meet = |_| {
        let mut stranger = TcpStream::connect(place).expect("it listens");
        stranger.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stranger.write_all(words).expect("it reads");
        stranger
    };
    let all: Vec<TcpStream> = (0..count).map(meet).collect();
    for mut stranger in all {
        let mut answer = [0; 1];
        // A reset is an end as well; an answer is not.
        assert!(matches!(stranger.read(&mut answer), Ok(0) | Err(_)), "a stranger got an answer");
    }
}

/// The most that was allocated at one time while the strangers were there, for each of them.
async fn cost(count: usize, words: &[u8]) -> usize {
    let (server, place) = server().await;
    let wave = |words: Vec<u8>| tokio::task::spawn_blocking(move || strangers(count, place, &words));
    // The first wave fills what the runtime and the server keep.
    wave(words.to_vec()).await.expect("they met it");
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    wave(words.to_vec()).await.expect("they met it");
    let each = MEMORY.peak_usage().saturating_sub(before) / count;
    println!("{count} strangers: {each} bytes each at the peak");
    server.shutdown(Duration::from_secs(1)).await;
    each
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a14_strangers_cost_memory_for_what_they_send_and_not_for_what_they_announce() {
    let junk = [MAGIC, &[0x10, 0x00], &[0x5A; 4096]].concat();
    assert!(cost(64, &junk).await <= A_UNIT, "a unit of 4,096 bytes of junk");
    let little = cost(200, &[MAGIC, &[0x00, 0x02, 0]].concat()).await;
    let much = cost(200, &[MAGIC, &[0xFF, 0xFF, 0]].concat()).await;
    assert!(much <= little + NOISE, "one byte of 65,535 costs {much}, one of 2 costs {little}");
}
