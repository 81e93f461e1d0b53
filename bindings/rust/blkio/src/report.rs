// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that a request fills with descriptions: of zones, or of extents.

/// Owned by the request until it completes.
pub(crate) struct Report<T> {
    room: Vec<T>,
    filled: usize,
}

impl<T: Copy> Report<T> {
    pub(crate) fn new(nothing: T, n: u32) -> Box<Report<T>> {
        Box::new(Report { room: vec![nothing; n as usize], filled: 0 })
    }

    /// For a request that has the report.
    pub(crate) fn raw(&mut self) -> (*mut T, u32) {
        (self.room.as_mut_ptr(), self.room.len() as u32)
    }

    /// The request has filled in the first n.
    pub(crate) fn filled(&mut self, n: usize) {
        self.filled = n;
    }

    pub(crate) fn get(&self) -> &[T] {
        &self.room[..self.filled]
    }
}
