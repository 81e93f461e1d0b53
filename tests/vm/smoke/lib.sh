# SPDX-License-Identifier: MIT OR Apache-2.0
#
# For the smoke tests, which run inside the guest: check, count, and end with "finish".

failures=0

# same WHAT GOT WANTED
same() {
	if [ "$2" = "$3" ]; then
		echo "ok: $1 is $3"
	else
		echo "FAILED: $1 is '$2', wanted '$3'" >&2
		failures=$((failures + 1))
	fi
}

# works WHAT COMMAND...
works() {
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what: $*" >&2
		failures=$((failures + 1))
	fi
}

# queue DISK ATTRIBUTE
queue() {
	cat "/sys/block/$1/queue/$2"
}

# What is written comes back from the device, past the page cache.
keeps_data() {
	head -c 65536 /dev/urandom >/run/pattern &&
		dd if=/run/pattern of="$1" bs=65536 oflag=direct status=none &&
		dd if="$1" bs=65536 count=1 iflag=direct status=none | cmp -n 65536 - /run/pattern
}

finish() {
	[ "$failures" = 0 ]
	exit
}
