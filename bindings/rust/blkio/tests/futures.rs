// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may happen to a future and its waker without harm: dropped, forgotten, polled late.

mod common;

use blkio::aio::{AsyncQueue, Request};
use blkio::Buf;
use common::{null, open, Scratch};
use std::cell::RefCell;
use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_dropped_future_leaves_its_buffer() {
    let file = Scratch::file(0);
    let (device, queue) = open::<()>(&file);
    let queue = AsyncQueue::new(queue).unwrap();
    let region = device.alloc(4096).unwrap();
    let wakes = Arc::new(CountWakes(AtomicUsize::new(0)));
    let mut read = queue.read(0, region.take(4096).unwrap());
    assert!(poll(&mut read, &wakes.clone().into()).is_pending());
    drop(read);
    assert!(region.take(1).is_err()); // the request has all of it
    assert_eq!(queue.outstanding(), 1);
    queue.drive(1).unwrap();
    assert_eq!(region.take(4096).unwrap().len(), 4096);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn a_future_that_outlives_all_handles() {
    let file = Scratch::file(6);
    let (device, queue) = open::<()>(&file);
    let queue = AsyncQueue::new(queue).unwrap();
    let read = queue.read(0, device.alloc(4096).unwrap().take(4096).unwrap());
    let other = queue.clone();
    drop((device, queue));
    let (result, buf) = other.block_on(read).unwrap();
    result.unwrap();
    drop(other);
    assert_eq!(buf[0], 6);
}

#[test]
fn the_latest_waker_is_woken() {
    let (device, queue) = null::<()>();
    let queue = AsyncQueue::new(queue).unwrap();
    let mut read = queue.read(0, device.alloc(512).unwrap().take(512).unwrap());
    let wakes = [0, 0].map(|n| Arc::new(CountWakes(AtomicUsize::new(n))));
    for w in &wakes {
        assert!(poll(&mut read, &w.clone().into()).is_pending());
    }
    queue.drive(1).unwrap();
    assert_eq!(wakes[0].0.load(Ordering::Relaxed), 0);
    assert_eq!(wakes[1].0.load(Ordering::Relaxed), 1);
    let (result, _buf) = match poll(&mut read, &wakes[0].clone().into()) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it was woken"),
    };
    result.unwrap();
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut read, &wakes[0].clone().into())));
    assert!(again.is_err());
}

thread_local! {
    static ON_WAKE: RefCell<Option<Box<dyn FnMut()>>> = RefCell::new(None);
}

/// A waker that runs a closure of its thread, once.
struct Runs;

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        if let Some(mut run) = ON_WAKE.with(|w| w.borrow_mut().take()) {
            run();
        }
    }
}

#[test]
fn wakers_that_call_back() {
    let (device, queue) = null::<()>();
    let queue = AsyncQueue::new(queue).unwrap();
    let region = device.alloc(4 * 512).unwrap();
    let waker = Waker::from(Arc::new(Runs));
    let mut first = queue.read(0, region.take(512).unwrap());
    let mut second = queue.read(0, region.take(512).unwrap());
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    let (q, r, mut victim) = (queue.clone(), region.clone(), Some(second));
    ON_WAKE.with(|w| {
        *w.borrow_mut() = Some(Box::new(move || {
            drop(victim.take()); // a future whose completion is being delivered
            drop(q.read(0, r.take(512).unwrap()));
            q.drive(0).unwrap();
        }))
    });
    queue.drive(2).unwrap();
    assert!(poll(&mut first, &waker).is_ready());
    while queue.outstanding() > 0 {
        queue.drive(1).unwrap();
    }
    assert_eq!(region.take(4 * 512).unwrap().len(), 4 * 512);
}

#[test]
fn wakers_that_panic() {
    let (device, queue) = null::<()>();
    let queue = AsyncQueue::new(queue).unwrap();
    let region = device.alloc(2 * 512).unwrap();
    let waker = Waker::from(Arc::new(Runs));
    let mut reads: Vec<Request<Buf>> =
        (0..2).map(|_| queue.read(0, region.take(512).unwrap())).collect();
    for read in &mut reads {
        assert!(poll(read, &waker).is_pending());
    }
    ON_WAKE.with(|w| *w.borrow_mut() = Some(Box::new(|| panic!("this waker panics"))));
    assert!(catch_unwind(AssertUnwindSafe(|| queue.drive(2))).is_err());
    queue.drive(0).unwrap(); // the other one
    for read in &mut reads {
        assert!(poll(read, &waker).is_ready());
    }
}

/// block_on() sleeps where nothing is in flight, and another thread wakes it.
#[test]
fn block_on_something_else() {
    let (_device, queue) = null::<()>();
    let queue = AsyncQueue::new(queue).unwrap();
    let (send, receive) = mpsc::channel::<Waker>();
    let mut sent = None;
    let output = queue.block_on(std::future::ready(1)).unwrap();
    assert_eq!(output, 1);
    struct Late<'a>(&'a mpsc::Sender<Waker>, &'a mut Option<()>);
    impl Future for Late<'_> {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.1.is_some() {
                return Poll::Ready(());
            }
            *self.1 = Some(());
            self.0.send(cx.waker().clone()).unwrap();
            Poll::Pending
        }
    }
    thread::scope(|scope| {
        scope.spawn(move || receive.recv().unwrap().wake());
        queue.block_on(Late(&send, &mut sent)).unwrap();
    });
}
