// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which blocks hold data.

use crate::report::Report;
use crate::sys;
use std::fmt;
use std::ops::Deref;

/// A range whose blocks have the same state. Offsets and lengths are in bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Extent(sys::blkio_extent);

impl Extent {
    /// The first byte.
    pub fn start(&self) -> u64 {
        self.0.start
    }

    /// How many bytes.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether it takes up space on the device, as far as is known. What does not, and is not known to
    /// read as zeroes, has undefined contents.
    pub fn is_allocated(&self) -> bool {
        self.0.flags & sys::BLKIO_EXTENT_ALLOCATED != 0
    }

    /// Whether it is known to read as zeroes.
    pub fn is_zero(&self) -> bool {
        self.0.flags & sys::BLKIO_EXTENT_ZERO != 0
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extent")
            .field("start", &self.start())
            .field("len", &self.len())
            .field("is_allocated", &self.is_allocated())
            .field("is_zero", &self.is_zero())
            .finish()
    }
}

/// What [`block_status()`](crate::Queue::block_status) found: a slice of [`Extent`], each of which
/// begins where the one before it ends.
pub struct Extents {
    pub(crate) report: Box<Report<Extent>>,
}

impl Extents {
    pub(crate) fn with_room(n: u32) -> Extents {
        let nothing = sys::blkio_extent { start: 0, len: 0, flags: 0, reserved_: [0; 12] };
        Extents { report: Report::new(Extent(nothing), n) }
    }
}

impl Deref for Extents {
    type Target = [Extent];

    fn deref(&self) -> &[Extent] {
        self.report.get()
    }
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
