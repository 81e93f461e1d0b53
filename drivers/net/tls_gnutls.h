/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * gnutls, which is loaded when TLS is asked for: most applications never do, and need not load a
 * dozen libraries.
 */
#ifndef BK_NET_TLS_GNUTLS_H
#define BK_NET_TLS_GNUTLS_H

#include <gnutls/gnutls.h>

#include "net/tls.h"

#define NET_GNUTLS_FUNCTIONS(F)                                                                    \
	F(alert_get)                                                                               \
	F(alert_get_name)                                                                          \
	F(auth_get_type)                                                                           \
	F(bye)                                                                                     \
	F(certificate_allocate_credentials)                                                        \
	F(certificate_free_credentials)                                                            \
	F(certificate_set_x509_crl_file)                                                           \
	F(certificate_set_x509_key_file)                                                           \
	F(certificate_set_x509_system_trust)                                                       \
	F(certificate_set_x509_trust_file)                                                         \
	F(cipher_get)                                                                              \
	F(credentials_set)                                                                         \
	F(deinit)                                                                                  \
	F(error_is_fatal)                                                                          \
	F(handshake)                                                                               \
	F(init)                                                                                    \
	F(priority_set_direct)                                                                     \
	F(protocol_get_version)                                                                    \
	F(psk_allocate_client_credentials)                                                         \
	F(psk_free_client_credentials)                                                             \
	F(psk_set_client_credentials)                                                              \
	F(record_check_pending)                                                                    \
	F(record_get_direction)                                                                    \
	F(record_get_state)                                                                        \
	F(record_recv)                                                                             \
	F(record_send)                                                                             \
	F(server_name_set)                                                                         \
	F(session_get_verify_cert_status)                                                          \
	F(session_set_verify_cert)                                                                 \
	F(strerror)                                                                                \
	F(transport_set_ptr)                                                                       \
	F(transport_set_pull_function)                                                             \
	F(transport_set_push_function)

/* Each by its name without "gnutls_". */
struct net_gnutls {
#define NET_GNUTLS_FIELD(name) __typeof__(gnutls_##name) *name;
	NET_GNUTLS_FUNCTIONS(NET_GNUTLS_FIELD)
#undef NET_GNUTLS_FIELD
};

extern struct net_gnutls net_gnutls;

/* Once it has returned 0, net_gnutls is complete; or bk_err(). From any thread. */
int net_gnutls_load(void);

/* Constant once loaded; several sessions may use them. One of the first two is not NULL. */
struct net_tls_keys {
	gnutls_certificate_credentials_t certificates;
	gnutls_psk_client_credentials_t psk;
	char *hostname; /* NULL: any */
	bool verify, kernel, can_reconnect;
};

/*
 * tls_kernel.c: after the handshake, on a socket of net_kernel_tls_attach(). 1: the socket is for
 * plain bytes now, and the session of no more use; 0: the kernel does not take it, and nothing has
 * changed; or bk_err().
 */
int net_tls_to_kernel(gnutls_session_t session, int sock, const struct net_tls_keys *keys);

#endif
