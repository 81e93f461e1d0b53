/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC32C, the digest of NVMe/TCP (Castagnoli's polynomial, as in iSCSI; RFC 3720, appendix B.4). */
#ifndef BK_NVME_TCP_CRC32C_H
#define BK_NVME_TCP_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* That of the bytes whose CRC is crc, and then these. Of no bytes it is 0. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same on a CPU without an instruction for it. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len);

#endif
