/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox - see mailbox.h */
#include "bus/peer/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"

#define QUEUE_IN 256   /* requests of one caller that wait in the worker */
#define QUEUE_OUT 1000 /* answers of one caller that it has not read */
#define BACKLOG 1024

struct mailbox {
	struct zsock *sock, *monitor;
	mailbox_mail_fn *on_mail;
	mailbox_gone_fn *on_gone;
	void *arg;
};

static void
on_monitor(void *arg, struct zmsg *m)
{
	struct mailbox *mb = arg;
	unsigned event;
	int fd;

	zsock_event(m, &event, &fd);
	mb->on_gone(mb->arg, fd);
}

/* "something:UID:GID:PID", as libzmq puts it for ipc peers. */
static bool
peer_of(zmq_msg_t *msg, uid_t *uid, pid_t *pid)
{
	const char *text = zmq_msg_gets(msg, "Peer-Address");
	unsigned u, g, p;
	const char *at;
	int colons = 0;

	if (text == NULL)
		return false;
	for (at = text + strlen(text); at > text && colons < 3; at--)
		colons += at[-1] == ':';
	if (colons < 3 || sscanf(at, ":%u:%u:%u", &u, &g, &p) != 3)
		return false;
	*uid = u;
	*pid = (pid_t)p;
	return true;
}

static void
on_message(void *arg, struct zmsg *m)
{
	struct mailbox *mb = arg;
	struct mail mail = { .from.fd = -1 };
	size_t n;

	/* A closed connection's number may be in use again: hear of closings before what came later. */
	zsock_drain(mb->monitor);
	if (m->n != 3 || m->more)
		return; /* not a message of this protocol: the sender gets no answer */
	n = zmq_msg_size(&m->frames[0]);
	if (n > ROUTE_MAX || !peer_of(&m->frames[2], &mail.uid, &mail.pid))
		return;
	memcpy(mail.from.name, zmq_msg_data(&m->frames[0]), n);
	mail.from.len = (uint8_t)n;
	mail.from.fd = zmq_msg_get(&m->frames[2], ZMQ_SRCFD);
	mail.envelope = &m->frames[1];
	mail.body = &m->frames[2];
	mb->on_mail(mb->arg, &mail);
}

static int
mailbox_bind(struct mailbox *mb, struct hub *h, int fd, const char *path, struct err *e)
{
	int64_t most = BUS_MSG_MAX;
	char address[160];

	mb->sock = hub_socket(h, ZMQ_ROUTER, on_message, mb, e);
	if (mb->sock == NULL)
		return -(int)e->code;
	(void)zmq_setsockopt(zsock_raw(mb->sock), ZMQ_MAXMSGSIZE, &most, sizeof(most));
	(void)zsock_set(mb->sock, ZMQ_ROUTER_MANDATORY, 1);
	(void)zsock_set(mb->sock, ZMQ_RCVHWM, QUEUE_IN);
	(void)zsock_set(mb->sock, ZMQ_SNDHWM, QUEUE_OUT);
	(void)zsock_set(mb->sock, ZMQ_BACKLOG, BACKLOG);
	mb->monitor = hub_monitor(h, mb->sock, ZMQ_EVENT_DISCONNECTED, on_monitor, mb, e);
	if (mb->monitor == NULL)
		return -(int)e->code;
	(void)snprintf(address, sizeof(address), "ipc://%s", path);
	if (zsock_set(mb->sock, ZMQ_USE_FD, fd) != 0 || zmq_bind(zsock_raw(mb->sock), address) != 0)
		return err_sys(e, zmq_errno(), "take the mailbox %s", path);
	return 0;
}

int
mailbox_open(struct hub *h, int fd, const char *path, mailbox_mail_fn *on_mail,
    mailbox_gone_fn *on_gone, void *arg, struct mailbox **ret, struct err *e)
{
	AUTO(mailbox_close) struct mailbox *mb = xcalloc(1, sizeof(*mb));
	int r;

	mb->on_mail = on_mail;
	mb->on_gone = on_gone;
	mb->arg = arg;
	r = mailbox_bind(mb, h, fd, path, e);
	if (r < 0)
		return r;
	*ret = TAKE(mb);
	return 0;
}

void
mailbox_close(struct mailbox **mp)
{
	struct mailbox *mb = *mp;

	if (mb == NULL)
		return;
	zsock_close(&mb->monitor);
	zsock_close(&mb->sock);
	free(mb);
	*mp = NULL;
}

int
mailbox_send(struct mailbox *mb, const struct route *to, const char *kind, const uint8_t id[16],
    const void *body, size_t n)
{
	struct envelope env = { .v = BUS_VERSION, .kind = kind, .id = { id, 16 } };
	AUTO(buf_free) struct buf head = BUF_ZERO;
	struct err e = ERR_ZERO;

	MUST(wire_encode(&envelope_schema, &env, &head, &e) == 0);
	return zsock_send(mb->sock,
	    (struct iovec[]){ { (void *)(uintptr_t)to->name, to->len }, { head.data, head.len },
		{ (void *)(uintptr_t)body, n } },
	    3);
}
