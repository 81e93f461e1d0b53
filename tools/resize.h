/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* --resize: a destination that is a regular file gets the size of the source. */
#ifndef RESIZE_H
#define RESIZE_H

#include "extents.h"
#include "place.h"

/*
 * The destination must be a regular file; when there is none, make an empty one, which goes again
 * if the tool ends before resize_to(). Before connecting. Was one made? All of these end the tool
 * on failure.
 */
bool resize_prepare(struct place *dst);

/*
 * Is there room for size bytes, or at least for those of them that are data? src knows, and is
 * asked only then. Nobody knows how many of the data are zeroes or how well the file system
 * compresses, so only a file that has something to lose is protected; force just warns.
 */
void resize_check_space(const struct place *dst, uint64_t size, struct extents *src, bool force);

/*
 * Every check has passed: change the size. What is in the file stays, up to there. Returns the
 * offset from where on the file has nothing but zeroes.
 */
uint64_t resize_to(struct place *dst, uint64_t size);

#endif
