// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that wait for a server: with a time limit, cancelled, and without waiting.

mod common;

use blkio::{errno, Config, Connected, Pending, Result};
use common::{driver, Scratch};
use std::io::Read;
use std::os::unix::io::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

/// A server that takes connections and never answers.
struct Silent {
    socket: Scratch,
    listener: UnixListener,
}

impl Silent {
    fn new() -> Silent {
        let socket = Scratch::new("silent");
        let listener = UnixListener::bind(&socket.0).unwrap();
        Silent { socket, listener }
    }

    fn config(&self) -> Config {
        let config = Config::new("virtio-blk-vhost-user").unwrap();
        config.set("path", &*self.socket.0).unwrap().set("connect-timeout", 0).unwrap()
    }

    /// Waits until the driver waits for an answer. It does so until the connection is dropped.
    fn is_asked(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    }
}

/// Waits until the driver has closed the connection.
fn wait_for_the_end(mut stream: UnixStream) {
    stream.read_to_end(&mut Vec::new()).unwrap();
}

fn assert_cancelled<T>(result: Result<T>) {
    assert_eq!(result.err().expect("the call was cancelled").errno(), errno::ECANCELED);
}

#[test]
fn connecting_has_a_time_limit() {
    let server = Silent::new();
    let config = server.config().set("connect-timeout", 10).unwrap();
    let error = config.connect().unwrap_err();
    assert_eq!(error.errno(), 110); // ETIMEDOUT
    assert!(error.message().contains("connect-timeout"), "{error}");
}

#[test]
fn another_thread_cancels() {
    let server = Silent::new();
    let config = server.config();
    let canceller = config.canceller();
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream = server.is_asked();
            canceller.cancel();
            wait_for_the_end(stream);
        });
        assert_cancelled(config.connect());
    });
    canceller.cancel(); // the instance is gone
}

#[test]
fn a_canceller_does_not_keep_the_device_open() {
    let file = Scratch::file(0);
    let (device, queue) = common::open::<()>(&file);
    let canceller = device.canceller();
    canceller.cancel(); // nothing is in progress
    assert_eq!(device.capacity().unwrap(), common::SIZE);
    drop((device, queue));
    assert_eq!(common::descriptors_of(&file), 0);
}

#[test]
fn connect_and_start_on_a_thread() {
    let file = Scratch::file(3);
    let pending = Config::new(&driver()).unwrap().set("path", &*file.0).unwrap().connect_async();
    let connected = pending.unwrap().finish().unwrap().set("num-queues", 2).unwrap();
    let (device, mut queues) = connected.start_async::<u8>().unwrap().finish().unwrap();
    assert_eq!(queues.len(), 2);
    queues[1].read(0, device.alloc(4096).unwrap().take(4096).unwrap(), 5);
    let done = queues[1].wait_one().unwrap();
    assert_eq!((done.token, done.into_buf().unwrap()[0]), (5, 3));
}

#[test]
fn the_descriptor_tells_when_the_call_is_over() {
    let server = Silent::new();
    let pending = server.config().connect_async().unwrap();
    let _stream = server.is_asked();
    assert!(!common::readable(&pending));
    pending.cancel();
    while !common::readable(&pending) {
        thread::yield_now();
    }
    assert_cancelled(pending.finish());
}

#[test]
fn errors_of_a_call_on_a_thread() {
    let pending = Config::new(&driver()).unwrap().set("path", "/nonexistent").unwrap().connect_async();
    let error = pending.unwrap().finish().unwrap_err();
    assert_eq!(error.errno(), 2); // ENOENT
    assert!(error.message().contains("/nonexistent"), "{error}");
}

#[test]
fn another_thread_cancels_a_call_on_a_thread() {
    let server = Silent::new();
    let pending = server.config().connect_async().unwrap();
    let canceller = pending.canceller();
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream = server.is_asked();
            canceller.cancel();
            wait_for_the_end(stream);
        });
        assert_cancelled(pending.finish());
    });
}

#[test]
fn a_dropped_call_is_cancelled() {
    let server = Silent::new();
    let pending = server.config().connect_async().unwrap();
    let stream = server.is_asked();
    drop(pending);
    wait_for_the_end(stream);
    let file = Scratch::file(0);
    let connected = Config::new(&driver()).unwrap().set("path", &*file.0).unwrap().connect().unwrap();
    drop(connected.start_async::<()>().unwrap());
    while common::descriptors_of(&file) > 0 {
        thread::yield_now();
    }
}

/// Whoever has the descriptor in the end closes it, once.
#[test]
fn a_descriptor_of_a_call_on_a_thread() {
    let file = Scratch::file(4);
    let open = || OwnedFd::from(std::fs::File::open(&file.0).unwrap());
    let start = |fd| -> Pending<Connected> {
        Config::new(&driver()).unwrap().fd(fd).unwrap().connect_async().unwrap()
    };
    let fd = open();
    let number = fd.as_raw_fd();
    let connected = start(fd).finish().unwrap();
    assert_eq!(connected.get::<i32>("fd").unwrap(), number);
    assert_eq!(common::descriptors_of(&file), 1);
    drop(connected);
    assert_eq!(common::descriptors_of(&file), 0);
    drop(start(open()));
    assert_eq!(common::descriptors_of(&file), 0);
    let append = std::fs::OpenOptions::new().append(true).open(&file.0).unwrap();
    start(append.into()).finish().unwrap_err();
    assert_eq!(common::descriptors_of(&file), 0);
}

#[cfg(feature = "tokio")]
#[test]
fn a_dropped_future_of_tokio_is_cancelled() {
    use std::future::Future;
    let server = Silent::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let mut future = Box::pin(blkio::tokio::finish(server.config().connect_async().unwrap()));
        let waker = std::task::Waker::from(std::sync::Arc::new(Nobody));
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut cx).is_pending());
        let stream = server.is_asked();
        drop(future);
        wait_for_the_end(stream);
    });
}

#[cfg(feature = "tokio")]
struct Nobody;

#[cfg(feature = "tokio")]
impl std::task::Wake for Nobody {
    fn wake(self: std::sync::Arc<Self>) {}
}
