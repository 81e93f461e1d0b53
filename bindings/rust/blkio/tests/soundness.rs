// SPDX-License-Identifier: MIT OR Apache-2.0
//! What safe code may do, however odd, and must not do harm: leak, drop, panic, move, mix.

mod common;

use blkio::{Buf, Bufs, Canceller, Completion, Config, Connected, Data, Device, Error, Extents};
use blkio::{Flags, Pending, Queue, Region, Zones};
use common::{mapping_at, null, open, Scratch, Server};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

#[test]
fn who_may_go_to_another_thread() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn both<T: Send + Sync>() {}
    both::<Config>();
    both::<Connected>();
    both::<Device>();
    both::<Canceller>();
    both::<Pending<Queue<Cell<u8>>>>();
    both::<Region>();
    both::<Buf>();
    both::<Bufs>();
    both::<Zones>();
    both::<Extents>();
    both::<Data>();
    both::<Error>();
    both::<Completion<u8>>();
    send::<Queue<Cell<u8>>>();
    send::<Completion<Cell<u8>>>();
    sync::<Flags>();
}

// ---- Dropped ------------------------------------------------------------------------------------

#[test]
fn drop_in_flight_in_every_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for submitted in [false, true] {
            let file = Scratch::file(0);
            let (device, mut queue) = open::<u64>(&file);
            let region = device.alloc(1 << 16).unwrap();
            for i in 0..8 {
                queue.read(i * 4096, region.take(4096).unwrap(), i);
            }
            if submitted {
                queue.submit().unwrap();
            }
            let (mut device, mut queue, mut region) = (Some(device), Some(queue), Some(region));
            for part in order {
                match part {
                    0 => drop(device.take()),
                    1 => drop(queue.take()),
                    _ => drop(region.take()),
                }
            }
        }
    }
}

struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Each token is dropped once: those in flight, those fetched but not popped, those popped.
#[test]
fn tokens_are_dropped_once() {
    let (device, mut queue) = null();
    let region = device.alloc(100 * 512).unwrap();
    let drops = Rc::new(Cell::new(0));
    for _ in 0..100 {
        queue.read(0, region.take(512).unwrap(), Counted(drops.clone()));
    }
    queue.wait(10).unwrap();
    drop((queue.pop(), queue.pop()));
    assert_eq!(drops.get(), 2);
    drop(queue);
    assert_eq!(drops.get(), 100);
    assert_eq!(Rc::strong_count(&drops), 1);
    region.take(100 * 512).unwrap();
}

#[test]
fn a_buffer_is_split_within() {
    let (device, _queue) = null::<()>();
    let region = device.alloc(4096).unwrap();
    for at in [0, 512, 513, usize::MAX] {
        let buf = region.take(512).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| buf.split(at))).is_err());
    }
    let (first, second) = region.take(512).unwrap().split(1);
    assert_eq!((first.len(), second.len()), (1, 511));
}

#[test]
fn a_panic_with_requests_in_flight() {
    let file = Scratch::file(0);
    let unwound = catch_unwind(|| {
        let (device, mut queue) = open::<()>(&file);
        let region = device.alloc(1 << 16).unwrap();
        queue.read(0, region.take(4096).unwrap(), ());
        queue.submit().unwrap();
        panic!("with a request in flight");
    });
    assert!(unwound.is_err());
}

#[test]
fn a_region_is_freed_after_its_last_buffer() {
    let (device, queue) = null::<()>();
    let region = device.alloc(1 << 16).unwrap();
    let (mut first, second) = region.take(4096).unwrap().split(512);
    let address = first.as_ptr() as usize;
    let mapping = mapping_at(address);
    drop((region, device, queue, second));
    assert!(mapping.is_some() && mapping_at(address) == mapping);
    first.fill(1);
    drop(first);
    assert_ne!(mapping_at(address), mapping);
}

// ---- Mixed up -----------------------------------------------------------------------------------

#[test]
fn a_queue_in_another_thread() {
    let file = Scratch::file(5);
    let (device, mut queue) = open::<u8>(&file);
    let region = device.alloc(1 << 16).unwrap();
    queue.read(0, region.take(4096).unwrap(), 1);
    queue.submit().unwrap();
    let mut queue = thread::spawn(move || {
        queue.read(4096, region.take(4096).unwrap(), 2);
        queue.wait(2).unwrap();
        queue
    })
    .join()
    .unwrap();
    while let Some(done) = queue.pop() {
        assert_eq!(done.into_buf().unwrap()[0], 5);
    }
}

#[test]
fn queues_and_regions_in_many_threads() {
    let file = Scratch::file(1);
    let (device, _queue) = open::<()>(&file);
    thread::scope(|scope| {
        for t in 0..4u64 {
            let device = device.clone();
            scope.spawn(move || {
                let mut queue = device.add_queue::<u64>().unwrap();
                for round in 0..50 {
                    let region = device.alloc(8192).unwrap();
                    queue.write(t * 8192, region.take(4096).unwrap(), Flags::NONE, round);
                    queue.read(t * 8192 + 4096, region.take(4096).unwrap(), round);
                    drop(region);
                    for _ in 0..2 {
                        let done = queue.wait_one().unwrap();
                        assert_eq!(done.token, round);
                        done.into_buf().unwrap();
                    }
                    device.capacity().unwrap();
                }
            });
        }
    });
}

#[test]
fn buffers_come_back_to_whom_they_belong() {
    let (device, mut first) = null::<(u8, usize)>();
    let mut second = device.add_queue().unwrap();
    let region = device.alloc(64 * 512).unwrap();
    for _ in 0..16 {
        for (i, queue) in [&mut first, &mut second].into_iter().enumerate() {
            let buf = region.take(512).unwrap();
            let address = buf.as_ptr() as usize;
            queue.read(0, buf, (i as u8, address));
        }
    }
    for (i, queue) in [&mut first, &mut second].into_iter().enumerate() {
        queue.wait(16).unwrap();
        while let Some(done) = queue.pop() {
            let (whose, address) = done.token;
            assert_eq!(whose, i as u8);
            assert_eq!(done.into_buf().unwrap().as_ptr() as usize, address);
        }
    }
}

/// A buffer of a device that is gone, on a queue of another.
#[test]
fn a_buffer_of_another_device() {
    let file = Scratch::file(8);
    let (device, mut queue) = open::<()>(&file);
    let buf = {
        let (other, _queue) = null::<()>();
        other.alloc(4096).unwrap().take(4096).unwrap()
    };
    let address = buf.as_ptr() as usize;
    let mapping = mapping_at(address);
    queue.read(0, buf, ());
    drop(device);
    let buf = queue.wait_one().unwrap().into_buf().unwrap();
    assert_eq!(buf[0], 8);
    drop(buf);
    assert_ne!(mapping_at(address), mapping);
}

#[test]
fn server_refuses_a_buffer_that_it_cannot_reach() {
    let server = Server::start();
    let (device, mut queues) = server.connect::<()>(1).unwrap();
    let (other, other_queue) = null::<()>();
    let region = other.alloc(8192).unwrap();
    queues[0].read(0, region.take_aligned(4096, 4096).unwrap(), ());
    assert!(queues[0].wait_one().unwrap().into_buf().is_err());
    device.map(&region).unwrap();
    assert!(device.map(&region).is_err()); // twice
    queues[0].read(0, region.take_aligned(4096, 4096).unwrap(), ());
    let buf = queues[0].wait_one().unwrap().into_buf().unwrap();
    assert_eq!(buf[0], 7);
    // The region outlives the handles of both devices.
    let address = buf.as_ptr() as usize;
    let mapping = mapping_at(address);
    drop((region, other, other_queue, queues, device));
    assert!(mapping.is_some() && mapping_at(address) == mapping);
    drop(buf);
    assert_ne!(mapping_at(address), mapping);
}

// ---- Silent -------------------------------------------------------------------------------------

#[test]
fn server_that_answers_late() {
    let server = Server::start();
    let (device, mut queues) = server.connect::<()>(1).unwrap();
    let region = device.alloc(4096).unwrap();
    let buf = region.take(4096).unwrap();
    let address = buf.as_ptr() as usize;
    let mapping = mapping_at(address);
    server.stop();
    queues[0].read(0, buf, ());
    queues[0].submit().unwrap();
    drop((device, region));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            server.go_on();
        });
        drop(queues); // waits
    });
    assert_ne!(mapping_at(address), mapping); // it did not come to leaking
}

// ---- Memory -------------------------------------------------------------------------------------

/// No two buffers overlap, whatever is taken and dropped, and all comes back.
#[test]
fn buffers_do_not_overlap() {
    let (device, _queue) = null::<()>();
    let region = device.alloc(1 << 14).unwrap();
    let mut held: Vec<Buf> = Vec::new();
    let mut random = 12345usize;
    let mut next = |n: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % n
    };
    for round in 0..20000 {
        if next(2) == 0 || held.is_empty() {
            let (len, align) = (1 + next(700), 1 << next(9));
            if let Ok(mut buf) = region.take_aligned(len, align) {
                assert_eq!(buf.as_ptr() as usize % align, 0);
                buf.fill(round as u8);
                held.push(buf);
            }
        } else {
            let mut buf = held.swap_remove(next(held.len()));
            let mark = buf[0];
            assert!(buf.iter().all(|b| *b == mark));
            if next(3) == 0 && buf.len() > 1 {
                let half = buf.len() / 2;
                let (first, second) = buf.split(half);
                held.push(second);
                buf = first;
            }
            drop(buf);
        }
    }
    drop(held);
    region.take_aligned(1 << 14, 1).unwrap();
    assert!(region.take(0).is_err() && region.take_aligned(1, 3).is_err());
    assert!(region.take(usize::MAX).is_err() && region.take_aligned(1, 1 << 63).is_err());
}

/// Dropping a region undoes all its mappings: the memory can be mapped again.
#[test]
fn foreign_memory() {
    let file = Scratch::file(4);
    let (device, mut queue) = open::<()>(&file);
    let (other, _other_queue) = null::<()>();
    let mut mine = vec![0u8; 3 * 4096];
    let start = mine.as_mut_ptr() as usize;
    let aligned = ((start + 4095) / 4096 * 4096) as *mut u8;
    let at = std::ptr::NonNull::new(aligned.cast()).unwrap();
    for _ in 0..2 {
        // SAFETY: the memory is initialized, outlives the region, and is not accessed otherwise.
        let region = unsafe { device.map_foreign(at, 8192, None) }.unwrap();
        other.map(&region).unwrap();
        assert!(other.map(&region).is_err()); // twice
        queue.read(0, region.take(4096).unwrap(), ());
        let buf = queue.wait_one().unwrap().into_buf().unwrap();
        assert!(buf.iter().all(|b| *b == 4));
    }
    // SAFETY: as before.
    let region = unsafe { device.map_foreign(at, 8192, None) }.unwrap();
    other.map(&region).unwrap();
    drop((queue, device, other, _other_queue, region));
    assert!(mine.iter().filter(|b| **b == 4).count() == 4096);
}

/// Its requests would complete with the tokens of before.
#[test]
fn a_queue_in_use_keeps_its_tokens() {
    let file = Scratch::file(2);
    let (device, mut queue) = open::<Box<u8>>(&file);
    queue.read(0, device.alloc(4096).unwrap().take(4096).unwrap(), Box::new(1));
    queue.submit().unwrap();
    let busy = queue.with_token::<u64>().unwrap_err();
    assert_eq!(busy.errno(), blkio::errno::EBUSY);
}
