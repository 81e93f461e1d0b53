// SPDX-License-Identifier: MIT OR Apache-2.0
//! Zones of zoned devices.

use crate::memory::Buf;
use crate::report::Report;
use crate::sys;
use std::fmt;
use std::ops::Deref;

/// A zone. Offsets and lengths are in bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Zone(sys::blkio_zone);

/// How a zone may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneType {
    /// Anywhere.
    Conventional,
    /// Sequentially only.
    SequentialRequired,
    /// Sequentially is better.
    SequentialPreferred,
    /// A type that this crate does not know.
    Other(u8),
}

/// What a zone is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneState {
    /// Nothing is written.
    Empty,
    /// A write opened it.
    ImplicitlyOpen,
    /// A request opened it.
    ExplicitlyOpen,
    /// It was closed before it was full.
    Closed,
    /// It cannot be written any more.
    ReadOnly,
    /// All of it is written.
    Full,
    /// It can be neither read nor written any more.
    Offline,
    /// A state that this crate does not know.
    Other(u8),
}

impl Zone {
    /// The first byte.
    pub fn start(&self) -> u64 {
        self.0.start
    }

    /// Bytes up to the next zone.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Bytes that can be written.
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// Where the next write goes: an offset on the device.
    pub fn write_pointer(&self) -> u64 {
        self.0.write_pointer
    }

    /// How it may be written.
    pub fn zone_type(&self) -> ZoneType {
        match self.0.zone_type.into() {
            sys::BLKIO_ZONE_TYPE_CONVENTIONAL => ZoneType::Conventional,
            sys::BLKIO_ZONE_TYPE_SEQWRITE_REQ => ZoneType::SequentialRequired,
            sys::BLKIO_ZONE_TYPE_SEQWRITE_PREF => ZoneType::SequentialPreferred,
            _ => ZoneType::Other(self.0.zone_type),
        }
    }

    /// Its state.
    pub fn state(&self) -> ZoneState {
        match self.0.zone_state.into() {
            sys::BLKIO_ZONE_STATE_EMPTY => ZoneState::Empty,
            sys::BLKIO_ZONE_STATE_IMP_OPEN => ZoneState::ImplicitlyOpen,
            sys::BLKIO_ZONE_STATE_EXP_OPEN => ZoneState::ExplicitlyOpen,
            sys::BLKIO_ZONE_STATE_CLOSED => ZoneState::Closed,
            sys::BLKIO_ZONE_STATE_READONLY => ZoneState::ReadOnly,
            sys::BLKIO_ZONE_STATE_FULL => ZoneState::Full,
            sys::BLKIO_ZONE_STATE_OFFLINE => ZoneState::Offline,
            _ => ZoneState::Other(self.0.zone_state),
        }
    }

    /// Whether the device recommends a reset.
    pub fn reset_recommended(&self) -> bool {
        self.0.reset != 0
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone")
            .field("start", &self.start())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("write_pointer", &self.write_pointer())
            .field("zone_type", &self.zone_type())
            .field("state", &self.state())
            .field("reset_recommended", &self.reset_recommended())
            .finish()
    }
}

/// What [`zone_append()`](crate::Queue::zone_append) took, and where the device wrote it.
pub struct Appended {
    pub(crate) inner: Box<Append>,
}

pub(crate) struct Append {
    pub(crate) buf: Buf,
    pub(crate) start: u64,
}

impl Appended {
    pub(crate) fn of(buf: Buf) -> Appended {
        Appended { inner: Box::new(Append { buf, start: 0 }) }
    }

    /// The offset in bytes of the first byte that was written. It means nothing if the request
    /// failed.
    pub fn start(&self) -> u64 {
        self.inner.start
    }

    /// The buffer.
    pub fn into_buf(self) -> Buf {
        self.inner.buf
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appended")
            .field("start", &self.start())
            .field("buf", &self.inner.buf)
            .finish()
    }
}

/// What a report of zones found: a slice of [`Zone`].
pub struct Zones {
    pub(crate) report: Box<Report<Zone>>,
}

impl Zones {
    pub(crate) fn with_room(n: u32) -> Zones {
        let nothing = sys::blkio_zone {
            start: 0,
            len: 0,
            capacity: 0,
            write_pointer: 0,
            zone_type: 0,
            zone_state: 0,
            reset: 0,
            reserved_: [0; 29],
        };
        Zones { report: Report::new(Zone(nothing), n) }
    }
}

impl Deref for Zones {
    type Target = [Zone];

    fn deref(&self) -> &[Zone] {
        self.report.get()
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
