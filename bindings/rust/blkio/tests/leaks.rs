// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the crate leaks memory rather than free what the device may still access, and where the
//! program does. All other tests leak nothing, which the leak checkers see.

mod common;

use blkio::aio::AsyncQueue;
use blkio::Config;
use common::{driver, is_mapped, null, open, Scratch, Server};
use std::mem;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[test]
fn a_token_that_panics_when_dropped() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "this token panics");
        }
    }
    let file = Scratch::file(0);
    let (device, mut queue) = open(&file);
    let region = device.alloc(1 << 16).unwrap();
    for i in 0..8 {
        queue.read(i * 4096, region.take(4096).unwrap(), Bomb(i == 3));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(queue))).is_err());
    // The device still works: no lock is poisoned, and no memory is freed twice.
    let mut queue = device.add_queue().unwrap();
    queue.read(0, region.take(4096).unwrap(), ());
    queue.wait_one().unwrap().into_buf().unwrap();
}

#[test]
fn a_forgotten_queue_keeps_its_buffers() {
    let file = Scratch::file(7);
    let (device, mut queue) = open::<()>(&file);
    let region = device.alloc(4096).unwrap();
    let buf = region.take(4096).unwrap();
    let address = buf.as_ptr() as usize;
    queue.read(0, buf, ());
    queue.submit().unwrap();
    mem::forget(queue);
    assert!(region.take(1).is_err()); // the request has all of it
    let mut other = device.add_queue::<()>().unwrap();
    drop((region, device));
    other.flush(());
    other.wait_one().unwrap().result().unwrap();
    drop(other);
    assert!(is_mapped(address));
}

#[test]
fn forgotten_parts_only_leak() {
    let (device, mut queue) = null();
    let region = device.alloc(1 << 16).unwrap();
    mem::forget(region.take(512).unwrap());
    queue.read(0, region.take(512).unwrap(), ());
    mem::forget(queue.wait_one().unwrap());
    mem::forget(region.clone());
    let again = region.take(512).unwrap();
    let address = again.as_ptr() as usize;
    drop((queue, region, device, again));
    assert!(is_mapped(address));
}

/// With single-issuer the kernel refuses another thread: an error, or leaked memory, but no harm.
#[test]
fn a_queue_that_belongs_to_one_thread_in_another() {
    if driver() != "io_uring" {
        return; // only rings can belong to a thread
    }
    let file = Scratch::file(5);
    let config = Config::new("io_uring").unwrap().set("path", &*file.0).unwrap();
    let config = config.connect().unwrap().set("single-issuer", true).unwrap();
    let (device, mut queues) = config.start::<()>().unwrap();
    let mut queue = queues.remove(0);
    let region = device.alloc(1 << 16).unwrap();
    queue.read(0, region.take(4096).unwrap(), ());
    queue.wait_one().unwrap().into_buf().unwrap();
    queue.read(0, region.take(4096).unwrap(), ());
    thread::spawn(move || {
        // Whether this works is not ours to say; that the buffer is whole is.
        if let Ok(done) = queue.wait_one() {
            let _ = done.into_buf().map(|buf| buf[0]);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn server_that_never_answers_keeps_the_memory() {
    let server = Server::start();
    let (device, mut queues) = server.connect::<Arc<()>>(2).unwrap();
    let region = device.alloc(8192).unwrap();
    let buf = region.take(4096).unwrap();
    let address = buf.as_ptr() as usize;
    let token = Arc::new(());
    server.stop();
    queues[1].read(0, buf, token.clone());
    queues[1].submit().unwrap();
    let drained = device.drain(&mut queues, Some(Duration::from_millis(100)));
    assert_eq!(drained.unwrap_err().errno(), blkio::errno::ETIME);
    drop((queues, device, region));
    assert!(is_mapped(address));
    assert_eq!(Arc::strong_count(&token), 2);
    // What the server does now, it does with memory that is there.
    server.go_on();
    // SAFETY: the memory is mapped, and nobody will ever free it; the server may write to it.
    let first = unsafe { (address as *const u8).read_volatile() };
    assert!(first == 0 || first == 7);
}

#[test]
fn futures_forgotten_or_never_polled() {
    let file = Scratch::file(0);
    let (device, queue) = open::<()>(&file);
    let queue = AsyncQueue::new(queue).unwrap();
    let region = device.alloc(8192).unwrap();
    mem::forget(queue.read(0, region.take(4096).unwrap()));
    drop(queue.read(0, region.take(4096).unwrap()));
    queue.drive(2).unwrap();
    assert_eq!(queue.outstanding(), 0);
    drop(region.take(4096).unwrap()); // of the dropped one; the other is leaked
    drop((queue, device, region));
}
