// SPDX-License-Identifier: MIT OR Apache-2.0
//! The states of an instance as types, each made of the one before.

use crate::control::{Canceller, Pending};
use crate::error::{check, errno, Error, Result};
use crate::instance::{Calls, Instance};
use crate::memory::{Memory, Region};
use crate::property::{c_string, Setting, Value};
use crate::queue::Queue;
use crate::sys::{self, c_int};
use std::fmt;
use std::os::raw::c_void;
use std::os::unix::io::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

fn set<S: Setting>(instance: &Instance, name: &str, value: S) -> Result<()> {
    if name == "fd" {
        return Err(Error::new(errno::EINVAL, "\"fd\" is set by Config::fd(), which takes an OwnedFd"));
    }
    instance.set(&c_string(name)?, value)
}

/// A driver with the properties that select a device. Nothing is open yet.
pub struct Config {
    instance: Arc<Instance>,
    fd: Option<OwnedFd>,
}

impl Config {
    /// Starts with a driver; [`drivers()`](crate::drivers) has their names.
    ///
    /// # Errors
    /// `ENOENT`: there is no such driver.
    pub fn new(driver: &str) -> Result<Config> {
        Ok(Config { instance: Arc::new(Instance::create(driver)?), fd: None })
    }

    /// Sets a property. The type of the value is that of the property, or a string.
    ///
    /// # Errors
    /// `ENOENT`: there is no such property; `ENOTTY`: it has another type; `EACCES`: it cannot be
    /// set; `ENODEV`: only later; `EINVAL`: the value is not valid.
    pub fn set<S: Setting>(self, name: &str, value: S) -> Result<Config> {
        set(&self.instance, name, value)?;
        Ok(self)
    }

    /// Use this open file or device rather than a path. It is closed with the device.
    ///
    /// # Errors
    /// `ENOENT`: the driver takes no file descriptor.
    pub fn fd(mut self, fd: OwnedFd) -> Result<Config> {
        self.instance.set(&c_string("fd")?, fd.as_raw_fd())?;
        self.fd = Some(fd);
        Ok(self)
    }

    /// Reads a property.
    ///
    /// # Errors
    /// `ENOENT`: there is no such property; `ENOTTY`: it has another type; `ENODEV`: it can only be
    /// read later.
    pub fn get<V: Value>(&self, name: &str) -> Result<V> {
        self.instance.get(name)
    }

    /// Opens the device. Where a server has to answer, it has as many milliseconds as the property
    /// `connect-timeout` says.
    ///
    /// # Errors
    /// `ETIMEDOUT`: a server did not answer in time; `ECANCELED`: see [`Config::canceller()`];
    /// `EINVAL`: neither or both of `path` and `fd` are set; and those of opening the device.
    pub fn connect(mut self) -> Result<Connected> {
        {
            let calls = self.instance.calls()?;
            // SAFETY: an instance; the lock is held.
            check(unsafe { sys::blkio_connect(calls.b()) })?;
        }
        // The library owns it now.
        if let Some(fd) = self.fd.take() {
            let _ = fd.into_raw_fd();
        }
        Ok(Connected { instance: self.instance })
    }

    /// [`connect()`](Config::connect) on a thread of the library.
    ///
    /// # Errors
    /// `EMFILE`, `EAGAIN`: there is no descriptor or thread for the call.
    pub fn connect_async(self) -> Result<Pending<Connected>> {
        let control_fd = self.instance.start_call(sys::blkio_connect_async)?;
        let next = |instance| Ok(Connected { instance });
        Ok(Pending::new(self.instance, control_fd, self.fd, next))
    }
}

/// An open device whose limits can be read and whose use can be configured.
pub struct Connected {
    instance: Arc<Instance>,
}

impl Connected {
    /// Sets a property, as [`Config::set()`] does.
    ///
    /// # Errors
    /// Those of [`Config::set()`]; `EBUSY`: it could only be set before.
    pub fn set<S: Setting>(self, name: &str, value: S) -> Result<Connected> {
        set(&self.instance, name, value)?;
        Ok(self)
    }

    /// Reads a property, as [`Config::get()`] does.
    ///
    /// # Errors
    /// Those of [`Config::get()`].
    pub fn get<V: Value>(&self, name: &str) -> Result<V> {
        self.instance.get(name)
    }

    /// Makes the queues: as many as the property `num-queues` says, and then as many poll queues as
    /// `num-poll-queues` says. `T` is the type of the token that goes with each request.
    ///
    /// # Errors
    /// `EINVAL`: a property has an impossible value; `ENOMEM`; and those of the device.
    pub fn start<T>(self) -> Result<(Device, Vec<Queue<T>>)> {
        {
            let calls = self.instance.calls()?;
            // SAFETY: an instance; the lock is held.
            check(unsafe { sys::blkio_start(calls.b()) })?;
        }
        started(self.instance)
    }

    /// [`start()`](Connected::start) on a thread of the library.
    ///
    /// # Errors
    /// `EMFILE`, `EAGAIN`: there is no descriptor or thread for the call.
    pub fn start_async<T>(self) -> Result<Pending<(Device, Vec<Queue<T>>)>> {
        let control_fd = self.instance.start_call(sys::blkio_start_async)?;
        Ok(Pending::new(self.instance, control_fd, None, started))
    }
}

/// The device of an instance that was just started, with its queues.
fn started<T>(instance: Arc<Instance>) -> Result<(Device, Vec<Queue<T>>)> {
    let device = Device { instance };
    let mut queues = Vec::new();
    for poll in [false, true] {
        let mut calls = device.instance.calls()?;
        queues.extend((0..).map_while(|i| device.queue(&mut calls, i, poll)));
    }
    Ok((device, queues))
}

/// A device on which queues do I/O. A clone is the same device. It closes when the last handle,
/// queue, region and buffer of it are dropped.
#[derive(Clone)]
pub struct Device {
    instance: Arc<Instance>,
}

impl Device {
    /// The queue with this index. It must not have been made before.
    fn queue<T>(&self, calls: &mut Calls<'_>, index: c_int, poll: bool) -> Option<Queue<T>> {
        // SAFETY: an instance; the lock is held.
        let q = NonNull::new(unsafe {
            if poll {
                sys::blkio_get_poll_queue(calls.b(), index)
            } else {
                sys::blkio_get_queue(calls.b(), index)
            }
        })?;
        calls.count_queue();
        // SAFETY: a queue of the instance, for which there is no other Queue; it was counted.
        Some(unsafe { Queue::new(q, index, poll, self.instance.clone()) })
    }

    /// Adds a queue.
    ///
    /// # Errors
    /// `ENOTSUP`: `can-add-queues` is false; `ENOSPC`: there are `max-queues`; `ENOMEM`.
    pub fn add_queue<T>(&self) -> Result<Queue<T>> {
        let mut calls = self.instance.calls()?;
        // SAFETY: an instance; the lock is held.
        let index = check(unsafe { sys::blkio_add_queue(calls.b()) })?;
        Ok(self.queue(&mut calls, index, false).expect("the queue that was just added"))
    }

    /// Adds a poll queue.
    ///
    /// # Errors
    /// `ENOTSUP`: `supports-poll-queues` or `can-add-queues` is false; `ENOSPC`: there are
    /// `max-queues`; `ENOMEM`.
    pub fn add_poll_queue<T>(&self) -> Result<Queue<T>> {
        let mut calls = self.instance.calls()?;
        // SAFETY: an instance; the lock is held.
        let index = check(unsafe { sys::blkio_add_poll_queue(calls.b()) })?;
        Ok(self.queue(&mut calls, index, true).expect("the poll queue that was just added"))
    }

    /// Reads a property, as [`Config::get()`] does.
    ///
    /// # Errors
    /// Those of [`Config::get()`]; `ECANCELED`: the device has been drained.
    pub fn get<V: Value>(&self, name: &str) -> Result<V> {
        self.instance.get(name)
    }

    /// The size of the device in bytes, now.
    ///
    /// # Errors
    /// `ENODEV`: the device has changed, or is gone.
    pub fn capacity(&self) -> Result<u64> {
        self.get("capacity")
    }

    /// Allocates zeroed memory that requests can use, and maps it. Its length is `len` bytes,
    /// rounded up to a multiple of `mem-region-alignment`. This is slow: allocate once and reuse.
    ///
    /// # Errors
    /// `EINVAL`: `len` is 0; `ENOMEM`; `ENOSPC`: there are `max-mem-regions`.
    pub fn alloc(&self, len: usize) -> Result<Region> {
        let align = self.get::<u64>("mem-region-alignment")? as usize;
        let len = len.checked_add(align - 1).map_or(len, |sum| sum / align * align);
        let buf_align = self.buf_align()?;
        let mut raw = sys::blkio_mem_region {
            addr: std::ptr::null_mut(),
            len: 0,
            iova: 0,
            fd_offset: 0,
            fd: -1,
            flags: 0,
        };
        let calls = self.instance.calls()?;
        // SAFETY: an instance; the lock is held; a place for the region.
        check(unsafe { sys::blkio_alloc_mem_region(calls.b(), &mut raw, len) })?;
        // SAFETY: likewise; the region is the one that was just allocated.
        let mapped = check(unsafe { sys::blkio_map_mem_region(calls.b(), &raw) });
        if let Err(error) = mapped {
            // SAFETY: likewise, and nothing uses it.
            unsafe { sys::blkio_free_mem_region(calls.b(), &raw) };
            return Err(error);
        }
        drop(calls);
        // SAFETY: the memory is zeroed, mapped, and known to nobody else.
        Ok(unsafe { Region::new(raw, buf_align, true, self.instance.clone()) })
    }

    /// Lets requests of this device use a region of another device. Both devices then stay open
    /// until the region is freed.
    ///
    /// # Errors
    /// `EINVAL`: the region is mapped already, or misaligned for this device; `ENOSPC`: there are
    /// `max-mem-regions`.
    pub fn map(&self, region: &Region) -> Result<()> {
        region.memory().map_into(&self.instance)
    }

    /// Lets requests use memory that the library did not allocate.
    ///
    /// # Safety
    /// Until the region and all its buffers are dropped, the memory at `addr` is readable, writable
    /// and initialized, and only the region's buffers access it. If the region or a buffer is leaked
    /// (a device does not answer when its queue is dropped, or `std::mem::forget()`), that is for
    /// ever. The file of `fd`, if there is one, has `len` bytes at `fd_offset`, which are this
    /// memory; `fd` may be closed afterwards.
    ///
    /// # Errors
    /// `EINVAL`: misaligned, empty, mapped already, overlapping, or without a required fd; `ENOSPC`:
    /// there are `max-mem-regions`.
    pub unsafe fn map_foreign(
        &self,
        addr: NonNull<c_void>,
        len: usize,
        fd: Option<(std::os::unix::io::BorrowedFd<'_>, i64)>,
    ) -> Result<Region> {
        let raw = sys::blkio_mem_region {
            addr: addr.as_ptr(),
            len,
            iova: 0,
            fd_offset: fd.map_or(0, |(_, offset)| offset),
            fd: fd.map_or(-1, |(fd, _)| fd.as_raw_fd()),
            flags: 0,
        };
        let buf_align = self.buf_align()?;
        Memory::map_raw(&self.instance, &raw)?;
        // SAFETY: as the caller promises; it is mapped.
        Ok(unsafe { Region::new(raw, buf_align, false, self.instance.clone()) })
    }

    /// What buffers that are taken from a region are aligned to.
    fn buf_align(&self) -> Result<usize> {
        let (best, needed): (i32, i32) = (self.get("optimal-buf-alignment")?, self.get("buf-alignment")?);
        Ok(best.max(needed).max(1) as usize)
    }

    /// Ends all requests, within the time: those that the device does not finish are cancelled where
    /// that is possible. `queues` must be all queues of the device that exist. Afterwards,
    /// [`Queue::wait()`] still returns completions, with `ECANCELED` for requests that were
    /// cancelled; nothing else can be done with the device.
    ///
    /// # Errors
    /// `ETIME`: the device may still access the buffers in flight. Call it again, or drop the
    /// queues, which then leak these buffers. `EBUSY`: there are more queues.
    pub fn drain<T>(&self, queues: &mut [Queue<T>], time: Option<Duration>) -> Result<()> {
        let all_mine = queues.iter().all(|q| q.is_of(&self.instance));
        if !all_mine {
            return Err(Error::new(errno::EINVAL, "a queue belongs to another device"));
        }
        // SAFETY: these queues are borrowed for the call, and there are no others: that is checked.
        unsafe { self.instance.drain(queues.len(), time) }
    }
}

macro_rules! every_state {
    ($($type:ident),*) => {
        $(impl $type {
            /// A handle with which another thread can end calls that wait for the device.
            pub fn canceller(&self) -> Canceller {
                Canceller::new(&self.instance)
            }
        })*

        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let driver = self.get::<String>("driver").unwrap_or_default();
                f.debug_struct(stringify!($type)).field("driver", &driver).finish_non_exhaustive()
            }
        })*
    };
}

every_state!(Config, Connected, Device);
