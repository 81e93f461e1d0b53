# SPDX-License-Identifier: MIT OR Apache-2.0
modprobe loop
wait_for /dev/loop-control
