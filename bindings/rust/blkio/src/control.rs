// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that wait for a device or a server: how to make them without waiting, and how to end them
//! early.

use crate::error::Result;
use crate::instance::Instance;
use std::fmt;
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

/// Ends the calls on one instance that other threads make. It can be cloned, sent and shared, and
/// does not keep the device open.
///
/// ```
/// let config = blkio::Config::new("null")?;
/// let canceller = config.canceller();
/// std::thread::spawn(move || canceller.cancel());
/// match config.connect() {
///     Err(error) => assert_eq!(error.errno(), blkio::errno::ECANCELED),
///     Ok(_connected) => {} // it did not wait for anything
/// }
/// # Ok::<(), blkio::Error>(())
/// ```
#[derive(Clone)]
pub struct Canceller {
    instance: Weak<Instance>,
}

impl Canceller {
    pub(crate) fn new(instance: &Arc<Instance>) -> Canceller {
        Canceller { instance: Arc::downgrade(instance) }
    }

    /// Lets a call that is in progress on the instance, and waits for the device or for a server, fail
    /// soon with `ECANCELED`. If there is no such call, or no instance any more, nothing happens.
    /// Requests are not cancelled. If it is the end of a queue that is cancelled, buffers in flight
    /// may be leaked.
    pub fn cancel(&self) {
        if let Some(instance) = self.instance.upgrade() {
            instance.cancel();
        }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

/// A call that a thread of the library makes: [`Config::connect_async()`] or
/// [`Connected::start_async()`].
///
/// Its file descriptor becomes readable when the call is over; it must not be read.
/// [`finish()`](Pending::finish) then returns the result without waiting. As futures:
/// `blkio::tokio::finish()` and `blkio::async_io::finish()`.
///
/// When it is dropped before, the call is cancelled and the device closed, without waiting, except
/// for a device that was given as a [descriptor](crate::Config::fd).
///
/// [`Config::connect_async()`]: crate::Config::connect_async
/// [`Connected::start_async()`]: crate::Connected::start_async
#[must_use = "a call that is dropped is cancelled"]
pub struct Pending<T> {
    /// None: it is finished.
    instance: Option<Arc<Instance>>,
    /// Of the caller, until connecting has succeeded.
    fd: Option<OwnedFd>,
    control_fd: RawFd,
    next: fn(Arc<Instance>) -> Result<T>,
}

impl<T> Pending<T> {
    /// Of a call that was started; `next` makes what the call leads to of the instance.
    pub(crate) fn new(
        instance: Arc<Instance>,
        control_fd: RawFd,
        fd: Option<OwnedFd>,
        next: fn(Arc<Instance>) -> Result<T>,
    ) -> Pending<T> {
        Pending { instance: Some(instance), fd, control_fd, next }
    }

    fn instance(&self) -> &Arc<Instance> {
        self.instance.as_ref().expect("finish() takes self")
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the call; `ECANCELED`: it was cancelled.
    pub fn finish(mut self) -> Result<T> {
        (self.next)(self.collect()?)
    }

    fn collect(&mut self) -> Result<Arc<Instance>> {
        let instance = self.instance.take().expect("finish() takes self");
        instance.finish_call()?;
        // The library owns it now.
        if let Some(fd) = self.fd.take() {
            let _ = fd.into_raw_fd();
        }
        Ok(instance)
    }

    /// Lets the call fail soon with `ECANCELED`, if it waits for the device or for a server.
    pub fn cancel(&self) {
        self.instance().cancel();
    }

    /// A handle with which another thread can do the same.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.instance())
    }
}

impl<T> Drop for Pending<T> {
    /// Only the result tells whose the descriptor is.
    fn drop(&mut self) {
        if self.fd.is_some() && self.instance.is_some() {
            self.cancel();
            drop(self.collect());
        }
    }
}

impl<T> AsRawFd for Pending<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.control_fd
    }
}

impl<T> AsFd for Pending<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is open as long as the instance, which self has.
        unsafe { BorrowedFd::borrow_raw(self.control_fd) }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("fd", &self.control_fd).finish_non_exhaustive()
    }
}
