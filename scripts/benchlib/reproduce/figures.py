# SPDX-License-Identifier: MIT OR Apache-2.0
"""The figures to reproduce: what each claims, and the commands of scripts/bench that test it."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]  # modes: the first is compared with the second


@dataclass(frozen=True)
class Step:
    """One command of scripts/bench; its result goes to a folder of that name."""

    name: str
    command: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()  # what the claim is about
    quick: tuple[str, ...] = ("--quick",)  # what --quick adds
    takes_target: bool = False  # --target of reproduce replaces those in the command


@dataclass(frozen=True)
class Figure:
    title: str
    claim: str
    steps: tuple[Step, ...]


_POLLED_AND_NOT = (("block", "native"), ("poll", "native-poll"))
_SCRATCH = ("--target", "page-cache", "--target", "tmpfs", "--target", "disk")

FIGURES: dict[str, Figure] = {
    "micro": Figure(
        "512-byte random reads, with and without polling",
        "libblkio's latency is that of fio's own io_uring engine or less, polled or not",
        (Step("host", ("compare", *_SCRATCH, "--depth", "1", "--modes",
                       "native,native-poll,block,eventfd,loop,poll"), _POLLED_AND_NOT,
              takes_target=True),
         Step("vm", ("vm", "null_blk"), _POLLED_AND_NOT))),
    "extended": Figure(
        "more block sizes and queue depths",
        "the same holds at any size and depth",
        (Step("host", ("compare", "--target", "page-cache", "--target", "tmpfs", "--bs",
                       "512,4k,64k", "--depth", "1,4,32,128", "--modes",
                       "native,native-poll,block,poll", "--rounds", "7", "--runtime", "0.3"),
              _POLLED_AND_NOT,
              quick=("--quick", "--bs", "512,64k", "--depth", "1,32", "--rounds", "5"),
              takes_target=True),)),
    "mapping": Figure(
        "memory mapped once, and for each I/O",
        "mapping memory for each I/O costs so much that programs should map it once",
        (Step("host", ("compare", "--target", "tmpfs", "--depth", "1", "--modes",
                       "native,block,temporary,vhost-block,vhost-temporary"),
              (("temporary", "block"), ("vhost-temporary", "vhost-block"))),
         Step("vm", ("vm", "vfio", "--modes", "native,vfio-block,vfio-temporary"),
              (("vfio-temporary", "vfio-block"),)))),
    "bypass": Figure(
        "past the guest's kernel",
        "a virtio-blk device has less latency driven from user space through VFIO than by the "
        "kernel",
        (Step("vm", ("vm", "vfio"), (("vfio-block", "native"), ("vfio-eventfd", "native"),
                                     ("vfio-loop", "native"), ("vfio-poll", "native-poll"))),)),
    "vhost": Figure(
        "a storage daemon through shared memory",
        "what vhost-user adds to a file's latency, and what polling takes off that",
        (Step("host", ("compare", "--target", "tmpfs", "--target", "disk", "--depth", "1,32",
                       "--modes", "native,block,vhost-block,vhost-eventfd,vhost-loop,vhost-poll"),
              (("vhost-block", "native"), ("vhost-poll", "vhost-block")),
              quick=("--quick", "--depth", "1")),)),
    "nvme": Figure(
        "past the kernel's block layer",
        "NVMe passthrough has less latency than the block layer, and libblkio's no more than "
        "fio's own io_uring_cmd",
        (Step("vm", ("vm", "nvme"), (("native-cmd", "native"), ("nvme-block", "native-cmd"),
                                     ("nvme-poll", "native-cmd-poll"))),)),
    "qemu": Figure(
        "inside QEMU",
        "QEMU's libblkio driver is as fast as QEMU's own io_uring code, or faster",
        (Step("host", ("qemu",), takes_target=True),)),
}
