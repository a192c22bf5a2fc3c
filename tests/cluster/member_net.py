# SPDX-License-Identifier: Apache-2.0
"""Clusters whose daemons live in network namespaces of their own, as on machines of their own: one bridge, one address a node,
and links that can be cut without a word.

A daemon without a key listens on loopback only, so each namespace sends what arrives for its address to its own loopback.
Names carry this process's id; what a killed test left behind is swept away by the next.
"""
import contextlib
import os
import re
import signal
import subprocess

from harness import Cluster, Failed, Node, Workload, check

SERVICE = 250  # last part of the address at which an engine's servers listen
HOST = 254


def run(*command, data=None, ok=True):
    done = subprocess.run([str(c) for c in command], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if ok and done.returncode != 0:
        raise Failed('%s: %s' % (' '.join(map(str, command)), done.stdout.strip()))
    return done.stdout


def sweep():
    """Namespaces and bridges of tests that are no more."""
    for name in re.findall(r'^sf(\d+)n\d+', run('ip', 'netns', 'list', ok=False), re.M):
        if not os.path.exists('/proc/' + name):
            for left in re.findall(r'^(sf%sn\d+)' % name, run('ip', 'netns', 'list'), re.M):
                run('ip', 'netns', 'del', left, ok=False)
    for name, pid in re.findall(r'(sf(\d+)b):', run('ip', '-o', 'link', ok=False)):
        if not os.path.exists('/proc/' + pid):
            run('ip', 'link', 'del', name, ok=False)


def free_subnet():
    taken = run('ip', '-o', '-4', 'addr')
    for third in range(256):
        net = '10.213.%d' % ((os.getpid() + third) % 256)
        if net + '.' not in taken:
            return net
    raise Failed('no free subnet')


class Net:
    """The bridge, with the host on it at .254 and the engine's servers at .250."""

    def __init__(self):
        sweep()
        self.bridge = 'sf%db' % os.getpid()
        self.net = free_subnet()
        self.spaces = []
        # Its own address for good: it would take a new port's otherwise, and the others would not find it for half a minute.
        run('ip', 'link', 'add', self.bridge, 'address', '02:00:00:%02x:%02x:%02x' % (
            os.getpid() >> 16 & 255, os.getpid() >> 8 & 255, os.getpid() & 255), 'type', 'bridge')
        run('ip', 'addr', 'add', '%s/24' % self.address(HOST), 'dev', self.bridge)
        run('ip', 'addr', 'add', '%s/24' % self.address(SERVICE), 'dev', self.bridge)
        run('ip', 'link', 'set', self.bridge, 'up')

    def address(self, number):
        return '%s.%d' % (self.net, number)

    def add(self, index):
        """The namespace of a node, made once."""
        name = 'sf%dn%d' % (os.getpid(), index)
        if name in self.spaces:
            return name
        address, end = self.address(index + 1), 'sf%dv%d' % (os.getpid(), index)
        run('ip', 'netns', 'add', name)
        self.spaces.append(name)
        run('ip', 'link', 'add', end, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
        run('ip', 'link', 'set', end, 'master', self.bridge, 'up')
        for command in (['addr', 'add', address + '/24', 'dev', 'eth0'], ['link', 'set', 'eth0', 'up'],
                        ['link', 'set', 'lo', 'up']):
            run('ip', '-n', name, *command)
        run('ip', 'netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1')
        to_loopback = 'ip daddr %s meta l4proto tcp dnat to 127.0.0.1' % address
        run('ip', 'netns', 'exec', name, 'nft', '-f', '-', data='''table ip sheepfold {
            chain arriving {
                type nat hook prerouting priority -100; policy accept;
                %s
            }
            chain own {
                type nat hook output priority -100; policy accept;
                %s
            }
            chain cut_in {
                type filter hook prerouting priority -300; policy accept;
            }
            chain cut_out {
                type filter hook output priority -300; policy accept;
            }
        }''' % (to_loopback, to_loopback))
        return name

    def cut(self, index, others):
        """From now on nothing passes between this node and those addresses."""
        name, those = self.add(index), ', '.join(self.address(o) for o in others)
        run('ip', 'netns', 'exec', name, 'nft', '-f', '-', data='''
            add rule ip sheepfold cut_in ip saddr { %s } drop
            add rule ip sheepfold cut_out ip daddr { %s } drop
            ''' % (those, those))

    def heal(self):
        for name in self.spaces:
            run('ip', 'netns', 'exec', name, 'nft', '-f', '-',
                data='flush chain ip sheepfold cut_in\nflush chain ip sheepfold cut_out\n')

    def close(self):
        for name in self.spaces:
            # First its link: a namespace that is deleted may live on for a while, and its names are wanted again.
            run('ip', 'link', 'del', name.replace('n', 'v'), ok=False)
            run('ip', 'netns', 'del', name, ok=False)
        self.spaces = []
        run('ip', 'link', 'del', self.bridge, ok=False)


class NetNode(Node):
    @property
    def space(self):
        return self.cluster.net.add(self.index + self.cluster.first)

    @property
    def address(self):
        return self.cluster.net.address(self.index + self.cluster.first + 1)

    def command(self):
        return [*self.cluster.engine.enter(self.space), *self.cluster.environment.get(self.index, []), super().command()[0], '-f',
                '-p', str(self.port), '-y', self.address, '-z', str(self.index),
                '-c', self.cluster.engine.option(self, self.cluster.name),
                *self.cluster.options, *self.options, ','.join(self.data_dirs())]


class NetCluster(Cluster):
    """engine: see member_engine.py. first: index of its first namespace, when several clusters share the net."""

    def __init__(self, engine, count, name='a', first=0, **more):
        self.engine, self.net, self.name, self.first = engine, engine.net, name, first
        self.environment = {}  # index of a node: ['env', 'NAME=VALUE']
        super().__init__(count, **more)
        self.nodes = [NetNode(self, i) for i in range(count)]

    def add_node(self):
        node = NetNode(self, len(self.nodes))
        self.nodes.append(node)
        return node

    def address_of(self, port):
        return self.nodes[port - self.port].address

    def dog(self, *args, port=None, **more):
        port = port or self.any_port()
        return super().dog(*args, '-a', self.address_of(port), port=port, **more)

    def workload(self, volume='test', *options, port=None):
        port = port or self.any_port()
        return Workload(self, volume, ['-a', self.address_of(port), *options], port)

    def cut_off(self, nodes):
        """These from all others and from the engine's servers."""
        for node in nodes:
            others = [n.index + self.first + 1 for n in self.nodes if n not in nodes]
            self.net.cut(node.index + self.first, others + [SERVICE])
        self.engine.cut_off(nodes)

    def heal(self):
        self.net.heal()
        self.engine.heal()

    @contextlib.contextmanager
    def partition(self, nodes):
        self.cut_off(nodes)
        try:
            yield
        finally:
            self.heal()

    def check_not_failed(self, node):
        check(node.alive(), 'daemon %d ended: %s' % (node.index, node.text()[-500:]))
