# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# Packages of other releases of Debian, from the archive that the system's own apt is configured
# with. Sourced; keeps apt's files in $tmp.

readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

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

# use_releases TYPE RELEASE...: have private_apt take packages from these, by lines of TYPE (deb or
# deb-src). Fails, with the reason in $no_archive, where there is no archive to take them from.
use_releases()
{
	local type=$1 uri release
	shift
	uri=$(archive)
	[ -n "$uri" ] || { no_archive="apt is configured with no archive of Debian"; return 1; }
	[ -r "$keyring" ] ||
		{ no_archive="$keyring is missing: install debian-archive-keyring"; return 1; }
	mkdir -p "$tmp"/{lists,cache/archives}/partial
	: >"$tmp/status"
	for release; do
		echo "$type [signed-by=$keyring] $uri $release main"
	done >"$tmp/sources.list"
}
