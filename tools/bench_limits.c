/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What this machine can do at best, measured in a few seconds: the limits that tools/bench sets its figures against.
 * Prints one line of JSON: rates in MiB/s (2^20), costs in CPU seconds per GiB or microseconds of CPU.
 *
 * usage: bench_limits DIR [MIB]     (DIR: where the daemons' data lie; MIB: size of the file written there)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <isa-l.h>

enum { MIB = 1 << 20, AREA = 64 * MIB };
static const double MEASURE_S = 0.4;

static void fail(const char *what)
{
	fprintf(stderr, "bench_limits: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint8_t *area_make(void)
{
	uint8_t *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t x = 88172645463325252ull;

	if (p == MAP_FAILED)
		fail("mmap");
	for (size_t i = 0; i < AREA; i += sizeof(x)) { /* xorshift64 (Marsaglia 2003) */
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, sizeof(x));
	}
	return p;
}

/* Calls `once` until MEASURE_S have passed; MiB/s of what it says it did. */
static double rate(uint64_t (*once)(uint8_t *a, uint8_t *b), uint8_t *a, uint8_t *b)
{
	double start, end;
	uint64_t bytes = 0;

	once(a, b);
	start = now();
	do {
		bytes += once(a, b);
		end = now();
	} while (end - start < MEASURE_S);
	return (double)bytes / MIB / (end - start);
}

static uint64_t copy_once(uint8_t *a, uint8_t *b)
{
	memcpy(b, a, AREA);
	return AREA;
}

static uint64_t crc_once(uint8_t *a, uint8_t *b)
{
	uint32_t crc = 0;

	for (size_t at = 0; at < AREA; at += 65536)
		crc ^= crc32_iscsi(a + at, 65536, 0);
	memcpy(b, &crc, sizeof(crc));
	return AREA;
}

/* 4:2 in pieces of 64 KiB; counts the data bytes. */
static uint64_t encode_once(uint8_t *a, uint8_t *b)
{
	enum { K = 4, M = 2, LEN = 65536 };
	uint8_t matrix[(K + M) * K], tables[32 * K * M], *data[K], *parity[M];

	gf_gen_cauchy1_matrix(matrix, K + M, K);
	ec_init_tables(K, M, matrix + K * K, tables);
	for (size_t at = 0; at + (size_t)K * LEN <= AREA; at += (size_t)K * LEN) {
		for (int i = 0; i < K; i++)
			data[i] = a + at + (size_t)i * LEN;
		for (int i = 0; i < M; i++)
			parity[i] = b + (size_t)i * LEN;
		ec_encode_data(LEN, K, M, tables, data, parity);
	}
	return AREA;
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l < 0 || bind(l, (struct sockaddr *)&addr, len) < 0 || listen(l, 1) < 0 ||
	    getsockname(l, (struct sockaddr *)&addr, &len) < 0)
		fail("listen on loopback");
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (fds[0] < 0 || connect(fds[0], (struct sockaddr *)&addr, len) < 0)
		fail("connect on loopback");
	fds[1] = accept(l, NULL, NULL);
	if (fds[1] < 0)
		fail("accept");
	close(l);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static bool read_full(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static void write_full(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			fail("write to loopback");
		p += n;
		len -= (size_t)n;
	}
}

/* Another process swallows what comes, 256 KiB at a time. */
static double tcp_stream(uint8_t *a, size_t piece, double *ret_cpu_per_gib)
{
	double start, end, cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
	uint64_t bytes = 0;
	int fds[2];
	pid_t pid;

	tcp_pair(fds);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(fds[0]);
		while (read(fds[1], a, 256 << 10) > 0)
			;
		_exit(0);
	}
	close(fds[1]);
	start = now();
	do {
		write_full(fds[0], a + bytes % (AREA / 2), piece);
		bytes += piece;
		end = now();
	} while (end - start < MEASURE_S);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) - cpu;
	*ret_cpu_per_gib = cpu / ((double)bytes / (1 << 30));
	return (double)bytes / MIB / (end - start);
}

/* 4 KiB there, 64 bytes back, 16 under way: microseconds of CPU for one, both ends. */
static double tcp_request_us(uint8_t *a, double *ret_per_s)
{
	enum { REQUEST = 4096, REPLY = 64, UNDER_WAY = 16 };
	double start, end, cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
	uint64_t count = 0;
	int fds[2];
	pid_t pid;

	tcp_pair(fds);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(fds[0]);
		while (read_full(fds[1], a, REQUEST))
			write_full(fds[1], a, REPLY);
		_exit(0);
	}
	close(fds[1]);
	for (int i = 0; i < UNDER_WAY; i++)
		write_full(fds[0], a, REQUEST);
	start = now();
	do {
		if (!read_full(fds[0], a, REPLY))
			fail("read from loopback");
		write_full(fds[0], a, REQUEST);
		count++;
		end = now();
	} while (end - start < MEASURE_S);
	shutdown(fds[0], SHUT_WR);
	while (read(fds[0], a, REQUEST) > 0)
		;
	close(fds[0]);
	waitpid(pid, NULL, 0);
	cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) - cpu;
	*ret_per_s = (double)count / (end - start);
	return cpu * 1e6 / (double)count;
}

struct disk_rates {
	double fresh, rewrite, read;
	double fresh_cpu, rewrite_cpu, read_cpu; /* per GiB */
};

/* One pass over the file: 1 MiB calls, made durable every 16. */
static double file_pass(int fd, uint8_t *a, uint64_t mib, bool write, double *ret_cpu_per_gib)
{
	double start = now(), cpu = cpu_of(RUSAGE_SELF);

	for (uint64_t i = 0; i < mib; i++) {
		off_t at = (off_t)i * MIB;
		ssize_t n =
			write ? pwrite(fd, a + at % (AREA / 2), MIB, at) : pread(fd, a, MIB, at);

		if (n != MIB)
			fail(write ? "write in DIR" : "read in DIR");
		if (write && (i % 16 == 15 || i + 1 == mib) && fdatasync(fd) < 0)
			fail("fdatasync in DIR");
	}
	*ret_cpu_per_gib = (cpu_of(RUSAGE_SELF) - cpu) / ((double)mib / 1024);
	return (double)mib / (now() - start);
}

static struct disk_rates file_rates(const char *dir, uint8_t *a, uint64_t mib)
{
	struct disk_rates r;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/bench-limits.%d", dir, (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		fail(path);
	unlink(path);
	r.fresh = file_pass(fd, a, mib, true, &r.fresh_cpu);
	r.rewrite = file_pass(fd, a, mib, true, &r.rewrite_cpu);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r.read = file_pass(fd, a, mib, false, &r.read_cpu);
	close(fd);
	return r;
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 0) : 512;
	double tcp64, tcp64_cpu, tcp256, tcp256_cpu, request_us, request_per_s;
	struct disk_rates disk;
	uint8_t *a, *b;

	if (argc < 2 || mib == 0) {
		fputs("usage: bench_limits DIR [MIB]\n", stderr);
		return 64;
	}
	a = area_make();
	b = area_make();
	tcp64 = tcp_stream(a, 64 << 10, &tcp64_cpu);
	tcp256 = tcp_stream(a, 256 << 10, &tcp256_cpu);
	request_us = tcp_request_us(a, &request_per_s);
	disk = file_rates(argv[1], a, mib);
	printf("{\"memcpy\": %.0f, \"crc32c\": %.0f, \"encode_4_2\": %.0f, ", rate(copy_once, a, b),
	       rate(crc_once, a, b), rate(encode_once, a, b));
	printf("\"tcp_64k\": %.0f, \"tcp_64k_cpu\": %.3f, \"tcp_256k\": %.0f, \"tcp_256k_cpu\": %.3f, ",
	       tcp64, tcp64_cpu, tcp256, tcp256_cpu);
	printf("\"request_us_cpu\": %.2f, \"requests_s\": %.0f, ", request_us, request_per_s);
	printf("\"write_fresh\": %.0f, \"write_fresh_cpu\": %.3f, \"write_again\": %.0f, "
	       "\"write_again_cpu\": %.3f, \"read\": %.0f, \"read_cpu\": %.3f}\n",
	       disk.fresh, disk.fresh_cpu, disk.rewrite, disk.rewrite_cpu, disk.read,
	       disk.read_cpu);
	return 0;
}
