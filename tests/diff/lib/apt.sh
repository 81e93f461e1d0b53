# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# apt with other sources than the system's, for make-root and make-fio, which source this: packages
# of another release, from the archive that the system is configured with. Uses $tmp.

. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/setuplib/archive.sh"

die()
{
	echo "tests/diff/${0##*/}: $*" >&2
	exit 1
}

# The same for what this machine or its network does not let us have: the tests that want it skip.
unreachable()
{
	echo "tests/diff/${0##*/}: $*" >&2
	exit 77
}

# Take packages from this release, by a line of this type (deb or deb-src).
use_release()
{
	use_releases "$1" "$2" || unreachable "$no_archive: nowhere to get $2 from"
}

# Run and stay silent; on failure show the end of what was said.
quietly()
{
	"$@" >"$tmp/log" 2>&1 || { tail -n 15 "$tmp/log" >&2; return 1; }
}
