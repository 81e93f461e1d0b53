# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=sh
#
# Installs the packages of packages.list, or says how to. Sourced by whatever sets the machine up, in
# any shell of POSIX, since nothing else need be there yet. Uses $lib, this folder, and $program, the
# name that messages begin with.

# Where Debian has depmod, modprobe and losetup, which is not in a user's path.
PATH=$PATH:/usr/sbin:/sbin
export PATH

die()
{
	printf '%s: %s\n' "$program" "$*" | fold -s -w 96 >&2
	exit 1
}

say()
{
	printf '%s: %s\n' "$program" "$*" >&2
}

# make_folder FOLDER: below this tree, for what is downloaded and built.
make_folder()
{
	mkdir -p "$1" 2>/dev/null && [ -w "$1" ] ||
		die "cannot write to $1, as $(id -un). Copy the source tree to a place where this user" \
			"can write, and run it there"
}

# Run a command and stay silent, unless it fails.
quietly()
{
	if quiet_log=$("$@" 2>&1); then
		return 0
	fi
	printf '%s\n' "$quiet_log" | tail -n 25 >&2
	return 1
}

# The column of packages.list that this system's names are in; nothing when there is none.
distribution()
{
	(
		[ -r /etc/os-release ] && . /etc/os-release
		for name in ${ID-} ${ID_LIKE-}; do
			case $name in
			debian | fedora | alpine) echo "$name"; exit ;;
			*suse*) echo opensuse; exit ;;
			esac
		done
	)
}

# The command that installs packages.
installer()
{
	case $(distribution) in
	debian) echo "apt-get install -y --no-install-recommends" ;;
	fedora) echo "dnf install" ;;
	opensuse) echo "zypper install" ;;
	alpine) echo "apk add" ;;
	esac
}

# packages_of NEED...: their packages, a line each. A system of no column gets Debian's names.
packages_of()
{
	awk -v needs=" $* " -v distribution="$(distribution)" '
		/^#/ || !NF { next }
		$1 == "need" {
			column = 2
			for (i = 2; i <= NF; i++)
				if ($i == distribution) column = i
			next
		}
		index(needs, " " $1 " ") && $column != "-" && !seen[$column]++ { print $column }
	' "$lib/packages.list"
}

is_installed()
{
	case $(distribution) in
	debian) [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
	fedora | opensuse) rpm -q --quiet --whatprovides "$1" 2>/dev/null ;;
	alpine) apk info -q -e "$1" 2>/dev/null ;;
	*) return 1 ;;
	esac
}

missing_packages()
{
	for package in $(packages_of "$@"); do
		is_installed "$package" || echo "$package"
	done
}

# Every need that there is.
all_needs()
{
	awk '!/^#/ && NF && $1 != "need" && !seen[$1]++ { print $1 }' "$lib/packages.list"
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Whether as_root can work: sudo asks for no password, or there is a terminal to ask on.
can_be_root()
{
	[ "$(id -u)" = 0 ] || {
		command -v sudo >/dev/null && { sudo -n true || (: </dev/tty); } 2>/dev/null
	}
}

# one_line WORD...: the command that installs these packages, for somebody to run as root.
one_line()
{
	update=
	[ "$(distribution)" != debian ] || update="apt-get update && "
	echo "  $update$(installer) $*"
}

# After a failure: what an administrator has to run, for these needs and for all there are.
tell_administrator()
{
	# shellcheck disable=SC2046
	{
		echo "To install what is missing, run as root:"
		one_line $(missing_packages "$@")
		echo "With what the tests, the test VM and packages need besides:"
		one_line $(missing_packages $(all_needs))
	} >&2
	exit 1
}

# install_needs NEED...: the packages of these needs that are missing, or a message and no return.
install_needs()
{
	# shellcheck disable=SC2046
	set -- "$@" -- $(missing_packages "$@")
	needs=
	while [ "$1" != -- ]; do
		needs="$needs $1"
		shift
	done
	shift
	[ $# -gt 0 ] || return 0

	case $(distribution) in
	debian) ;;
	'') die "no package names are known for this system. Install what Debian calls: $*;" \
		"then run scripts/setup --no-packages --fio-source DIR" ;;
	*)
		say "packages are installed on Debian only. Here, run as root:"
		one_line "$@" >&2
		die "Then run this again. The fio engine needs the source of your fio besides:" \
			"scripts/setup --no-packages --fio-source DIR"
		;;
	esac
	# shellcheck disable=SC2086
	can_be_root || { say "packages are missing, and installing them needs root"
		tell_administrator $needs; }
	say "installing $*"
	# One of several archives may fail, and apt-get update succeeds when all do: what counts is
	# whether the packages can be had.
	updated=$(as_root apt-get -q update 2>&1) || true
	quietly as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qy install --no-install-recommends "$@" && return 0
	printf '%s\n' "$updated" | grep '^[EW]:' | tail -n 10 >&2 || true
	say "apt-get failed, see above: is the package archive reachable?"
	# shellcheck disable=SC2086
	tell_administrator $needs
}
