# SPDX-License-Identifier: MIT OR Apache-2.0
#
# An NVMe/TCP target over a null_blk with storage, and this kernel's own initiator connected to it.

modprobe -a nvmet-tcp nvme-tcp
make_nullb nullb-nvmet irqmode=1 blocksize=512 size=128 memory_backed=1 discard=1

nqn=nqn.2024-01.vm:target
nvmet=/sys/kernel/config/nvmet
namespace=$nvmet/subsystems/$nqn/namespaces/1

mkdir "$nvmet/subsystems/$nqn" "$namespace"
echo 1 >"$nvmet/subsystems/$nqn/attr_allow_any_host"
echo /dev/nullb-nvmet >"$namespace/device_path"
echo 1 >"$namespace/enable"

mkdir "$nvmet/ports/1"
echo tcp >"$nvmet/ports/1/addr_trtype"
echo ipv4 >"$nvmet/ports/1/addr_adrfam"
echo 127.0.0.1 >"$nvmet/ports/1/addr_traddr"
echo 4420 >"$nvmet/ports/1/addr_trsvcid"
ln -s "$nvmet/subsystems/$nqn" "$nvmet/ports/1/subsystems/$nqn"

echo "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$nqn,nr_poll_queues=2" >/dev/nvme-fabrics ||
	fail "cannot connect to the target"

find_nvmet_disk() {
	local controller
	controller=$(grep -lx "$nqn" /sys/class/nvme/*/subsysnqn) || return 1
	controller=${controller%/subsysnqn}
	nvmet_disk=/dev/${controller##*/}n1
	[ -e "$nvmet_disk" ]
}
retry find_nvmet_disk
guest_env="$guest_env VM_NVMET_DEVICE=$nvmet_disk VM_NVMET_URI=nvme+tcp://127.0.0.1/$nqn"
