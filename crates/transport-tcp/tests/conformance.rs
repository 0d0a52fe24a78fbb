//! TCP keeps every rule of the transport contract.

use darkchat_transport::conformance::check;
use darkchat_transport_tcp::Tcp;

#[tokio::test]
async fn tcp_keeps_the_contract_over_ipv4() {
    check(&Tcp::default(), "tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_keeps_the_contract_on_several_threads_and_over_a_name() {
    check(&Tcp::default(), "tcp://localhost:0".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn tcp_keeps_the_contract_over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    check(&Tcp::default(), "tcp://[::1]:0".parse().unwrap()).await.unwrap();
}
