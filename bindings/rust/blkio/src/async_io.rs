// SPDX-License-Identifier: MIT OR Apache-2.0
//! Futures of [`aio`](crate::aio), and calls that wait for a server, with the reactor of async-io,
//! which async-std and smol use. Feature `async-io`.

use crate::aio::{of_io, AsyncQueue};
use crate::control::Pending;
use crate::error::Result;
use async_io::Async;
use std::future::Future;
use std::task::Context;

/// Runs a future of the queue to its end, in the current task. Other tasks run meanwhile.
///
/// # Errors
/// Those of [`AsyncQueue::run()`].
///
/// ```
/// use blkio::{aio::AsyncQueue, Config};
///
/// let (device, mut queues) = Config::new("null")?.connect()?.start::<()>()?;
/// let queue = AsyncQueue::new(queues.remove(0))?;
/// let buf = device.alloc(4096)?.take(4096)?;
/// let (result, buf) = async_io::block_on(blkio::async_io::run(&queue, queue.read(0, buf)))?;
/// result?;
/// # Ok::<(), blkio::Error>(())
/// ```
pub async fn run<F: Future>(queue: &AsyncQueue, future: F) -> Result<F::Output> {
    queue.needs_completion_fd()?;
    let fd = Async::new(queue.clone()).map_err(of_io)?;
    let poll_readable = |cx: &mut Context<'_>| {
        fd.poll_readable(cx).map_ok(|()| queue.clear_completion_fd())
    };
    queue.run(future, poll_readable).await
}

/// The result of a call that a thread of the library makes. Other tasks run meanwhile. Dropping this
/// future cancels the call: see [`Pending`].
///
/// # Errors
/// Those of the call.
///
/// ```
/// use blkio::{async_io::finish, Config};
///
/// # async_io::block_on(async {
/// let connected = finish(Config::new("null")?.connect_async()?).await?;
/// let (device, queues) = finish(connected.start_async::<()>()?).await?;
/// # drop((device, queues));
/// # Ok::<(), blkio::Error>(()) })?;
/// # Ok::<(), blkio::Error>(())
/// ```
pub async fn finish<T>(pending: Pending<T>) -> Result<T> {
    let fd = Async::new(pending).map_err(of_io)?;
    fd.readable().await.map_err(of_io)?;
    fd.into_inner().map_err(of_io)?.finish()
}
