// SPDX-License-Identifier: MIT OR Apache-2.0
//! Futures of [`aio`](crate::aio), and calls that wait for a server, in a runtime of tokio. Feature `tokio`.

use crate::aio::{of_io, AsyncQueue};
use crate::control::Pending;
use crate::error::Result;
use std::future::Future;
use std::task::Context;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// Runs a future of the queue to its end, in the current task. Other tasks run meanwhile. Several
/// queues can run in one thread, each in its own task of a `LocalSet`.
///
/// # Errors
/// Those of [`AsyncQueue::run()`].
///
/// # Panics
/// Outside of a runtime of tokio with I/O enabled.
///
/// ```
/// use blkio::{aio::AsyncQueue, Config};
///
/// let (device, mut queues) = Config::new("null")?.connect()?.start::<()>()?;
/// let queue = AsyncQueue::new(queues.remove(0))?;
/// let buf = device.alloc(4096)?.take(4096)?;
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
/// let (result, buf) = runtime.block_on(blkio::tokio::run(&queue, queue.read(0, buf)))?;
/// result?;
/// # Ok::<(), blkio::Error>(())
/// ```
pub async fn run<F: Future>(queue: &AsyncQueue, future: F) -> Result<F::Output> {
    queue.needs_completion_fd()?;
    let fd = AsyncFd::with_interest(queue.clone(), Interest::READABLE).map_err(of_io)?;
    let poll_readable = |cx: &mut Context<'_>| {
        fd.poll_read_ready(cx).map_ok(|mut guard| {
            queue.clear_completion_fd();
            guard.clear_ready();
        })
    };
    queue.run(future, poll_readable).await
}

/// The result of a call that a thread of the library makes. Other tasks run meanwhile. Dropping this
/// future cancels the call: see [`Pending`].
///
/// # Errors
/// Those of the call.
///
/// # Panics
/// Outside of a runtime of tokio with I/O enabled.
///
/// ```
/// use blkio::{tokio::finish, Config};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
/// # runtime.block_on(async {
/// let connected = finish(Config::new("null")?.connect_async()?).await?;
/// let (device, queues) = finish(connected.start_async::<()>()?).await?;
/// # drop((device, queues));
/// # Ok::<(), blkio::Error>(()) })?;
/// # Ok::<(), blkio::Error>(())
/// ```
pub async fn finish<T>(pending: Pending<T>) -> Result<T> {
    let fd = AsyncFd::with_interest(pending, Interest::READABLE).map_err(of_io)?;
    drop(fd.readable().await.map_err(of_io)?);
    fd.into_inner().finish()
}
