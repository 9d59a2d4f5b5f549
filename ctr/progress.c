/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress - see progress.h.
 *
 *	layer    sha256:0123456789ab  downloading  [=======>            ]   1.2 MiB / 3.4 MiB  1.1 MiB/s
 *	layer    sha256:3bd2aab0c1d2  done                                  5.0 MiB
 *	3.2 s, 6.2 MiB (1.9 MiB/s)
 */
#include "ctr/progress.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctr/render.h"
#include "ctr/terminal.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

#define DRAW_MS 100
#define HOLD_MS 2000
#define BAR_MIN 10
#define BAR_MAX 40
#define RATE_WIDTH 14 /* "  1023.9 MiB/s" */
#define LINES_MAX 600

struct item {
	char *kind, *digest, *state;
	uint64_t offset, total, arrived;
	uint64_t since_ms, since_offset; /* when and where its bytes began to move */
};

struct progress {
	FILE *to;
	bool bars, json;
	struct loop_source *timer, *winch;
	struct buf held; /* plain lines, while the timer runs */
	struct item *items;
	unsigned n, room;
	uint64_t start_ms;
	unsigned drawn[LINES_MAX]; /* widths of the lines that stand on the terminal */
	unsigned ndrawn;
};

static bool
is(const char *state, const char *name)
{
	return strcmp(state, name) == 0;
}

/* Bytes come or go. */
static bool
moving(const char *state)
{
	static const char *const states[] = { "downloading", "uploading", "importing", "exporting",
		"converting" };

	for (size_t i = 0; i < COUNT(states); i++)
		if (is(state, states[i]))
			return true;
	return false;
}

/* --- what is known -------------------------------------------------------------------------------- */

static char *
clean_copy(const char *text)
{
	struct buf clean = BUF_ZERO;

	text_clean(&clean, text);
	return buf_take(&clean);
}

/* An item is known by its digest; a reference gives way to the digest that it stands for. */
static struct item *
item_for(struct progress *p, const struct pull_item *news)
{
	struct item *it;

	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->items[i].digest, news->digest) == 0)
			return &p->items[i];
	if (p->n == p->room) {
		p->room = p->room == 0 ? 16 : p->room * 2;
		p->items = xrealloc(p->items, p->room * sizeof(*p->items));
	}
	it = &p->items[p->n++];
	*it = (struct item){ .kind = clean_copy(news->kind),
		.digest = clean_copy(news->digest),
		.state = xstrdup("") };
	return it;
}

/* "sha256:0123456789ab": enough to tell parts of one image apart. */
static int
digest_width(const char *digest)
{
	return strncmp(digest, "sha256:", 7) == 0 ? 19 : (int)strlen(digest);
}

/* States that mean work; "resolving" and "waiting" are no news to who reads a log. */
static bool
worth_a_line(const char *state)
{
	return !is(state, "resolving") && !is(state, "waiting");
}

static void
held_print(struct progress *p)
{
	(void)fwrite(buf_str(&p->held), 1, p->held.len, p->to);
	(void)fflush(p->to);
	p->held.len = 0;
}

static void
on_held(void *arg)
{
	struct progress *p = arg;

	p->timer = NULL;
	held_print(p);
}

static void
plain_line(struct progress *p, const struct item *it)
{
	char size[TEXT_NUMBER_MAX];

	(void)buf_addf(
	    &p->held, "%s %.*s: %s", it->kind, digest_width(it->digest), it->digest, it->state);
	if (it->total > 0 && (moving(it->state) || is(it->state, "exists")))
		(void)buf_addf(&p->held, " %s", text_size(it->total, size));
	(void)buf_adds(&p->held, "\n");
	if (p->timer == NULL)
		held_print(p);
}

static void
item_update(struct progress *p, const struct pull_item *news)
{
	struct item *it = item_for(p, news);
	bool changed = !is(it->state, news->state);

	if (changed && moving(news->state)) {
		it->since_ms = clock_mono_ms();
		it->since_offset = news->offset;
	}
	if (moving(news->state) && news->offset > it->arrived)
		it->arrived = news->offset;
	else if (moving(it->state) && changed && it->total > it->arrived)
		it->arrived = it->total; /* it went on: so all of it came */
	if (news->total > 0)
		it->total = news->total;
	it->offset = news->offset;
	if (!changed)
		return;
	free(it->state);
	it->state = clean_copy(news->state);
	if (!p->bars && !p->json && worth_a_line(it->state))
		plain_line(p, it);
}

/* --- bars ----------------------------------------------------------------------------------------- */

static bool
finished(const struct item *it)
{
	return is(it->state, "done") || is(it->state, "exists") || is(it->state, "mounted");
}

static void
bar(struct buf *out, const struct item *it, unsigned width)
{
	unsigned full;

	if (finished(it) || it->total == 0 || it->offset == 0) {
		(void)buf_addf(out, "  %*s", (int)width, "");
		return;
	}
	width -= 2;
	full = it->offset >= it->total ? width
				       : (unsigned)((double)it->offset / (double)it->total * width);
	(void)buf_adds(out, "  [");
	for (unsigned i = 0; i < width; i++)
		(void)buf_adds(out, i < full ? "=" : i == full ? ">" : " ");
	(void)buf_adds(out, "]");
}

static void
amount(struct buf *out, const struct item *it)
{
	char now[TEXT_NUMBER_MAX], all[TEXT_NUMBER_MAX];

	if (it->total == 0)
		return;
	if (finished(it) || it->offset == 0)
		(void)buf_addf(out, "  %s", text_size(it->total, all));
	else
		(void)buf_addf(
		    out, "  %s / %s", text_size(it->offset, now), text_size(it->total, all));
}

/* How fast its bytes move, once that can be told. */
static void
rate(struct buf *out, const struct item *it)
{
	uint64_t ms = clock_mono_ms() - it->since_ms;
	char text[TEXT_NUMBER_MAX];

	if (!moving(it->state) || ms < DRAW_MS || it->offset <= it->since_offset)
		return;
	(void)buf_addf(out, "  %s/s", text_size((it->offset - it->since_offset) * 1000 / ms, text));
}

/* One line of at most width - 1 columns: the last one would make some terminals wrap. */
static void
block_line(struct buf *out, const char *line, unsigned width)
{
	(void)buf_add(out, line, text_cut(line, width > 1 ? width - 1 : 1));
	(void)buf_adds(out, "\n");
}

/* What the bar may take of the room: all, or what a rate beside it leaves. */
static unsigned
bar_width(unsigned room)
{
	if (room >= BAR_MIN + RATE_WIDTH)
		room -= RATE_WIDTH;
	return room > BAR_MAX ? BAR_MAX : room;
}

static void
item_line(struct buf *out, const struct item *it, unsigned width)
{
	AUTO(buf_free) struct buf line = BUF_ZERO;
	/* kind, digest, state, "1023.9 MiB / 1023.9 MiB", the spaces between */
	unsigned rest = 8 + 1 + 19 + 2 + 11 + 2 + 2 + 23 + 1;
	unsigned room = width > rest ? width - rest : 0;

	(void)buf_addf(&line, "%-8s %-19.*s  %-11s", it->kind, digest_width(it->digest), it->digest,
	    it->state);
	if (room >= BAR_MIN) /* else the numbers are worth more */
		bar(&line, it, bar_width(room));
	amount(&line, it);
	if (room >= BAR_MIN + RATE_WIDTH)
		rate(&line, it);
	block_line(out, buf_str(&line), width);
}

static void
summary_line(struct buf *out, const struct progress *p, unsigned left_out, unsigned width)
{
	double seconds = (double)(clock_mono_ms() - p->start_ms) / 1000;
	char size[TEXT_NUMBER_MAX], speed[TEXT_NUMBER_MAX], more[48] = "", line[160];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < p->n; i++)
		bytes += p->items[i].arrived;
	if (left_out > 0)
		(void)snprintf(more, sizeof(more), "%u more, ", left_out);
	(void)snprintf(line, sizeof(line), "%s%.1f s, %s (%s/s)", more, seconds,
	    text_size(bytes, size),
	    text_size(seconds > 0 ? (uint64_t)((double)bytes / seconds) : 0, speed));
	block_line(out, line, width);
}

void
progress_block(const struct progress *p, unsigned width, unsigned height, struct buf *out)
{
	unsigned room = height > 3 ? height - 2 : 1, skip, shown = 0;

	room = room > LINES_MAX - 1 ? LINES_MAX - 1 : room;
	/* When there are too many, those that are done give way, from the top. */
	skip = p->n > room ? p->n - room : 0;
	for (unsigned i = 0, left = skip; i < p->n && shown < room; i++) {
		if (left > 0 && finished(&p->items[i])) {
			left--;
			continue;
		}
		item_line(out, &p->items[i], width);
		shown++;
	}
	summary_line(out, p, p->n - shown, width);
}

unsigned
progress_rows(const unsigned *widths, unsigned n, unsigned width)
{
	unsigned rows = 0;

	for (unsigned i = 0; i < n; i++)
		rows += widths[i] == 0 || width == 0 ? 1 : (widths[i] + width - 1) / width;
	return rows;
}

static void
draw(struct progress *p)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	unsigned width = 80, height = 24, rows;
	const char *line;

	(void)terminal_size(fileno(p->to), &width, &height);
	rows = progress_rows(p->drawn, p->ndrawn, width);
	rows = rows >= height ? height - 1 : rows; /* what scrolled out stays where it is */
	if (rows > 0)
		(void)buf_addf(&out, "\x1b[%uA", rows);
	(void)buf_adds(&out, "\r\x1b[J");
	(void)fwrite(out.data, 1, out.len, p->to);
	out.len = 0;
	progress_block(p, width, height, &out);
	(void)fwrite(out.data, 1, out.len, p->to);
	(void)fflush(p->to);
	p->ndrawn = 0;
	for (line = buf_str(&out); *line != '\0' && p->ndrawn < LINES_MAX;) {
		size_t n = strcspn(line, "\n");
		AUTO(free_ptr) char *one = strndup(line, n);

		MUST(one != NULL);
		p->drawn[p->ndrawn++] = (unsigned)text_width(one);
		line += n + 1;
	}
}

static void
on_draw(void *arg)
{
	struct progress *p = arg;

	draw(p); /* also without news: the time goes on */
}

static void
on_winch(void *arg, int signo)
{
	(void)signo;
	draw(arg);
}

/* --- both ----------------------------------------------------------------------------------------- */

struct progress *
progress_new(struct loop *l, FILE *to, bool json)
{
	struct progress *p = xcalloc(1, sizeof(*p));
	const char *term = getenv("TERM");

	p->to = to;
	p->start_ms = clock_mono_ms();
	p->json = json;
	p->bars = !json && isatty(fileno(to)) && term != NULL && strcmp(term, "dumb") != 0;
	if (p->bars && l != NULL) {
		p->timer = loop_every(l, DRAW_MS, on_draw, p);
		p->winch = loop_signal(l, SIGWINCH, on_winch, p);
	} else if (l != NULL && !json) {
		p->timer = loop_once(l, HOLD_MS, on_held, p);
	}
	return p;
}

void
progress_update(struct progress *p, const struct pull_item_list *changed)
{
	for (uint32_t i = 0; i < changed->n; i++) {
		item_update(p, &changed->v[i]);
		if (p->json)
			render_json_print(
			    render_json(&pull_item_schema, &changed->v[i]), p->to, true);
	}
	if (p->json)
		(void)fflush(p->to);
}

void
progress_end(struct progress **pp, bool done)
{
	struct progress *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	if (p->bars && p->n > 0)
		draw(p);
	if (done)
		held_print(p);
	buf_free(&p->held);
	loop_del(&p->timer);
	loop_del(&p->winch);
	for (unsigned i = 0; i < p->n; i++) {
		free(p->items[i].kind);
		free(p->items[i].digest);
		free(p->items[i].state);
	}
	free(p->items);
	free(p);
}
