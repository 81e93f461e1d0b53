// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads blocks at random from a file or block device, each reader an async function; one thread
//! runs them all.
//!
//! usage: random_read PATH

use blkio::aio::AsyncQueue;
use blkio::{Buf, Config, Result};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

const READERS: u64 = 8;
const READS: u64 = 1000;
const BLOCK: u64 = 512;

/// Reads one block after the other. Returns the sum of all bytes.
async fn reader(queue: AsyncQueue, mut buf: Buf, blocks: u64, seed: u64) -> Result<u64> {
    let mut random = seed;
    let mut sum = 0;
    for _ in 0..READS {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let block = (random >> 33) % blocks;
        let (result, back) = queue.read(block * BLOCK, buf).await;
        result?;
        sum += back.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        buf = back;
    }
    Ok(sum)
}

/// All of several futures. (Crates such as futures have better ones.)
struct All<F: Future>(Vec<One<F>>);

type One<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);

impl<F: Future> Future for All<F>
where
    F::Output: Unpin,
{
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for (future, output) in self.0.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(it) = future.as_mut().poll(cx) {
                *output = Some(it);
            }
        }
        if self.0.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(self.0.drain(..).filter_map(|(_, output)| output).collect())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: random_read PATH")?;
    let config = Config::new("io_uring")?.set("path", &path)?.set("read-only", true)?;
    let (device, mut queues) = config.connect()?.start::<()>()?;
    let queue = AsyncQueue::new(queues.remove(0))?;
    let blocks = device.capacity()? / BLOCK;
    if blocks == 0 {
        return Err(format!("{path} has no block of {BLOCK} bytes").into());
    }
    let region = device.alloc((READERS * 4096) as usize)?;
    let mut readers = Vec::new();
    for seed in 0..READERS {
        let buf = region.take(BLOCK as usize)?;
        readers.push((Box::pin(reader(queue.clone(), buf, blocks, seed)), None));
    }
    let sums = queue.block_on(All(readers))?.into_iter().collect::<Result<Vec<u64>>>()?;
    println!("{} reads, sum of all bytes {}", READERS * READS, sums.iter().sum::<u64>());
    Ok(())
}
