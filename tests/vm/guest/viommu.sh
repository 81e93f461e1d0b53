# SPDX-License-Identifier: MIT OR Apache-2.0
#
# No driver has claimed the devices: the guest loads none by itself. Bind them to vfio-pci, and tell
# the command their addresses.

modprobe -a vfio_iommu_type1 vfio-pci

# bind_vfio VARIABLE CLASS
bind_vfio() {
	local device=""
	for device in /sys/bus/pci/devices/*; do
		# Those on pcie.0, bus 00, are the VM's own.
		case ${device##*/} in *:00:*) continue ;; esac
		[ "$(cat "$device/class")" = "$2" ] || continue
		echo vfio-pci >"$device/driver_override"
		[ ! -e "$device/driver" ] || echo "${device##*/}" >"$device/driver/unbind"
		echo "${device##*/}" >/sys/bus/pci/drivers_probe
		wait_for "$device/iommu_group" "/dev/vfio/$(basename "$(readlink "$device/iommu_group")")"
		guest_env="$guest_env $1=${device##*/}"
		return
	done
	fail "no PCI device of class $2"
}

bind_vfio VM_VFIO_VIRTIO_BLK 0x010000
bind_vfio VM_VFIO_NVME 0x010802
