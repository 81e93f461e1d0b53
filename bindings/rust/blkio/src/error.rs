// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors: the errno value and the message of the library.

use crate::sys::{self, c_char, c_int};
use std::borrow::Cow;
use std::ffi::CStr;
use std::{error, fmt, io, result};

/// The values of errno that this crate itself returns. The library returns others as well.
pub mod errno {
    /// Another part of the program stands in the way.
    pub const EBUSY: i32 = 16;
    /// A value is not valid.
    pub const EINVAL: i32 = 22;
    /// There is not enough memory.
    pub const ENOMEM: i32 = 12;
    /// The timeout has expired.
    pub const ETIME: i32 = 62;
    /// The device or the queue cannot do this.
    pub const ENOTSUP: i32 = 95;
    /// The device has been drained.
    pub const ECANCELED: i32 = 125;
}

/// What went wrong: an errno value, and a message that names the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    errno: i32,
    message: Cow<'static, str>,
}

/// The result of a call of this crate.
pub type Result<T> = result::Result<T, Error>;

impl Error {
    /// The errno value, positive: 2 is `ENOENT`.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The message; empty where the library has none.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Error {
        Error { errno, message: message.into() }
    }

    /// Of a completion: `message` is text that the library never frees.
    #[cold]
    pub(crate) fn of_completion(ret: c_int, message: Option<&'static c_char>) -> Error {
        let message = message.map_or(Cow::Borrowed(""), |first| {
            // SAFETY: the library's error messages of completions are static and end with a NUL.
            unsafe { CStr::from_ptr(first) }.to_string_lossy()
        });
        Error { errno: -ret, message }
    }

    /// Of the last call in this thread, which returned `ret`.
    #[cold]
    fn last(ret: c_int) -> Error {
        // SAFETY: the function returns a string that is valid until this thread's next failing call.
        let message = unsafe { CStr::from_ptr(sys::blkio_get_error_msg()) };
        Error::new(-ret, message.to_string_lossy().into_owned())
    }
}

/// What a function of the library returned, as a result.
#[inline]
pub(crate) fn check(ret: c_int) -> Result<c_int> {
    if ret >= 0 {
        Ok(ret)
    } else {
        Err(Error::last(ret))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return io::Error::from_raw_os_error(self.errno).fmt(f);
        }
        f.write_str(&self.message)
    }
}

impl error::Error for Error {}

impl From<Error> for io::Error {
    /// Keeps the message; the kind is that of the errno value.
    fn from(error: Error) -> io::Error {
        io::Error::new(io::Error::from_raw_os_error(error.errno).kind(), error)
    }
}
