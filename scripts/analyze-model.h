/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What scripts/analyze tells its tools, which see one file at a time: bk_err() never returns 0, so
 * whoever calls it fails, and who is told so does not look at the results.
 */
#include "driver.h"

#define bk_err(...) ((bk_err)(__VA_ARGS__), -1)
