# SPDX-License-Identifier: Apache-2.0
"""What decides membership in tests/cluster/member_*: one class per driver.

An engine is started once for all scenarios of a test program; clusters take different names in it.
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from harness import SLOW, Failed, check, die_with_parent, free_ports, fresh_dir, wait_until
from member_net import SERVICE, Net

JAR = '/usr/share/java/zookeeper.jar'


class Engine:
    """The interface, and what most have in common."""
    name = '?'
    lease_s = 1.0     # after which a node that is cut off serves nothing
    absence_s = 5.0   # after which a silent node has left the live set for certain
    cuts = True       # a node can be cut off from the engine
    servers = 0       # of its own, beside the daemons
    per_node = False  # one of them on each node, and only there can a daemon run
    others_at = 20    # first namespace of other clusters of the same engine
    # With SF_QUICK, of those scenarios that are meant for it.
    quick = ('simultaneous_start', 'kill', 'stopped', 'partition', 'ensemble_restarted', 'power_cut')

    def __init__(self):
        self.dir = fresh_dir()
        self.net = Net()

    def start(self):
        pass

    def stop(self):
        self.net.close()
        subprocess.run(['rm', '-rf', self.dir], check=False)

    def option(self, node, cluster):
        """What -c gets."""
        raise NotImplementedError

    def enter(self, space):
        """What goes before a daemon's command."""
        return ['ip', 'netns', 'exec', space]

    def kill_leader(self):
        """-9 to the server that leads; it starts again at once when there is no other."""

    def power_off(self):
        """All servers die with the machines."""

    def power_on(self):
        pass

    def mend(self):
        """After a scenario that failed half way."""

    def wrong_option(self):
        """A -c that cannot work, and a word of the message it gets."""
        return self.name + ':', ''

    def cut_off(self, nodes):
        """What the bridge's filters do not do already."""

    def heal(self):
        pass


class Local(Engine):
    name = 'local'
    cuts = False

    def option(self, node, cluster):
        path = os.path.join(self.dir, cluster)
        os.makedirs(path, exist_ok=True)
        return 'local:' + path


class ZooKeeper(Engine):
    """One server, or an ensemble, from Debian's package, at the bridge's service address."""
    name = 'zookeeper'
    servers = 1
    timeout_ms = 2000 * SLOW
    tick_ms = 200

    def __init__(self):
        super().__init__()
        self.lease_s = min(self.timeout_ms / 3000, 1.0)
        self.absence_s = self.timeout_ms / 1000 + 1.0
        self.ports = free_ports(3 * self.servers)
        self.processes = [None] * self.servers

    def host(self):
        return self.net.address(SERVICE)

    def client_port(self, i):
        return self.ports + 3 * i

    def option(self, node, cluster):
        hosts = ','.join('%s:%d' % (self.host(), self.client_port(i)) for i in range(self.servers))
        return 'zookeeper:%s/%s,timeout=%d' % (hosts, cluster, self.timeout_ms)

    def wrong_option(self):
        return 'zookeeper:no-such-host.invalid:2181', 'no-such-host.invalid'

    def write_config(self, i):
        place = os.path.join(self.dir, 'zk%d' % i)
        os.makedirs(os.path.join(place, 'data'), exist_ok=True)
        lines = ['tickTime=%d' % self.tick_ms, 'initLimit=25', 'syncLimit=10', 'admin.enableServer=false',
                 '4lw.commands.whitelist=*', 'maxClientCnxns=0', 'dataDir=%s/data' % place,
                 'clientPort=%d' % self.client_port(i), 'clientPortAddress=' + self.host()]
        if self.servers > 1:
            lines += ['server.%d=%s:%d:%d' % (j + 1, self.host(), self.ports + 3 * j + 1, self.ports + 3 * j + 2)
                      for j in range(self.servers)]
            with open(os.path.join(place, 'data', 'myid'), 'w') as f:
                f.write('%d\n' % (i + 1))
        with open(os.path.join(place, 'zoo.cfg'), 'w') as f:
            f.write('\n'.join(lines) + '\n')
        return place

    def start_server(self, i):
        place = self.write_config(i)
        with open(os.path.join(place, 'log'), 'ab') as log:
            self.processes[i] = subprocess.Popen(
                ['java', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', place + ':' + JAR,
                 'org.apache.zookeeper.server.quorum.QuorumPeerMain', os.path.join(place, 'zoo.cfg')],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place, preexec_fn=die_with_parent)

    def ask(self, i, word='srvr'):
        """A four-letter word of ZooKeeper; '' when it does not answer."""
        with contextlib.suppress(OSError), socket.create_connection((self.host(), self.client_port(i)), 1) as s:
            s.settimeout(1)
            s.sendall(word.encode())
            parts = []
            while part := s.recv(4096):
                parts.append(part)
            return b''.join(parts).decode(errors='replace')
        return ''

    def serving(self):
        return [i for i in range(self.servers) if 'Mode:' in self.ask(i)]

    def start(self):
        check(os.path.exists(JAR), 'zookeeper is not installed; see tools/install-deps')
        self.power_on()

    def power_on(self):
        for i in range(self.servers):
            self.start_server(i)
        self.wait_serving(self.servers)

    def wait_serving(self, count):
        wait_until(lambda: len(self.serving()) >= count, 30, '%d ZooKeeper servers' % count)

    def kill_server(self, i):
        self.processes[i].send_signal(signal.SIGKILL)
        self.processes[i].wait()

    def power_off(self):
        for i in range(self.servers):
            if self.processes[i] and self.processes[i].poll() is None:
                self.kill_server(i)

    def kill_leader(self):
        if self.servers == 1:
            self.kill_server(0)
            self.start_server(0)
            return
        leaders = [i for i in range(self.servers) if 'Mode: leader' in self.ask(i)]
        check(len(leaders) == 1, 'one ZooKeeper server leads')
        self.kill_server(leaders[0])
        self.dead = leaders[0]

    def heal_leader(self):
        if self.servers > 1:
            self.start_server(self.dead)
        self.wait_serving(self.servers)

    def stop(self):
        self.power_off()
        super().stop()


class ZooKeeper3(ZooKeeper):
    name = 'zookeeper3'
    servers = 3
    quick = ('simultaneous_start', 'ensemble_restarted')  # the rest as with one server


class Corosync(Engine):
    """One on each of five nodes: in the node's network namespace, and with /run and /dev/shm of its own. The daemon joins it there:
    they meet at abstract sockets, which go with the network namespace, and in /dev/shm."""
    name = 'corosync'
    servers = 5
    per_node = True
    others_at = 0
    token_ms = 600 if SLOW == 1 else 1000

    def __init__(self):
        super().__init__()
        self.lease_s = 1.0
        self.absence_s = 2.2 * self.token_ms / 1000 + self.lease_s + 1.5
        self.holders, self.processes = {}, [None] * self.servers

    def option(self, node, cluster):
        return 'corosync:' + cluster

    def enter(self, space):
        if space not in self.holders:
            self.hold(space)
        return ['nsenter', '-t', str(self.holders[space].pid), '-n', '-m', '--wd=' + os.getcwd()]

    def hold(self, space):
        """A process that keeps the node's mounts while its corosync is dead."""
        self.holders[space] = p = subprocess.Popen(
            ['ip', 'netns', 'exec', space, 'unshare', '-m', 'sh', '-c', 'mount -t tmpfs tmpfs /run && mkdir /run/lock && '
             'mount -t tmpfs tmpfs /dev/shm && echo up && exec sleep infinity'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)
        line = p.stdout.readline()
        check(line == 'up\n', 'no mounts of its own for %s: %s' % (space, line))

    def place(self, i):
        return os.path.join(self.dir, 'corosync%d' % i)

    def write_config(self, i):
        os.makedirs(self.place(i), exist_ok=True)
        nodes = ''.join('\tnode {\n\t\tname: n%d\n\t\tnodeid: %d\n\t\tring0_addr: %s\n\t}\n' % (
            n, n + 1, self.net.address(n + 1)) for n in range(self.servers))
        with open(os.path.join(self.place(i), 'corosync.conf'), 'w') as f:
            f.write('''totem {
	version: 2
	cluster_name: test
	transport: udpu
	crypto_cipher: none
	crypto_hash: none
	token: %d
	token_coefficient: 0
}
quorum {
	provider: corosync_votequorum
}
nodelist {
%s}
system {
	state_dir: %s
	sched_rr: no
}
logging {
	to_syslog: no
	to_stderr: no
	to_logfile: yes
	logfile: %s/log
}
''' % (self.token_ms, nodes, self.place(i), self.place(i)))

    def start(self):
        check(shutil.which('corosync'), 'corosync is not installed; see tools/install-deps')
        for i in range(self.servers):
            self.write_config(i)
        self.power_on()

    def start_server(self, i):
        self.processes[i] = subprocess.Popen(
            [*self.enter(self.net.add(i)), 'corosync', '-f', '-c', os.path.join(self.place(i), 'corosync.conf')],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def quorate(self, i):
        check(self.processes[i].poll() is None, 'corosync %d ended; see %s/log' % (i, self.place(i)))
        done = subprocess.run([*self.enter(self.net.add(i)), 'corosync-quorumtool', '-s'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False, timeout=20)
        return re.search(r'^Quorate:\s+Yes', done.stdout, re.M)

    def wait_quorate(self, i):
        wait_until(lambda: self.quorate(i), 20, 'corosync %d has a quorum' % i)

    def power_on(self):
        for i in range(self.servers):
            self.start_server(i)
        for i in range(self.servers):
            self.wait_quorate(i)

    def mend(self):
        self.power_off()
        self.heal()
        self.net.heal()
        self.power_on()

    def kill_server(self, i):
        self.processes[i].kill()  # one that is stopped, too
        self.processes[i].wait()

    def power_off(self):
        for i in range(self.servers):
            if self.processes[i] and self.processes[i].poll() is None:
                self.kill_server(i)

    def stop(self):
        self.power_off()
        for p in self.holders.values():
            p.kill()
            p.wait()
            p.stdout.close()
        self.holders = {}
        super().stop()
