# SPDX-License-Identifier: MIT OR Apache-2.0
"""The figures to reproduce: what each claims, and the commands of scripts/bench that test it."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]  # modes: the first is compared with the second


@dataclass(frozen=True)
class Task:
    """One command of scripts/bench; its result goes to a folder of that name."""

    name: str
    command: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()  # what the claim is about
    quick: tuple[str, ...] = ("--quick",)  # what --quick adds
    takes_target: bool = False  # --target of reproduce replaces those in the command


@dataclass(frozen=True)
class Claim:
    title: str
    claim: str
    steps: tuple[Task, ...]


_POLLED_AND_NOT = (("block", "native"), ("poll", "native-poll"))
_SCRATCH = ("--target", "page-cache", "--target", "tmpfs", "--target", "disk")

FIGURES: dict[str, Claim] = {
    "micro": Claim(
        "512-byte random reads, with and without polling",
        "libblkio's latency is that of fio's own io_uring engine or less, polled or not",
        (Task("host", ("compare", *_SCRATCH, "--depth", "1", "--modes",
                       "native,native-poll,block,eventfd,loop,poll"), _POLLED_AND_NOT,
              takes_target=True),
         Task("vm", ("vm", "null_blk"), _POLLED_AND_NOT))),
    "extended": Claim(
        "more block sizes and queue depths",
        "the same holds at any size and depth",
        (Task("host", ("compare", "--target", "page-cache", "--target", "tmpfs", "--bs",
                       "512,4k,64k", "--depth", "1,4,32,128", "--modes",
                       "native,native-poll,block,poll", "--rounds", "7", "--runtime", "0.3"),
              _POLLED_AND_NOT,
              quick=("--quick", "--bs", "512,64k", "--depth", "1,32", "--rounds", "5"),
              takes_target=True),)),
    "mapping": Claim(
        "memory mapped once, and for each I/O",
        "mapping memory for each I/O costs so much that programs should map it once",
        (Task("host", ("compare", "--target", "tmpfs", "--depth", "1", "--modes",
                       "native,block,temporary,vhost-block,vhost-temporary"),
              (("temporary", "block"), ("vhost-temporary", "vhost-block"))),
         Task("vm", ("vm", "vfio", "--modes", "native,vfio-block,vfio-temporary"),
              (("vfio-temporary", "vfio-block"),)))),
    "bypass": Claim(
        "past the guest's kernel",
        "a virtio-blk device has less latency driven from user space through VFIO than by the "
        "kernel",
        (Task("vm", ("vm", "vfio"), (("vfio-block", "native"), ("vfio-eventfd", "native"),
                                     ("vfio-loop", "native"), ("vfio-poll", "native-poll"))),)),
    "vhost": Claim(
        "a storage daemon through shared memory",
        "vhost-user has less latency than NBD to the same server, and polling takes off more",
        (Task("host", ("compare", "--target", "tmpfs", "--target", "disk", "--depth", "1,32",
                       "--modes", "native,native-nbd,block,vhost-block,vhost-eventfd,vhost-loop,"
                       "vhost-poll"),
              (("vhost-block", "native-nbd"), ("vhost-poll", "vhost-block")),
              quick=("--quick", "--depth", "1")),)),
    "nbd": Claim(
        "NBD servers on a Unix socket",
        "libblkio's driver does at least 1.3 times as many I/Os as fio's nbd engine, which is libnbd",
        (Task("host", ("compare", "--target", "page-cache", "--bs", "512,4k", "--depth", "1,32",
                       "--modes",
                       "native-nbd,nbd-block,nbd-eventfd,nbd-poll,"
                       "native-nbdkit,nbdkit-block,nbdkit-eventfd,nbdkit-poll"),
              (("nbd-block", "native-nbd"), ("nbd-poll", "native-nbd"),
               ("nbdkit-block", "native-nbdkit"), ("nbdkit-poll", "native-nbdkit")),
              quick=("--quick", "--bs", "512")),)),
    "nvme": Claim(
        "past the kernel's block layer",
        "NVMe passthrough has less latency than the block layer, and libblkio's no more than "
        "fio's own io_uring_cmd",
        (Task("vm", ("vm", "nvme"), (("native-cmd", "native"), ("nvme-block", "native-cmd"),
                                     ("nvme-poll", "native-cmd-poll"))),)),
    "qemu": Claim(
        "inside QEMU",
        "QEMU's libblkio driver is as fast as QEMU's own io_uring code, or faster",
        (Task("host", ("qemu",), takes_target=True),)),
    "copy": Claim(
        "copying between files, devices and servers",
        "blkio-copy is never slower than the fastest of qemu-img convert, nbdcopy, dd and cp",
        (Task("host", ("copy",)),)),
}
