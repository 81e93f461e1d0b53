// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

pub mod aio;
#[cfg(feature = "async-io")]
pub mod async_io;
mod completion;
mod control;
mod device;
mod error;
mod extent;
mod instance;
mod memory;
mod property;
mod queue;
mod report;
mod slots;
#[cfg(feature = "tokio")]
pub mod tokio;
mod zone;

use blkio_sys as sys;

pub use completion::{Completion, Data};
pub use control::{Canceller, Pending};
pub use device::{Config, Connected, Device};
pub use error::{errno, Error, Result};
pub use extent::{Extent, Extents};
pub use memory::{Buf, Bufs, Region};
pub use property::{drivers, file_driver, properties, PropertyInfo, Setting, States, Type, Value};
pub use queue::{Flags, Queue};
pub use zone::{Appended, Zone, ZoneState, ZoneType, Zones};
