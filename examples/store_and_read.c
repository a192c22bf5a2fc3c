/* SPDX-License-Identifier: Apache-2.0 */
#include <sheepfold.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes a volume, stores a line in it, reads it back, deletes it.
 *
 *   cc store_and_read.c $(pkg-config --cflags --libs sheepfold) -o store_and_read
 *   ./store_and_read ADDRESS PORT VOLUME
 */
static int fail(const char *what)
{
	fprintf(stderr, "cannot %s: %s\n", what, sf_error());
	return EXIT_FAILURE;
}

static int store_and_read(struct sf_cluster *cluster, const char *name)
{
	static const char line[] = "Sheep may safely graze.\n";
	struct sf_volume_options options = {.size_bytes = 64 << 20};
	struct sf_volume *volume;
	char back[sizeof(line)];

	if (sf_volume_create(cluster, name, &options) < 0)
		return fail("create the volume");
	/* Nobody else may write to it until it is closed. */
	if (sf_volume_open_write(cluster, name, "store_and_read", &volume) < 0)
		return fail("open the volume");
	/* Returns when it is on the disks, with its redundancy. Any offset and length will do. */
	if (sf_write(volume, line, sizeof(line), 12345) < 0)
		return fail("write");
	if (sf_read(volume, back, sizeof(back), 12345) < 0)
		return fail("read");
	if (sf_volume_close(volume) < 0)
		return fail("close the volume");
	if (memcmp(line, back, sizeof(line)) != 0) {
		fprintf(stderr, "what was read is not what was written\n");
		return EXIT_FAILURE;
	}
	fputs(back, stdout);
	return sf_volume_delete(cluster, name) < 0 ? fail("delete the volume") : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct sf_options options = {0};
	struct sf_cluster *cluster;
	int code;

	if (argc != 4) {
		fprintf(stderr, "usage: %s ADDRESS PORT VOLUME\n", argv[0]);
		return EXIT_FAILURE;
	}
	options.address = argv[1];
	options.port = (uint16_t)atoi(argv[2]);
	if (sf_connect(&options, &cluster) < 0)
		return fail("connect");
	code = store_and_read(cluster, argv[3]);
	sf_disconnect(cluster);
	return code;
}
