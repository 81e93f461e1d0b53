# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Completion of blkio-info, blkio-copy and blkio-bench for bash: options, values of options, drivers,
# their properties, and paths. What drivers and properties there are is asked from blkio-info.

# Set cur to the word being completed. Not ${COMP_WORDS}: bash breaks words at : and = as well.
_blkio_current()
{
	local line=${COMP_LINE:0:COMP_POINT}
	cur=${line##* }
}

# Offer what follows the last : = or , of cur, since bash replaces only that much. $1: what stands in
# front of the candidates; the rest: candidates.
_blkio_offer()
{
	local front=$1 word cut
	shift
	cut=${cur%"${cur##*[:=]}"}
	COMPREPLY=()
	for word in "$@"; do
		word=$front$word
		[[ $word == "$cur"* ]] && COMPREPLY+=("${word#"$cut"}")
	done
	# No blank behind what has to go on.
	if [[ ${COMPREPLY[*]} == *[:=] ]]; then
		compopt -o nospace
	fi
}

# Paths behind $1, which bash replaces only as far as it is behind the last : or =.
_blkio_paths()
{
	mapfile -t COMPREPLY < <(compgen -f -- "${cur#"$1"}")
	compopt -o filenames
}

# The properties of driver $1 that can be set, each followed by =.
_blkio_properties()
{
	blkio-info "$1" 2>/dev/null | awk '/can be set/ { print $1 "=" }'
}

_blkio_target()
{
	local driver=${cur%%:*} last front
	if [[ $cur == */* && $driver == */* ]]; then
		_blkio_paths ""
	elif [[ $cur != *:* ]]; then
		# null needs no property.
		_blkio_offer "" $(blkio-info 2>/dev/null | sed 's/$/:/; s/^null:$/null/')
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur" | sed 's|^[^./]|./&|')
	else
		last=${cur#*:}
		last=${last##*,}
		front=${cur%"$last"}
		if [[ $last == *=true* || $last == *=false* ]]; then
			return
		elif [[ $last == path=* ]]; then
			_blkio_paths "${front}path="
		elif [[ $last == *=* ]]; then
			_blkio_offer "$front${last%%=*}=" true false
		else
			_blkio_offer "$front" $(_blkio_properties "$driver")
		fi
	fi
}

# $1: the tool
_blkio_options()
{
	local words
	words=$("$1" --help 2>/dev/null | grep -o -E -e '^ +(-., )?--[a-z-]+=?' | grep -o -e '--.*')
	_blkio_offer "" $words
}

_blkio_tool()
{
	local cur
	_blkio_current
	COMPREPLY=()
	case $cur in
	--rw=*) _blkio_offer --rw= read write readwrite randread randwrite randrw ;;
	--wait=*) _blkio_offer --wait= block eventfd loop poll ;;
	--*=*) ;;
	-*) _blkio_options "$1" ;;
	*) _blkio_target ;;
	esac
}

complete -F _blkio_tool blkio-info blkio-copy blkio-bench
