// SPDX-License-Identifier: MIT OR Apache-2.0
//! What comes back of a request.

use crate::error::{Error, Result};
use crate::extent::Extents;
use crate::memory::{Buf, Bufs};
use crate::sys::{c_char, c_int};
use crate::zone::{Appended, Zones};

/// What a request took or made, which its completion hands back.
#[derive(Debug)]
#[non_exhaustive]
pub enum Data {
    /// Nothing: flush, discard, write zeroes, and changes of zones.
    None,
    /// The buffer of [`read()`](crate::Queue::read) or [`write()`](crate::Queue::write).
    Buf(Buf),
    /// The buffers of [`readv()`](crate::Queue::readv) or [`writev()`](crate::Queue::writev).
    Bufs(Bufs),
    /// The result of [`report_zones()`](crate::Queue::report_zones).
    Zones(Zones),
    /// The buffer of [`zone_append()`](crate::Queue::zone_append), and where it was written.
    Appended(Appended),
    /// The result of [`block_status()`](crate::Queue::block_status).
    Extents(Extents),
}

impl Data {
    /// The request has filled in the first n.
    #[cold]
    pub(crate) fn filled(&mut self, n: usize) {
        match self {
            Data::Zones(zones) => zones.report.filled(n),
            Data::Extents(extents) => extents.report.filled(n),
            _ => {}
        }
    }
}

/// A finished request.
#[derive(Debug)]
pub struct Completion<T> {
    /// The token that was given with the request.
    pub token: T,
    /// What the request took. After a failed read, a buffer may hold anything.
    pub data: Data,
    pub(crate) status: Status,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) ret: c_int,
    /// The first character of text that the library never frees.
    pub(crate) message: Option<&'static c_char>,
}

impl Status {
    #[inline]
    pub(crate) fn result(self) -> Result<()> {
        if self.ret >= 0 {
            Ok(())
        } else {
            Err(Error::of_completion(self.ret, self.message))
        }
    }
}

impl<T> Completion<T> {
    /// Whether the request succeeded. This costs nothing when it did.
    ///
    /// # Errors
    /// What the device or the library says: `EIO`, `EINVAL` for a request that is misaligned or out
    /// of range, `EBADF` for a write to a read-only device, `ENOTSUP`, `ECANCELED` after
    /// [`Device::drain()`](crate::Device::drain), ...
    #[inline]
    pub fn result(&self) -> Result<()> {
        self.status.result()
    }

    /// The buffer, when the request succeeded and had one.
    ///
    /// # Errors
    /// Those of [`Completion::result()`]. The buffer is then dropped.
    ///
    /// # Panics
    /// When the request was not made by [`read()`](crate::Queue::read) or
    /// [`write()`](crate::Queue::write).
    #[inline]
    pub fn into_buf(self) -> Result<Buf> {
        match self.data {
            Data::Buf(buf) if self.status.ret >= 0 => Ok(buf),
            data => Err(no_buf(self.status, data)),
        }
    }
}

/// Why a completion has no buffer.
#[cold]
#[inline(never)]
fn no_buf(status: Status, data: Data) -> Error {
    match status.result() {
        Err(error) => error,
        Ok(()) => panic!("the request had no buffer, but {data:?}"),
    }
}
