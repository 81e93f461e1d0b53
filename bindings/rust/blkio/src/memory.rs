// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory regions, and the buffers that are taken from them.

use crate::error::{check, errno, Error, Result};
use crate::instance::Instance;
use crate::sys;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, slice};

/// A range of a region, in bytes from its start.
#[derive(Clone, Copy)]
struct Extent {
    start: usize,
    len: usize,
}

/// A region with all that must outlive it: the device it was allocated for, and those that it was
/// mapped into besides. Each buffer holds it.
pub(crate) struct Memory {
    raw: sys::blkio_mem_region,
    align: usize,
    allocated: bool,
    owner: Arc<Instance>,
    others: Mutex<Vec<Arc<Instance>>>,
    /// What no buffer has: in order, without neighbours.
    free: Mutex<Vec<Extent>>,
}

// SAFETY: raw is a description. Buffers, of which no two have a byte in common, access the memory.
unsafe impl Send for Memory {}
// SAFETY: likewise.
unsafe impl Sync for Memory {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(crate) fn map_raw(instance: &Instance, raw: &sys::blkio_mem_region) -> Result<()> {
        let calls = instance.calls()?;
        // SAFETY: an instance; the lock is held. The library does not access the memory.
        check(unsafe { sys::blkio_map_mem_region(calls.b(), raw) }).map(drop)
    }

    pub(crate) fn map_into(&self, instance: &Arc<Instance>) -> Result<()> {
        let mut others = lock(&self.others);
        Memory::map_raw(instance, &self.raw)?;
        others.push(instance.clone());
        Ok(())
    }

    /// The first free place for a buffer.
    fn take(&self, len: usize, align: usize) -> Option<usize> {
        let base = self.raw.addr as usize;
        let mut free = lock(&self.free);
        for i in 0..free.len() {
            let Extent { start, len: room } = free[i];
            let skip = (base + start).wrapping_neg() & (align - 1);
            if len == 0 || skip > room || len > room - skip {
                continue;
            }
            let after = Extent { start: start + skip + len, len: room - skip - len };
            free[i].len = skip;
            match (skip, after.len) {
                (0, 0) => {
                    free.remove(i);
                }
                (0, _) => free[i] = after,
                (_, 0) => {}
                (_, _) => free.insert(i + 1, after),
            }
            return Some(start + skip);
        }
        None
    }

    fn give_back(&self, mut back: Extent) {
        let mut free = lock(&self.free);
        let mut i = free.partition_point(|e| e.start < back.start);
        if i < free.len() && back.start + back.len == free[i].start {
            back.len += free[i].len;
            free.remove(i);
        }
        if i > 0 && free[i - 1].start + free[i - 1].len == back.start {
            i -= 1;
            free[i].len += back.len;
        } else {
            free.insert(i, back);
        }
    }
}

impl Drop for Memory {
    /// There is no buffer left, so no request uses the memory.
    fn drop(&mut self) {
        for other in lock(&self.others).drain(..) {
            other.release(&self.raw, false);
        }
        self.owner.release(&self.raw, self.allocated);
    }
}

/// Memory that requests can use. Buffers are taken from it, and return to it when they are dropped.
/// A clone is the same region. It is freed when all clones and all its buffers are dropped.
#[derive(Clone)]
pub struct Region {
    memory: Arc<Memory>,
}

impl Region {
    /// # Safety
    /// The memory is mapped into `owner`, initialized, and accessed by nobody but the region. When
    /// `allocated`, it is to be freed with `blkio_free_mem_region()`.
    pub(crate) unsafe fn new(
        raw: sys::blkio_mem_region,
        align: usize,
        allocated: bool,
        owner: Arc<Instance>,
    ) -> Region {
        let free = Mutex::new(vec![Extent { start: 0, len: raw.len }]);
        let others = Mutex::new(Vec::new());
        Region { memory: Arc::new(Memory { raw, align, allocated, owner, others, free }) }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.memory.raw.len
    }

    /// A buffer of this length in bytes, at a multiple of `optimal-buf-alignment`. Its contents are
    /// zeroes, or what the buffer that was there before contained.
    ///
    /// # Errors
    /// `ENOMEM`: no such buffer is free; `EINVAL`: `len` is 0.
    pub fn take(&self, len: usize) -> Result<Buf> {
        self.take_aligned(len, self.memory.align)
    }

    /// A buffer at a multiple of `align` bytes, for a device that needs more than this one.
    ///
    /// # Errors
    /// `ENOMEM`: no such buffer is free; `EINVAL`: `len` is 0, or `align` is not a power of two.
    pub fn take_aligned(&self, len: usize, align: usize) -> Result<Buf> {
        if len == 0 || !align.is_power_of_two() {
            let what = format!("a buffer cannot have {len} bytes, aligned to {align}");
            return Err(Error::new(errno::EINVAL, what));
        }
        let start = self.memory.take(len, align).ok_or_else(|| {
            let all = self.len();
            let what = format!("the region of {all} bytes has no {len} contiguous bytes free");
            Error::new(errno::ENOMEM, what)
        })?;
        // SAFETY: start is less than the length of the region.
        let first = unsafe { self.memory.raw.addr.cast::<u8>().add(start) };
        let start = NonNull::new(first).expect("memory is not at NULL");
        Ok(Buf { part: Box::new(Part { start, len, memory: self.memory.clone() }) })
    }

    /// As many buffers of this length as are free.
    ///
    /// # Errors
    /// `ENOMEM`: not even one is free; `EINVAL`: `len` is 0.
    pub fn take_all(&self, len: usize) -> Result<Vec<Buf>> {
        let mut all = vec![self.take(len)?];
        while let Ok(next) = self.take(len) {
            all.push(next);
        }
        Ok(all)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A buffer: bytes of a region that nobody else has. A request takes it, and the completion gives it
/// back, so that it cannot be accessed in between.
pub struct Buf {
    /// In a box because requests and completions move buffers: a pointer is less to move.
    part: Box<Part>,
}

struct Part {
    start: NonNull<u8>,
    len: usize,
    memory: Arc<Memory>,
}

// SAFETY: a part owns its bytes, as Box<[u8]> does.
unsafe impl Send for Part {}
// SAFETY: likewise.
unsafe impl Sync for Part {}

impl Buf {
    /// Where the bytes are, for a request that has the buffer.
    #[inline]
    pub(crate) fn raw(&self) -> (*mut u8, usize) {
        (self.part.start.as_ptr(), self.part.len)
    }

    /// Cuts the buffer in two; the first has `at` bytes.
    ///
    /// # Panics
    /// When `at` is 0, or not less than the length.
    pub fn split(mut self, at: usize) -> (Buf, Buf) {
        let Part { start, len, memory } = &*self.part;
        assert!(0 < at && at < *len, "cannot split {len} bytes at {at}");
        // SAFETY: at is less than the length.
        let start = unsafe { NonNull::new_unchecked(start.as_ptr().add(at)) };
        let second = Part { start, len: len - at, memory: memory.clone() };
        self.part.len = at;
        (self, Buf { part: Box::new(second) })
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: these bytes of the region are initialized, and this buffer's alone; the region
        // exists as long as the buffer.
        unsafe { slice::from_raw_parts(self.part.start.as_ptr(), self.part.len) }
    }
}

impl DerefMut for Buf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref(), and the buffer is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.part.start.as_ptr(), self.part.len) }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf").field("len", &self.part.len).finish_non_exhaustive()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let start = self.start.as_ptr() as usize - self.memory.raw.addr as usize;
        self.memory.give_back(Extent { start, len: self.len });
    }
}

/// The buffers of one vectored request. Its memory is reused when it goes into another request.
pub struct Bufs {
    inner: Box<Vector>,
}

struct Vector {
    bufs: Vec<Buf>,
    iov: Vec<sys::iovec>,
}

// SAFETY: iov says where the buffers are, for a request that has them; nothing here reads it.
unsafe impl Send for Vector {}
// SAFETY: likewise.
unsafe impl Sync for Vector {}

impl Bufs {
    /// The buffers themselves.
    pub fn into_vec(self) -> Vec<Buf> {
        self.inner.bufs
    }

    /// For a request that has the buffers: the array stays where it is until the next call.
    pub(crate) fn raw(&mut self) -> (*mut sys::iovec, i32) {
        let Vector { bufs, iov } = &mut *self.inner;
        iov.clear();
        iov.extend(bufs.iter().map(Buf::raw).map(|(start, len)| sys::iovec {
            iov_base: start.cast(),
            iov_len: len,
        }));
        (iov.as_mut_ptr(), iov.len().try_into().unwrap_or(i32::MAX))
    }
}

impl From<Vec<Buf>> for Bufs {
    fn from(bufs: Vec<Buf>) -> Bufs {
        let iov = Vec::with_capacity(bufs.len());
        Bufs { inner: Box::new(Vector { bufs, iov }) }
    }
}

impl Deref for Bufs {
    type Target = [Buf];

    fn deref(&self) -> &[Buf] {
        &self.inner.bufs
    }
}

impl DerefMut for Bufs {
    fn deref_mut(&mut self) -> &mut [Buf] {
        &mut self.inner.bufs
    }
}

impl fmt::Debug for Bufs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
