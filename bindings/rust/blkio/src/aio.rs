// SPDX-License-Identifier: MIT OR Apache-2.0
//! Futures: one for each request, on a queue of one thread.
//!
//! There is no runtime in here. Something has to submit requests and collect completions while
//! futures wait: [`AsyncQueue::block_on()`], `blkio::tokio::run()`, `blkio::async_io::run()`, or
//! for another runtime [`AsyncQueue::run()`].
//!
//! A future that is dropped leaves its buffer with the request, until that completes.
//!
//! ```
//! use blkio::{aio::AsyncQueue, Config, Flags};
//!
//! let (device, mut queues) = Config::new("null")?.connect()?.start::<()>()?;
//! let queue = AsyncQueue::new(queues.remove(0))?;
//! let region = device.alloc(1 << 20)?;
//! let read = queue.block_on(async {
//!     let (result, buf) = queue.write(0, region.take(4096)?, Flags::NONE).await;
//!     result?;
//!     let (result, buf) = queue.read(0, buf).await;
//!     result.map(|()| buf.len())
//! })??;
//! assert_eq!(read, 4096);
//! # Ok::<(), blkio::Error>(())
//! ```

use crate::completion::{Completion, Data};
use crate::error::{errno, Error, Result};
use crate::extent::Extents;
use crate::memory::{Buf, Bufs};
use crate::queue::{Flags, Queue};
use crate::zone::{Appended, Zones};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// How often run() goes on before it lets others of the same thread run.
const ROUNDS: usize = 64;

/// Where a request and its future meet. The queue's token; the future has it, too.
#[derive(Default)]
struct Meeting {
    state: RefCell<State>,
}

#[derive(Default)]
enum State {
    /// The future has what the request gave, or there is none.
    #[default]
    Over,
    Waiting(Option<Waker>),
    Done(Result<()>, Data),
}

type Token = Rc<Meeting>;

struct Shared {
    queue: RefCell<Queue<Token>>,
    /// Of what submits requests: to be woken when there is one.
    submitter: RefCell<Option<Waker>>,
    /// To be used again.
    spare: RefCell<Vec<Token>>,
}

// No code of others runs while anything of these is borrowed: a waker, or what is dropped, may call
// us. So wakers are cloned, woken and dropped, and data is dropped, outside.
impl Shared {
    fn submitter(&self) -> Option<Waker> {
        self.submitter.borrow_mut().take()
    }

    fn recycle(&self, meeting: Token) {
        if Rc::strong_count(&meeting) > 1 {
            return;
        }
        let before = mem::take(&mut *meeting.state.borrow_mut());
        drop(before);
        self.spare.borrow_mut().push(meeting);
    }

    fn pop(&self) -> Option<Completion<Token>> {
        self.queue.borrow_mut().pop()
    }

    /// Hands each completion to its future. Returns how many there were.
    fn deliver(&self) -> usize {
        let mut n = 0;
        while let Some(done) = self.pop() {
            n += 1;
            let result = done.result();
            let before = mem::replace(
                &mut *done.token.state.borrow_mut(),
                State::Done(result, done.data),
            );
            if let State::Waiting(Some(waker)) = before {
                waker.wake();
            }
            self.recycle(done.token);
        }
        n
    }
}

/// A queue whose requests are futures. A clone is the same queue. It stays in its thread.
///
/// The queue ends when all clones and all its futures are dropped: see [`Queue`].
#[derive(Clone)]
pub struct AsyncQueue {
    shared: Rc<Shared>,
}

impl AsyncQueue {
    /// Makes one of a queue.
    ///
    /// # Errors
    /// `EBUSY`: the queue has requests outstanding.
    pub fn new<T>(queue: Queue<T>) -> Result<AsyncQueue> {
        let shared = Shared {
            queue: RefCell::new(queue.with_token()?),
            submitter: RefCell::new(None),
            spare: RefCell::new(Vec::new()),
        };
        Ok(AsyncQueue { shared: Rc::new(shared) })
    }

    fn request<D>(&self, queue: impl FnOnce(&mut Queue<Token>, Token)) -> Request<D> {
        let meeting = self.shared.spare.borrow_mut().pop().unwrap_or_default();
        *meeting.state.borrow_mut() = State::Waiting(None);
        queue(&mut self.shared.queue.borrow_mut(), meeting.clone());
        if let Some(waker) = self.shared.submitter() {
            waker.wake();
        }
        Request { shared: self.shared.clone(), meeting: Some(meeting), data: PhantomData }
    }

    /// See [`Queue::read()`].
    pub fn read(&self, start: u64, buf: Buf) -> Request<Buf> {
        self.request(|queue, token| queue.read(start, buf, token))
    }

    /// See [`Queue::write()`].
    pub fn write(&self, start: u64, buf: Buf, flags: Flags) -> Request<Buf> {
        self.request(|queue, token| queue.write(start, buf, flags, token))
    }

    /// See [`Queue::readv()`].
    pub fn readv(&self, start: u64, bufs: impl Into<Bufs>) -> Request<Bufs> {
        let bufs = bufs.into();
        self.request(|queue, token| queue.readv(start, bufs, token))
    }

    /// See [`Queue::writev()`].
    pub fn writev(&self, start: u64, bufs: impl Into<Bufs>, flags: Flags) -> Request<Bufs> {
        let bufs = bufs.into();
        self.request(|queue, token| queue.writev(start, bufs, flags, token))
    }

    /// See [`Queue::write_zeroes()`].
    pub fn write_zeroes(&self, start: u64, len: u64, flags: Flags) -> Request<()> {
        self.request(|queue, token| queue.write_zeroes(start, len, flags, token))
    }

    /// See [`Queue::discard()`].
    pub fn discard(&self, start: u64, len: u64) -> Request<()> {
        self.request(|queue, token| queue.discard(start, len, token))
    }

    /// See [`Queue::flush()`].
    pub fn flush(&self) -> Request<()> {
        self.request(|queue, token| queue.flush(token))
    }

    /// See [`Queue::report_zones()`].
    pub fn report_zones(&self, start: u64, n: u32) -> Request<Zones> {
        self.request(|queue, token| queue.report_zones(start, n, token))
    }

    /// See [`Queue::zone_append()`].
    pub fn zone_append(&self, zone: u64, buf: Buf, flags: Flags) -> Request<Appended> {
        self.request(|queue, token| queue.zone_append(zone, buf, flags, token))
    }

    /// See [`Queue::block_status()`].
    pub fn block_status(&self, start: u64, len: u64, n: u32) -> Request<Extents> {
        self.request(|queue, token| queue.block_status(start, len, n, token))
    }

    /// The number of requests that have not completed, those whose futures are gone included.
    pub fn outstanding(&self) -> usize {
        self.shared.queue.borrow().outstanding()
    }

    /// Submits what is queued, waits for `min` completions, and wakes their futures. Returns the
    /// number of completions.
    ///
    /// # Errors
    /// Those of [`Queue::wait()`].
    pub fn drive(&self, min: usize) -> Result<usize> {
        let waited = self.shared.queue.borrow_mut().wait(min);
        let n = self.shared.deliver();
        waited.map(|_| n)
    }

    /// Runs a future of this queue to its end, in this thread, which sleeps in the library.
    ///
    /// A future that also waits for something else is polled again when that happens, or, while
    /// requests are in flight, when one of them completes.
    ///
    /// # Errors
    /// Those of [`Queue::wait()`].
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        let mut future = Box::pin(future);
        let signal = Arc::new(Signal { woken: AtomicBool::new(true), thread: thread::current() });
        let waker = Waker::from(signal.clone());
        loop {
            if signal.woken.swap(false, Ordering::Acquire) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(output);
                }
            }
            let woken = signal.woken.load(Ordering::Acquire);
            if self.outstanding() > 0 {
                self.drive(usize::from(!woken))?;
            } else if !woken {
                thread::park();
            }
        }
    }

    /// Runs a future of this queue to its end, in a task of a runtime. `poll_readable` is what the
    /// runtime has to wait until [the completion fd](AsFd) is readable. When it is ready it must
    /// have called [`clear_completion_fd()`](AsyncQueue::clear_completion_fd), and forgotten that the
    /// descriptor was readable.
    ///
    /// # Errors
    /// Those of [`Queue::wait()`] and of `poll_readable`; `ENOTSUP`: a poll queue has no completion
    /// fd.
    pub async fn run<F, R>(&self, future: F, mut poll_readable: R) -> Result<F::Output>
    where
        F: Future,
        R: FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    {
        self.needs_completion_fd()?;
        self.shared.queue.borrow_mut().enable_completion_fd(true);
        let mut future = Box::pin(future);
        let mut poll = |cx: &mut Context<'_>| {
            for _ in 0..ROUNDS {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                let waker = cx.waker().clone();
                drop(self.shared.submitter.borrow_mut().replace(waker));
                if self.drive(0)? > 0 {
                    continue;
                }
                match poll_readable(cx) {
                    Poll::Ready(ready) => ready.map_err(of_io)?,
                    Poll::Pending => return Poll::Pending,
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        };
        PollFn(&mut poll).await
    }

    pub(crate) fn needs_completion_fd(&self) -> Result<()> {
        if self.as_raw_fd() < 0 {
            let what = "a poll queue has no completion fd to wait for: use AsyncQueue::block_on()";
            return Err(Error::new(errno::ENOTSUP, what));
        }
        Ok(())
    }

    /// See [`Queue::clear_completion_fd()`].
    pub fn clear_completion_fd(&self) {
        self.shared.queue.borrow().clear_completion_fd();
    }
}

macro_rules! zone_requests {
    ($($one:ident $all:ident),*) => {
        /// Requests that change the state of zones.
        ///
        /// ```
        /// # let (device, mut queues) = blkio::Config::new("null")?.connect()?.start::<()>()?;
        /// # let queue = blkio::aio::AsyncQueue::new(queues.remove(0))?;
        /// let (result, ()) = queue.block_on(queue.reset_zone(0))?;
        /// assert_eq!(result.unwrap_err().errno(), blkio::errno::ENOTSUP);
        /// # Ok::<(), blkio::Error>(())
        /// ```
        impl AsyncQueue {
            $(
                #[doc = concat!("See [`Queue::", stringify!($one), "()`].")]
                pub fn $one(&self, start: u64) -> Request<()> {
                    self.request(|queue, token| queue.$one(start, token))
                }

                #[doc = concat!("See [`Queue::", stringify!($all), "()`].")]
                pub fn $all(&self) -> Request<()> {
                    self.request(|queue, token| queue.$all(token))
                }
            )*
        }
    };
}

zone_requests! {
    open_zone open_all_zones,
    close_zone close_all_zones,
    finish_zone finish_all_zones,
    reset_zone reset_all_zones
}

pub(crate) fn of_io(error: io::Error) -> Error {
    Error::new(error.raw_os_error().unwrap_or(errno::EINVAL), error.to_string())
}

impl AsRawFd for AsyncQueue {
    /// The completion fd; -1 for a poll queue.
    fn as_raw_fd(&self) -> RawFd {
        self.shared.queue.borrow().raw_completion_fd()
    }
}

impl AsFd for AsyncQueue {
    /// The completion fd.
    ///
    /// # Panics
    /// A poll queue has none.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.needs_completion_fd().expect("not a poll queue");
        // SAFETY: it is open as long as the queue, which self shares.
        unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
    }
}

impl fmt::Debug for AsyncQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncQueue").field("outstanding", &self.outstanding()).finish_non_exhaustive()
    }
}

/// `std::future::poll_fn`, which came with Rust 1.64.
struct PollFn<F>(F);

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T> + Unpin> Future for PollFn<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        (self.0)(cx)
    }
}

struct Signal {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

mod private {
    pub trait FromData {
        fn from_data(data: crate::Data) -> Self;
    }
}

use private::FromData;

macro_rules! from_data {
    ($($variant:ident($type:ty))*) => {
        $(impl FromData for $type {
            fn from_data(data: Data) -> $type {
                match data {
                    Data::$variant(it) => it,
                    other => unreachable!("the request had {other:?}"),
                }
            }
        })*
    };
}

from_data!(Buf(Buf) Bufs(Bufs) Zones(Zones) Appended(Appended) Extents(Extents));

impl FromData for () {
    fn from_data(_: Data) {}
}

/// A request in flight: a future of its result, with the `D` that it took or made.
///
/// The request is on the queue already. When the future is dropped, the request goes on, and keeps
/// its buffer until it completes.
#[must_use = "a request that is not awaited goes on, but its result is lost"]
pub struct Request<D> {
    shared: Rc<Shared>,
    meeting: Option<Token>,
    data: PhantomData<fn() -> D>,
}

impl<D: FromData> Future for Request<D> {
    /// Whether the request succeeded, and its data. After a failed read, a buffer may hold anything.
    type Output = (Result<()>, D);

    /// # Panics
    /// After it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = cx.waker().clone();
        let meeting = self.meeting.take().expect("a future is not polled after it was ready");
        let before = mem::take(&mut *meeting.state.borrow_mut());
        if let State::Done(result, data) = before {
            self.shared.recycle(meeting);
            return Poll::Ready((result, D::from_data(data)));
        }
        *meeting.state.borrow_mut() = State::Waiting(Some(waker));
        self.meeting = Some(meeting);
        drop(before); // another's waker
        Poll::Pending
    }
}

impl<D> Drop for Request<D> {
    fn drop(&mut self) {
        if let Some(meeting) = self.meeting.take() {
            let before = match &mut *meeting.state.borrow_mut() {
                State::Waiting(waker) => waker.take(),
                _ => None,
            };
            drop(before);
            self.shared.recycle(meeting);
        }
    }
}

impl<D> fmt::Debug for Request<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = match &self.meeting {
            Some(meeting) => matches!(*meeting.state.borrow(), State::Done(..)),
            None => true,
        };
        f.debug_struct("Request").field("ready", &ready).finish_non_exhaustive()
    }
}
