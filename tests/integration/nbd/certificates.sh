#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Make the certificates and keys of nbd_tls.c, with openssl, in folders below $1: one for each kind
# of server, one for each kind of client. Exits with 127 where there is no openssl.
set -e
command -v openssl >/dev/null || exit 127
cd "$1"

key() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}

# authority NAME
authority() {
	key "$1-key.pem"
	openssl req -x509 -new -key "$1-key.pem" -out "$1-cert.pem" -days 30 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign
}

# issue AUTHORITY ROLE FOLDER NAMES DAYS
issue() {
	mkdir -p "$3"
	key "$3/$2-key.pem"
	openssl req -new -key "$3/$2-key.pem" -subj "/CN=$2" -out request
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$4" >extensions
	openssl x509 -req -in request -CA "$1-cert.pem" -CAkey "$1-key.pem" -CAcreateserial \
		-out "$3/$2-cert.pem" -extfile extensions -days "$5"
	cp ca-cert.pem "$3"
}

authority ca
authority other
issue ca server good DNS:localhost,IP:127.0.0.1 30
issue ca server elsewhere DNS:elsewhere.example 30
issue ca server expired DNS:localhost,IP:127.0.0.1 -1
issue other server forged DNS:localhost,IP:127.0.0.1 30
issue ca client client DNS:client 30
mkdir trusting nobody
cp ca-cert.pem trusting
echo 'qemu:1234567890abcdef1234567890abcdef' >keys.psk
printf '# comment\nalice:00ff00ff00ff00ff\nqemu:ffffffffffffffffffffffffffffffff\n' >wrong.psk
echo 'qemu:this is not hexadecimal' >bad.psk
