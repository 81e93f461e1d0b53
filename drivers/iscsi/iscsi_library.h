/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libiscsi, which is loaded when an instance connects: most applications never do, and need not
 * load it and the libraries for RDMA that it brings along. It does what is between TCP and SCSI:
 * login, CHAP, digests, and the order of what is sent. The functions have its names without
 * "iscsi_".
 *
 * It parses what a target sends. What is known of its version 1.19, and what the driver does about
 * it: iscsi_session.c and iscsi_slots.c.
 */
#ifndef BK_ISCSI_LIBRARY_H
#define BK_ISCSI_LIBRARY_H

#include <stdint.h>

/* clang-format off: the second needs the first, and both need the one above */
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
/* clang-format on */

#define ISCSI_FUNCTIONS(F)                                                                         \
	F(connect_async)                                                                           \
	F(create_context)                                                                          \
	F(destroy_context)                                                                         \
	F(get_error)                                                                               \
	F(get_fd)                                                                                  \
	F(get_target_address)                                                                      \
	F(login_async)                                                                             \
	F(logout_async)                                                                            \
	F(queue_length)                                                                            \
	F(scsi_command_async)                                                                      \
	F(service)                                                                                 \
	F(set_header_digest)                                                                       \
	F(set_initiator_username_pwd)                                                              \
	F(set_isid_random)                                                                         \
	F(set_log_fn)                                                                              \
	F(set_noautoreconnect)                                                                     \
	F(set_session_type)                                                                        \
	F(set_target_username_pwd)                                                                 \
	F(set_targetname)                                                                          \
	F(which_events)

struct iscsi_library {
#define ISCSI_FIELD(name) __typeof__(iscsi_##name) *name;
	ISCSI_FUNCTIONS(ISCSI_FIELD)
#undef ISCSI_FIELD
};

extern struct iscsi_library libiscsi;

/* Once it has returned 0, libiscsi is complete; or bk_err(). From any thread. */
int iscsi_library_load(void);

#endif
