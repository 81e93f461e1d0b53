// SPDX-License-Identifier: MIT OR Apache-2.0
//! Once warm, a request allocates nothing: neither on a queue nor as a future.

#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::declare_interior_mutable_const)] // what thread_local! makes of "const"

mod common;

use blkio::aio::AsyncQueue;
use blkio::{Flags, Queue};
use common::null;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: System does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_count_counts() {
    assert!(allocations(|| drop(String::from_utf8(vec![65; 4]))) > 0);
}

#[test]
fn none_for_requests() {
    let (device, mut queue): (_, Queue<u64>) = null();
    let mut bufs = device.alloc(32 * 512).unwrap().take_all(512).unwrap();
    bufs.truncate(30);
    let mut two = Some(blkio::Bufs::from(bufs.split_off(28)));
    let mut round = |queue: &mut Queue<u64>| {
        for (i, buf) in bufs.drain(..).enumerate() {
            queue.write(i as u64 * 512, buf, Flags::NONE, i as u64);
        }
        queue.readv(0, two.take().unwrap(), 99);
        queue.wait(29).unwrap();
        while let Some(done) = queue.pop() {
            done.result().unwrap();
            match done.data {
                blkio::Data::Buf(buf) => bufs.push(buf),
                blkio::Data::Bufs(b) => two = Some(b),
                _ => {}
            }
        }
    };
    round(&mut queue);
    assert_eq!(allocations(|| (0..100).for_each(|_| round(&mut queue))), 0);
}

#[test]
fn none_for_futures() {
    let (device, queue) = null::<()>();
    let queue = AsyncQueue::new(queue).unwrap();
    let buf = device.alloc(512).unwrap().take(512).unwrap();
    queue
        .block_on(async {
            let (_, mut buf) = queue.read(0, buf).await;
            let before = ALLOCATIONS.with(Cell::get);
            for _ in 0..100 {
                let (result, back) = queue.read(0, buf).await;
                result.unwrap();
                buf = back;
            }
            assert_eq!(ALLOCATIONS.with(Cell::get), before);
        })
        .unwrap();
}
