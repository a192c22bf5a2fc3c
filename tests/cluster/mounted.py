# SPDX-License-Identifier: Apache-2.0
"""sheepfs in tests: mounts that go with the test, however it ends.

The test gets a mount name space of its own, so that all mounts are gone when its last process is; loop devices
are set to let go of their file by themselves. sheepfs runs in the foreground and dies with the test.
"""
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile

import harness
from harness import SLOW, Failed, Skip, check, program, say, wait_until

CLONE_NEWNS = 0x20000
MS_REC_PRIVATE = 0x4000 | 0x40000


def own_mounts():
    """To be called once, before everything else."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or not os.path.exists('/dev/fuse'):
        print('1..0 # SKIP needs root and /dev/fuse', flush=True)
        raise SystemExit(77)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b'none', b'/', None, MS_REC_PRIVATE, None) != 0:
        print('1..0 # SKIP cannot make a mount name space', flush=True)
        raise SystemExit(77)


def run(*command, ok=(0,), timeout=120, **more):
    """The finished process; ok: exit codes that are right, None for any."""
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout * SLOW, check=False, **more)
    except subprocess.TimeoutExpired:
        raise Failed('%s did not end in %d s' % (' '.join(map(str, command)), timeout * SLOW)) from None
    if ok is not None:
        check(done.returncode in ok, '%s: exit code %d: %s' % (' '.join(map(str, command)), done.returncode,
                                                               done.stdout[-2000:]))
    return done


class Mount:
    """with Mount(cluster, '-o', 'all') as m: ..."""

    def __init__(self, cluster, *options, all_volumes=True):
        self.cluster, self.options = cluster, list(options)
        if all_volumes:
            self.options += ['-o', 'all']
        self.dir = tempfile.mkdtemp(prefix='sheepfs-', dir=cluster.dir)
        self.log = self.dir + '.log'
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        command = [program('fuse/sheepfs'), '-f', '-p', str(self.cluster.any_port()), *self.options, self.dir]
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=harness.die_with_parent)
        self.cluster.children.append(self.process)
        wait_until(lambda: self.process.poll() is not None or os.path.ismount(self.dir), 20, 'the mount')
        check(self.process.poll() is None, 'sheepfs ended: ' + self.said())

    def said(self):
        with open(self.log, errors='replace') as f:
            return f.read()[-3000:]

    def volume(self, name):
        return os.path.join(self.dir, 'volume', name)

    def wait_volume(self, name):
        wait_until(lambda: os.path.exists(self.volume(name)), 10, 'volume/%s appears' % name)
        return self.volume(name)

    def read(self, name):
        with open(os.path.join(self.dir, name)) as f:
            return f.read()

    def kill(self):
        """-9, and its mount taken off."""
        self.process.kill()
        self.process.wait()
        run('umount', '-l', self.dir)

    def wait_end(self, timeout=30):
        try:
            code = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed('sheepfs does not end') from None
        check(code == 0, 'sheepfs ended with %d: %s' % (code, self.said()))

    def __exit__(self, kind, value, tb):
        if kind is not None:
            say('sheepfs said: ' + self.said())
            self.process.kill()
            subprocess.run(['umount', '-l', self.dir], stderr=subprocess.DEVNULL, check=False)
        elif self.process.poll() is None:
            wait_until(lambda: run('fusermount3', '-u', self.dir, ok=None).returncode == 0, 10, 'it is unmounted')
            self.wait_end()


@contextlib.contextmanager
def file_system(path, directory, kind, direct=True):
    """The file as a mounted file system; it is unmounted at the end if that is possible."""
    device = loop_device(path, direct)
    try:
        os.makedirs(directory, exist_ok=True)
        run('mount', '-t', kind, device, directory)
    finally:
        # It lets go of the file once nothing is mounted from it.
        subprocess.run(['losetup', '-d', device], check=False)
    try:
        yield device
    finally:
        if os.path.ismount(directory):
            done = run('umount', directory, ok=None)
            if done.returncode != 0:
                run('umount', '-l', directory, ok=None)


def loop_device(path, direct=True):
    done = run('losetup', '--show', '-f', '--direct-io=' + ('on' if direct else 'off'), path, ok=None)
    if done.returncode != 0:
        raise Skip('no loop device: ' + done.stdout.strip())
    return done.stdout.strip()


def interrupt(process):
    process.send_signal(signal.SIGINT)
