// SPDX-License-Identifier: MIT OR Apache-2.0
//! Properties: typed access, and what drivers and properties there are.

use crate::error::{check, errno, Error, Result};
use crate::sys::{self, c_char, c_int};
use std::ffi::{CStr, CString};
use std::mem::size_of;
use std::path::Path;
use std::ptr::{self, NonNull};

extern "C" {
    fn free(memory: *mut std::os::raw::c_void);
}

/// A string for the library.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|e| Error::new(errno::EINVAL, format!("{e}: a name or value")))
}

mod private {
    use super::*;

    /// Reads a property.
    pub trait Get: Sized {
        /// # Safety
        /// `b` is an instance that no other call uses.
        unsafe fn get(b: NonNull<sys::blkio>, name: &CStr) -> Result<Self>;
    }

    /// Writes a property.
    pub trait Set {
        /// # Safety
        /// `b` is an instance that no other call uses.
        unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()>;
    }
}

pub(crate) use private::{Get, Set};

/// A type that a property can be read as: `bool`, `i32`, `u64`, or `String`, which every property
/// can be read as.
pub trait Value: Get {}

/// A type that a property can be set to: `bool`, `i32`, `u64`, or a string or path. A string is
/// converted to the type of the property.
pub trait Setting: Set {}

macro_rules! plain {
    ($type:ty, $zero:expr, $get:ident, $set:ident) => {
        impl Get for $type {
            unsafe fn get(b: NonNull<sys::blkio>, name: &CStr) -> Result<Self> {
                let mut value = $zero;
                // SAFETY: the caller's instance; a string; a place for the value.
                check(unsafe { sys::$get(b.as_ptr(), name.as_ptr(), &mut value) })?;
                Ok(value)
            }
        }
        impl Set for $type {
            unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()> {
                // SAFETY: the caller's instance; a string.
                check(unsafe { sys::$set(b.as_ptr(), name.as_ptr(), self) }).map(drop)
            }
        }
        impl Value for $type {}
        impl Setting for $type {}
    };
}

plain!(bool, false, blkio_get_bool, blkio_set_bool);
plain!(i32, 0, blkio_get_int, blkio_set_int);
plain!(u64, 0, blkio_get_uint64, blkio_set_uint64);

impl Get for String {
    unsafe fn get(b: NonNull<sys::blkio>, name: &CStr) -> Result<Self> {
        let mut value = ptr::null_mut();
        // SAFETY: the caller's instance; a string; a place for the value.
        check(unsafe { sys::blkio_get_str(b.as_ptr(), name.as_ptr(), &mut value) })?;
        // SAFETY: the call succeeded, so value is a string.
        let text = unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned();
        // SAFETY: which is for the caller to free, once.
        unsafe { free(value.cast()) };
        Ok(text)
    }
}

impl Value for String {}

impl Set for &str {
    unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()> {
        // SAFETY: as promised to us.
        unsafe { self.as_bytes().set(b, name) }
    }
}

impl Set for &[u8] {
    unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()> {
        let value = c_string(self)?;
        // SAFETY: the caller's instance; two strings, which the library copies.
        check(unsafe { sys::blkio_set_str(b.as_ptr(), name.as_ptr(), value.as_ptr()) }).map(drop)
    }
}

impl Set for &String {
    unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()> {
        // SAFETY: as promised to us.
        unsafe { self.as_bytes().set(b, name) }
    }
}

impl Set for &Path {
    unsafe fn set(self, b: NonNull<sys::blkio>, name: &CStr) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: as promised to us.
        unsafe { self.as_os_str().as_bytes().set(b, name) }
    }
}

impl Setting for &str {}
impl Setting for &String {}
impl Setting for &Path {}

// ---- Introspection ------------------------------------------------------------------------------

/// The type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `bool`
    Bool,
    /// `i32`
    Int,
    /// `u64`
    Uint64,
    /// `String`
    Str,
}

/// The states of an instance, of which a property can be read or set in some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// In a [`Config`](crate::Config).
    pub fn created(self) -> bool {
        self.0 & sys::BLKIO_STATE_CREATED != 0
    }

    /// In a [`Connected`](crate::Connected).
    pub fn connected(self) -> bool {
        self.0 & sys::BLKIO_STATE_CONNECTED != 0
    }

    /// In a [`Device`](crate::Device).
    pub fn started(self) -> bool {
        self.0 & sys::BLKIO_STATE_STARTED != 0
    }
}

/// A property of a driver.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PropertyInfo {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Its type; `None` is one that this crate does not know.
    pub ty: Option<Type>,
    /// The states in which it can be read.
    pub readable: States,
    /// The states in which it can be set.
    pub writable: States,
}

/// # Safety
/// `text` is a string of the library that is never freed.
unsafe fn static_text(text: *const c_char) -> &'static str {
    // SAFETY: as promised; the texts of the library are ASCII, and others are left out.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

/// The names of all drivers.
pub fn drivers() -> impl Iterator<Item = &'static str> {
    (0..).map_while(|index| {
        // SAFETY: takes any index.
        let name = unsafe { sys::blkio_get_driver_name(index) };
        // SAFETY: a name is static text.
        (!name.is_null()).then(|| unsafe { static_text(name) })
    })
}

/// The name of the driver to open a file or block device with, if the user has named none:
/// `io_uring`, or `posix` where the kernel or a sandbox does not let this process create rings. Asks
/// the kernel each time.
///
/// ```
/// # std::fs::write("a-file", [1; 4096]).unwrap();
/// let connected = blkio::Config::new(blkio::file_driver())?.set("path", "a-file")?.connect()?;
/// # std::fs::remove_file("a-file").unwrap();
/// assert_eq!(connected.get::<u64>("capacity")?, 4096);
/// # Ok::<(), blkio::Error>(())
/// ```
pub fn file_driver() -> &'static str {
    // SAFETY: the function takes nothing and returns static text.
    unsafe { static_text(sys::blkio_get_file_driver()) }
}

/// All properties of a driver. This needs neither an instance nor a device.
///
/// # Errors
/// `ENODEV`: there is no such driver.
///
/// ```
/// let writable: Vec<_> = blkio::properties("null")?
///     .filter(|p| p.writable.created())
///     .map(|p| p.name)
///     .collect();
/// assert!(writable.contains(&"capacity"));
/// # Ok::<(), blkio::Error>(())
/// ```
pub fn properties(driver: &str) -> Result<impl Iterator<Item = PropertyInfo>> {
    let driver = c_string(driver)?;
    property(&driver, 0)?;
    Ok((0..).map_while(move |index| property(&driver, index).ok()))
}

fn property(driver: &CStr, index: c_int) -> Result<PropertyInfo> {
    let mut info = sys::blkio_property_info {
        name: ptr::null(),
        doc: ptr::null(),
        r#type: 0,
        readable: 0,
        writable: 0,
        reserved_: 0,
    };
    let size = size_of::<sys::blkio_property_info>();
    // SAFETY: a string, and a place of that size.
    check(unsafe { sys::blkio_get_property_info(driver.as_ptr(), index, &mut info, size) })?;
    Ok(PropertyInfo {
        // SAFETY: both are static text.
        name: unsafe { static_text(info.name) },
        // SAFETY: likewise.
        doc: unsafe { static_text(info.doc) },
        ty: match info.r#type {
            sys::BLKIO_TYPE_BOOL => Some(Type::Bool),
            sys::BLKIO_TYPE_INT => Some(Type::Int),
            sys::BLKIO_TYPE_UINT64 => Some(Type::Uint64),
            sys::BLKIO_TYPE_STR => Some(Type::Str),
            _ => None,
        },
        readable: States(info.readable),
        writable: States(info.writable),
    })
}
