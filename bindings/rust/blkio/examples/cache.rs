// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small cache of blocks, as a database has: the least recently used block makes room, and blocks
//! that were changed are written first. Its memory is one region.
//!
//! usage: cache PATH
//!
//! It increments a byte in each block, several times, and checks the file.

use blkio::{Buf, Config, Device, Flags, Queue, Result};
use std::collections::HashMap;

const BLOCK: usize = 4096;

struct Block {
    buf: Buf,
    changed: bool,
    used: u64,
}

struct Cache {
    queue: Queue<()>,
    blocks: HashMap<u64, Block>,
    free: Vec<Buf>,
    clock: u64,
}

impl Cache {
    fn new(device: &Device, queue: Queue<()>, room: usize) -> Result<Cache> {
        let free = device.alloc(room * BLOCK)?.take_all(BLOCK)?;
        Ok(Cache { queue, blocks: HashMap::new(), free, clock: 0 })
    }

    /// A buffer that no block has: a free one, or that of the block used longest ago.
    fn buffer(&mut self) -> Result<Buf> {
        if let Some(buf) = self.free.pop() {
            return Ok(buf);
        }
        let oldest = self.blocks.iter().min_by_key(|(_, block)| block.used);
        let number = *oldest.expect("a cache has room for a block").0;
        let block = self.blocks.remove(&number).expect("the block just found");
        if !block.changed {
            return Ok(block.buf);
        }
        self.queue.write(number * BLOCK as u64, block.buf, Flags::NONE, ());
        self.queue.wait_one()?.into_buf()
    }

    /// A block, read from the device where it is not in the cache.
    fn get(&mut self, number: u64) -> Result<&mut Block> {
        self.clock += 1;
        let clock = self.clock;
        #[allow(clippy::map_entry)] // buffer() takes a block from the map
        if !self.blocks.contains_key(&number) {
            let buf = self.buffer()?;
            self.queue.read(number * BLOCK as u64, buf, ());
            let buf = self.queue.wait_one()?.into_buf()?;
            self.blocks.insert(number, Block { buf, changed: false, used: 0 });
        }
        let block = self.blocks.get_mut(&number).expect("it is in the cache now");
        block.used = clock;
        Ok(block)
    }

    /// Puts all changes on stable storage: the writes together, then a flush.
    fn sync(&mut self) -> Result<()> {
        for (number, block) in self.blocks.drain() {
            if block.changed {
                self.queue.write(number * BLOCK as u64, block.buf, Flags::NONE, ());
            } else {
                self.free.push(block.buf);
            }
        }
        while self.queue.outstanding() > 0 {
            self.free.push(self.queue.wait_one()?.into_buf()?);
        }
        self.queue.flush(());
        self.queue.wait_one()?.result()
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: cache PATH")?;
    let before = std::fs::read(&path)?;
    let (device, mut queues) = Config::new("io_uring")?.set("path", &path)?.connect()?.start()?;
    let mut cache = Cache::new(&device, queues.remove(0), 16)?;
    let blocks = device.capacity()? / BLOCK as u64;
    const ROUNDS: u8 = 5;
    for round in 0..ROUNDS {
        for i in 0..blocks {
            // now forwards, now backwards, so that some blocks are found in the cache
            let block = cache.get(if round % 2 == 0 { i } else { blocks - 1 - i })?;
            block.buf[1] = block.buf[1].wrapping_add(1);
            block.changed = true;
        }
    }
    cache.sync()?;
    let after = std::fs::read(&path)?;
    for (number, block) in after.chunks_exact(BLOCK).enumerate() {
        let wanted = before[number * BLOCK + 1].wrapping_add(ROUNDS);
        if block[1] != wanted {
            return Err(format!("block {number} has {}, not {wanted}", block[1]).into());
        }
    }
    println!("{blocks} blocks, each changed {ROUNDS} times");
    Ok(())
}
