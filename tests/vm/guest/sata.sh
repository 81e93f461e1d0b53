# SPDX-License-Identifier: MIT OR Apache-2.0
modprobe ahci
modprobe sd_mod
wait_for /dev/sda
