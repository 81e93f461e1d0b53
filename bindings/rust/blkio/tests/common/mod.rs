// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices for the tests: files, and a storage daemon.
#![allow(dead_code)] // no test uses all of it

use blkio::{Config, Device, Queue, Result};
use std::os::unix::io::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const SIZE: u64 = 1 << 20;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
}

/// A path in the build folder, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}.{}.{n}", std::process::id());
        Scratch(Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap().join(name))
    }

    pub fn file(contents: u8) -> Scratch {
        let scratch = Scratch::new("file");
        std::fs::write(&scratch.0, vec![contents; SIZE as usize]).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn null<T>() -> (Device, Queue<T>) {
    let config = Config::new("null").unwrap().set("capacity", SIZE).unwrap();
    let (device, mut queues) = config.connect().unwrap().start().unwrap();
    (device, queues.remove(0))
}

/// The driver for files: BLKIO_TEST_DRIVER, or the one that works here.
pub fn driver() -> String {
    std::env::var("BLKIO_TEST_DRIVER").unwrap_or_else(|_| blkio::file_driver().into())
}

pub fn open<T>(file: &Scratch) -> (Device, Queue<T>) {
    let config = Config::new(&driver()).unwrap().set("path", &*file.0).unwrap();
    let (device, mut queues) = config.connect().unwrap().start().unwrap();
    (device, queues.remove(0))
}

/// A storage daemon that serves a file by vhost-user. It can be made silent.
pub struct Server {
    child: Child,
    socket: Scratch,
    serves: Scratch, // written once the socket takes connections
    _file: Scratch,
}

impl Server {
    pub fn start() -> Server {
        let (file, socket, serves) = (Scratch::file(7), Scratch::new("socket"), Scratch::new("pid"));
        let child = Command::new("qemu-storage-daemon")
            .arg("--pidfile")
            .arg(&serves.0)
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=f,filename={}", file.0.display()))
            .arg("--export")
            .arg(format!(
                "type=vhost-user-blk,id=e,node-name=f,writable=on,num-queues=2,\
                 addr.type=unix,addr.path={}",
                socket.0.display()
            ))
            .stdin(Stdio::null())
            .env_remove("LD_PRELOAD") // it may be of the sanitizer of this program
            .spawn()
            .expect("qemu-storage-daemon");
        // The daemon looks its file up again after writing it: it stays.
        let mut server = Server { child, socket, serves, _file: file };
        while !server.serves.0.exists() {
            assert!(server.child.try_wait().unwrap().is_none(), "the server ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub fn connect<T>(&self, queues: i32) -> Result<(Device, Vec<Queue<T>>)> {
        let config = Config::new("virtio-blk-vhost-user")?.set("path", &*self.socket.0)?;
        config.connect()?.set("num-queues", queues)?.start()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a process of ours, which is not yet waited for.
        assert_eq!(unsafe { kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn stop(&self) {
        self.signal(SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(SIGCONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inode of the library's memory that is mapped at the address. Another test may get the address
/// of memory that is freed, but not its inode.
pub fn mapping_at(address: usize) -> Option<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:libblkio")).find_map(|line| {
        let mut words = line.split_whitespace();
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let number = |hex| usize::from_str_radix(hex, 16).unwrap();
        let inode = words.nth(3).unwrap().parse().unwrap();
        (number(from)..number(to)).contains(&address).then_some(inode)
    })
}

/// Whether the address is in memory of the library.
pub fn is_mapped(address: usize) -> bool {
    mapping_at(address).is_some()
}

/// How many descriptors of this process are open on the file.
pub fn descriptors_of(file: &Scratch) -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| *link == file.0).count()
}

/// Whether the descriptor is readable now.
pub fn readable(fd: &impl AsRawFd) -> bool {
    #[repr(C)]
    struct Pollfd(i32, i16, i16);
    extern "C" {
        fn poll(fds: *mut Pollfd, n: u64, timeout: i32) -> i32;
    }
    let mut fd = Pollfd(fd.as_raw_fd(), 1, 0);
    // SAFETY: an array of one.
    unsafe { poll(&mut fd, 1, 0) == 1 }
}
