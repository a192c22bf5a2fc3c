# SPDX-License-Identifier: Apache-2.0
"""What the machine lends the recovery drill: namespaces of its own, a network that can be cut, and what is missing.

The drill runs in its own namespaces of processes, mounts and network, so that nothing of it can be left behind, however
it ends. Each daemon has a network namespace, all joined by a bridge; the clients sit on the bridge itself. Addresses
are 127.77.0.x, since a daemon without a key listens on loopback addresses only; `lo` stays down, and route_localnet
lets the bridge carry them. Without the rights for that, the daemons share the machine's own loopback and cannot be cut off.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
CLIENT = '127.77.0.254'
LIBC = ctypes.CDLL(None, use_errno=True)


def address(index):
    return '127.77.0.%d' % (index + 1)


def run(*command, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise OSError('%s: %s' % (' '.join(command), done.stdout.strip()[-300:]))
    return done.stdout


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def parent_wait(child):
    """The outer process: passes signals on, and ends as the inner one does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(child, signal.SIGINT))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def isolate():
    """Goes on in a child inside fresh namespaces. False: not allowed here, and nothing has changed."""
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | (CLONE_NEWUSER if uid else 0)
    if LIBC.unshare(flags) != 0:
        return False
    if uid:
        write('/proc/self/setgroups', 'deny')
        write('/proc/self/uid_map', '0 %d 1' % uid)
        write('/proc/self/gid_map', '0 %d 1' % gid)
    child = os.fork()
    if child:
        parent_wait(child)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    run('mount', '--make-rprivate', '/')
    run('mount', '-t', 'proc', 'proc', '/proc')
    run('mount', '-t', 'tmpfs', 'tmpfs', '/run')
    return True


class Network:
    """Who hears whom. Without namespaces: everybody, always."""

    def __init__(self, count, isolated):
        self.count, self.isolated = count, isolated
        self.dropped = {}  # (from, to) of indexes, CLIENT for the clients: percent of the packets lost
        self.cannot = None
        if not isolated:
            self.cannot = 'no right to make network namespaces'
            return
        try:
            self.build()
        except OSError as e:
            self.isolated, self.cannot = False, str(e)
            run('ip', 'link', 'set', 'lo', 'up')
            return
        if not shutil.which('nft'):
            self.cannot = 'nft is missing'
        else:
            try:
                self.apply(0)
            except OSError as e:
                self.cannot = str(e)

    def build(self):
        localnet = '/proc/sys/net/ipv4/conf/all/route_localnet'
        run('ip', 'link', 'add', 'br0', 'type', 'bridge')
        write(localnet, '1')
        run('ip', 'addr', 'add', CLIENT + '/24', 'dev', 'br0')
        run('ip', 'link', 'set', 'br0', 'up')
        for i in range(self.count):
            run('ip', 'netns', 'add', 'n%d' % i)
            run('ip', 'link', 'add', 'v%d' % i, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'n%d' % i)
            run('ip', 'link', 'set', 'v%d' % i, 'master', 'br0', 'up')
            run(*self.enter(i), 'sh', '-ec', 'echo 1 >%s; ip addr add %s/24 dev eth0; ip link set eth0 up'
                % (localnet, address(i)))

    def enter(self, index):
        """What to put before a command so that it runs where this daemon does."""
        return ['nsenter', '--net=/run/netns/n%d' % index] if self.isolated else []

    def apply(self, index):
        """The rules of one daemon's namespace, from scratch."""
        rules = []
        for (source, to), percent in sorted(self.dropped.items(), key=str):
            how = 'drop' if percent >= 100 else 'numgen random mod 100 < %d drop' % percent
            if to == index:
                rules.append('add rule inet drill in ip saddr %s %s' % (name(source), how))
            elif source == index and to == CLIENT:
                rules.append('add rule inet drill out ip daddr %s %s' % (CLIENT, how))
        text = ['add table inet drill', 'delete table inet drill', 'add table inet drill',
                'add chain inet drill in { type filter hook input priority 0; }',
                'add chain inet drill out { type filter hook output priority 0; }', *rules]
        run(*self.enter(index), 'nft', '-f', '-', data='\n'.join(text) + '\n')

    def drop(self, pairs, percent=100):
        """Packets of these (from, to) get lost from now on; 0 percent: no longer."""
        touched = set()
        for pair in pairs:
            if percent:
                self.dropped[pair] = percent
            else:
                self.dropped.pop(pair, None)
            touched.update(i for i in pair if i != CLIENT)
        for index in touched:
            self.apply(index)

    def link(self, index, state):
        run(*self.enter(index), 'ip', 'link', 'set', 'eth0', state)


def name(end):
    return CLIENT if end == CLIENT else address(end)
