/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A fuzzer is one function, which must come back, whatever the bytes are. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

void fuzz_one(const uint8_t *data, size_t len);

#endif
