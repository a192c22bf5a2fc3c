/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/zk_spec.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { TIMEOUT_MIN_MS = 200, TIMEOUT_MAX_MS = 600000 };
static const char usage[] = "use zookeeper:HOST:PORT,...[/CLUSTER][,timeout=MS][,auth-file=PATH]";

static int __attribute__((format(printf, 2, 3))) refuse(char text[512], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, 512, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool number_parse(const char *s, unsigned long min, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *ret >= min && *ret <= max;
}

/* "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT", each maybe followed by "/CLUSTER". */
static int host_parse(char *word, struct zk_spec *s, char text[512])
{
	char *slash = strchr(word, '/'), *port, *host = word;
	unsigned long number = ZK_DEFAULT_PORT;

	if (slash) {
		*slash++ = '\0';
		if (!*slash || strlen(slash) > 64 ||
		    strspn(slash, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
		            strlen(slash) || slash[0] == '.')
			return refuse(text, "-c zookeeper: \"%.80s\" cannot be the name of a cluster", slash);
		snprintf(s->root, sizeof(s->root), "/%s", slash);
	}
	if (*host == '[') {
		char *close = strchr(++host, ']');

		if (!close || (close[1] && close[1] != ':'))
			return refuse(text, "-c zookeeper: %.100s: %s", word, usage);
		*close = '\0';
		port = close[1] ? close + 2 : NULL;
	} else {
		port = strchr(host, ':');
		if (port && strchr(port + 1, ':'))
			return refuse(text, "-c zookeeper: %.100s: an IPv6 address stands in [brackets]", word);
		if (port)
			*port++ = '\0';
	}
	if (!*host || strlen(host) >= ZK_HOST_LEN || (port && !number_parse(port, 1, 65535, &number)))
		return refuse(text, "-c zookeeper: \"%.80s%s%.20s\" is no HOST:PORT; %s", host, port ? ":" : "",
		              port ? port : "", usage);
	if (s->host_count == ZK_MAX_HOSTS)
		return refuse(text, "-c zookeeper: more than %d servers", ZK_MAX_HOSTS);
	snprintf(s->hosts[s->host_count].name, ZK_HOST_LEN, "%s", host);
	s->hosts[s->host_count++].port = (uint16_t)number;
	return 0;
}

static int option_parse(const char *word, struct zk_spec *s, char text[512])
{
	unsigned long number;

	if (!strncmp(word, "timeout=", 8)) {
		if (!number_parse(word + 8, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &number))
			return refuse(text, "-c zookeeper: %.60s: milliseconds from %d to %d", word, TIMEOUT_MIN_MS,
			              TIMEOUT_MAX_MS);
		s->timeout_ms = (uint32_t)number;
		return 0;
	}
	if (!strncmp(word, "auth-file=", 10) && word[10] && strlen(word + 10) < sizeof(s->auth_file)) {
		snprintf(s->auth_file, sizeof(s->auth_file), "%s", word + 10);
		return 0;
	}
	return refuse(text, "-c zookeeper: unknown option \"%.80s\"; %s", word, usage);
}

int zk_spec_parse(const char *spec, struct zk_spec *s, char text[512])
{
	char *copy = strdup(spec ? spec : ""), *save, *word;
	bool named = false; /* a cluster: options follow */
	int err = 0;

	*s = (struct zk_spec){.timeout_ms = ZK_DEFAULT_TIMEOUT_MS, .root = "/sheepfold"};
	if (!copy)
		return -ENOMEM;
	for (word = strtok_r(copy, ",", &save); word && !err; word = strtok_r(NULL, ",", &save)) {
		bool option = strchr(word, '=');

		named |= option;
		if (named && !option) {
			err = refuse(text, "-c zookeeper: %.100s: %s", word, usage);
			break;
		}
		named |= strchr(word, '/') != NULL;
		err = option ? option_parse(word, s, text) : host_parse(word, s, text);
	}
	free(copy);
	if (!err && !s->host_count)
		err = refuse(text, "-c zookeeper: which servers? %s", usage);
	return err;
}

int zk_spec_read_auth(struct zk_spec *s, char text[512])
{
	FILE *f;
	char *got;

	if (!s->auth_file[0])
		return 0;
	f = fopen(s->auth_file, "re");
	if (!f) {
		refuse(text, "-c zookeeper: auth-file %.200s: %s", s->auth_file, strerror(errno));
		return -errno;
	}
	got = fgets(s->auth, sizeof(s->auth), f);
	fclose(f);
	s->auth[strcspn(s->auth, "\r\n")] = '\0';
	if (!got || !strchr(s->auth, ':') || s->auth[0] == ':')
		return refuse(text, "-c zookeeper: auth-file %.200s: its first line is not USER:PASSWORD", s->auth_file);
	return 0;
}

static int host_resolve(const char *name, uint16_t port, char *ret, size_t *at, char text[512])
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char numeric[128];
	int err = getaddrinfo(name, NULL, &hints, &list);

	if (err)
		return refuse(text, "-c zookeeper: %.200s: %s", name, gai_strerror(err));
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		int n;

		if (getnameinfo(a->ai_addr, a->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST))
			continue;
		/* libzookeeper cuts at the last colon. */
		n = snprintf(ret + *at, ZK_ADDRESSES_LEN - *at, "%s%s:%u", *at ? "," : "", numeric, port);
		if ((size_t)n < ZK_ADDRESSES_LEN - *at)
			*at += (size_t)n;
		else
			ret[*at] = '\0';
	}
	freeaddrinfo(list);
	return 0;
}

int zk_spec_resolve(const struct zk_spec *s, char ret[ZK_ADDRESSES_LEN], char text[512])
{
	size_t at = 0;
	int err = 0;

	ret[0] = '\0';
	for (uint32_t i = 0; i < s->host_count && !err; i++)
		err = host_resolve(s->hosts[i].name, s->hosts[i].port, ret, &at, text);
	if (err)
		return err;
	return at ? 0 : refuse(text, "-c zookeeper: %.200s has no address", s->hosts[0].name);
}
