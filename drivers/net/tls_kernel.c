/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Handing a session to the kernel, with the keys that gnutls has agreed on.
 *
 * A peer may change its keys at any time (TLS 1.3), which kernels before 6.14 cannot follow; gnutls
 * does after 2^24 records, but not with ChaCha20-Poly1305. So the kernel is given what keeps its
 * keys, and the rest only if the user connects again when the connection ends.
 */
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/tls_gnutls.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define IV_LEN	 12
#define SEQ_LEN	 8
#define INFO_MAX 64

/* The kernel's name of a cipher, and the lengths of what it wants to know of it, in that order. */
struct cipher {
	gnutls_cipher_algorithm_t gnutls;
	uint16_t type;
	uint8_t iv, key, salt;
	bool keeps_keys;
};

static const struct cipher ciphers[] = {
	{ GNUTLS_CIPHER_AES_128_GCM, TLS_CIPHER_AES_GCM_128, 8, 16, 4, false },
	{ GNUTLS_CIPHER_AES_256_GCM, TLS_CIPHER_AES_GCM_256, 8, 32, 4, false },
	{ GNUTLS_CIPHER_CHACHA20_POLY1305, TLS_CIPHER_CHACHA20_POLY1305, 12, 32, 0, true },
};

static const struct cipher *find_cipher(gnutls_session_t session)
{
	gnutls_cipher_algorithm_t wanted = net_gnutls.cipher_get(session);

	for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++) {
		if (ciphers[i].gnutls == wanted)
			return &ciphers[i];
	}
	return NULL;
}

static uint8_t *put(uint8_t *p, const void *from, size_t len)
{
	memcpy(p, from, len);
	return p + len;
}

/* The nonce is salt and IV. With TLS 1.2 and GCM, the IV counts, and the kernel goes on. */
static int give(gnutls_session_t session, int sock, const struct cipher *c, bool is_new, bool rx)
{
	struct tls_crypto_info head = {
		.version = is_new ? TLS_1_3_VERSION : TLS_1_2_VERSION,
		.cipher_type = c->type,
	};
	uint8_t info[INFO_MAX], seq[SEQ_LEN], *p = info;
	gnutls_datum_t mac, iv, key;
	int ret = net_gnutls.record_get_state(session, rx, &mac, &iv, &key, seq);

	if (ret < 0 || key.size != c->key || iv.size < c->salt ||
	    (iv.size != IV_LEN && (is_new || !c->salt)))
		return -ENOTSUP;
	p = put(p, &head, sizeof(head));
	p = put(p, iv.size == IV_LEN ? iv.data + c->salt : seq, c->iv);
	p = put(p, key.data, c->key);
	p = put(p, iv.data, c->salt);
	p = put(p, seq, SEQ_LEN);
	ret = setsockopt(sock, SOL_TLS, rx ? TLS_RX : TLS_TX, info, p - info);
	ret = ret < 0 ? -errno : 0;
	explicit_bzero(info, sizeof(info));
	return ret;
}

int net_tls_to_kernel(gnutls_session_t session, int sock, const struct net_tls_keys *keys)
{
	gnutls_protocol_t version = net_gnutls.protocol_get_version(session);
	const struct cipher *c = find_cipher(session);
	bool is_new = version == GNUTLS_TLS1_3;
	int ret;

	if (!c || (!is_new && version != GNUTLS_TLS1_2) ||
	    (is_new && !c->keeps_keys && !keys->can_reconnect) ||
	    net_gnutls.record_check_pending(session))
		return 0;
	if (give(session, sock, c, is_new, true) < 0)
		return 0;
	/* There is no way back from here. */
	ret = give(session, sock, c, is_new, false);
	return ret < 0 ? bk_err(-ret, "the kernel took the TLS keys of one direction only: %s",
				strerror(-ret))
		       : 1;
}
