// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies a file or block device to another, which must exist and be as large, with several requests
//! in flight. Each buffer goes to and fro between the two queues.
//!
//! usage: copy SOURCE DESTINATION

use blkio::{Config, Device, Flags, Queue, Result};
use std::error::Error;
use std::process::ExitCode;

const DEPTH: usize = 16;
const BLOCK: u64 = 128 << 10;

/// With each request goes where its data belongs.
fn open(path: &str, read_only: bool) -> Result<(Device, Queue<u64>)> {
    let config = Config::new("io_uring")?.set("path", path)?.set("read-only", read_only)?;
    let (device, mut queues) = config.connect()?.start()?;
    Ok((device, queues.remove(0)))
}

fn copy(from: &str, to: &str) -> std::result::Result<u64, Box<dyn Error>> {
    let (source, mut reads) = open(from, true)?;
    let (target, mut writes) = open(to, false)?;
    let size = source.capacity()?;
    let room = target.capacity()?;
    if room < size {
        return Err(format!("{to} has {room} bytes, of the {size} needed").into());
    }
    let region = source.alloc(DEPTH * BLOCK as usize)?;
    target.map(&region)?;
    let mut free = region.take_all(BLOCK as usize)?;
    let mut next = 0;
    while next < size || reads.outstanding() + writes.outstanding() > 0 {
        while next < size && !free.is_empty() {
            let len = BLOCK.min(size - next);
            let mut buf = free.pop().expect("not empty");
            if len < BLOCK {
                buf = buf.split(len as usize).0;
            }
            reads.read(next, buf, next);
            next += len;
        }
        reads.wait(reads.outstanding().min(1))?;
        while let Some(done) = reads.pop() {
            let at = done.token;
            writes.write(at, done.into_buf()?, Flags::NONE, at);
        }
        writes.wait(writes.outstanding().min(1))?;
        while let Some(done) = writes.pop() {
            free.push(done.into_buf()?);
        }
    }
    writes.flush(0);
    writes.wait_one()?.result()?;
    Ok(size)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [from, to] => match copy(from, to) {
            Ok(size) => println!("{size} bytes copied"),
            Err(error) => {
                eprintln!("copy: {error}");
                return ExitCode::from(1);
            }
        },
        _ => {
            eprintln!("usage: copy SOURCE DESTINATION");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
