# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The server lives in the guest for as long as the guest does.

modprobe -a vduse vhost_vdpa
truncate -s 128M /run/vduse.img
qemu-storage-daemon --blockdev driver=file,node-name=disk,filename=/run/vduse.img,discard=unmap \
	--export type=vduse-blk,id=export,node-name=disk,name=vduse0,writable=on,num-queues=2,queue-size=128 &
# Refused until the server has set up its queues.
retry vdpa dev add name vduse0 mgmtdev vduse
wait_for /dev/vhost-vdpa-0
