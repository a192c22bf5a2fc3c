/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/leave.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/tree.h"

extern char **environ;

struct leave_job {
	struct job job;
	struct mount *mount;
};

/* An ordinary user's mount is taken off by a program that may. */
static bool unmount(const struct mount *m, bool lazily)
{
	char *path = m->options->mountpoint;
	char *command[] = {"fusermount3", lazily ? "-quz" : "-qu", "--", path, NULL};
	pid_t pid;
	int status;

	if (geteuid() == 0)
		return umount2(path, UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0;
	if (posix_spawnp(&pid, "fusermount3", NULL, NULL, command, environ) != 0)
		return false;
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* What was changed through mmap is in the kernel's pages alone. */
static void pages_write(struct mount *m)
{
	fuse_ino_t *nodes = NULL;
	size_t count = 0;
	struct volume *v;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < VOLUME_BUCKETS; i++) {
		LIST_FOREACH(v, &m->volumes[i], link)
		{
			if (!v->writable)
				continue;
			nodes = realloc(nodes, (count + 1) * sizeof(nodes[0]));
			if (!nodes)
				abort();
			nodes[count++] = tree_ino(v);
		}
	}
	pthread_mutex_unlock(&m->lock);
	/* Writes them, and waits for that, before it drops them. */
	for (size_t i = 0; i < count; i++)
		(void)fuse_lowlevel_notify_inval_inode(m->session, nodes[i], 0, 0);
	free(nodes);
}

static void leave_run(struct job *job)
{
	struct leave_job *l = (struct leave_job *)job;
	struct mount *m = l->mount;

	free(l);
	if (unmount(m, false))
		return; /* the loop sees it */
	mount_log(m, "files are open; their users get errors from now on");
	pages_write(m);
	m->taken_off = unmount(m, true);
	fuse_session_exit(m->session);
	mount_wake(m);
}

void leave_start(struct mount *m)
{
	struct leave_job *l = memory_zeroed(sizeof(*l));

	l->job.run = leave_run;
	l->mount = m;
	workers_post(m->workers, &l->job);
}
