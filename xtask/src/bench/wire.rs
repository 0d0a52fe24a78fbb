//! The bytes of the other systems: just enough of NATS, MQTT and our floor to publish, subscribe and count.

use std::ops::Range;

/// A protocol that the load client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Nats,
    Mqtt,
    Floor,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Not a whole packet yet.
    More,
    /// So many bytes that carry no message.
    Other(usize),
    /// So many bytes, with a message there.
    Message(usize, Range<usize>),
}

impl Wire {
    /// What a client says first.
    pub(crate) fn hello(self, number: usize, subscribe: bool, channel: usize) -> Vec<u8> {
        match self {
            Self::Nats => {
                let mut hello = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_vec();
                if subscribe {
                    hello.extend_from_slice(format!("SUB bench.{channel} 1\r\n").as_bytes());
                }
                hello.extend_from_slice(b"PING\r\n");
                hello
            }
            Self::Mqtt => {
                let id = format!("bench-{number}");
                // Protocol 3.1.1, clean session, no keep-alive.
                let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
                text(&id, &mut body);
                let mut hello = vec![0x10];
                varint(body.len(), &mut hello);
                hello.append(&mut body);
                if subscribe {
                    body.extend_from_slice(&[0, 1]);
                    text(&format!("bench/{channel}"), &mut body);
                    body.push(0);
                    hello.push(0x82);
                    varint(body.len(), &mut hello);
                    hello.append(&mut body);
                }
                hello
            }
            Self::Floor => {
                let mut hello = vec![if subscribe { b'S' } else { b'P' }];
                hello.extend_from_slice(&u32::try_from(channel).unwrap_or_default().to_be_bytes());
                hello
            }
        }
    }

    /// How many packets a server says before a client is there.
    pub(crate) const fn welcome(self, subscribe: bool) -> usize {
        match (self, subscribe) {
            // INFO and PONG.
            (Self::Nats, _) => 2,
            // CONNACK, and SUBACK.
            (Self::Mqtt, true) => 2,
            (Self::Mqtt, false) | (Self::Floor, _) => 1,
        }
    }

    /// Appends a message.
    pub(crate) fn publish(self, channel: usize, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Nats => {
                out.extend_from_slice(format!("PUB bench.{channel} {}\r\n", message.len()).as_bytes());
                out.extend_from_slice(message);
                out.extend_from_slice(b"\r\n");
            }
            Self::Mqtt => {
                let topic = format!("bench/{channel}");
                out.push(0x30);
                varint(2 + topic.len() + message.len(), out);
                text(&topic, out);
                out.extend_from_slice(message);
            }
            Self::Floor => {
                out.extend_from_slice(&u16::try_from(message.len()).unwrap_or_default().to_be_bytes());
                out.extend_from_slice(message);
            }
        }
    }

    /// The packet at the beginning of these bytes.
    pub(crate) fn packet(self, bytes: &[u8]) -> Packet {
        let found = match self {
            Self::Nats => nats(bytes),
            Self::Mqtt => mqtt(bytes),
            Self::Floor => bytes.first_chunk().map(|len| {
                let len = usize::from(u16::from_be_bytes(*len));
                if len == 0 { Packet::Other(2) } else { Packet::Message(2 + len, 2..2 + len) }
            }),
        };
        match found {
            Some(Packet::Message(len, _) | Packet::Other(len)) if len > bytes.len() => Packet::More,
            Some(packet) => packet,
            None => Packet::More,
        }
    }
}

fn nats(bytes: &[u8]) -> Option<Packet> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes.get(..end)?.trim_ascii_end();
    if !line.starts_with(b"MSG ") {
        return Some(Packet::Other(end + 1));
    }
    let digits = line.rsplit(|byte| *byte == b' ').next()?;
    let len = digits.iter().fold(0, |len, digit| len * 10 + usize::from(digit & 0xF));
    Some(Packet::Message(end + 1 + len + 2, end + 1..end + 1 + len))
}

fn mqtt(bytes: &[u8]) -> Option<Packet> {
    let kind = bytes.first()? >> 4;
    let (mut rest, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        rest |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if kind != 3 {
        return Some(Packet::Other(at + rest));
    }
    let topic = bytes.get(at..)?.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len)))?;
    Some(Packet::Message(at + rest, at + 2 + topic..at + rest))
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or_default();
        number >>= 7;
        out.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_wire_are_found_whole_and_only_then() {
        let message = [b'x'; 300];
        for wire in [Wire::Mqtt, Wire::Floor] {
            let mut bytes = Vec::new();
            wire.publish(7, &message, &mut bytes);
            let Packet::Message(len, at) = wire.packet(&bytes) else { panic!("{wire:?}: no message") };
            assert_eq!((len, bytes.get(at)), (bytes.len(), Some(&message[..])), "{wire:?}");
            for end in 0..bytes.len() {
                assert_eq!(wire.packet(&bytes[..end]), Packet::More, "{wire:?} {end}");
            }
        }
        let bytes = b"MSG bench.7 1 3\r\nabc\r\nPING\r\n";
        assert_eq!(Wire::Nats.packet(bytes), Packet::Message(22, 17..20));
        assert_eq!(Wire::Nats.packet(&bytes[..21]), Packet::More);
        assert_eq!(Wire::Nats.packet(&bytes[22..]), Packet::Other(6));
    }

    #[test]
    fn lengths_of_mqtt_are_varints() {
        let mut out = Vec::new();
        varint(321, &mut out);
        assert_eq!(out, [0xC1, 2]);
    }
}
