/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "include/sheepfold.h"

/* discard PORT VOLUME OFFSET LENGTH: what `dog` has no command for. */
int main(int argc, char **argv)
{
	struct sf_options options = {.address = "127.0.0.1"};
	struct sf_cluster *cluster = NULL;
	struct sf_volume *volume = NULL;
	int err = -1, closed;

	if (argc != 5)
		return 2;
	options.port = (uint16_t)atoi(argv[1]);
	err = sf_connect(&options, &cluster);
	if (!err)
		err = sf_volume_open_write(cluster, argv[2], "discard", &volume);
	if (!err)
		err = sf_discard(volume, strtoull(argv[4], NULL, 10), strtoull(argv[3], NULL, 10));
	if (err)
		fprintf(stderr, "discard: %s\n", sf_error());
	closed = sf_volume_close(volume);
	sf_disconnect(cluster);
	return err || closed;
}
