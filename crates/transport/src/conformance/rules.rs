//! One trial for each rule. Every trial has links of its own and runs inside the caller's task.

use super::{Rule, Why, alarm};
use crate::{Addr, Incoming, Link, Listener, MAX_UNIT, Transport};
use bytes::Bytes;
use futures_util::future::{self, Either};
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

/// Lengths around every border that a framing can have: nothing, one byte, one and two bytes of length, the end.
const LENGTHS: [usize; 10] = [0, 1, 2, 125, 126, 127, 255, 256, MAX_UNIT - 1, MAX_UNIT];
/// Links at once in [`Rule::ManyLinks`].
const MANY: usize = 100;
/// Units that nobody reads in [`Rule::BackPressure`]: 64 MiB, many times what a system buffers for a connection.
const UNREAD: usize = 1_024;
/// A sink that takes nothing for so long pushes back. Too short a pause could only let a bad transport pass.
const STALL: Duration = Duration::from_millis(250);

type Outcome<T = ()> = Result<T, Why>;

pub(super) async fn run(rule: Rule, transport: &dyn Transport, addr: &Addr) -> Outcome {
    let trial = Trial { transport, addr };
    match rule {
        Rule::Schemes => trial.schemes(),
        Rule::ForeignScheme => trial.foreign_scheme().await,
        Rule::BoundAddress => trial.bound_address().await,
        Rule::Borders => trial.borders().await,
        Rule::TooLong => trial.too_long().await,
        Rule::Order => trial.order().await,
        Rule::BothWays => trial.both_ways().await,
        Rule::BackPressure => trial.back_pressure().await,
        Rule::EndOnClose => trial.end_on_close().await,
        Rule::EndOnDrop => trial.end_on_drop().await,
        Rule::DroppedDial => trial.dropped_dial().await,
        Rule::StalledSetUp => trial.stalled_set_up().await,
        Rule::ManyLinks => trial.many_links().await,
    }
}

struct Trial<'a> {
    transport: &'a dyn Transport,
    addr: &'a Addr,
}

impl Trial<'_> {
    fn schemes(&self) -> Outcome {
        let schemes = self.transport.schemes();
        must(
            schemes.contains(&self.addr.scheme()),
            "the scheme of the tested address is not among its schemes",
        )?;
        let upper = schemes.iter().any(|scheme| scheme.bytes().any(|byte| byte.is_ascii_uppercase()));
        must(!upper, "a scheme has an upper-case letter")
    }

    async fn foreign_scheme(&self) -> Outcome {
        let own = format!("not-{}", self.addr.scheme());
        let foreign = Addr::new(&own, self.addr.host(), self.addr.port())
            .map_err(|_| Why::Wrong("the tested address has no host to try a foreign scheme with"))?;
        must(self.transport.listen(foreign.clone()).await.is_err(), "it listened on a foreign scheme")?;
        must(self.transport.dial(foreign).await.is_err(), "it dialled a foreign scheme")
    }

    async fn bound_address(&self) -> Outcome {
        let mut listener = self.listen().await?;
        must(listener.addr.scheme() == self.addr.scheme(), "the listener reports another scheme")?;
        if self.addr.port() == Some(0) {
            must(
                listener.addr.port().is_some_and(|port| port != 0),
                "the listener does not report the chosen port",
            )?;
            let second = self.listen().await?;
            must(second.addr != listener.addr, "two listeners on port 0 report the same address")?;
        }
        let (mut near, mut far) = self.pair(&mut listener).await?;
        let known = |link: &Link| self.transport.schemes().contains(&link.remote.scheme());
        must(known(&near) && known(&far), "a link's remote address has a foreign scheme")?;
        ping(&mut near, &mut far).await
    }

    async fn borders(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let (mut near, mut far) = self.pair(&mut listener).await?;
        let units: Vec<_> = LENGTHS.iter().enumerate().map(|(number, len)| unit(number, *len)).collect();
        future::try_join(send_all(&mut near, &units), expect_all(&mut far, &units)).await?;
        future::try_join(send_all(&mut far, &units), expect_all(&mut near, &units)).await?;
        Ok(())
    }

    async fn too_long(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let (mut near, mut far) = self.pair(&mut listener).await?;
        for link in [&mut near, &mut far] {
            match link.sink.send(unit(0, MAX_UNIT + 1)).await {
                Ok(()) => return Err(Why::Wrong("it took a unit that is too long")),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error.into()),
            }
        }
        ping(&mut near, &mut far).await
    }

    async fn order(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let (mut near, mut far) = self.pair(&mut listener).await?;
        let units: Vec<_> = (0..1_000).map(|number| unit(number, number * 37 % 3_001)).collect();
        let send = async {
            for unit in &units {
                near.sink.feed(unit.clone()).await?;
            }
            Outcome::Ok(near.sink.flush().await?)
        };
        future::try_join(send, expect_all(&mut far, &units)).await?;
        Ok(())
    }

    async fn both_ways(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let (near, far) = self.pair(&mut listener).await?;
        let units: Vec<_> = (0..256).map(|number| unit(number, MAX_UNIT - number)).collect();
        let (mut near_in, mut near_out, mut far_in, mut far_out) =
            (near.units, near.sink, far.units, far.sink);
        let fill = async |sink: &mut crate::BoxSink| -> Outcome {
            for unit in &units {
                sink.send(unit.clone()).await?;
            }
            Ok(())
        };
        let drain = async |stream: &mut crate::BoxStream<io::Result<Bytes>>| -> Outcome {
            for (number, unit) in units.iter().enumerate() {
                expect(number, unit, stream.next().await)?;
            }
            Ok(())
        };
        let there = future::try_join(fill(&mut near_out), drain(&mut far_in));
        let back = future::try_join(fill(&mut far_out), drain(&mut near_in));
        future::try_join(there, back).await?;
        Ok(())
    }

    async fn back_pressure(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let (mut near, mut far) = self.pair(&mut listener).await?;
        let body = unit(0, MAX_UNIT);
        let mut taken = 0;
        loop {
            must(taken < UNREAD, "the sink took 64 MiB although nobody reads")?;
            match future::select(near.sink.feed(body.clone()), pin!(alarm::after(STALL))).await {
                Either::Left((fed, _)) => fed?,
                Either::Right(((), _)) => break,
            }
            taken += 1;
        }
        let read = async {
            for number in 0..taken {
                expect(number, &body, far.units.next().await)?;
            }
            Outcome::Ok(())
        };
        let flush = async { Outcome::Ok(near.sink.flush().await?) };
        future::try_join(flush, read).await?;
        ping(&mut near, &mut far).await
    }

    async fn end_on_close(&self) -> Outcome {
        let mut listener = self.listen().await?;
        for near_closes in [true, false] {
            let (near, far) = self.pair(&mut listener).await?;
            let (mut closer, mut other) = if near_closes { (near, far) } else { (far, near) };
            let units: Vec<_> = (0..20).map(|number| unit(number, MAX_UNIT)).collect();
            let send = async {
                for unit in &units {
                    closer.sink.feed(unit.clone()).await?;
                }
                Outcome::Ok(closer.sink.close().await?)
            };
            future::try_join(send, expect_all(&mut other, &units)).await?;
            match other.units.next().await {
                None => {}
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) => return Err(Why::Wrong("a unit came that nobody sent")),
            }
        }
        Ok(())
    }

    async fn end_on_drop(&self) -> Outcome {
        let mut listener = self.listen().await?;
        for near_goes in [true, false] {
            let (near, far) = self.pair(&mut listener).await?;
            let (gone, mut left) = if near_goes { (near, far) } else { (far, near) };
            drop(gone);
            must(!matches!(left.units.next().await, Some(Ok(_))), "a unit came that nobody sent")?;
        }
        Ok(())
    }

    async fn dropped_dial(&self) -> Outcome {
        let mut listener = self.listen().await?;
        drop(self.transport.dial(listener.addr.clone()));
        let (mut near, mut far) = self.pair(&mut listener).await?;
        ping(&mut near, &mut far)
            .await
            .map_err(|_| Why::Wrong("a dial connected although it was never polled"))?;

        for polls in 1..=3 {
            let mut dial = self.transport.dial(listener.addr.clone());
            for _ in 0..polls {
                if dial.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
        }
        let token = unit(9, 9);
        let dial = async {
            let mut link = self.transport.dial(listener.addr.clone()).await?;
            link.sink.send(token.clone()).await?;
            Outcome::Ok(link)
        };
        let accept = async {
            loop {
                let Ok(mut link) = next(&mut listener.incoming).await?.link.await else { continue };
                if let Some(Ok(came)) = link.units.next().await {
                    return if came == token {
                        Ok(link)
                    } else {
                        Err(Why::Wrong("a dropped dial sent a unit"))
                    };
                }
            }
        };
        future::try_join(dial, accept).await?;
        Ok(())
    }

    async fn stalled_set_up(&self) -> Outcome {
        let mut listener = self.listen().await?;
        let addr = listener.addr.clone();
        let mut first_dial = Either::Left(self.transport.dial(addr));
        let first = match first_dial {
            Either::Left(dial) => match future::select(dial, listener.incoming.next()).await {
                Either::Left((link, incoming)) => {
                    first_dial = Either::Right(link?);
                    incoming.await
                }
                Either::Right((incoming, dial)) => {
                    first_dial = Either::Left(dial);
                    incoming
                }
            },
            Either::Right(_) => None,
        };
        let first = first.ok_or(Why::Ended)??;

        let (mut near, mut far) = self.pair(&mut listener).await?;
        ping(&mut near, &mut far).await?;

        let dialled = async {
            match first_dial {
                Either::Left(dial) => Outcome::Ok(dial.await?),
                Either::Right(link) => Ok(link),
            }
        };
        let accepted = async { Outcome::Ok(first.link.await?) };
        let (mut near, mut far) = future::try_join(dialled, accepted).await?;
        ping(&mut near, &mut far).await
    }

    async fn many_links(&self) -> Outcome {
        let listener = self.listen().await?;
        let addr = listener.addr;
        let callers = future::try_join_all((0..MANY).map(|number| {
            let dial = self.transport.dial(addr.clone());
            async move {
                let mut link = dial.await?;
                let own = unit(number, number + 1);
                link.sink.send(own.clone()).await?;
                expect(number, &own, link.units.next().await)?;
                Outcome::Ok(link)
            }
        }));
        let echoes = listener
            .incoming
            .map_err(Why::from)
            .take(MANY)
            .map_ok(|incoming| async move {
                let mut link = incoming.link.await?;
                let came = link.units.next().await.ok_or(Why::Ended)??;
                link.sink.send(came).await?;
                Outcome::Ok(link)
            })
            .try_buffer_unordered(MANY)
            .try_collect::<Vec<Link>>();
        let (near, far) = future::try_join(callers, echoes).await?;
        must(near.len() == MANY && far.len() == MANY, "some links are missing")
    }

    async fn listen(&self) -> Outcome<Listener> {
        Ok(self.transport.listen(self.addr.clone()).await?)
    }

    /// A link from both sides: the one that dialled, and the one that was dialled.
    async fn pair(&self, listener: &mut Listener) -> Outcome<(Link, Link)> {
        let dial = self.transport.dial(listener.addr.clone());
        let dial = async { Outcome::Ok(dial.await?) };
        let accept = async { Outcome::Ok(next(&mut listener.incoming).await?.link.await?) };
        future::try_join(dial, accept).await
    }
}

fn must(kept: bool, otherwise: &'static str) -> Outcome {
    if kept { Ok(()) } else { Err(Why::Wrong(otherwise)) }
}

async fn next(incoming: &mut crate::BoxStream<io::Result<Incoming>>) -> Outcome<Incoming> {
    Ok(incoming.next().await.ok_or(Why::Ended)??)
}

/// A unit of `len` bytes that differs from those of other numbers, and whose parts differ from each other.
fn unit(number: usize, len: usize) -> Bytes {
    let start = number.to_le_bytes()[0];
    // A prime, so that the pattern falls differently on every border of a power of two.
    let pattern: Vec<u8> = (0..251).map(|at: u8| at.wrapping_mul(31) ^ start).collect();
    let mut bytes = pattern.repeat(len / pattern.len() + 1);
    bytes.truncate(len);
    bytes.into()
}

fn expect(number: usize, sent: &Bytes, came: Option<io::Result<Bytes>>) -> Outcome {
    let came = came.ok_or(Why::Ended)??;
    if came == sent { Ok(()) } else { Err(Why::Unit { number, expected: sent.len(), came: came.len() }) }
}

async fn send_all(link: &mut Link, units: &[Bytes]) -> Outcome {
    for unit in units {
        link.sink.send(unit.clone()).await?;
    }
    Ok(())
}

async fn expect_all(link: &mut Link, units: &[Bytes]) -> Outcome {
    for (number, unit) in units.iter().enumerate() {
        expect(number, unit, link.units.next().await)?;
    }
    Ok(())
}

/// One unit each way.
async fn ping(near: &mut Link, far: &mut Link) -> Outcome {
    let (there, back) = ([unit(1, 11)], [unit(2, 22)]);
    future::try_join(send_all(near, &there), expect_all(far, &there)).await?;
    future::try_join(send_all(far, &back), expect_all(near, &back)).await?;
    Ok(())
}
