/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_loopback(const char *addr)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, addr, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, addr, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_numeric(const char *addr)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, addr, raw) == 1 || inet_pton(AF_INET6, addr, raw) == 1;
}

static bool is_wildcard(const char *addr)
{
	return !strcmp(addr, "0.0.0.0") || !strcmp(addr, "::");
}

static bool format(const struct sockaddr *sa, socklen_t len, char ret[INET6_ADDRSTRLEN])
{
	return getnameinfo(sa, len, ret, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST) == 0 && is_numeric(ret);
}

/* The first server that "zookeeper:HOST:PORT,..." names. */
static bool engine_host(const char *cluster, char ret[256])
{
	const char *host = strncmp(cluster, "zookeeper:", 10) ? NULL : cluster + 10;
	size_t len;

	if (!host)
		return false;
	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
	} else {
		len = strcspn(host, ":,/");
	}
	return len > 0 && snprintf(ret, 256, "%.*s", (int)len, host) < 256;
}

/* From where the way there begins: a datagram socket that is connected sends nothing. */
static bool address_towards(const char *host, char ret[INET6_ADDRSTRLEN])
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	bool found = false;

	if (getaddrinfo(host, "9", &hints, &ai) != 0)
		return false;
	int fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    getsockname(fd, (struct sockaddr *)&own, &len) == 0)
		found = format((struct sockaddr *)&own, len, ret);
	if (fd >= 0)
		close(fd);
	freeaddrinfo(ai);
	return found && !is_loopback(ret);
}

static bool address_of_host(char ret[INET6_ADDRSTRLEN])
{
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	/* IPv4 first: older tools print it. */
	for (int family = AF_INET; !found && family; family = family == AF_INET ? AF_INET6 : 0)
		for (i = all; i && !found; i = i->ifa_next) {
			const struct sockaddr_in6 *v6 = (void *)i->ifa_addr;
			if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
			    (i->ifa_flags & IFF_LOOPBACK) ||
			    (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)))
				continue;
			found = format(i->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in)
			                                              : sizeof(struct sockaddr_in6), ret);
		}
	freeifaddrs(all);
	return found;
}

static int wrong(char text[OPTIONS_TEXT_LEN], const char *option, const char *addr, const char *what)
{
	snprintf(text, OPTIONS_TEXT_LEN, "%s %.200s: %s", option, addr, what);
	return -1;
}

static int check(const char *option, const char *addr, bool may_be_any, const struct options *o,
                 char text[OPTIONS_TEXT_LEN])
{
	if (!addr)
		return 0;
	if (!is_numeric(addr))
		return wrong(text, option, addr, "not a numeric address");
	if (!may_be_any && is_wildcard(addr))
		return wrong(text, option, addr, "nobody can reach that; give one address of this host");
	if (!o->key_file && *(option + 1) != 'y' && !is_loopback(addr))
		return wrong(text, option, addr,
		             "without a key (--key FILE) a daemon listens on loopback addresses only");
	return 0;
}

/* One address has one text everywhere: in the map, in logs, and for whoever compares. */
static const char *canonical(const char *addr, char ret[INET6_ADDRSTRLEN])
{
	struct in6_addr v6;

	return inet_pton(AF_INET6, addr, &v6) == 1 ? inet_ntop(AF_INET6, &v6, ret, INET6_ADDRSTRLEN) : addr;
}

int address_choose(struct options *o, char text[OPTIONS_TEXT_LEN])
{
	static char found[INET6_ADDRSTRLEN], text_of[INET6_ADDRSTRLEN];
	char host[256];

	if (check("-b", o->bind_addr, true, o, text) < 0 || check("-y", o->my_addr, false, o, text) < 0 ||
	    check("-i", o->io_addr, false, o, text) < 0)
		return -1;
	if (o->my_addr && o->io_addr)
		return wrong(text, "-y", o->my_addr, "-i tells the others another address; give one of them");
	if (!o->my_addr)
		o->my_addr = o->io_addr;
	if (!o->my_addr && o->bind_addr && !is_wildcard(o->bind_addr))
		o->my_addr = o->bind_addr;
	if (!o->my_addr && !o->key_file)
		o->my_addr = "127.0.0.1";
	if (!o->my_addr) {
		bool local = !strncmp(o->cluster, "local", 5);
		if ((engine_host(o->cluster, host) && address_towards(host, found)) ||
		    (!local && address_of_host(found)))
			o->my_addr = found;
		else
			o->my_addr = "127.0.0.1";
	}
	o->my_addr = canonical(o->my_addr, text_of);
	if (!o->bind_addr)
		o->bind_addr = o->key_file ? "::" : is_loopback(o->my_addr) && !o->io_addr ? o->my_addr : "127.0.0.1";
	return 0;
}
