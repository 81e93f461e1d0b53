# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# The sources of other fio than the installed one, for scripts/setup, which sources this:
# .deps/fio-VERSION, configured. From the releases of Debian, as far as the archive serves them.

. "$lib/archive.sh"

readonly fio_releases=(bookworm trixie sid)

# Debian's packages of fio, such as 3.39-1.
known_packages()
{
	private_apt apt-cache showsrc fio | awk '/^Version: / && !seen[$2]++ { print $2 }'
}

# Unpack the source of package $1 into $2: with Debian's patches, or else, where only that is
# served, as its authors publish it.
unpack_package()
{
	mkdir "$2" "$2/source"
	(
		cd "$2"
		if private_apt apt-get source "fio=$1" && mv fio-*/* source; then
			exit 0
		fi
		private_apt apt-get --tar-only --download-only source "fio=$1" &&
			tar -x -f fio_*.orig.tar.* -C source --strip-components=1
	)
}

has_version()
{
	[ -r "$deps/fio-$1/config-host.h" ] ||
		{ [ -r "$tree/config-host.h" ] && [ "$(tree_version "$tree")" = "fio-$1" ]; }
}

# The source of package $1, unless it is there. Fails where the archive does not serve it.
get_package()
{
	local version=${1%-*}
	local place=$deps/fio-$version source=$tmp/$version
	has_version "$version" && return
	say "fetching the source of fio $version"
	quietly unpack_package "$1" "$source" || return
	(cd "$source/source" && quietly ./configure --disable-native) ||
		die "configuring the source of fio $version failed (see above)"
	rm -rf "$place"
	mv "$source/source" "$place"
}

# All that can be had. What cannot is named, once, and left out.
get_all_versions()
{
	local package done=$deps/fio-versions
	[ "$(cat "$done" 2>/dev/null)" != "${fio_releases[*]}" ] || return 0
	if ! use_releases deb-src "${fio_releases[@]}"; then
		say "no source of other versions of fio: $no_archive"
		return
	fi
	if ! quietly private_apt apt-get -o APT::Update::Error-Mode=any update; then
		say "no source of other versions of fio: the package archive cannot be reached"
		return
	fi
	for package in $(known_packages); do
		get_package "$package" ||
			say "the engine leaves out fio ${package%-*}: the archive of Debian lists its source" \
				"and does not serve it (see above). If you have it, configured: link it to" \
				".deps/fio-${package%-*}"
	done
	echo "${fio_releases[*]}" >"$done"
}

# get_versions VERSION...: each of them, or no return.
get_versions()
{
	local version package
	use_releases deb-src "${fio_releases[@]}" || die "--fio-versions: $no_archive"
	quietly private_apt apt-get -o APT::Update::Error-Mode=any update ||
		die "--fio-versions: the package archive cannot be reached (see above)"
	for version; do
		package=$(known_packages | grep -m1 -F "$version-") ||
			has_version "$version" ||
			die "--fio-versions: no release of Debian has fio $version; there are" \
				"$(known_packages | sed 's/-[^-]*$//' | xargs)"
		get_package "${package:-$version}" ||
			die "--fio-versions: the archive does not serve the source of fio $version (see" \
				"above). If you have it, configured: link it to .deps/fio-$version"
	done
}
