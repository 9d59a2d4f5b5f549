/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump - prints docs/bus.md from the declarations: the reference by which a program in any language
 * can drive the daemon. `make docs` writes it; the lint compares it, so no change of the wire goes
 * unseen.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "schemas/schema.h"

static const char intro[] =
    "# The bus\n"
    "\n"
    "Made from schemas/*.def by `make docs`; do not edit.\n"
    "\n"
    "Everything Coffer does is asked for over four Unix sockets, `STATE/bus/<actor>.sock` (STATE "
    "is\n"
    "/run/coffer unless `--state` says otherwise), one per actor. Each is a ZeroMQ ROUTER; a "
    "caller uses a\n"
    "DEALER. Messages are msgpack. Root and members of group coffer may call.\n"
    "\n"
    "A message is two frames, an *envelope* and a *body*, each one msgpack map with string keys. "
    "Strings are\n"
    "msgpack str, binary is msgpack bin, extension types are refused. Unknown keys are skipped; a "
    "nil is as\n"
    "absent; a field that is absent is 0, false, empty. A message may be 8 MiB, 16 levels deep, of "
    "250,000\n"
    "values.\n"
    "\n"
    "A request gets any number of `progress` messages, then exactly one `reply` or `error`, all "
    "with its id.\n"
    "Ids are 16 random bytes made by the caller. When a connection was lost, send every unanswered "
    "request\n"
    "again **with the same id**: it is executed once and answered. `cancel` with the id of a "
    "request (its body\n"
    "is empty) makes the actor let go of it, which is answered with the error `cancelled`.\n"
    "\n"
    "In Python, with pyzmq and msgpack:\n"
    "\n"
    "```python\n"
    "import os, zmq, msgpack\n"
    "sock = zmq.Context().socket(zmq.DEALER)\n"
    "sock.connect(\"ipc:///run/coffer/bus/content.sock\")\n"
    "envelope = {\"v\": 1, \"kind\": \"request\", \"id\": os.urandom(16), \"method\": "
    "\"image_list\", \"ns\": \"default\"}\n"
    "sock.send_multipart([msgpack.packb(envelope), msgpack.packb({})])\n"
    "envelope, body = [msgpack.unpackb(f) for f in sock.recv_multipart()]\n"
    "print(envelope[\"kind\"], body)\n"
    "```\n"
    "\n"
    "How a method may be repeated:\n"
    "\n"
    "| kind | meaning |\n"
    "| --- | --- |\n"
    "| read | changes nothing; runs again |\n"
    "| write | its answer is stored with its effect and given again |\n"
    "| long | answers late; goes on from what is on disk after a death of its worker |\n"
    "| wait | parks until something happens; changes nothing |\n";

static void
print_type(const struct field *f)
{
	static const char *const plain[] = { "string", "binary", "unsigned integer", "integer",
		"boolean", "map of strings", "list of strings" };

	if (f->kind == FIELD_REC)
		(void)printf("[%s](#%s)", f->sub->name, f->sub->name);
	else if (f->kind == FIELD_RECS)
		(void)printf("list of [%s](#%s)", f->sub->name, f->sub->name);
	else
		(void)printf("%s", plain[f->kind]);
}

static void
print_fields(const struct schema *s)
{
	if (s->nfields == 0) {
		(void)printf("No fields.\n");
		return;
	}
	(void)printf("| field | type | | most | |\n| --- | --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];

		(void)printf("| %s | ", f->name);
		print_type(f);
		(void)printf(" | %s | ", f->must ? "required" : "");
		if (f->max != 0)
			(void)printf("%u %s", f->max,
			    f->kind == FIELD_STR || f->kind == FIELD_BIN ? "bytes" : "entries");
		(void)printf(" | %s |\n", f->doc);
	}
}

static void
print_by(unsigned by)
{
	static const char *const names[] = {
#define PROC(NAME, name, uid, caps, doc) #name,
#include "schemas/procs.def"
		"clients"
	};
	const char *sep = "";

	if (by == BY_ALL) {
		(void)printf("everyone");
		return;
	}
	for (unsigned i = 0; i < COUNT(names); i++)
		if ((by >> i & 1) != 0) {
			(void)printf("%s%s", sep, names[i]);
			sep = ", ";
		}
}

static void
print_method(const struct method *m)
{
	static const char *const flags[] = { "read", "write", "long", "wait" };

	(void)printf("\n### %s.%s\n\n%s (%s; for ", m->actor, m->name, m->doc, flags[m->flag]);
	print_by(m->by);
	(void)printf(")\n\nRequest:\n\n");
	print_fields(m->req);
	if (m->progress->nfields > 0) {
		(void)printf("\nProgress:\n\n");
		print_fields(m->progress);
	}
	(void)printf("\nReply:\n\n");
	print_fields(m->rep);
}

static void
print_actor(const char *name, const char *doc, const struct method *const *methods, unsigned n)
{
	(void)printf("\n## Actor %s: %s\n", name, doc);
	for (unsigned i = 0; i < n; i++)
		print_method(methods[i]);
}

/* Requests, replies and progress stand with their methods. */
static int
stands_alone(const struct schema *s)
{
	return s->doc[0] != '\0';
}

static void
print_record(const struct schema *s)
{
	if (!stands_alone(s))
		return;
	(void)printf("\n### %s\n\n%s\n\n", s->name, s->doc);
	print_fields(s);
}

static void
print_errors(void)
{
	(void)printf("\n## Errors\n\nThe body of an error is a [failure](#failure).\n\n");
	(void)printf("| code | class | exit status of ctr |\n| --- | --- | --- |\n");
#define ERR(name, wire, text, exit) (void)printf("| %d | %s | %d |\n", wire, text, exit);
#include "schemas/errors.def"
}

int
main(void)
{
	static const struct schema *const records[] = {
#define RECORD(name, doc) &name##_schema,
#define RPC(...)
#define COMMON(...)
#define EVENT(...)
#include "schemas/all.h"
	};

	(void)printf("%s", intro);
#define PROC(NAME, name, uid, caps, doc) \
	print_actor(#name, doc, name##_methods, name##_methods_count);
#include "schemas/procs.def"
	print_errors();
	(void)printf("\n## Records\n");
	for (unsigned i = 0; i < COUNT(records); i++)
		print_record(records[i]);
	(void)printf("\n## Events\n\nThe body of an event is a msgpack map with these fields.\n");
	for (unsigned i = 0; i < event_kinds_count; i++) {
		const struct event_kind *k = &event_kinds[i];

		(void)printf("\n### %s (%s)\n\n%s%s", k->topic, k->actor, k->doc,
		    k->doc[0] != '\0' ? "\n\n" : "");
		print_fields(k->body);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
