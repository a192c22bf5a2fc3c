/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/text.h"

enum { INTERVAL_MS = 200, BAR = 30 };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void progress_begin(struct progress *p, uint64_t total, bool bytes)
{
	*p = (struct progress){.on = isatty(STDERR_FILENO), .total = total, .bytes = bytes};
	p->begin_ms = now_ms();
}

static void progress_draw(const struct progress *p, uint64_t now)
{
	double seconds = (double)(now - p->begin_ms) / 1000, share = 0;
	char done[TEXT_SIZE_LEN], rate[TEXT_SIZE_LEN] = "", left[TEXT_SIZE_LEN], bar[BAR + 1];
	int filled;

	if (p->total)
		share = p->done >= p->total ? 1 : (double)p->done / (double)p->total;
	filled = (int)(share * BAR);
	memset(bar, '=', (size_t)filled);
	memset(bar + filled, ' ', (size_t)(BAR - filled));
	bar[BAR] = '\0';
	if (p->bytes) {
		text_size(p->done, false, done);
		if (seconds > 0)
			text_size((uint64_t)((double)p->done / seconds), false, rate);
	} else {
		snprintf(done, sizeof(done), "%llu objects", (unsigned long long)p->done);
	}
	if (p->total)
		fprintf(stderr, "\r%5.1f %% [%s] %s", share * 100, bar, done);
	else
		fprintf(stderr, "\r%s", done);
	if (*rate)
		fprintf(stderr, "  %s/s", rate);
	if (p->total && share > 0.01 && share < 1)
		fprintf(stderr, "  %s left",
		        text_span((uint64_t)(seconds / share * (1 - share)), left));
	fputs("   \033[K", stderr);
}

void progress_update(struct progress *p, uint64_t done)
{
	uint64_t now;

	p->done = done;
	if (!p->on)
		return;
	now = now_ms();
	if (now - p->drawn_ms < INTERVAL_MS)
		return;
	p->drawn_ms = now;
	progress_draw(p, now);
}

void progress_end(struct progress *p)
{
	if (!p->on)
		return;
	progress_draw(p, now_ms());
	fputc('\n', stderr);
}
