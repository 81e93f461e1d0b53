// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the requests of a queue have taken, until they complete. A request's user_data is the
//! address of its slot.

use crate::completion::Data;
use std::mem::MaybeUninit;
use std::os::raw::c_void;
use std::ptr;

const CHUNK: usize = 64;

/// Data stays in its slot, and nothing looks at it there: MaybeUninit is moved as plain bytes, and
/// slots do not move, so that the pointers which the device has remain valid.
struct Slot<T> {
    data: MaybeUninit<Data>,
    token: MaybeUninit<T>,
    used: bool,
    next: *mut Slot<T>,
}

pub(crate) struct Slots<T> {
    /// Addresses from Box::into_raw(), so that nothing claims the slots as its own.
    chunks: Vec<*mut [Slot<T>; CHUNK]>,
    free: *mut Slot<T>,
    used: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { chunks: Vec::new(), free: ptr::null_mut(), used: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Returns the user_data, and the data where it now is: pointers into it must be made from this.
    #[inline]
    pub(crate) fn put(&mut self, data: Data, token: T) -> (*mut c_void, &mut Data) {
        if self.free.is_null() {
            self.grow();
        }
        let free = self.free;
        // SAFETY: free is a slot of a chunk, which exists as long as self; self is borrowed.
        let slot = unsafe { &mut *free };
        self.free = slot.next;
        self.used += 1;
        slot.used = true;
        slot.token.write(token);
        (free.cast(), slot.data.write(data))
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let slot = |_| Slot {
            data: MaybeUninit::uninit(),
            token: MaybeUninit::uninit(),
            used: false,
            next: ptr::null_mut(),
        };
        self.chunks.reserve(1);
        let chunk = Box::into_raw(Box::new([(); CHUNK].map(slot)));
        self.chunks.push(chunk);
        for i in 0..CHUNK {
            // SAFETY: a slot of the chunk just made, to which nothing else refers.
            unsafe {
                let slot = chunk.cast::<Slot<T>>().add(i);
                (*slot).next = self.free;
                self.free = slot;
            }
        }
    }

    /// What the request with this user_data had.
    ///
    /// # Safety
    /// put() returned the user_data, and the request has completed. A second completion of the same
    /// request panics, unless another has the slot by then.
    #[inline]
    pub(crate) unsafe fn take(&mut self, user_data: *mut c_void) -> (Data, T) {
        let free: *mut Slot<T> = user_data.cast();
        // SAFETY: the user_data is a slot of a chunk; self is borrowed.
        let slot = unsafe { &mut *free };
        assert!(slot.used, "a completion of no request");
        slot.used = false;
        slot.next = self.free;
        self.free = free;
        self.used -= 1;
        // SAFETY: the slot was in use, so put() has written both, and nobody has taken them.
        unsafe { (slot.data.assume_init_read(), slot.token.assume_init_read()) }
    }

    /// Drops what all outstanding requests had.
    ///
    /// # Safety
    /// None of them is in flight, and take() will not be called for them.
    pub(crate) unsafe fn drop_all(&mut self) {
        for chunk in 0..self.chunks.len() {
            for i in 0..CHUNK {
                // SAFETY: a slot of a chunk.
                let slot: *mut Slot<T> = unsafe { self.chunks[chunk].cast::<Slot<T>>().add(i) };
                // SAFETY: likewise.
                if unsafe { (*slot).used } {
                    // SAFETY: the slot is in use; the request has ended. If dropping panics, the
                    // slot is free already, and what follows is leaked.
                    drop(unsafe { self.take(slot.cast()) });
                }
            }
        }
    }
}

impl<T> Drop for Slots<T> {
    /// Frees the slots. What is still in them is leaked: it may be in use.
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..) {
            // SAFETY: it came from Box::into_raw(), once.
            drop(unsafe { Box::from_raw(chunk) });
        }
    }
}
