# SPDX-License-Identifier: MIT OR Apache-2.0
modprobe nvme
wait_for /dev/nvme0n1 /dev/nvme0n2 /dev/nvme0n3 /dev/ng0n1 /dev/ng0n2 /dev/ng0n3 /dev/ng0n4
