// SPDX-License-Identifier: MIT OR Apache-2.0
//! The instance of the library that everything of one device shares, and the one place that calls
//! `blkio_*()` functions on it: they must not overlap, so each holds the lock.

use crate::error::{check, errno, Error, Result};
use crate::property::{c_string, Get, Set};
use crate::sys::{self, c_int};
use std::ffi::CStr;
use std::os::raw::c_ulong;
use std::os::unix::io::{FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const POLLIN: i16 = 1;

/// `struct pollfd` of the C library.
#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

extern "C" {
    fn poll(fds: *mut PollFd, n: c_ulong, timeout_ms: c_int) -> c_int;
}

/// A function of the library that starts a call.
pub(crate) type StartCall = unsafe extern "C" fn(*mut sys::blkio) -> c_int;

/// How long a queue or an instance may take to end, as in `blkio_destroy()`.
const END: Duration = Duration::from_secs(5);

pub(crate) struct Instance {
    b: NonNull<sys::blkio>,
    state: Mutex<State>,
}

/// What the lock protects besides the calls.
struct State {
    /// Queues that a thread may be using: those not dropped. A forgotten one counts for ever.
    live: usize,
    drained: Drained,
    /// An asynchronous call was started, and its result is not collected. This is readable when it is
    /// over.
    pending: Option<RawFd>,
}

#[derive(Clone, Copy, PartialEq)]
enum Drained {
    No,
    /// Nothing accesses the memory of requests any more.
    Quiet,
    /// Something may.
    Stuck,
}

// SAFETY: the library does not tie an instance to a thread. blkio_*() calls on it must not overlap,
// which the lock ensures.
unsafe impl Send for Instance {}
// SAFETY: likewise.
unsafe impl Sync for Instance {}

/// The permission to call `blkio_*()` functions on the instance, as long as it exists.
pub(crate) struct Calls<'a> {
    b: NonNull<sys::blkio>,
    state: MutexGuard<'a, State>,
}

/// For a timeout of the library. One that is too large for it is as good as none.
pub(crate) fn timespec(time: Duration) -> sys::timespec {
    let tv_sec = time.as_secs().try_into().unwrap_or(i64::MAX);
    sys::timespec { tv_sec, tv_nsec: time.subsec_nanos().into() }
}

impl Instance {
    pub(crate) fn create(driver: &str) -> Result<Instance> {
        let driver = c_string(driver)?;
        let mut b = ptr::null_mut();
        // SAFETY: a string, and a place for the instance.
        check(unsafe { sys::blkio_create(driver.as_ptr(), &mut b) })?;
        let b = NonNull::new(b).expect("blkio_create() succeeded");
        Ok(Instance { b, state: Mutex::new(State { live: 0, drained: Drained::No, pending: None }) })
    }

    /// For calls that end something. They cannot fail because of an earlier panic: the state is
    /// whole whenever the lock is free.
    fn lock(&self) -> Calls<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Calls { b: self.b, state }
    }

    /// # Errors
    /// `ECANCELED`: a drained instance takes no more calls.
    pub(crate) fn calls(&self) -> Result<Calls<'_>> {
        let calls = self.lock();
        if calls.state.drained != Drained::No {
            return Err(Error::new(
                errno::ECANCELED,
                "the device has been drained: drop it and connect to it again",
            ));
        }
        Ok(calls)
    }

    /// Lets the call that is in progress in another thread fail.
    pub(crate) fn cancel(&self) {
        // SAFETY: an instance, which is not destroyed while self is borrowed. This is the one call
        // that may overlap with others.
        unsafe { sys::blkio_cancel(self.b.as_ptr()) }
    }

    /// Starts a call on a thread of the library. Returns the descriptor that is readable when it is
    /// over. Meanwhile the library refuses all other calls, so there must be no queue.
    pub(crate) fn start_call(&self, start: StartCall) -> Result<RawFd> {
        let mut calls = self.calls()?;
        // SAFETY: an instance; the lock is held.
        let fd = check(unsafe { sys::blkio_get_control_fd(calls.b()) })?;
        // SAFETY: likewise.
        check(unsafe { start(calls.b()) })?;
        calls.state.pending = Some(fd);
        Ok(fd)
    }

    /// Waits until the call that was started is over, and returns its result.
    pub(crate) fn finish_call(&self) -> Result<()> {
        let mut calls = self.lock();
        let fd = calls.state.pending.take().expect("a call was started");
        let mut readable = PollFd { fd, events: POLLIN, revents: 0 };
        // SAFETY: one descriptor. A signal only makes it return early.
        while unsafe { poll(&mut readable, 1, -1) } <= 0 {}
        // SAFETY: an instance; the lock is held.
        check(unsafe { sys::blkio_control_result(calls.b()) }).map(drop)
    }

    pub(crate) fn get<V: Get>(&self, name: &str) -> Result<V> {
        let name = c_string(name)?;
        let calls = self.calls()?;
        // SAFETY: an instance; the lock is held.
        unsafe { V::get(calls.b, &name) }
    }

    pub(crate) fn set<S: Set>(&self, name: &CStr, value: S) -> Result<()> {
        let calls = self.calls()?;
        // SAFETY: an instance; the lock is held.
        unsafe { value.set(calls.b, name) }
    }

    /// The memory is no longer used by any request. After draining, only destroying is left, which
    /// unmaps and frees all regions.
    pub(crate) fn release(&self, region: &sys::blkio_mem_region, allocated: bool) {
        let calls = self.lock();
        if calls.state.drained != Drained::No {
            return;
        }
        // SAFETY: an instance; the lock is held; no request uses the region.
        unsafe {
            if allocated {
                sys::blkio_free_mem_region(calls.b.as_ptr(), region);
            } else {
                sys::blkio_unmap_mem_region(calls.b.as_ptr(), region);
            }
        }
    }

    /// Ends all requests of all queues.
    ///
    /// # Safety
    /// No thread uses a queue of this instance during the call: `mine` queues are the caller's.
    pub(crate) unsafe fn drain(&self, mine: usize, time: Option<Duration>) -> Result<()> {
        let mut calls = self.lock();
        let live = calls.state.live;
        if live != mine {
            return Err(Error::new(
                errno::EBUSY,
                format!("draining needs all {live} queues of the device, got {mine}"),
            ));
        }
        // SAFETY: nobody else uses a queue.
        unsafe { calls.drain(time) }
    }

    /// The end of a queue that its owner dropped. Returns whether nothing accesses the memory of its
    /// requests any more.
    ///
    /// # Safety
    /// The index is that of a queue which is not used any more.
    pub(crate) unsafe fn end_queue(&self, index: c_int, poll: bool) -> bool {
        let mut calls = self.lock();
        calls.state.live -= 1;
        let quiet = match calls.state.drained {
            Drained::Quiet => true,
            Drained::Stuck => false,
            // SAFETY: an instance; the lock is held; the queue is not used.
            Drained::No => 0 == unsafe {
                if poll {
                    sys::blkio_remove_poll_queue(calls.b.as_ptr(), index)
                } else {
                    sys::blkio_remove_queue(calls.b.as_ptr(), index)
                }
            },
        };
        // Draining can do more than removing: it resets a device.
        // SAFETY: no queue is left that anyone could use.
        quiet || calls.state.live == 0 && unsafe { calls.drain(Some(END)) }.is_ok()
    }
}

impl Calls<'_> {
    /// For a `blkio_*()` call on the instance.
    pub(crate) fn b(&self) -> *mut sys::blkio {
        self.b.as_ptr()
    }

    /// A queue was made.
    pub(crate) fn count_queue(&mut self) {
        self.state.live += 1;
    }

    /// # Safety
    /// No thread uses a queue of this instance during the call.
    unsafe fn drain(&mut self, time: Option<Duration>) -> Result<()> {
        let mut left = time.map(timespec);
        let left = left.as_mut().map_or(ptr::null_mut(), |l| l as *mut _);
        // SAFETY: an instance, no call on which is in progress; NULL or a timeout.
        let done = check(unsafe { sys::blkio_drain(self.b.as_ptr(), left) });
        self.state.drained = if done.is_ok() { Drained::Quiet } else { Drained::Stuck };
        done.map(drop)
    }
}

impl Drop for Instance {
    /// Destroys the instance, unless the device may still access memory: then it is leaked. Buffers
    /// in flight hold their region and that holds the instance, so this is the last of all.
    fn drop(&mut self) {
        let mut b = self.b.as_ptr();
        let mut calls = self.lock();
        // SAFETY: nobody else has the instance, and without queues there are no requests.
        if calls.state.pending.is_some() && unsafe { destroy_on_thread(&mut b) } {
            return;
        }
        // SAFETY: nobody else has the instance.
        if calls.state.pending.is_some() || unsafe { calls.drain(Some(END)) }.is_ok() {
            // SAFETY: an instance, and nobody has it any more.
            unsafe { sys::blkio_destroy(&mut b) }
        }
    }
}

/// Returns whether a thread of the library destroys the instance.
///
/// # Safety
/// `b` is an instance that nobody uses any more.
unsafe fn destroy_on_thread(b: &mut *mut sys::blkio) -> bool {
    let mut fd = -1;
    // SAFETY: as promised; a place for the descriptor.
    if unsafe { sys::blkio_destroy_async(b, &mut fd) } < 0 {
        return false;
    }
    // SAFETY: it is the caller's, and tells when the instance is gone. Nobody asks.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    true
}
