/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The fuzzer under clang's libFuzzer. */
#include "fuzz.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_begin();
	fuzz_one(data, len);
	fuzz_end();
	return 0;
}
