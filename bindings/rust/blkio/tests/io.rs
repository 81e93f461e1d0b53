// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every request, property and kind of waiting, on a file and on the null driver.

mod common;

use blkio::{errno, Bufs, Completion, Config, Data, Device, Flags, Queue, Type};
use common::{descriptors_of, driver, null, open, readable, Scratch, SIZE};
use std::os::unix::io::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

fn finish<T>(queue: &mut Queue<T>) -> Completion<T> {
    let done = queue.wait_one().unwrap();
    done.result().unwrap();
    done
}

#[test]
fn write_then_read() {
    let file = Scratch::file(0);
    let (device, mut queue) = open::<u64>(&file);
    assert_eq!(device.capacity().unwrap(), SIZE);
    let mut buf = device.alloc(1 << 16).unwrap().take(4096).unwrap();
    buf.fill(0x5a);
    queue.write(8192, buf, Flags::NONE, 1);
    let done = finish(&mut queue);
    assert_eq!(done.token, 1);
    let mut buf = done.into_buf().unwrap();
    buf.fill(0);
    queue.read(8192, buf, 2);
    let buf = finish(&mut queue).into_buf().unwrap();
    assert!(buf.iter().all(|b| *b == 0x5a));
    assert_eq!(std::fs::read(&file.0).unwrap()[8191..8193], [0, 0x5a]);
}

fn bufs_of(done: Completion<()>) -> Bufs {
    match done.data {
        Data::Bufs(bufs) => bufs,
        other => panic!("not the buffers, but {other:?}"),
    }
}

#[test]
fn vectors() {
    let file = Scratch::file(0);
    let (device, mut queue) = open::<()>(&file);
    let mut bufs = device.alloc(3 * 4096).unwrap().take_all(4096).unwrap();
    assert_eq!(bufs.len(), 3);
    for (i, buf) in bufs.iter_mut().enumerate() {
        buf.fill(i as u8 + 1);
    }
    queue.writev(0, bufs, Flags::FUA, ());
    let mut bufs = bufs_of(finish(&mut queue));
    bufs.reverse();
    queue.readv(0, bufs, ());
    let bufs = bufs_of(finish(&mut queue));
    assert!((1..=3).all(|i| bufs[i - 1][0] == i as u8));
    queue.readv(0, Bufs::from(Vec::new()), ());
    assert!(matches!(queue.wait_one().unwrap().data, Data::Bufs(_)));
}

#[test]
fn ranges_and_flush() {
    let file = Scratch::file(1);
    let (_device, mut queue) = open::<&str>(&file);
    queue.write_zeroes(4096, 4096, Flags::NO_UNMAP | Flags::FUA, "zeroes");
    assert_eq!(finish(&mut queue).token, "zeroes");
    queue.flush("flush");
    assert_eq!(finish(&mut queue).token, "flush");
    let bytes = std::fs::read(&file.0).unwrap();
    assert_eq!((bytes[4095], bytes[4096], bytes[8191], bytes[8192]), (1, 0, 0, 1));
    queue.discard(0, 4096, "discard");
    assert_eq!(queue.wait_one().unwrap().token, "discard");
}

/// 64 KiB of data in the middle of a hole.
#[test]
fn block_status() {
    const DATA: u64 = 512 << 10;
    const LEN: u64 = 64 << 10;
    let file = Scratch::new("sparse");
    let sparse = std::fs::File::create(&file.0).unwrap();
    sparse.set_len(SIZE).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[1; LEN as usize], DATA).unwrap();
    let (_device, mut queue) = open::<u8>(&file);
    for (room, found) in [(8, 3), (2, 2), (1, 1)] {
        queue.block_status(0, SIZE, room, 9);
        let done = finish(&mut queue);
        assert_eq!(done.token, 9);
        let extents = match done.data {
            Data::Extents(extents) => extents,
            other => panic!("not extents, but {other:?}"),
        };
        let all = [(0, DATA, true), (DATA, LEN, false), (DATA + LEN, SIZE - DATA - LEN, true)];
        assert_eq!(extents.len(), found, "{extents:?}");
        for (extent, (start, len, zero)) in extents.iter().zip(all) {
            assert_eq!((extent.start(), extent.len()), (start, len));
            assert_eq!((extent.is_zero(), extent.is_allocated()), (zero, !zero));
        }
    }
    queue.block_status(0, 0, 4, 1);
    assert!(matches!(finish(&mut queue).data, Data::Extents(none) if none.is_empty()));
    let (_device, mut queue) = null();
    queue.block_status(0, SIZE, 4, 1);
    let done = queue.wait_one().unwrap();
    assert_eq!(done.result().unwrap_err().errno(), errno::ENOTSUP);
    assert!(matches!(done.data, Data::Extents(none) if none.is_empty()));
}

#[test]
fn zones_on_a_device_without() {
    let (_device, mut queue) = null::<u32>();
    let requests: [fn(&mut Queue<u32>, u32); 9] = [
        |q, t| q.report_zones(0, 4, t),
        |q, t| q.open_zone(0, t),
        |q, t| q.close_zone(0, t),
        |q, t| q.finish_zone(0, t),
        |q, t| q.reset_zone(0, t),
        |q, t| q.open_all_zones(t),
        |q, t| q.close_all_zones(t),
        |q, t| q.finish_all_zones(t),
        |q, t| q.reset_all_zones(t),
    ];
    for (i, request) in requests.iter().enumerate() {
        request(&mut queue, i as u32);
        let done = queue.wait_one().unwrap();
        assert_eq!(done.token, i as u32);
        assert_eq!(done.result().unwrap_err().errno(), errno::ENOTSUP);
        if let Data::Zones(zones) = done.data {
            assert!(zones.is_empty());
        }
    }
}

#[test]
fn errors_have_a_value_and_a_message() {
    let error = Config::new("no such driver").unwrap_err();
    assert_eq!(error.errno(), 2);
    assert!(error.message().contains("no such driver"), "{error}");
    let config = Config::new(&driver()).unwrap().set("path", "/nonexistent").unwrap();
    let error = config.connect().unwrap_err();
    assert!(error.to_string().contains("/nonexistent"));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
    let (device, mut queue) = null();
    queue.read(SIZE, device.alloc(512).unwrap().take(512).unwrap(), ());
    let error = queue.wait_one().unwrap().into_buf().unwrap_err();
    assert_eq!(error.errno(), errno::EINVAL);
    assert!(!error.message().is_empty());
    assert_eq!(queue.wait_one().unwrap_err().errno(), errno::EINVAL); // nothing is outstanding
    assert_eq!(queue.wait(1000).unwrap_err().errno(), errno::EINVAL);
    assert_eq!(Config::new("nu\0ll").unwrap_err().errno(), errno::EINVAL);
    let kind = Config::new("null").unwrap().set("capacity", 5).unwrap_err();
    assert_eq!(kind.errno(), 25); // ENOTTY
}

#[test]
fn properties() {
    assert!(blkio::drivers().any(|d| d == "io_uring"));
    assert!(blkio::drivers().any(|d| d == blkio::file_driver()));
    assert_eq!(blkio::properties("none").err().unwrap().errno(), 19);
    let (device, _queue) = null::<()>();
    for p in blkio::properties("null").unwrap().filter(|p| p.readable.started()) {
        match p.ty.unwrap() {
            Type::Bool => assert!(device.get::<bool>(p.name).is_ok()),
            Type::Int => assert!(device.get::<i32>(p.name).is_ok()),
            Type::Uint64 => assert!(device.get::<u64>(p.name).is_ok()),
            _ => {}
        }
        device.get::<String>(p.name).unwrap();
        assert!(!p.doc.is_empty());
    }
    assert_eq!(device.get::<String>("capacity").unwrap(), SIZE.to_string());
    assert_eq!(device.get::<u64>("no-such").unwrap_err().errno(), 2);
}

#[test]
fn a_descriptor_is_handed_over() {
    let file = Scratch::file(9);
    let fd = OwnedFd::from(std::fs::File::open(&file.0).unwrap());
    let number = fd.as_raw_fd();
    let link = format!("/proc/self/fd/{number}");
    let (device, mut queues) =
        Config::new(&driver()).unwrap().fd(fd).unwrap().connect().unwrap().start().unwrap();
    let queue: &mut Queue<()> = &mut queues[0];
    queue.read(0, device.alloc(4096).unwrap().take(4096).unwrap(), ());
    assert_eq!(finish(queue).into_buf().unwrap()[0], 9);
    assert_eq!(std::fs::read_link(&link).unwrap(), file.0);
    drop((device, queues));
    assert_ne!(std::fs::read_link(&link).ok(), Some(file.0.clone()));
    // A number alone is not a right to close it.
    for config in [
        Config::new(&driver()).unwrap().set("fd", 0),
        Config::new(&driver()).unwrap().set("fd", "0"),
    ] {
        assert_eq!(config.unwrap_err().errno(), errno::EINVAL);
    }
}

#[test]
fn batches() {
    let (device, mut queue) = null::<usize>();
    let region = device.alloc(512 * 200).unwrap();
    for i in 0..200 {
        queue.read(0, region.take(512).unwrap(), i);
    }
    assert_eq!(queue.outstanding(), 200);
    assert!(queue.wait(1).unwrap() >= 1);
    let mut tokens = vec![queue.pop().unwrap().token];
    assert!(queue.wait(199).unwrap() >= 199); // although there are some left over
    assert!(queue.wait_timeout(0, Duration::ZERO).unwrap() == 199);
    tokens.extend(std::iter::from_fn(|| queue.pop()).map(|done| done.token));
    tokens.sort_unstable();
    assert_eq!(tokens, (0..200).collect::<Vec<_>>());
    assert_eq!(queue.outstanding(), 0);
    queue.flush(300);
    queue.flush(301);
    assert_eq!(queue.wait(2).unwrap(), 2);
    assert_eq!(finish(&mut queue).token + finish(&mut queue).token, 601); // those left over
    assert_eq!(region.take(512 * 200).unwrap().len(), 512 * 200); // all are back
}

#[test]
fn queues_come_and_go() {
    let (device, first) = null::<u8>();
    drop(first);
    let mut queue = device.add_queue::<String>().unwrap();
    queue.flush("token".into());
    assert_eq!(finish(&mut queue).token, "token");
    let mut poll = device.add_poll_queue::<u8>().unwrap();
    assert!(poll.is_poll() && poll.completion_fd().is_none());
    poll.read(0, device.alloc(512).unwrap().take(512).unwrap(), 3);
    assert_eq!(finish(&mut poll).token, 3);
    assert!(poll.wait_interruptible(0, None).is_ok());
    let queue = queue.with_token::<()>().unwrap();
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn completion_fd() {
    let (device, mut queue) = null::<()>();
    queue.enable_completion_fd(true);
    assert!(!readable(&queue.completion_fd().unwrap()));
    queue.read(0, device.alloc(512).unwrap().take(512).unwrap(), ());
    queue.submit().unwrap();
    assert!(readable(&queue.completion_fd().unwrap()));
    queue.clear_completion_fd();
    queue.clear_completion_fd(); // does not block
    assert!(!readable(&queue.completion_fd().unwrap()));
    assert_eq!(queue.wait(0).unwrap(), 1);
}

#[test]
fn drained() {
    let file = Scratch::file(0);
    let (device, queue) = open::<u32>(&file);
    let other = device.add_queue().unwrap();
    let mut queues = [queue, other];
    let region = device.alloc(8192).unwrap();
    queues[0].read(0, region.take(4096).unwrap(), 1);
    let busy = device.drain(&mut queues[..1], None).unwrap_err();
    assert_eq!(busy.errno(), errno::EBUSY);
    let (foreign, mut foreign_queue) = null::<u32>();
    let wrong = foreign.drain(&mut queues, None).unwrap_err();
    assert_eq!(wrong.errno(), errno::EINVAL);
    foreign_queue.flush(0);
    device.drain(&mut queues, Some(Duration::from_secs(60))).unwrap();
    let done = queues[0].wait_one().unwrap();
    assert_eq!(done.token, 1);
    queues[1].flush(2); // too late
    assert_eq!(queues[1].wait_one().unwrap().result().unwrap_err().errno(), errno::ECANCELED);
    assert_eq!(device.alloc(4096).unwrap_err().errno(), errno::ECANCELED);
    assert_eq!(device.add_queue::<()>().unwrap_err().errno(), errno::ECANCELED);
    assert_eq!(device.capacity().unwrap_err().errno(), errno::ECANCELED);
}

#[test]
fn server_timeouts_end_and_lose_nothing() {
    let server = common::Server::start();
    let (device, mut queues) = server.connect::<u8>(1).unwrap();
    let queue = &mut queues[0];
    let region = device.alloc(1 << 16).unwrap();
    server.stop();
    queue.read(0, region.take(4096).unwrap(), 5);
    let begin = Instant::now();
    let late = queue.wait_timeout(1, Duration::from_millis(50)).unwrap_err();
    assert_eq!(late.errno(), errno::ETIME);
    let late = queue.wait_interruptible(1, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(late.errno(), errno::ETIME);
    assert!(begin.elapsed() >= Duration::from_millis(50));
    server.go_on();
    let done = finish(queue);
    assert_eq!((done.token, done.into_buf().unwrap()[4095]), (5, 7));
}

/// A device of which everybody has a part outlives each of them.
#[test]
fn the_last_part_closes_the_device() {
    let file = Scratch::file(3);
    let (device, mut queue) = open::<()>(&file);
    assert_eq!(descriptors_of(&file), 1);
    let buf = device.alloc(4096).unwrap().take(4096).unwrap();
    drop::<Device>(device);
    queue.read(0, buf, ());
    let buf = finish(&mut queue).into_buf().unwrap();
    drop(queue);
    assert_eq!((descriptors_of(&file), buf[0]), (1, 3));
    drop(buf);
    assert_eq!(descriptors_of(&file), 0);
}
