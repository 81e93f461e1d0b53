# SPDX-License-Identifier: MIT OR Apache-2.0
"""The machine that is measured on; needs the standard library only.

    blockdev     what the kernel says about the block device below a file or device node
    inuse        who else uses a file or device
    sockets      a folder whose path is short enough for sockets
    environment  the record of machine and software that goes into each result
    quiet        CPUs for fio, no deep idle states, how busy other programs are
"""
