# SPDX-License-Identifier: MIT OR Apache-2.0
# Gives each name of the engine, which is compiled once for each version of fio, the suffix of that
# version: #define bkf_queue bkf_queue_fio_3_33
{
	while (match($0, /bkf_[a-z0-9_]+/)) {
		names[substr($0, RSTART, RLENGTH)]
		$0 = substr($0, RSTART + RLENGTH)
	}
}
END {
	for (name in names)
		print "#define " name " " name "_" suffix
}
