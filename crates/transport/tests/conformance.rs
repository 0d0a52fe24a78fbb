//! The conformance suite passes the memory transport, and finds each fault that is put into it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use darkchat_transport::conformance::{PATIENCE, Rule, check, check_within};
use darkchat_transport::{
    Addr, BoxFuture, BoxSink, Incoming, Link, Listener, MAX_UNIT, Memory, Transport, check_unit,
};
use futures_util::{FutureExt, Sink, SinkExt, StreamExt, future, stream};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn memory_keeps_the_contract_with_and_without_ports() {
    check(&Memory::default(), "mem://name:0".parse().unwrap()).await.unwrap();
    check(&Memory::default(), "mem://name".parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_breaks_its_rule() {
    let cases = [
        (Fault::ShoutsItsScheme, Rule::Schemes),
        (Fault::TakesEveryScheme, Rule::ForeignScheme),
        (Fault::ReportsPortZero, Rule::BoundAddress),
        (Fault::LosesEmptyUnits, Rule::Borders),
        (Fault::SplitsLongUnits, Rule::TooLong),
        (Fault::SwapsUnits, Rule::Order),
        (Fault::NeverPushesBack, Rule::BackPressure),
        (Fault::ClosesWithoutFlushing, Rule::EndOnClose),
        (Fault::KeepsDroppedLinks, Rule::EndOnDrop),
        (Fault::DialsUnpolled, Rule::DroppedDial),
        (Fault::FinishesDroppedDials, Rule::DroppedDial),
        (Fault::SetsUpOneByOne, Rule::StalledSetUp),
        (Fault::TakesFiftyLinks, Rule::ManyLinks),
    ];
    let checks = cases.map(|(fault, rule)| {
        tokio::spawn(async move {
            let faulty = Faulty { memory: Memory::default(), fault, places: Arc::new(Semaphore::new(100)) };
            // These two show only by waiting in vain.
            let hangs = matches!(fault, Fault::KeepsDroppedLinks | Fault::SetsUpOneByOne);
            let patience = if hangs { Duration::from_secs(5) } else { PATIENCE };
            let found = check_within(&faulty, "mem://name:0".parse().unwrap(), patience).await;
            let broken = found.unwrap_err();
            assert_eq!(broken.rule, rule, "{fault:?}: {broken}");
        })
    });
    for check in checks {
        check.await.unwrap();
    }
}

/// What is wrong with a transport that else works.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    ShoutsItsScheme,
    TakesEveryScheme,
    ReportsPortZero,
    LosesEmptyUnits,
    SplitsLongUnits,
    SwapsUnits,
    NeverPushesBack,
    ClosesWithoutFlushing,
    KeepsDroppedLinks,
    DialsUnpolled,
    FinishesDroppedDials,
    SetsUpOneByOne,
    TakesFiftyLinks,
}

#[derive(Debug, Clone)]
struct Faulty {
    memory: Memory,
    fault: Fault,
    /// For both ends of fifty links.
    places: Arc<Semaphore>,
}

impl Transport for Faulty {
    fn schemes(&self) -> &'static [&'static str] {
        if self.fault == Fault::ShoutsItsScheme { &["MEM"] } else { &["mem"] }
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        let this = self.clone();
        let addr = self.own(addr);
        if self.fault == Fault::DialsUnpolled {
            return Box::pin(future::ready(this.memory.dial(addr).now_or_never().unwrap()));
        }
        Box::pin(async move {
            let mut dropped = Dropped(
                (this.fault == Fault::FinishesDroppedDials).then(|| (this.memory.clone(), addr.clone())),
            );
            if dropped.0.is_some() {
                tokio::task::yield_now().await;
            }
            let link = this.memory.dial(addr).await.and_then(|link| this.spoil(link));
            dropped.0 = None;
            link
        })
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let this = self.clone();
        let addr = self.own(addr);
        Box::pin(async move {
            let listener = this.memory.listen(addr.clone()).await?;
            let addr = if this.fault == Fault::ReportsPortZero { addr } else { listener.addr };
            let turn = Arc::new(Semaphore::new(1));
            let incoming = listener.incoming.then(move |incoming| {
                let (this, turn) = (this.clone(), Arc::clone(&turn));
                async move {
                    let Incoming { remote, link } = incoming?;
                    let one_by_one = this.fault == Fault::SetsUpOneByOne;
                    let turn = if one_by_one { Some(turn.acquire_owned().await.unwrap()) } else { None };
                    let link = Box::pin(async move {
                        let _turn = turn;
                        link.await.and_then(|link| this.spoil(link))
                    });
                    Ok(Incoming { remote, link })
                }
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

impl Faulty {
    fn own(&self, addr: Addr) -> Addr {
        if self.fault == Fault::TakesEveryScheme {
            Addr::new("mem", addr.host(), addr.port()).unwrap()
        } else {
            addr
        }
    }

    fn spoil(&self, link: Link) -> io::Result<Link> {
        let Link { remote, mut units, sink } = link;
        let sink: BoxSink = match self.fault {
            Fault::LosesEmptyUnits => Box::pin(
                sink.with_flat_map(|unit: Bytes| stream::iter((!unit.is_empty()).then_some(Ok(unit)))),
            ),
            Fault::SplitsLongUnits => Box::pin(sink.with_flat_map(|mut unit: Bytes| {
                let rest = unit.split_off(unit.len().min(MAX_UNIT));
                stream::iter(
                    [Some(unit), Some(rest).filter(|rest| !rest.is_empty())].into_iter().flatten().map(Ok),
                )
            })),
            Fault::SwapsUnits => {
                let mut units = 0;
                let mut held = None;
                Box::pin(sink.with_flat_map(move |unit: Bytes| {
                    units += 1;
                    let now =
                        if units == 500 { [held.replace(unit), None] } else { [Some(unit), held.take()] };
                    stream::iter(now.into_iter().flatten().map(Ok))
                }))
            }
            Fault::NeverPushesBack | Fault::ClosesWithoutFlushing | Fault::KeepsDroppedLinks => {
                Box::pin(Queue { inner: Some(sink), queue: VecDeque::new(), fault: self.fault })
            }
            _ => sink,
        };
        let place = if self.fault == Fault::TakesFiftyLinks {
            Some(Arc::clone(&self.places).try_acquire_owned().map_err(io::Error::other)?)
        } else {
            None
        };
        let units = stream::poll_fn(move |cx| {
            let _keep = &place;
            units.as_mut().poll_next(cx)
        });
        Ok(Link { remote, units: Box::pin(units), sink })
    }
}

/// Connects after all, and says so, when it is dropped in the middle.
struct Dropped(Option<(Memory, Addr)>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some((memory, addr)) = self.0.take() {
            let mut link = memory.dial(addr).now_or_never().unwrap().unwrap();
            let _ = link.sink.send("boo".into()).now_or_never();
            mem::forget(link);
        }
    }
}

/// A sink with a queue before it, which goes wrong in three ways.
struct Queue {
    inner: Option<BoxSink>,
    queue: VecDeque<Bytes>,
    fault: Fault,
}

impl Queue {
    fn inner(&mut self) -> Pin<&mut (dyn Sink<Bytes, Error = io::Error> + Send)> {
        self.inner.as_mut().unwrap().as_mut()
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            ready!(self.inner().poll_ready(cx))?;
            let unit = self.queue.pop_front().unwrap();
            self.inner().start_send(unit)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink<Bytes> for Queue {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_bounded = self.fault != Fault::NeverPushesBack;
        if is_bounded && self.queue.len() >= 4 { self.poll_empty(cx) } else { Poll::Ready(Ok(())) }
    }

    fn start_send(mut self: Pin<&mut Self>, unit: Bytes) -> io::Result<()> {
        check_unit(&unit)?;
        self.queue.push_back(unit);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        self.inner().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fault != Fault::ClosesWithoutFlushing {
            ready!(self.poll_empty(cx))?;
        }
        self.inner().poll_close(cx)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.fault == Fault::KeepsDroppedLinks {
            mem::forget(self.inner.take());
        }
    }
}
