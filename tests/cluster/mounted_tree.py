# SPDX-License-Identifier: Apache-2.0
"""A file system with a tree of files in it, on a volume of a mount: daemons and the mount are killed under it."""
import os
import random
import shutil
import subprocess

import harness
from harness import Cluster, check
from mounted import Mount, file_system, run

SMALL_TREE = '/usr/include/linux'
TOOLS = {
    'ext4': (['mkfs.ext4', '-q', '-F'], ['e2fsck', '-f', '-n']),
    'xfs': (['mkfs.xfs', '-q', '-f'], ['xfs_repair', '-n', '-f']),
}


def trees_equal(a, b):
    run('diff', '-r', '--no-dereference', a, b, timeout=1800)


def wait_copied(folder):
    """Until a copy is well under way."""
    harness.wait_until(lambda: sum(len(names) for _, _, names in os.walk(folder)) >= 50, 60, 'the first copied files')


def generate(folder, files=80000, seed=1):
    """Like a kernel's sources: about 20 files in a folder, most of a few KiB, some of a MiB, a symbolic link here and
    there; 13 KiB on average. The same for the same seed. Bytes in all."""
    draw = random.Random(seed)
    content = draw.randbytes(4 << 20)
    folders, total = [folder], 0
    os.makedirs(folder)
    for number in range(files):
        if number % 20 == 0:
            parent = draw.choice(folders[-200:])
            folders.append(os.path.join(parent if parent.count('/') - folder.count('/') < 8 else folder,
                                        'd%d' % number))
            os.mkdir(folders[-1])
        size = min(1 << 20, int(draw.lognormvariate(8.7, 1.25)))
        at = draw.randrange(len(content) - size)
        path = os.path.join(folders[-1], 'f%d' % number)
        with open(path, 'wb') as f:
            f.write(content[at:at + size])
        total += size
        if number % 500 == 0:
            os.symlink('f%d' % number, os.path.join(folders[-1], 'link'))
    return total


def fs_case(kind, tree, size='512M', timeout=300):
    """Copies a tree while a daemon dies, compares; kills the mount under another copy, repairs, compares again."""
    make, verify = TOOLS[kind]
    with Cluster(6, in_memory=True) as c:
        c.format('4:2', '10s')
        c.dog('vdi', 'create', 'disk', size)
        inside = os.path.join(c.dir, 'inside')
        with Mount(c) as m:
            path = m.wait_volume('disk')
            run(*make, path)
            with file_system(path, inside, kind):
                copying = subprocess.Popen(['cp', '-a', tree, inside + '/tree'], stderr=subprocess.PIPE)
                wait_copied(inside + '/tree')
                c.nodes[2].kill()
                said = copying.communicate(timeout=timeout)[1].decode()
                check(copying.returncode == 0, 'the copy failed: ' + said)
                run('sync', '-f', inside, timeout=timeout)
                trees_equal(tree, inside + '/tree')
            run(*verify, path, timeout=timeout)
            c.nodes[2].start()
            c.wait_health('ok', timeout=timeout)
        kill_the_mount(c, kind, inside)


def kill_the_mount(c, kind, inside):
    """What was synced is there afterwards, and the file system is whole."""
    with Mount(c) as m:
        path = m.wait_volume('disk')
        with file_system(path, inside, kind):
            shutil.copytree(SMALL_TREE, inside + '/second', symlinks=True)
            run('sync', '-f', inside)
            copying = subprocess.Popen(['cp', '-a', SMALL_TREE, inside + '/third'], stderr=subprocess.DEVNULL)
            wait_copied(inside + '/third')
            m.kill()
            copying.wait(60)
        harness.wait_until(lambda: m.dir not in run('losetup', '-a').stdout, 20, 'the loop device lets go')
        m.start()
        path = m.wait_volume('disk')
        with file_system(path, inside, kind):  # replays its journal
            trees_equal(SMALL_TREE, inside + '/second')
        run(*TOOLS[kind][1], path, timeout=600)
