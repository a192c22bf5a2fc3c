# SPDX-License-Identifier: Apache-2.0
"""A disk whose kernel says EIO: nbdkit (error filter) -> nbdfuse -> loop device -> ext4."""
import os
import shutil
import subprocess
import time

from drill_machine import run

SIZE_MIB = 512
TOOLS = ('nbdkit', 'nbdfuse', 'mkfs.ext4', 'losetup')


class Device:
    """Mounted on `path`. While the file `broken` exists, every request of the block device fails."""

    def __init__(self, path, work):
        os.makedirs(work)
        self.path, self.broken = path, os.path.join(work, 'broken')
        self.socket, self.file = os.path.join(work, 'nbd.sock'), os.path.join(work, 'disk')
        self.children = []
        open(self.file, 'w').close()
        self.spawn('nbdkit', '-f', '-U', self.socket, '--filter=error', 'memory', '%dM' % SIZE_MIB, 'error=EIO',
                   'error-rate=100%', 'error-file=' + self.broken)
        self.until(lambda: os.path.exists(self.socket), 'nbdkit does not listen')
        self.spawn('nbdfuse', self.file, '--unix', self.socket)
        self.until(lambda: os.path.getsize(self.file) > 0, 'nbdfuse does not serve')
        self.make()

    def spawn(self, *command):
        self.children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL, start_new_session=True))

    def until(self, condition, otherwise):
        end = time.monotonic() + 10
        while not condition():
            if time.monotonic() > end or any(c.poll() is not None for c in self.children):
                raise OSError(otherwise)
            time.sleep(0.05)

    def make(self):
        run('mkfs.ext4', '-q', '-F', '-m', '0', self.file)
        run('mount', '-o', 'loop', self.file, self.path)

    def fail(self):
        open(self.broken, 'w').close()

    def replace(self):
        """An empty one in its place. Nobody may use it."""
        run('umount', self.path)
        os.unlink(self.broken)
        self.make()

    def close(self):
        subprocess.run(['umount', '-l', self.path], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(['umount', '-l', self.file], stderr=subprocess.DEVNULL, check=False)
        for child in reversed(self.children):
            child.kill()
            child.wait()


def lacking(work):
    """Why such a disk cannot be had here; None if it can."""
    for tool in TOOLS:
        if not shutil.which(tool):
            return tool + ' is missing'
    for path in ('/dev/fuse', '/dev/loop-control'):
        if not os.path.exists(path):
            return path + ' is missing'
    os.makedirs(work + '/mount')
    try:
        Device(work + '/mount', work + '/try').close()
    except OSError as e:
        return str(e)
    return None
