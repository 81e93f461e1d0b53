// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queues: requests go in with what they need, and completions come out with it.

use crate::completion::{Completion, Data, Status};
use crate::error::{check, errno, Error, Result};
use crate::extent::Extents;
use crate::instance::{timespec, Instance};
use crate::memory::{Buf, Bufs};
use crate::slots::Slots;
use crate::sys::{self, c_int};
use crate::zone::{Appended, Zones};
use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::BitOr;
use std::os::unix::io::{AsRawFd, BorrowedFd, FromRawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

/// Completions that are fetched at once.
const BATCH: usize = 64;

/// How a write is to be done. Flags are combined with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// All writes: the data is on stable storage before completion.
    pub const FUA: Flags = Flags(sys::BLKIO_REQ_FUA);
    /// Write zeroes: keep the space allocated.
    pub const NO_UNMAP: Flags = Flags(sys::BLKIO_REQ_NO_UNMAP);
    /// Write zeroes: fail with `ENOTSUP` rather than write buffers of zeroes.
    pub const NO_FALLBACK: Flags = Flags(sys::BLKIO_REQ_NO_FALLBACK);
    /// Write, writev: all of it or nothing, also if power fails. `atomic-write-unit-max` says how
    /// much that may be.
    pub const ATOMIC: Flags = Flags(sys::BLKIO_REQ_ATOMIC);
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// A queue of a device. A thread puts requests on it and collects their completions; with each
/// request goes a token of type `T`, which comes back with the completion.
///
/// A request never fails when it is queued: its completion says so. `start` and lengths are in
/// bytes and must be multiples of `request-alignment`. Requests that are in flight together are not
/// ordered. The device may see a request at once, and sees it by the next [`submit()`](Queue::submit)
/// or [`wait()`](Queue::wait).
///
/// A queue can move to another thread, but not be shared. (With the property `single-issuer`, the
/// thread that first waits must remain the only one.)
///
/// Dropping a queue ends its requests as `blkio_remove_queue()` does: it waits for them for up to
/// 5 seconds (10 for the last queue, whose device is then reset), and cancels what can be cancelled.
/// Buffers that the device may still access afterwards are leaked. A queue that is leaked itself
/// keeps its buffers, and its device open.
pub struct Queue<T> {
    q: NonNull<sys::blkioq>,
    slots: Slots<T>,
    /// Room for completions: its length remains 0. Those from next to end are there for pop() to take.
    batch: Vec<sys::blkio_completion>,
    next: *const sys::blkio_completion,
    end: *const sys::blkio_completion,
    index: c_int,
    poll: bool,
    /// Another Queue has taken over.
    moved: bool,
    instance: Arc<Instance>,
    not_sync: PhantomData<Cell<()>>,
}

// SAFETY: the library ties a queue to no thread (with "single-issuer", the kernel refuses others).
// The queue has all that its requests refer to, and that can be sent: T, and data.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    /// # Safety
    /// `q` is the queue of the instance with this index and kind, which was counted, and for which
    /// there is no other `Queue`.
    pub(crate) unsafe fn new(
        q: NonNull<sys::blkioq>,
        index: c_int,
        poll: bool,
        instance: Arc<Instance>,
    ) -> Queue<T> {
        let batch = Vec::with_capacity(BATCH);
        Queue {
            q,
            slots: Slots::new(),
            next: batch.as_ptr(),
            end: batch.as_ptr(),
            batch,
            index,
            poll,
            moved: false,
            instance,
            not_sync: PhantomData,
        }
    }

    pub(crate) fn is_of(&self, instance: &Arc<Instance>) -> bool {
        Arc::ptr_eq(&self.instance, instance)
    }

    /// The same queue with tokens of another type.
    ///
    /// # Errors
    /// `EBUSY`: there are requests that [`pop()`](Queue::pop) has not handed back. They end as the
    /// queue is dropped.
    pub fn with_token<U>(mut self) -> Result<Queue<U>> {
        if self.outstanding() > 0 {
            let n = self.outstanding();
            return Err(Error::new(errno::EBUSY, format!("the queue has {n} requests outstanding")));
        }
        self.moved = true;
        // SAFETY: self will not use the queue again.
        Ok(unsafe { Queue::new(self.q, self.index, self.poll, self.instance.clone()) })
    }

    /// Whether it is a poll queue: the device does not interrupt, and there is no completion fd.
    pub fn is_poll(&self) -> bool {
        self.poll
    }

    /// The number of requests whose completion [`pop()`](Queue::pop) has not returned.
    pub fn outstanding(&self) -> usize {
        self.slots.len()
    }

    // ---- Requests -------------------------------------------------------------------------------

    /// Reads into the buffer, as many bytes as it has.
    #[inline]
    pub fn read(&mut self, start: u64, buf: Buf, token: T) {
        let (bytes, len) = buf.raw();
        let (user, _) = self.slots.put(Data::Buf(buf), token);
        // SAFETY: a queue; the slot has the buffer until the completion.
        unsafe { sys::blkioq_read(self.q.as_ptr(), start, bytes.cast(), len, user, 0) }
    }

    /// Writes all bytes of the buffer.
    #[inline]
    pub fn write(&mut self, start: u64, buf: Buf, flags: Flags, token: T) {
        let (bytes, len) = buf.raw();
        let (user, _) = self.slots.put(Data::Buf(buf), token);
        // SAFETY: as in read().
        unsafe { sys::blkioq_write(self.q.as_ptr(), start, bytes.cast(), len, user, flags.0) }
    }

    /// Reads into several buffers, one after the other. There may be `max-segments` of them.
    #[inline]
    pub fn readv(&mut self, start: u64, bufs: impl Into<Bufs>, token: T) {
        let (user, data) = self.slots.put(Data::Bufs(bufs.into()), token);
        if let Data::Bufs(bufs) = data {
            let (iov, n) = bufs.raw();
            // SAFETY: a queue; the slot has the buffers and the array until the completion.
            unsafe { sys::blkioq_readv(self.q.as_ptr(), start, iov, n, user, 0) }
        }
    }

    /// Writes several buffers, one after the other. There may be `max-segments` of them.
    #[inline]
    pub fn writev(&mut self, start: u64, bufs: impl Into<Bufs>, flags: Flags, token: T) {
        let (user, data) = self.slots.put(Data::Bufs(bufs.into()), token);
        if let Data::Bufs(bufs) = data {
            let (iov, n) = bufs.raw();
            // SAFETY: as in readv().
            unsafe { sys::blkioq_writev(self.q.as_ptr(), start, iov, n, user, flags.0) }
        }
    }

    /// Makes the range of `len` bytes read as zeroes, without transferring them where the device can
    /// do that.
    pub fn write_zeroes(&mut self, start: u64, len: u64, flags: Flags, token: T) {
        let (user, _) = self.slots.put(Data::None, token);
        // SAFETY: a queue.
        unsafe { sys::blkioq_write_zeroes(self.q.as_ptr(), start, len, user, flags.0) }
    }

    /// Tells the device that the range of `len` bytes is no longer needed. Its contents are then
    /// undefined.
    pub fn discard(&mut self, start: u64, len: u64, token: T) {
        let (user, _) = self.slots.put(Data::None, token);
        // SAFETY: a queue.
        unsafe { sys::blkioq_discard(self.q.as_ptr(), start, len, user, 0) }
    }

    /// Puts on stable storage all writes that completed before this call.
    pub fn flush(&mut self, token: T) {
        let (user, _) = self.slots.put(Data::None, token);
        // SAFETY: a queue.
        unsafe { sys::blkioq_flush(self.q.as_ptr(), user, 0) }
    }

    /// Describes up to `n` zones, from the one that contains `start`. The completion's data is
    /// [`Data::Zones`].
    pub fn report_zones(&mut self, start: u64, n: u32, token: T) {
        let (user, data) = self.slots.put(Data::Zones(Zones::with_room(n)), token);
        if let Data::Zones(zones) = data {
            let (room, n) = zones.report.raw();
            // SAFETY: a queue; the slot has the zones until the completion.
            unsafe { sys::blkioq_report_zones(self.q.as_ptr(), start, room.cast(), n, user, 0) }
        }
    }

    /// Writes all bytes of the buffer at the write pointer of the zone that starts at `zone`: up to
    /// `zone-append-max-bytes`. The device chooses where, so any number of requests, also of several
    /// queues, can write to a zone at the same time. The completion's data is [`Data::Appended`]. With
    /// a driver or device without the operation, it is `ENOTSUP`.
    pub fn zone_append(&mut self, zone: u64, buf: Buf, flags: Flags, token: T) {
        let (user, data) = self.slots.put(Data::Appended(Appended::of(buf)), token);
        if let Data::Appended(appended) = data {
            let (bytes, len) = appended.inner.buf.raw();
            let (q, at) = (self.q.as_ptr(), &mut appended.inner.start);
            // SAFETY: a queue; the slot has the buffer and the offset until the completion.
            unsafe { sys::blkioq_zone_append(q, zone, bytes.cast(), len, at, user, flags.0) }
        }
    }

    /// Finds out which blocks of the range of `len` bytes are allocated, and which are known to read
    /// as zeroes: up to `n` extents. They may cover less than the range: ask again from the end of the
    /// last one. There is at least one unless `len` or `n` is 0. The completion's data is
    /// [`Data::Extents`]. With a driver or device that cannot tell, it is `ENOTSUP`.
    pub fn block_status(&mut self, start: u64, len: u64, n: u32, token: T) {
        let (user, data) = self.slots.put(Data::Extents(Extents::with_room(n)), token);
        if let Data::Extents(extents) = data {
            let (room, n) = extents.report.raw();
            let q = self.q.as_ptr();
            // SAFETY: a queue; the slot has the extents until the completion.
            unsafe { sys::blkioq_block_status(q, start, len, room.cast(), n, user, 0) }
        }
    }

    // ---- Completions ----------------------------------------------------------------------------

    /// Submits what is queued, without waiting.
    ///
    /// # Errors
    /// `ENOMEM`, once: the library had no memory for the last requests. They will not complete, and
    /// what they took is dropped with the queue. Otherwise what the device says.
    pub fn submit(&mut self) -> Result<()> {
        // SAFETY: a queue; no completions are asked for.
        check(unsafe { sys::blkioq_do_io(self.q.as_ptr(), ptr::null_mut(), 0, 0, ptr::null_mut()) })
            .map(drop)
    }

    /// Submits what is queued and waits until [`pop()`](Queue::pop) can return at least `min`
    /// completions. Returns the number that it can.
    ///
    /// # Errors
    /// `EINVAL`: `min` is more than [`outstanding()`](Queue::outstanding); and those of
    /// [`submit()`](Queue::submit).
    #[inline]
    pub fn wait(&mut self, min: usize) -> Result<usize> {
        if self.next != self.end || min > BATCH {
            return self.wait_for_more(min);
        }
        let (q, room) = (self.q.as_ptr(), self.batch.as_mut_ptr());
        // SAFETY: a queue, and room for BATCH completions.
        let n = unsafe { sys::blkioq_do_io(q, room, min as c_int, BATCH as c_int, ptr::null_mut()) };
        let n = check(n)? as usize;
        self.next = room;
        // SAFETY: the library has filled in n of them.
        self.end = unsafe { room.add(n) };
        Ok(n)
    }

    /// wait() when there are completions already, or more are wanted than usual.
    #[cold]
    fn wait_for_more(&mut self, min: usize) -> Result<usize> {
        self.collect(min, |q, completions, min, max| {
            // SAFETY: a queue, and room for max completions.
            unsafe { sys::blkioq_do_io(q, completions, min, max, ptr::null_mut()) }
        })
    }

    /// Like [`wait()`](Queue::wait), but not for longer than `timeout`.
    ///
    /// # Errors
    /// Those of [`wait()`](Queue::wait); `ETIME`: the time is over. The completions that came are not
    /// lost: `wait(0)` fetches them.
    pub fn wait_timeout(&mut self, min: usize, timeout: Duration) -> Result<usize> {
        let mut time = timespec(timeout);
        self.collect(min, |q, completions, min, max| {
            // SAFETY: a queue, room for max completions, a timeout.
            unsafe { sys::blkioq_do_io(q, completions, min, max, &mut time) }
        })
    }

    /// Like [`wait()`](Queue::wait) or [`wait_timeout()`](Queue::wait_timeout), but a signal that the
    /// thread handles ends the wait.
    ///
    /// # Errors
    /// Those of these functions; `EINTR`: there was a signal. `ENOTSUP`: a poll queue, with `min`
    /// above 0.
    pub fn wait_interruptible(&mut self, min: usize, timeout: Option<Duration>) -> Result<usize> {
        let mut time = timeout.map(timespec);
        let time = time.as_mut().map_or(ptr::null_mut(), |t| t as *mut _);
        self.collect(min, |q, completions, min, max| {
            // SAFETY: a queue, room for max completions, a timeout or NULL; the mask stays.
            unsafe {
                sys::blkioq_do_io_interruptible(q, completions, min, max, time, ptr::null())
            }
        })
    }

    /// A completion that [`wait()`](Queue::wait) has fetched.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion<T>> {
        if self.next == self.end {
            return None;
        }
        let done = self.next;
        // SAFETY: next is before the end of what the library has filled in of the batch.
        Some(unsafe {
            self.next = done.add(1);
            self.complete(&*done)
        })
    }

    /// Waits for one completion and returns it. This is the fastest way where one request at a time
    /// is outstanding.
    ///
    /// # Errors
    /// `EINVAL`: no request is outstanding; and those of [`submit()`](Queue::submit).
    #[inline]
    pub fn wait_one(&mut self) -> Result<Completion<T>> {
        if let Some(done) = self.pop() {
            return Ok(done);
        }
        let mut done = MaybeUninit::uninit();
        let (q, room) = (self.q.as_ptr(), done.as_mut_ptr());
        // SAFETY: a queue, and room for a completion.
        check(unsafe { sys::blkioq_do_io(q, room, 1, 1, ptr::null_mut()) })?;
        // SAFETY: the library has filled it in: it returns at least one.
        Ok(unsafe { self.complete(done.assume_init_ref()) })
    }

    /// # Safety
    /// `done` is the completion of a request of this queue.
    #[inline]
    unsafe fn complete(&mut self, done: &sys::blkio_completion) -> Completion<T> {
        // SAFETY: the request that the slot with this user_data is of has completed.
        let (mut data, token) = unsafe { self.slots.take(done.user_data) };
        if done.ret > 0 {
            data.filled(done.ret as usize);
        }
        // SAFETY: NULL or static text.
        let message = unsafe { done.error_msg.as_ref() };
        Completion { token, data, status: Status { ret: done.ret, message } }
    }

    /// Has `do_io` fetch what is missing of `min` completions, and more if there are.
    fn collect(
        &mut self,
        min: usize,
        do_io: impl FnOnce(*mut sys::blkioq, *mut sys::blkio_completion, c_int, c_int) -> c_int,
    ) -> Result<usize> {
        // SAFETY: both point into the batch.
        let have = unsafe { self.end.offset_from(self.next) } as usize;
        let need = min.saturating_sub(have);
        let most = self.outstanding();
        if min > most {
            let what = format!("min is {min} but only {most} requests are outstanding");
            return Err(Error::new(errno::EINVAL, what));
        }
        self.make_room(have, need);
        let room = self.end as *mut sys::blkio_completion;
        let max = (self.batch.capacity() - have).min(c_int::MAX as usize);
        let n = check(do_io(self.q.as_ptr(), room, need as c_int, max as c_int))? as usize;
        // SAFETY: the library has filled in n of them.
        self.end = unsafe { room.add(n) };
        Ok(have + n)
    }

    /// Puts what pop() has left at the beginning of a batch that has room for more.
    fn make_room(&mut self, have: usize, need: usize) {
        let mut old = None;
        if self.batch.capacity() - have < need.max(1) {
            let larger = Vec::with_capacity(have + need.max(BATCH));
            old = Some(std::mem::replace(&mut self.batch, larger));
        }
        let start = self.batch.as_mut_ptr();
        // SAFETY: the library has filled in those from next on; the batch, which is now that or a
        // larger one, has room for them.
        unsafe {
            ptr::copy(self.next, start, have);
            self.end = start.add(have);
        }
        self.next = start;
        drop(old);
    }

    // ---- Completion fd --------------------------------------------------------------------------

    /// An eventfd that becomes readable when [`wait()`](Queue::wait) should be called, once it is
    /// enabled. `None`: a poll queue has none.
    pub fn completion_fd(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.raw_completion_fd();
        // SAFETY: it is open as long as the queue.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    pub(crate) fn raw_completion_fd(&self) -> c_int {
        // SAFETY: a queue.
        unsafe { sys::blkioq_get_completion_fd(self.q.as_ptr()) }
    }

    /// Lets the completion fd signal, also for requests that are in flight already. At first it does
    /// not.
    pub fn enable_completion_fd(&mut self, enable: bool) {
        // SAFETY: a queue.
        unsafe { sys::blkioq_set_completion_fd_enabled(self.q.as_ptr(), enable) }
    }

    /// Makes the completion fd unreadable. To be called before [`wait()`](Queue::wait), so that no
    /// completion is missed.
    pub fn clear_completion_fd(&self) {
        if let Some(fd) = self.completion_fd() {
            // SAFETY: an open descriptor, which ManuallyDrop keeps open.
            let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) });
            // It does not block, and fails when it was not readable.
            let _ = (&*file).read(&mut [0; 8]);
        }
    }
}

macro_rules! zone_requests {
    ($($one:ident $all:ident $blkioq_one:ident $blkioq_all:ident $what:literal),*) => {
        /// Requests that change the state of zones. On a device without zones they complete with
        /// `ENOTSUP`.
        impl<T> Queue<T> {
            $(
                #[doc = concat!($what, " the zone that starts at `start`.")]
                pub fn $one(&mut self, start: u64, token: T) {
                    let (user, _) = self.slots.put(Data::None, token);
                    // SAFETY: a queue.
                    unsafe { sys::$blkioq_one(self.q.as_ptr(), start, user, 0) }
                }

                #[doc = concat!($what, " all zones whose state allows it.")]
                pub fn $all(&mut self, token: T) {
                    let (user, _) = self.slots.put(Data::None, token);
                    // SAFETY: a queue.
                    unsafe { sys::$blkioq_all(self.q.as_ptr(), user, 0) }
                }
            )*
        }
    };
}

zone_requests! {
    open_zone open_all_zones blkioq_open_zone blkioq_open_all_zones "Opens",
    close_zone close_all_zones blkioq_close_zone blkioq_close_all_zones "Closes",
    finish_zone finish_all_zones blkioq_finish_zone blkioq_finish_all_zones "Makes full",
    reset_zone reset_all_zones blkioq_reset_zone blkioq_reset_all_zones "Empties"
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        // SAFETY: this was the only Queue of this index and kind, and it ends here.
        if unsafe { self.instance.end_queue(self.index, self.poll) } {
            // SAFETY: no request is in flight any more, and no completion is taken after this.
            unsafe { self.slots.drop_all() }
        } else {
            // What is in the slots stays. So must the instance, even if there are no buffers.
            std::mem::forget(self.instance.clone());
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("index", &self.index)
            .field("poll", &self.poll)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

