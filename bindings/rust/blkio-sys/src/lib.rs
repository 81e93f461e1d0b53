// SPDX-License-Identifier: MIT OR Apache-2.0
//! Declarations of libblkio: everything that `blkio.h` declares, and nothing else. `blkio.h` and
//! `man blkio` document each item. The crate `blkio` has a safe interface to the same library.
//!
//! The declarations are written by hand. `tests/header.rs` has the C compiler compare each of them
//! with `blkio.h`.
//!
//! The build script links with the libblkio in the folder that the environment variable
//! `BLKIO_LIB_DIR` names, or else with the one that pkg-config knows.

#![deny(missing_docs)]
#![allow(non_camel_case_types)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("blkio-sys is for 64-bit systems: its structures have their layout");

pub use std::os::raw::{c_char, c_int, c_void};

/// An instance: a connection to a device.
#[repr(C)]
pub struct blkio {
    _opaque: [u8; 0],
}

/// A queue of an instance.
#[repr(C)]
pub struct blkioq {
    _opaque: [u8; 0],
}

/// A set of signals: always behind a pointer here.
#[repr(C)]
pub struct sigset_t {
    _opaque: [u8; 0],
}

/// `struct timespec` of C.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct timespec {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds, below 1000000000.
    pub tv_nsec: i64,
}

/// `struct iovec` of C.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct iovec {
    /// Where the segment starts.
    pub iov_base: *mut c_void,
    /// Its length in bytes.
    pub iov_len: usize,
}

/// A property of a driver.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_property_info {
    /// Static text.
    pub name: *const c_char,
    /// Its meaning; static text.
    pub doc: *const c_char,
    /// `BLKIO_TYPE_*`.
    pub r#type: u32,
    /// `BLKIO_STATE_*`: the states in which it can be read.
    pub readable: u32,
    /// `BLKIO_STATE_*`: the states in which it can be set.
    pub writable: u32,
    /// Reserved.
    pub reserved_: u32,
}

/// Memory that requests may read from and write to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_mem_region {
    /// Start.
    pub addr: *mut c_void,
    /// Length in bytes.
    pub len: usize,
    /// With `BLKIO_MEM_GUEST`, the guest's address of `addr`.
    pub iova: u64,
    /// Where `addr` lies in `fd`, in bytes.
    pub fd_offset: i64,
    /// The file behind the memory, or -1.
    pub fd: c_int,
    /// `BLKIO_MEM_*`.
    pub flags: u32,
}

/// A zone of a zoned device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_zone {
    /// First byte.
    pub start: u64,
    /// Bytes up to the next zone.
    pub len: u64,
    /// Bytes that can be written.
    pub capacity: u64,
    /// An offset on the device, in bytes.
    pub write_pointer: u64,
    /// `BLKIO_ZONE_TYPE_*`.
    pub zone_type: u8,
    /// `BLKIO_ZONE_STATE_*`.
    pub zone_state: u8,
    /// Not 0: the device recommends a reset.
    pub reset: u8,
    /// Reserved.
    pub reserved_: [u8; 29],
}

/// A guest's virtqueue.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_vring {
    /// Entries, a power of two.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// Guest address of the descriptor table.
    pub desc: u64,
    /// Guest address of the available ring.
    pub driver: u64,
    /// Guest address of the used ring.
    pub device: u64,
    /// Where the device goes on.
    pub base: u32,
    /// The eventfd that the guest signals.
    pub kick_fd: c_int,
    /// The eventfd that the device signals.
    pub call_fd: c_int,
    /// The eventfd that is signalled when the device fails, or -1.
    pub err_fd: c_int,
    /// 0.
    pub reserved_: [u64; 2],
}

/// What a server offers under a name.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_export {
    /// For the property `export`.
    pub name: *const c_char,
    /// Text for humans.
    pub description: *const c_char,
    /// Bytes, or `u64::MAX` if the server does not say.
    pub size: u64,
    /// Reserved.
    pub reserved_: [u64; 2],
}

/// A range of the device whose blocks have the same state.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_extent {
    /// First byte.
    pub start: u64,
    /// Length in bytes, not 0.
    pub len: u64,
    /// `BLKIO_EXTENT_*`.
    pub flags: u32,
    /// Reserved.
    pub reserved_: [u8; 12],
}

/// A finished request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct blkio_completion {
    /// As given with the request.
    pub user_data: *mut c_void,
    /// Static text about a failure, or NULL.
    pub error_msg: *const c_char,
    /// 0, the number of zones or extents, or a negative errno value.
    pub ret: c_int,
    /// Reserved.
    pub reserved_: [u8; 12],
}

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $value:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*
        /// Each constant with its value, for the comparison with `blkio.h`.
        #[doc(hidden)]
        pub const CONSTANTS: &[(&str, u32)] = &[$((stringify!($name), $name)),*];
    };
}

constants! {
    /// The header declares `blkio_drain()`.
    BLKIO_HAS_DRAIN: 1;
    /// The header declares `blkio_cancel()`.
    BLKIO_HAS_CANCEL: 1;
    /// The header declares `blkio_connect_async()` and the like.
    BLKIO_HAS_ASYNC_CONTROL: 1;
    /// The header declares `blkio_get_property_info()`.
    BLKIO_HAS_PROPERTY_INFO: 1;
    /// The header declares `blkio_get_file_driver()`.
    BLKIO_HAS_FILE_DRIVER: 1;
    /// The header declares `blkio_list_exports()`.
    BLKIO_HAS_LIST_EXPORTS: 1;
    /// The header declares `blkio_start_vring()` and the like.
    BLKIO_HAS_VRING: 1;
    /// The memory region is a guest's.
    BLKIO_MEM_GUEST: 1;
    /// The header declares `blkioq_block_status()`.
    BLKIO_HAS_BLOCK_STATUS: 1;
    /// The header declares `blkioq_zone_append()`.
    BLKIO_HAS_ZONE_APPEND: 1;
    /// The extent takes up space on the device, as far as is known.
    BLKIO_EXTENT_ALLOCATED: 1;
    /// The extent reads as zeroes.
    BLKIO_EXTENT_ZERO: 2;
    /// A property of type `bool`.
    BLKIO_TYPE_BOOL: 0;
    /// A property of type `int`.
    BLKIO_TYPE_INT: 1;
    /// A property of type `uint64_t`.
    BLKIO_TYPE_UINT64: 2;
    /// A string.
    BLKIO_TYPE_STR: 3;
    /// After `blkio_create()`.
    BLKIO_STATE_CREATED: 1;
    /// After `blkio_connect()`.
    BLKIO_STATE_CONNECTED: 2;
    /// After `blkio_start()`.
    BLKIO_STATE_STARTED: 4;
    /// Writes: on stable storage before completion.
    BLKIO_REQ_FUA: 1;
    /// Write zeroes: keep the space allocated.
    BLKIO_REQ_NO_UNMAP: 2;
    /// Write zeroes: fail rather than write buffers of zeroes.
    BLKIO_REQ_NO_FALLBACK: 4;
    /// Writes: all or nothing, also if power fails.
    BLKIO_REQ_ATOMIC: 8;
    /// The header declares `BLKIO_REQ_ATOMIC`.
    BLKIO_HAS_REQ_ATOMIC: 1;
    /// A conventional zone.
    BLKIO_ZONE_TYPE_CONVENTIONAL: 0x1;
    /// A zone that must be written sequentially.
    BLKIO_ZONE_TYPE_SEQWRITE_REQ: 0x2;
    /// A zone that should be written sequentially.
    BLKIO_ZONE_TYPE_SEQWRITE_PREF: 0x3;
    /// Nothing is written.
    BLKIO_ZONE_STATE_EMPTY: 0x1;
    /// Opened by a write.
    BLKIO_ZONE_STATE_IMP_OPEN: 0x2;
    /// Opened by `blkioq_open_zone()`.
    BLKIO_ZONE_STATE_EXP_OPEN: 0x3;
    /// Closed.
    BLKIO_ZONE_STATE_CLOSED: 0x4;
    /// Cannot be written any more.
    BLKIO_ZONE_STATE_READONLY: 0xD;
    /// Full.
    BLKIO_ZONE_STATE_FULL: 0xE;
    /// Can be neither read nor written any more.
    BLKIO_ZONE_STATE_OFFLINE: 0xF;
}

#[rustfmt::skip] // one line each, which tests/header.rs reads
extern "C" {
    /// The message of the last failed call in this thread.
    pub fn blkio_get_error_msg() -> *const c_char;
    /// Create an instance of a driver.
    pub fn blkio_create(driver: *const c_char, bp: *mut *mut blkio) -> c_int;
    /// Open the device.
    pub fn blkio_connect(b: *mut blkio) -> c_int;
    /// Create the queues.
    pub fn blkio_start(b: *mut blkio) -> c_int;
    /// Release an instance.
    pub fn blkio_destroy(bp: *mut *mut blkio);
    /// End all requests; tell whether the device may still access their memory.
    pub fn blkio_drain(b: *mut blkio, timeout: *mut timespec) -> c_int;
    /// Let the call that is in progress on the instance fail.
    pub fn blkio_cancel(b: *mut blkio);
    /// Start `blkio_connect()` on a thread of the library.
    pub fn blkio_connect_async(b: *mut blkio) -> c_int;
    /// Start `blkio_start()` on a thread of the library.
    pub fn blkio_start_async(b: *mut blkio) -> c_int;
    /// Start `blkio_map_mem_region()` on a thread of the library.
    pub fn blkio_map_mem_region_async(b: *mut blkio, region: *const blkio_mem_region) -> c_int;
    /// Start `blkio_unmap_mem_region()` on a thread of the library.
    pub fn blkio_unmap_mem_region_async(b: *mut blkio, region: *const blkio_mem_region) -> c_int;
    /// Start `blkio_add_queue()` on a thread of the library.
    pub fn blkio_add_queue_async(b: *mut blkio) -> c_int;
    /// Start `blkio_add_poll_queue()` on a thread of the library.
    pub fn blkio_add_poll_queue_async(b: *mut blkio) -> c_int;
    /// Start `blkio_remove_queue()` on a thread of the library.
    pub fn blkio_remove_queue_async(b: *mut blkio, index: c_int) -> c_int;
    /// Start `blkio_remove_poll_queue()` on a thread of the library.
    pub fn blkio_remove_poll_queue_async(b: *mut blkio, index: c_int) -> c_int;
    /// Release an instance on a thread of the library; `fd` is readable when it is gone.
    pub fn blkio_destroy_async(bp: *mut *mut blkio, fd: *mut c_int) -> c_int;
    /// The eventfd that is readable when an asynchronous call is over.
    pub fn blkio_get_control_fd(b: *mut blkio) -> c_int;
    /// Collect the result of an asynchronous call.
    pub fn blkio_control_result(b: *mut blkio) -> c_int;
    /// Read a property of type bool.
    pub fn blkio_get_bool(b: *mut blkio, name: *const c_char, value: *mut bool) -> c_int;
    /// Read a property of type int.
    pub fn blkio_get_int(b: *mut blkio, name: *const c_char, value: *mut c_int) -> c_int;
    /// Read a property of type uint64_t.
    pub fn blkio_get_uint64(b: *mut blkio, name: *const c_char, value: *mut u64) -> c_int;
    /// Read a property of any type as a string, which the caller frees with free().
    pub fn blkio_get_str(b: *mut blkio, name: *const c_char, value: *mut *mut c_char) -> c_int;
    /// Write a property of type bool.
    pub fn blkio_set_bool(b: *mut blkio, name: *const c_char, value: bool) -> c_int;
    /// Write a property of type int.
    pub fn blkio_set_int(b: *mut blkio, name: *const c_char, value: c_int) -> c_int;
    /// Write a property of type uint64_t.
    pub fn blkio_set_uint64(b: *mut blkio, name: *const c_char, value: u64) -> c_int;
    /// Write a property of any type as a string.
    pub fn blkio_set_str(b: *mut blkio, name: *const c_char, value: *const c_char) -> c_int;
    /// The name of a driver, or NULL past the last one.
    pub fn blkio_get_driver_name(index: c_int) -> *const c_char;
    /// The driver to open a file or block device with: `io_uring`, or `posix` without permission.
    pub fn blkio_get_file_driver() -> *const c_char;
    /// What a server offers: stores an array that free() frees, and returns its length.
    pub fn blkio_list_exports(b: *mut blkio, exports: *mut *mut blkio_export) -> c_int;
    /// The virtio features that a guest may be offered.
    pub fn blkio_get_vring_features(b: *mut blkio, features: *mut u64) -> c_int;
    /// Read the device's `struct virtio_blk_config`.
    pub fn blkio_get_device_config(b: *mut blkio, buf: *mut c_void, len: usize) -> c_int;
    /// Let the device serve a guest's virtqueue.
    pub fn blkio_start_vring(b: *mut blkio, index: c_int, vring: *const blkio_vring) -> c_int;
    /// Start `blkio_start_vring()` on a thread of the library.
    pub fn blkio_start_vring_async(b: *mut blkio, index: c_int, vring: *const blkio_vring) -> c_int;
    /// Take a guest's virtqueue away from the device.
    pub fn blkio_stop_vring(b: *mut blkio, index: c_int, state: *mut blkio_vring) -> c_int;
    /// Start `blkio_stop_vring()` on a thread of the library.
    pub fn blkio_stop_vring_async(b: *mut blkio, index: c_int, state: *mut blkio_vring) -> c_int;
    /// Describe a property of a driver.
    pub fn blkio_get_property_info(driver: *const c_char, index: c_int, info: *mut blkio_property_info, size: usize) -> c_int;
    /// Allocate memory that suits the instance.
    pub fn blkio_alloc_mem_region(b: *mut blkio, region: *mut blkio_mem_region, len: usize) -> c_int;
    /// Free what blkio_alloc_mem_region() allocated.
    pub fn blkio_free_mem_region(b: *mut blkio, region: *const blkio_mem_region);
    /// Let requests use the region.
    pub fn blkio_map_mem_region(b: *mut blkio, region: *const blkio_mem_region) -> c_int;
    /// Undo blkio_map_mem_region().
    pub fn blkio_unmap_mem_region(b: *mut blkio, region: *const blkio_mem_region);
    /// The queue with this index, or NULL.
    pub fn blkio_get_queue(b: *mut blkio, index: c_int) -> *mut blkioq;
    /// The poll queue with this index, or NULL.
    pub fn blkio_get_poll_queue(b: *mut blkio, index: c_int) -> *mut blkioq;
    /// Add a queue; returns its index.
    pub fn blkio_add_queue(b: *mut blkio) -> c_int;
    /// Add a poll queue; returns its index.
    pub fn blkio_add_poll_queue(b: *mut blkio) -> c_int;
    /// Remove a queue.
    pub fn blkio_remove_queue(b: *mut blkio, index: c_int) -> c_int;
    /// Remove a poll queue.
    pub fn blkio_remove_poll_queue(b: *mut blkio, index: c_int) -> c_int;
    /// Read into a buffer.
    pub fn blkioq_read(q: *mut blkioq, start: u64, buf: *mut c_void, len: usize, user_data: *mut c_void, flags: u32);
    /// Write a buffer.
    pub fn blkioq_write(q: *mut blkioq, start: u64, buf: *const c_void, len: usize, user_data: *mut c_void, flags: u32);
    /// Read into several buffers.
    pub fn blkioq_readv(q: *mut blkioq, start: u64, iovec: *const iovec, iovcnt: c_int, user_data: *mut c_void, flags: u32);
    /// Write several buffers.
    pub fn blkioq_writev(q: *mut blkioq, start: u64, iovec: *mut iovec, iovcnt: c_int, user_data: *mut c_void, flags: u32);
    /// Make a range read as zeroes.
    pub fn blkioq_write_zeroes(q: *mut blkioq, start: u64, len: u64, user_data: *mut c_void, flags: u32);
    /// Tell the device that a range is no longer needed.
    pub fn blkioq_discard(q: *mut blkioq, start: u64, len: u64, user_data: *mut c_void, flags: u32);
    /// Put completed writes on stable storage.
    pub fn blkioq_flush(q: *mut blkioq, user_data: *mut c_void, flags: u32);
    /// Find out which blocks are allocated, and which read as zeroes.
    pub fn blkioq_block_status(q: *mut blkioq, start: u64, len: u64, extents: *mut blkio_extent, nr_extents: u32, user_data: *mut c_void, flags: u32);
    /// Describe zones.
    pub fn blkioq_report_zones(q: *mut blkioq, offset: u64, zones: *mut blkio_zone, nr_zones: u32, user_data: *mut c_void, flags: u32);
    /// Write where the zone's write pointer is; stores where that was.
    pub fn blkioq_zone_append(q: *mut blkioq, zone: u64, buf: *const c_void, len: usize, written_at: *mut u64, user_data: *mut c_void, flags: u32);
    /// Close a zone.
    pub fn blkioq_close_zone(q: *mut blkioq, offset: u64, user_data: *mut c_void, flags: u32);
    /// Finish a zone.
    pub fn blkioq_finish_zone(q: *mut blkioq, offset: u64, user_data: *mut c_void, flags: u32);
    /// Open a zone.
    pub fn blkioq_open_zone(q: *mut blkioq, offset: u64, user_data: *mut c_void, flags: u32);
    /// Reset a zone.
    pub fn blkioq_reset_zone(q: *mut blkioq, offset: u64, user_data: *mut c_void, flags: u32);
    /// Close all zones.
    pub fn blkioq_close_all_zones(q: *mut blkioq, user_data: *mut c_void, flags: u32);
    /// Finish all zones.
    pub fn blkioq_finish_all_zones(q: *mut blkioq, user_data: *mut c_void, flags: u32);
    /// Open all zones.
    pub fn blkioq_open_all_zones(q: *mut blkioq, user_data: *mut c_void, flags: u32);
    /// Reset all zones.
    pub fn blkioq_reset_all_zones(q: *mut blkioq, user_data: *mut c_void, flags: u32);
    /// Submit, wait, collect completions.
    pub fn blkioq_do_io(q: *mut blkioq, completions: *mut blkio_completion, min: c_int, max: c_int, timeout: *mut timespec) -> c_int;
    /// Like blkioq_do_io(), but a signal ends the wait.
    pub fn blkioq_do_io_interruptible(q: *mut blkioq, completions: *mut blkio_completion, min: c_int, max: c_int, timeout: *mut timespec, sig: *const sigset_t) -> c_int;
    /// The eventfd of the queue, or -1.
    pub fn blkioq_get_completion_fd(q: *mut blkioq) -> c_int;
    /// Let the eventfd signal, or not.
    pub fn blkioq_set_completion_fd_enabled(q: *mut blkioq, enable: bool);
}
