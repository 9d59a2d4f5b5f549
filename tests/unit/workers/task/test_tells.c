/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tells - processes, containers and their events over real stores: what is there again after a
 * death at any point between the two stores, and that no event is given twice or left out.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/task/step.h"
#include "workers/task/tells.h"

struct fix {
	char dir[64], root[80], state[80];
	struct taskd *t;
	struct err e;
	struct arena a;
};

static void
open_all(struct fix *f)
{
	f->t = xcalloc(1, sizeof(*f->t));
	f->t->loop = loop_new();
	if (taskd_open_stores(f->t, f->root, f->state, &f->e) != 0)
		fail_msg("%s", f->e.msg);
}

/* As a death leaves it: nothing that waits in memory is written. */
static void
die(struct fix *f)
{
	tells_free(f->t);
	box_free_all(f->t);
	taskd_close_stores(f->t);
	loop_free(&f->t->loop);
	free(f->t);
	f->t = NULL;
}

static void
again(struct fix *f)
{
	die(f);
	open_all(f);
	assert_int_equal(recover_load(f->t, &f->e), 0);
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-tells-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	(void)snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
	assert_int_equal(
	    fs_mkdirs(AT_FDCWD, arena_printf(&f->a, "%s/task", f->root), 0700, &f->e), 0);
	assert_int_equal(
	    fs_mkdirs(AT_FDCWD, arena_printf(&f->a, "%s/task", f->state), 0700, &f->e), 0);
	open_all(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	die(f);
	arena_free(&f->a);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

/* "create start exit" of what the outbox holds. */
static const char *
told(struct fix *f)
{
	struct outbox_entry_list list;
	const char *text = "";

	assert_int_equal(store_outbox(f->t->containers, 0, 256, &f->a, &list, &f->e), 0);
	for (uint32_t i = 0; i < list.n; i++)
		text = arena_printf(
		    &f->a, "%s%s%s", text, i == 0 ? "" : " ", strrchr(list.v[i].topic, '/') + 1);
	return text;
}

static void
fact(struct proc *p, enum fact which)
{
	struct err e = ERR_ZERO;

	p->facts |= which;
	assert_int_equal(proc_save(p, &e), 0);
	tell_fact(p, which);
}

static struct proc *
begun(struct fix *f)
{
	struct proc *p = proc_new(box_get(f->t, "default", "web"), "");

	p->status = STATUS_RUNNING;
	p->pid = 77;
	fact(p, FACT_CREATED);
	fact(p, FACT_STARTED);
	return p;
}

static void
test_each_once(void **state)
{
	struct fix *f = *state;

	(void)begun(f);
	assert_string_equal(told(f), "");
	tells_flush(f->t);
	assert_string_equal(told(f), "create start");
	tells_flush(f->t);
	again(f);
	assert_string_equal(told(f), "create start");
	assert_null(f->t->tells);
}

static void
test_death_before_the_events(void **state)
{
	struct fix *f = *state;

	(void)begun(f);
	again(f); /* facts were stored, nothing was told: told now */
	assert_string_equal(told(f), "create start");
	again(f);
	assert_string_equal(told(f), "create start");
}

static void
test_death_between(void **state)
{
	struct fix *f = *state;
	struct proc *p = begun(f);

	tells_flush(f->t);
	proc_exit(p, 3, 5, NULL);
	again(f);
	assert_string_equal(told(f), "create start exit");
	p = proc_find(box_find(f->t, "default", "web"), NULL);
	assert_non_null(p);
	assert_int_equal(p->status, STATUS_STOPPED);
	assert_int_equal(p->exit_status, 3);
	assert_int_equal(p->exited_at, 5);
	assert_int_equal(p->pid, 77);
}

static void
test_deleted(void **state)
{
	struct fix *f = *state;
	struct proc *p = begun(f);
	struct txn *txn = NULL;
	uint64_t n = 9;

	proc_exit(p, 0, 5, NULL);
	fact(p, FACT_DELETED);
	proc_free(p);
	again(f); /* a row of a deleted one: told, then gone */
	assert_string_equal(told(f), "create start exit delete");
	assert_null(box_find(f->t, "default", "web"));
	assert_int_equal(store_read(f->t->tasks, &txn, &f->e), 0);
	assert_int_equal(store_count(txn, 0, &n, &f->e), 0);
	store_abort(&txn);
	assert_int_equal(n, 0);
	again(f);
	assert_string_equal(told(f), "create start exit delete");
}

static void
test_name_used_again(void **state)
{
	struct fix *f = *state;
	struct proc *p = begun(f);

	proc_exit(p, 0, 5, NULL);
	fact(p, FACT_DELETED);
	proc_free(p);
	assert_true(tells_pending(f->t, "default", "web"));
	tells_flush(f->t); /* as create does */
	(void)begun(f);
	again(f);
	assert_string_equal(told(f), "create start exit delete create start");
	again(f);
	assert_string_equal(told(f), "create start exit delete create start");
}

static void
test_reboot(void **state)
{
	struct fix *f = *state;

	(void)begun(f);
	tells_flush(f->t);
	die(f);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->state, &f->e), 0);
	assert_int_equal(
	    fs_mkdirs(AT_FDCWD, arena_printf(&f->a, "%s/task", f->state), 0700, &f->e), 0);
	open_all(f);
	assert_int_equal(recover_load(f->t, &f->e), 0);
	assert_string_equal(told(f), "create start exit delete");
	assert_null(box_find(f->t, "default", "web"));
	again(f);
	assert_string_equal(told(f), "create start exit delete");
}

static void
test_exec(void **state)
{
	struct fix *f = *state;
	struct proc *p = begun(f), *x = proc_new(p->box, "ps"), *y = proc_new(p->box, "half");

	x->status = STATUS_RUNNING;
	fact(x, FACT_CREATED);
	fact(x, FACT_STARTED);
	y->intent = INTENT_CREATE;
	assert_int_equal(proc_save(y, &f->e), 0);
	again(f);
	assert_string_equal(told(f), "create start exec-added exec-started");
	p = proc_find(box_find(f->t, "default", "web"), NULL);
	assert_non_null(proc_find(p->box, "ps"));
	assert_null(proc_find(p->box, "half")); /* its declaration was cut off */
	proc_exit(proc_find(p->box, "ps"), 1, 0, "why");
	tells_flush(f->t);
	again(f);
	x = proc_find(box_find(f->t, "default", "web"), "ps");
	assert_string_equal(x->reason, "why");
	assert_true(x->exited_at > 0);
}

static void
count(void *arg)
{
	++*(unsigned *)arg;
}

static void
test_waiters(void **state)
{
	struct fix *f = *state;
	struct proc *p = begun(f);
	unsigned n = 0, m = 0;
	struct waiter a = { .fn = count, .arg = &n }, b = { .fn = count, .arg = &n },
		      c = { .fn = count, .arg = &m };

	proc_wait(p, &a);
	proc_wait(p, &c);
	proc_wait(p, &b);
	proc_unwait(p, &c);
	proc_unwait(p, &c);
	p->starting = true;
	proc_exit(p, 9, 1, NULL); /* Start's answer comes first */
	assert_int_equal(n, 0);
	assert_int_equal(p->status, STATUS_RUNNING);
	proc_start_known(p);
	assert_int_equal(n, 2);
	assert_int_equal(m, 0);
	assert_int_equal(p->exit_status, 9);
	proc_exit(p, 1, 1, NULL); /* the first word counts */
	assert_int_equal(p->exit_status, 9);
	proc_wait(p, &c);
	assert_int_equal(m, 1);
}

static void
add_container(struct fix *f, const char *ns, const char *id)
{
	struct container c = {
		.id = id, .runtime = SHIM_DEFAULT, .created_at = 1, .updated_at = 1
	};
	struct container_row row = { .container = &c };
	AUTO(store_abort) struct txn *txn = NULL;

	assert_int_equal(store_write(f->t->containers, &txn, &f->e), 0);
	assert_int_equal(container_add(f->t, txn, ns, &row, (struct bytes){ "{}", 2 }, &f->e), 0);
	assert_int_equal(store_commit(&txn, &f->e), 0);
	tells_written(f->t);
}

/* A create that fails gives out nothing, whatever becomes of its shim. */
static void
test_never_created(void **state)
{
	struct fix *f = *state;
	struct proc *p = proc_new(box_get(f->t, "default", "web"), "");

	p->intent = INTENT_CREATE;
	assert_int_equal(proc_save(p, &f->e), 0);
	proc_exit(p, EXIT_KILLED, 0, "its shim died");
	assert_int_equal(p->status, STATUS_UNKNOWN);
	tells_flush(f->t);
	again(f);
	assert_string_equal(told(f), "");
}

static int
count_row(void *arg, const struct container_row *row)
{
	assert_int_equal(row->container->spec.n, 0);
	++*(unsigned *)arg;
	return 0;
}

static void
test_containers(void **state)
{
	struct fix *f = *state;
	struct container_row row;
	struct bytes spec;
	struct txn *txn = NULL;
	unsigned n = 0;

	add_container(f, "default", "a");
	add_container(f, "default", "b");
	add_container(f, "defaultx", "c");
	assert_int_equal(containers_each(f->t, "default", NULL, &f->a, count_row, &n, &f->e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(containers_each(f->t, "default", "a", &f->a, count_row, &n, &f->e), 0);
	assert_int_equal(n, 3);
	assert_int_equal(container_read(f->t, "default", "c", &f->a, &row, &f->e), -ERR_NOT_FOUND);
	assert_int_equal(container_read_spec(f->t, "default", "a", &f->a, &spec, &f->e), 0);
	assert_int_equal(spec.n, 2);
	assert_int_equal(store_write(f->t->containers, &txn, &f->e), 0);
	assert_int_equal(container_remove(f->t, txn, "default", "a", true, &f->e), 0);
	assert_int_equal(store_commit(&txn, &f->e), 0);
	assert_false(container_exists(f->t, "default", "a"));
	assert_true(container_kept(f->t, "default", "a"));
	add_container(f, "default", "a");
	assert_false(container_kept(f->t, "default", "a"));
	assert_string_equal(told(f), "create create create delete create");
}

/* What waits to be told goes out in front of a container's own event. */
static void
test_order_with_containers(void **state)
{
	struct fix *f = *state;
	struct proc *p;

	add_container(f, "default", "web");
	p = begun(f);
	proc_exit(p, 0, 1, NULL);
	add_container(f, "default", "other");
	assert_string_equal(told(f), "create create start exit create");
	assert_null(f->t->tells);
}

static void
test_exec_errors(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} cases[] = {
		{ "OCI runtime create: exec: \"x\": executable file not found in $PATH",
		    ERR_NOT_FOUND },
		{ "executable file `x` not found in $PATH: No such file or directory",
		    ERR_NOT_FOUND },
		{ "exec: \"/x\": stat /x: no such file or directory: unknown", ERR_NOT_FOUND },
		{ "exec: \"/etc/passwd\": permission denied", ERR_PERMISSION_DENIED },
		{ "open executable: Permission denied", ERR_PERMISSION_DENIED },
		{ "exec: \"/x\": exec format error", ERR_PERMISSION_DENIED },
		{ "mount /a: no such file or directory", ERR_INTERNAL },
		{ "cgroup: permission denied", ERR_INTERNAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = ERR_ZERO;

		(void)err_set(&e, ERR_INTERNAL, "%s", cases[i].text);
		step_exec_error(&e);
		assert_int_equal(e.code, cases[i].code);
		if (e.code != ERR_INTERNAL)
			assert_memory_equal(e.msg, "exec: ", 6);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death_before_the_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death_between, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reboot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_created, setup, teardown),
		cmocka_unit_test_setup_teardown(test_containers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_with_containers, setup, teardown),
		cmocka_unit_test(test_exec_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
