/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Failures on demand: allocations and system calls of the library, which the linker leads here
 * (--wrap). While armed they are counted, and the one with the number asked for fails, once.
 */
#ifndef FAULTS_INJECT_H
#define FAULTS_INJECT_H

#include <stdbool.h>

/* From now on: count from 0, and fail call number nr with its variant-th plausible error. */
void inject_prepare(long nr, unsigned variant);
void inject_arm(bool on);
long inject_calls(void);
/* The call that failed, and its errno; NULL when none did (it has no such variant, say). */
const char *inject_failed(int *errnum);
/* Allocations that are not freed. */
long inject_allocations(void);

#endif
