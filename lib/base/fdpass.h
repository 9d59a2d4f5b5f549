/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fdpass - messages with descriptors over a SOCK_SEQPACKET pair: what ZeroMQ cannot carry.
 *
 * A message is one packet: it arrives whole or not at all.
 */
#ifndef CF_BASE_FDPASS_H
#define CF_BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_FDS_MAX 5

/* Sends n bytes and nfds descriptors (borrowed). 0, or -1 with errno (EAGAIN when fd does not
 * block and the peer is behind). */
int fdpass_send(int sock, const void *data, size_t n, const int *fds, unsigned nfds);

/* Receives one packet of at most size bytes. Returns its length, 0 at the end, -1 with errno; a
 * packet or descriptor list that does not fit is EMSGSIZE. *nfds: room in, number received out; the
 * descriptors are the caller's and close-on-exec. */
ssize_t fdpass_recv(int sock, void *data, size_t size, int *fds, unsigned *nfds);

#endif
