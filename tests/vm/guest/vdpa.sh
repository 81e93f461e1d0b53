# SPDX-License-Identifier: MIT OR Apache-2.0
#
# With no other driver for vDPA devices around, vhost_vdpa takes those that are added.

modprobe -a vdpa_sim_blk vhost_vdpa
vdpa dev add name sim mgmtdev vdpasim_blk || fail "cannot add the simulated device"
wait_for /dev/vhost-vdpa-0
