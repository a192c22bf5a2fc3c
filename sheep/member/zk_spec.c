/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/zk_spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static int wrong(char text[512], const char *spec, const char *what)
{
	snprintf(text, 512,
	         "-c zookeeper:%.150s: %.150s (zookeeper:HOST:PORT,...[/CLUSTER][,timeout=MS][,auth=FILE])",
	         spec ? spec : "", what);
	return -EINVAL;
}

static bool is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return isdigit((unsigned char)*text) && !*end && port >= 1 && port <= 65535;
}

/* "host", "host:port", "[v6]:port" */
static bool add_host(struct zk_spec *z, const char *host)
{
	size_t used = strlen(z->hosts);
	const char *colon = *host == '[' ? strchr(host, ']') : host;

	colon = colon ? strchr(colon, ':') : NULL;
	if (!*host || colon == host || (*host == '[' && !strchr(host, ']')) || (colon && !is_port(colon + 1)))
		return false;
	int n = snprintf(z->hosts + used, sizeof(z->hosts) - used, "%s%s%s", used ? "," : "", host,
	                 colon ? "" : ":2181");
	return n > 0 && (size_t)n < sizeof(z->hosts) - used;
}

static const char *add_option(struct zk_spec *z, const char *option)
{
	char *end;

	if (!strncmp(option, "timeout=", 8)) {
		unsigned long ms = strtoul(option + 8, &end, 10);
		if (!isdigit((unsigned char)option[8]) || *end || ms < ZK_TIMEOUT_MIN_MS || ms > ZK_TIMEOUT_MAX_MS)
			return "the timeout is 300 to 60000 milliseconds";
		z->timeout_ms = ms;
		return NULL;
	}
	if (!strncmp(option, "auth=", 5)) {
		if (!option[5] || strlen(option + 5) >= sizeof(z->auth_file))
			return "auth= names a file";
		strcpy(z->auth_file, option + 5);
		return NULL;
	}
	return "unknown option";
}

static bool set_cluster(struct zk_spec *z, const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	if (!*name || *name == '.' || strlen(name) > 64)
		return false;
	snprintf(z->base, sizeof(z->base), "/sheepfold/%s", name);
	return true;
}

int zk_spec_parse(const char *spec, struct zk_spec *ret, char text[512])
{
	char *copy = xstrdup(spec ? spec : ""), *rest = copy, *word;
	struct zk_spec z = {.timeout_ms = ZK_TIMEOUT_MS, .base = "/sheepfold/default"};
	const char *bad = NULL;
	bool in_options = false;

	while (!bad && (word = strsep(&rest, ","))) {
		char *slash = in_options ? NULL : strchr(word, '/');
		if (in_options || (strchr(word, '=') && !slash)) {
			in_options = true;
			bad = add_option(&z, word);
			continue;
		}
		if (slash)
			*slash = '\0';
		if (!add_host(&z, word))
			bad = "a server is HOST or HOST:PORT";
		else if (slash && !set_cluster(&z, slash + 1))
			bad = "the cluster's name is 1 to 64 letters, digits, or ._- after one slash";
		in_options |= slash != NULL;
	}
	free(copy);
	if (!bad && !*z.hosts)
		bad = "a server is missing";
	if (bad)
		return wrong(text, spec, bad);
	*ret = z;
	return 0;
}
