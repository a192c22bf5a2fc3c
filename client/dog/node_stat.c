/* SPDX-License-Identifier: Apache-2.0 */

/* dog node stat: the requests that a daemon has met, from clients and from its peers. */
#include <stdio.h>
#include <unistd.h>

#include "client/dog/json.h"
#include "client/dog/node_view.h"
#include "client/dog/text.h"

enum { WATCH_S = 1, HEADER_EVERY = 20 };

static void header(const struct dog *dog)
{
	if (!dog->raw)
		printf("Request\tActive\tTotal\tWrite\tRead\tRemove\tFlush\tAll WR\tAll RD\n");
}

static void row(const struct dog *dog, const char *name, const struct sf_requests *r)
{
	char wr[TEXT_SIZE_LEN], rd[TEXT_SIZE_LEN];

	printf(dog->raw ? "%s %llu %llu %llu %llu %llu %llu %s %s\n"
	                : "%s\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%s\t%s\n",
	       name, (unsigned long long)r->active, (unsigned long long)r->total,
	       (unsigned long long)r->write, (unsigned long long)r->read,
	       (unsigned long long)r->remove, (unsigned long long)r->flush,
	       text_size(r->bytes_written, dog->raw, wr), text_size(r->bytes_read, dog->raw, rd));
}

static json_t *requests_json(const struct sf_requests *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "active", (json_int_t)r->active,
	                 "total", (json_int_t)r->total, "write", (json_int_t)r->write, "read",
	                 (json_int_t)r->read, "remove", (json_int_t)r->remove, "flush",
	                 (json_int_t)r->flush, "bytes_written", (json_int_t)r->bytes_written,
	                 "bytes_read", (json_int_t)r->bytes_read);
}

/* What came since; a daemon that started anew counts from nothing. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

static struct sf_requests requests_since(const struct sf_requests *now,
                                         const struct sf_requests *before)
{
	return (struct sf_requests){
		.active = now->active,
		.total = since(now->total, before->total),
		.write = since(now->write, before->write),
		.read = since(now->read, before->read),
		.remove = since(now->remove, before->remove),
		.flush = since(now->flush, before->flush),
		.bytes_written = since(now->bytes_written, before->bytes_written),
		.bytes_read = since(now->bytes_read, before->bytes_read),
	};
}

static int stat_get(struct dog *dog, struct sf_node_progress *ret)
{
	struct sf_status *s;
	int err = sf_status_get(dog->cluster, &s);

	if (err < 0)
		return dog_fail(err, "get the node's state");
	*ret = (struct sf_node_progress){0};
	for (uint32_t i = 0; i < s->node_count; i++)
		if (s->nodes[i].node == sf_home_node(dog->cluster))
			*ret = s->nodes[i];
	sf_status_free(s);
	return DOG_OK;
}

static int watch(struct dog *dog, struct sf_node_progress *before)
{
	for (unsigned turn = 0;; turn++) {
		struct sf_node_progress now;

		sleep(WATCH_S);
		int code = stat_get(dog, &now);
		if (code)
			return code;
		struct sf_requests client = requests_since(&now.client, &before->client),
				   peer = requests_since(&now.peer, &before->peer);
		if (turn % HEADER_EVERY == 0)
			header(dog);
		row(dog, "Client", &client);
		row(dog, "Peer", &peer);
		fflush(stdout);
		if (ferror(stdout))
			return DOG_SYSTEM;
		*before = now;
	}
}

int node_stat(struct dog *dog, int argc, char **argv)
{
	struct sf_node_progress now;
	int code = dog_connect(dog);

	if (!code)
		code = stat_get(dog, &now);
	if (code)
		return code;
	if (option_get(dog, "watch"))
		return dog->json ? dog_usage("-w has no JSON") : watch(dog, &now);
	if (dog->json)
		return json_print(json_pack("{s:o, s:o}", "client", requests_json(&now.client),
		                            "peer", requests_json(&now.peer)));
	header(dog);
	row(dog, "Client", &now.client);
	row(dog, "Peer", &now.peer);
	return DOG_OK;
}
