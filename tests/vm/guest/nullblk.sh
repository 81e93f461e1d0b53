# SPDX-License-Identifier: MIT OR Apache-2.0

make_nullb nullb0 irqmode=1 blocksize=512 size=1024
make_nullb nullb1 irqmode=1 blocksize=512 size=128 memory_backed=1 discard=1 cache_size=8
make_nullb nullb2 irqmode=1 blocksize=4096 size=128 memory_backed=1 discard=1 cache_size=8
make_nullb nullb3 irqmode=1 blocksize=4096 size=128 memory_backed=1 zoned=1 zone_size=4
# A timer completes its requests, unless they are polled for.
make_nullb nullb4 irqmode=2 completion_nsec=50000000 blocksize=512 size=128 memory_backed=1
