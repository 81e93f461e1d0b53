// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads from the null driver, to count what a request costs: tests/rust/cost.c is the same in C.
//!
//! usage: cost REQUESTS DEPTH

use blkio::{Config, Queue, Result};

fn main() -> Result<()> {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (requests, depth) = match arguments[..] {
        [requests, depth] => (requests, depth),
        _ => panic!("usage: cost REQUESTS DEPTH"),
    };
    let (device, mut queues) = Config::new("null")?.connect()?.start()?;
    let queue: &mut Queue<usize> = &mut queues[0];
    let mut bufs = device.alloc(depth * 512)?.take_all(512)?;
    let mut done = 0;
    while done < requests {
        while let Some(buf) = bufs.pop() {
            queue.read(0, buf, done);
        }
        if depth == 1 {
            bufs.push(queue.wait_one()?.into_buf()?);
            done += 1;
            continue;
        }
        queue.wait(depth)?;
        while let Some(completion) = queue.pop() {
            bufs.push(completion.into_buf()?);
            done += 1;
        }
    }
    Ok(())
}
