# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# apt with other sources than the system's, for make-root and make-fio, which source this: packages
# of another release, from the archive that the system is configured with. Uses $tmp.

readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die()
{
	echo "tests/diff/${0##*/}: $*" >&2
	exit 1
}

# The main archive that apt takes this system's Debian packages from, as it is configured. Without
# package lists apt does not know which archive is Debian's; then it is the one with 'main'.
archive()
{
	local format='$(REPO_URI) $(LABEL) $(COMPONENT)'
	apt-get indextargets --format "$format" 'Created-By: Packages' |
		awk '$2 == "Debian" { print $1; exit }
		     $2 ~ /LABEL/ && $3 == "main" && $1 ~ /debian\/?$/ && !guess { guess = $1 }
		     END { if (guess) print guess }' | head -n1
}

# apt with nothing of the system but its way to the network: other sources, no installed packages.
private_apt()
{
	local command=$1
	shift
	"$command" -q -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$tmp/lists" -o Dir::State::status="$tmp/status" \
		-o Dir::Cache="$tmp/cache" -o Acquire::Languages=none -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=30 -o APT::Sandbox::User="$(id -un)" "$@"
}

# Take packages from this release, by a line of this type (deb or deb-src).
use_release()
{
	local type=$1 release=$2 uri
	uri=$(archive)
	[ -n "$uri" ] || die "apt is configured with no archive of Debian: nowhere to get $release from"
	[ -r "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
	mkdir -p "$tmp"/{lists,cache/archives}/partial
	: >"$tmp/status"
	echo "$type [signed-by=$keyring] $uri $release main" >"$tmp/sources.list"
}

# Run and stay silent; on failure show the end of what was said.
quietly()
{
	"$@" >"$tmp/log" 2>&1 || { tail -n 15 "$tmp/log" >&2; return 1; }
}
