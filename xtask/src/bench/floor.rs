//! The floor: a hub that reads what a publisher sends and writes the same bytes to each subscriber, and nothing else.
//!
//! `cargo xtask bench hub` runs it as a process of its own, so that its processor time can be told. A connection says `P`
//! or `S` and the number of its channel, and is answered with an empty message.

use anyhow::Result;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes that are copied at a time.
const COPY: usize = 64 << 10;

type Channels = Arc<Mutex<BTreeMap<[u8; 4], Vec<TcpStream>>>>;

/// Listens on a port that the system chooses, and says which; ends when standard input does.
pub(crate) fn hub() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listens {}", listener.local_addr()?);
    thread::spawn(move || {
        let channels = Channels::default();
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that breaks concerns nobody else.
            let _broken = meet(stream, &channels);
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn meet(mut stream: TcpStream, channels: &Channels) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut hello = [0; 5];
    stream.read_exact(&mut hello)?;
    let [role, channel @ ..] = hello;
    stream.write_all(&[0, 0])?;
    if role == b'S' {
        let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(channel).or_default().push(stream);
        return Ok(());
    }
    let channels = Arc::clone(channels);
    thread::spawn(move || copy(stream, channel, &channels));
    Ok(())
}

fn copy(mut from: TcpStream, channel: [u8; 4], channels: &Channels) -> Result<()> {
    let mut to = {
        let channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = channels.get(&channel).map_or(&[][..], Vec::as_slice);
        streams.iter().map(TcpStream::try_clone).collect::<std::io::Result<Vec<_>>>()?
    };
    let mut bytes = vec![0; COPY];
    loop {
        let len = from.read(&mut bytes)?;
        let Some(read) = bytes.get(..len).filter(|read| !read.is_empty()) else { return Ok(()) };
        for stream in &mut to {
            stream.write_all(read)?;
        }
    }
}
