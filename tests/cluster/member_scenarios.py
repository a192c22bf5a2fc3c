# SPDX-License-Identifier: Apache-2.0
"""What every membership driver has to go through: one list, run by tests/cluster/member_*_test for each engine
(member_engine.py), under one verified workload.

The scenarios of a program share a cluster of five daemons, each in a network namespace of its own, in the order of the list; one
that fails costs those after it a fresh cluster.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from harness import MIB, QUICK, SLOW, Failed, check, die_with_parent, program, say, wait_until
from member_net import NetCluster

NODES = 5
PROBE_MIB = 32
CLIENT = 60  # namespace of a client of its own
SCENARIOS = []


def scenario(quick=False, engines=None):
    """quick: in the sanitizers' selection too. engines: a test of the engine; None: all."""
    def add(function):
        SCENARIOS.append((function, quick, engines))
        return function
    return add


class Stage:
    """The engine, and the cluster that the scenarios share."""

    def __init__(self, engine_class, setting):
        self.engine_class, self.setting, self.engine = engine_class, setting, None
        self.cluster = self.load = None
        self.clusters = 0

    def fresh(self):
        """Five daemons started at the same moment."""
        self.clusters += 1
        self.cluster = NetCluster(self.engine, NODES, name='main%d' % self.clusters, start=False)
        c = self.cluster
        c.start_all()
        c.format('4', '2s')
        if self.setting:
            c.dog('cluster', 'set', *self.setting)
        c.dog('vdi', 'create', 'test', '64M')
        c.dog('vdi', 'create', 'probe', '%dM' % PROBE_MIB)
        c.dog('vdi', 'create', 'asked', '128M')
        self.write_probe(b'0')
        self.load = c.workload('test', '-n', '4', '-d', '2000', '-T', '120000')
        self.load.wait_progress(50)

    def write_probe(self, byte, port=None, timeout=60):
        self.cluster.dog('vdi', 'write', 'probe', data=byte * (PROBE_MIB * MIB), port=port, timeout=timeout)

    def begin(self):
        if self.engine is None:
            self.engine = self.engine_class()
            self.engine.start()
        if self.cluster is None or self.load is None:
            self.drop(False)
            self.engine.mend()
            self.fresh()
        self.load.ask('reset')

    def end(self):
        """All are back, all is well, and the workload has gone on."""
        c = self.cluster
        c.wait_listed(len(c.living()))
        self.load.wait_progress(30)
        c.wait_health('ok')

    def drop(self, failed):
        if self.cluster:
            self.cluster.close(failed)
        self.cluster = self.load = None

    def close(self):
        failed = True
        try:
            if self.load:
                say(self.load.finish())
                self.cluster.check_processes()
                self.cluster.end_in_order()
            failed = False
        finally:
            self.drop(failed)
            if self.engine:
                self.engine.stop()


def longest_wait(stage):
    return stage.load.stats()['longest_op_s']


def others(stage, *nodes):
    return [n for n in stage.cluster.nodes if n not in nodes]


def start_and_wait(stage, node):
    node.start()
    stage.cluster.wait_listed(len(stage.cluster.living()), timeout=40)


# ---- The list ----

@scenario(quick=True)
def simultaneous_start(stage):
    """five daemons started at the same moment see each other, are formatted and serve"""
    stage.end()


@scenario()
def format_twice_at_once(stage):
    """two formats at the same moment: one cluster comes of it"""
    with NetCluster(stage.engine, 3, name='twice', first=stage.engine.others_at) as c:
        both = [subprocess.Popen([program('client/dog/dog'), 'cluster', 'format', '-c', '3', '-f', '-a', n.address,
                                  '-p', str(n.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 preexec_fn=die_with_parent) for n in c.nodes[:2]]
        codes = [p.wait(60 * SLOW) for p in both]
        check(0 in codes, 'neither format succeeded')
        # No epoch is told here: the node that was formatted twice may be adopting yet.
        wait_until(lambda: len({tuple(c.dog('cluster', 'info', '-r', port=n.port, ok=None).lines()[-1:]) for n in c.nodes}) == 1,
                   20, 'every daemon tells of the same cluster')
        c.dog('vdi', 'create', 'v', '16M')
        c.dog('vdi', 'write', 'v', data=b'v' * MIB)
        got = c.dog('vdi', 'read', 'v', '0', str(MIB), port=c.nodes[2].port).out_bytes
        check(got == b'v' * MIB, 'what was written is not read')


@scenario()
def side_by_side_and_strangers(stage):
    """another cluster of the same engine is another cluster; a daemon with its disks is refused here"""
    with NetCluster(stage.engine, 3, name='other', first=stage.engine.others_at) as c:
        c.format('2')
        check(len(c.dog('node', 'list', '-r').lines()) == 3, 'the other cluster has three nodes')
        check(len(stage.cluster.dog('node', 'list', '-r').lines()) == NODES, 'and this one has its own')
        stranger = c.nodes[2]
        stranger.signal(signal.SIGTERM)
        stranger.wait()
        stranger.may_end = True
        c.name = stage.cluster.name
        stranger.start()
        stranger.may_end = True
        c.name = 'other'
        code = stranger.wait()
        check(code != 0, 'a daemon with the disks of another cluster was taken')
        say(stranger.text().splitlines()[-1])
    stage.end()


@scenario()
def join(stage):
    """a daemon that nobody knows joins and gets data"""
    c = stage.cluster
    if stage.engine.per_node:  # none is left without one: in the place of the last, which never comes back
        node = c.nodes[-1]
        node.signal(signal.SIGTERM)
        check(node.wait() == 0, 'it left with an error')
        shutil.rmtree(node.dir)
    else:
        node = c.add_node()
    start_and_wait(stage, node)
    stage.end()


@scenario()
def orderly_leave(stage):
    """a daemon that leaves in order is missed by nobody"""
    c = stage.cluster
    if len(c.nodes) == NODES and not stage.engine.per_node:
        start_and_wait(stage, c.add_node())
    node = c.nodes[-1]
    start = time.monotonic()
    node.signal(signal.SIGTERM)
    check(node.wait() == 0, 'it left with an error')
    wait_until(lambda: len(c.dog('node', 'list', '-r', ok=None).lines()) == len(c.living()), 20, 'it is gone from the list')
    say('off the list %.1f s after SIGTERM' % (time.monotonic() - start))
    stage.load.wait_progress(30)
    say('longest operation meanwhile: %.2f s' % longest_wait(stage))
    if stage.engine.per_node:
        start_and_wait(stage, node)
    else:
        c.nodes.remove(node)
    stage.end()


@scenario(quick=True)
def kill(stage):
    """kill -9: the others go on"""
    c = stage.cluster
    for victim in c.nodes[1:2 if QUICK else 3]:
        stage.load.ask('reset')
        start = time.monotonic()
        victim.kill()
        stage.write_probe(b'k')
        say('FIGURE %s: kill -9 to the next acknowledged write everywhere: %.2f s; longest operation of the workload: %.2f s'
            % (stage.engine.name, time.monotonic() - start, longest_wait(stage)))
        start_and_wait(stage, victim)
        stage.end()


@scenario(quick=True)
def stopped(stage):
    """SIGSTOP for longer than its session lasts: the others go on; continued, it answers and acknowledges nothing old"""
    c = stage.cluster
    victim = c.nodes[2]
    stage.write_probe(b'o')
    start = time.monotonic()
    victim.signal(signal.SIGSTOP)
    stage.write_probe(b'n', port=c.nodes[0].port)
    say('FIGURE %s: SIGSTOP to the next acknowledged write everywhere: %.2f s; longest operation of the workload: %.2f s'
        % (stage.engine.name, time.monotonic() - start, longest_wait(stage)))
    rest = stage.engine.absence_s - (time.monotonic() - start)
    if rest > 0:
        time.sleep(rest)  # the session's time-out is what is tested
    victim.signal(signal.SIGCONT)
    got = c.dog('vdi', 'read', 'probe', port=victim.port).out_bytes
    check(got == b'n' * (PROBE_MIB * MIB), 'old bytes read through the daemon that was stopped')
    stage.end()


class Askers:
    """Writes and reads of each object of a volume, again and again, by a client (tests/cluster/askers) in a network namespace of
    its own, or in a node's. Those that reach their daemon go on when others hang."""

    def __init__(self, stage, node, space=None):
        self.node, self.errors = node, tempfile.TemporaryFile()
        self.process = subprocess.Popen(['ip', 'netns', 'exec', space or node.space, program('tests/cluster/askers'),
                                         node.address, str(node.port), 'asked'], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True, preexec_fn=die_with_parent)
        stage.cluster.children.append(self.process)
        self.wait_answers(100)

    def told(self):
        with contextlib.suppress(OSError):
            self.process.stdin.write('\n')
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, 'the askers ended: ' + self.said())
        return json.loads(line)

    def wait_answers(self, count, timeout=30):
        """So many more of either kind."""
        first = self.told()
        wait_until(lambda: all(self.told()[k] >= first[k] + count for k in ('reads', 'writes')), timeout,
                   lambda: '%d more answers and acknowledgements; %s' % (count, self.told()))

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')[-1000:]

    def check_silent(self, engine, start, what, dropped=None):
        """Nothing that was asked for when the lease that ran at `start` was over has been answered or acknowledged, nor what was
        asked for when the others had dropped the daemon; and nothing is now."""
        told = self.told()
        time.sleep(0.3)  # that nothing comes is what is tested
        check(self.told() == told, '%s: still answered %.2f s after it' % (what, time.monotonic() - start))
        say('FIGURE %s: %s: the last answer was to what was asked %.2f s after it, the last acknowledgement %.2f s (lease %.2f s)'
            % (engine.name, what, told['read'] - start, told['write'] - start, engine.lease_s))
        for kind in ('read', 'write'):
            asked = told[kind] - start
            check(asked <= engine.lease_s + 0.01, '%s: a %s asked for %.2f s after it was answered' % (what, kind, asked))
            check(dropped is None or told[kind] <= dropped, '%s: a %s was answered when the others had taken over' % (what, kind))

    def finish(self):
        """All is served again; and what was acknowledged was not lost."""
        self.process.communicate(timeout=120 * SLOW)
        check(self.process.returncode == 0, 'askers: exit code %d: %s' % (self.process.returncode, self.said()))


def away(stage, start):
    """Until the lease that ran at `start` is over, and others have taken over."""
    rest = start + max(stage.engine.lease_s + 1.5, stage.engine.absence_s) - time.monotonic()
    if rest > 0:
        time.sleep(rest)  # that nothing comes is what is tested


@scenario(quick=True, engines=lambda e: e.cuts)
def partition(stage):
    """two of five cut off: they answer and acknowledge nothing beyond their lease, the others go on; healed, nothing differs"""
    c = stage.cluster
    minority = c.nodes[3:5]
    stage.write_probe(b'o')
    askers = Askers(stage, minority[0])
    start = time.monotonic()
    with c.partition(minority):
        cut = time.monotonic()
        stage.write_probe(b'n', port=c.nodes[0].port)
        say('FIGURE %s: partition to the next acknowledged write everywhere in the majority: %.2f s; longest operation of the '
            'workload: %.2f s' % (stage.engine.name, time.monotonic() - start, longest_wait(stage)))
        away(stage, cut)
        askers.check_silent(stage.engine, cut, 'partition, in the minority')
        stage.load.wait_progress(20)
    for node in minority:
        wait_until(lambda: len(c.dog('node', 'list', '-r', port=node.port, ok=None).lines()) == len(c.living()), 30,
                   'it is back')
        got = c.dog('vdi', 'read', 'probe', port=node.port).out_bytes
        check(got == b'n' * (PROBE_MIB * MIB), 'old bytes read through a node that was cut off')
    askers.finish()
    stage.end()


@scenario(engines=lambda e: e.servers and not e.per_node)
def leader_killed(stage):
    """the server that leads the ensemble is killed: the cluster goes on by itself"""
    stage.engine.kill_leader()
    stage.load.wait_progress(50)
    say('FIGURE %s: leader killed: longest operation %.2f s' % (stage.engine.name, longest_wait(stage)))
    getattr(stage.engine, 'heal_leader', lambda: None)()
    stage.end()


def without_server(stage, victim, what, take, give_back):
    """Its peers reach the daemon as before. So does a client that reaches no other, and so asks this one only: what it is the
    primary of."""
    c, engine = stage.cluster, stage.engine
    space = c.net.add(CLIENT)
    stage.write_probe(b'o')
    askers = Askers(stage, victim, space)
    c.net.cut(CLIENT, [n.index + c.first + 1 for n in others(stage, victim)])
    try:
        time.sleep(0.5)  # what was on its way to the others
        askers.wait_answers(50)
        start = time.monotonic()
        take(victim.index)
        gone = time.monotonic()
        wait_until(lambda: len(c.dog('node', 'list', '-r', port=c.nodes[0].port, ok=None).lines()) == len(c.nodes) - 1, 20,
                   'the others drop it')
        dropped = time.monotonic()
        check(dropped >= start + engine.lease_s, '%s: dropped after %.2f s: its lease may have run' % (what, dropped - start))
        stage.write_probe(b'n', port=c.nodes[0].port)
        say('FIGURE %s: %s: dropped after %.2f s, next acknowledged write everywhere after %.2f s; longest operation of the '
            'workload: %.2f s' % (engine.name, what, dropped - start, time.monotonic() - start, longest_wait(stage)))
        away(stage, gone)
        askers.check_silent(engine, gone, what, dropped)
        c.check_not_failed(victim)
        give_back(victim.index)
        c.wait_listed(len(c.nodes), timeout=40)
        got = c.dog('vdi', 'read', 'probe', port=victim.port).out_bytes
        check(got == b'n' * (PROBE_MIB * MIB), 'old bytes read through the node whose server was away')
    finally:
        c.net.heal()
    askers.finish()
    stage.end()


@scenario(quick=True, engines=lambda e: e.per_node)
def own_server_killed(stage):
    """the server of one node is killed: its daemon serves nothing beyond its lease, and waits for the next one; the others go on"""
    without_server(stage, stage.cluster.nodes[3], 'a node\'s server killed', stage.engine.kill_server, stage.engine.start_server)


@scenario(engines=lambda e: e.per_node)
def own_server_ended(stage):
    """the server of one node ends in order, as for an upgrade of it: its daemon's lease is waited for all the same"""
    def end(i):
        engine.processes[i].terminate()
        engine.processes[i].wait()
    engine = stage.engine
    without_server(stage, stage.cluster.nodes[3], 'a node\'s server ended in order', end, engine.start_server)


@scenario(engines=lambda e: e.per_node)
def own_server_stopped(stage):
    """the server of one node gets SIGSTOP for long, then SIGCONT: its daemon serves nothing beyond its lease, and comes back"""
    def send(number):
        return lambda i: stage.engine.processes[i].send_signal(number)
    without_server(stage, stage.cluster.nodes[4], 'SIGSTOP of a node\'s server', send(signal.SIGSTOP), send(signal.SIGCONT))


@scenario(quick=True, engines=lambda e: e.servers)
def ensemble_restarted(stage):
    """all of the ensemble dies and starts again: nobody serves meanwhile, all go on afterwards"""
    stage.engine.power_off()
    time.sleep(stage.engine.absence_s)  # longer than the sessions
    stage.engine.power_on()
    stage.load.wait_progress(50)
    say('FIGURE %s: ensemble away for %.1f s: longest operation %.2f s' % (stage.engine.name, stage.engine.absence_s,
                                                                       longest_wait(stage)))
    stage.end()


@scenario()
def long_absence(stage):
    """a daemon killed, its data rebuilt elsewhere, comes back after many epochs and hears all of them"""
    c = stage.cluster
    absent, busy = c.nodes[3], c.nodes[4]
    absent.kill()
    for _ in range(2):
        c.wait_listed(len(c.living()))
        busy.kill()
        c.wait_listed(len(c.living()))
        start_and_wait(stage, busy)
    stage.write_probe(b'a')
    start_and_wait(stage, absent)
    got = c.dog('vdi', 'read', 'probe', port=absent.port).out_bytes
    check(got == b'a' * (PROBE_MIB * MIB), 'old bytes read through a node that was away')
    stage.end()


@scenario(quick=True)
def power_cut(stage):
    """all machines lose power; daemons that start before the engine wait for it, and the cluster is back by itself"""
    c = stage.cluster
    stage.write_probe(b'p')
    for node in c.nodes:
        node.kill()
    stage.engine.power_off()
    start = time.monotonic()
    for node in c.nodes:
        node.start()
    time.sleep(1)  # the daemons are up before the services are
    stage.engine.power_on()
    c.wait_listed(len(c.nodes), timeout=40)
    stage.load.wait_progress(50)
    say('serving again %.1f s after power was back' % (time.monotonic() - start))
    got = c.dog('vdi', 'read', 'probe').out_bytes
    check(got == b'p' * (PROBE_MIB * MIB), 'what was written before the power cut is not read')
    stage.end()


@scenario()
def rolling_upgrade(stage):
    """one after the other restarted with a later protocol version: the workload goes on"""
    c = stage.cluster
    for node in c.nodes:
        node.signal(signal.SIGTERM)
        check(node.wait() == 0, 'daemon %d left with an error' % node.index)
        c.environment[node.index] = ['env', 'SHEEPFOLD_TEST_PROTOCOL=2']
        start_and_wait(stage, node)
        c.wait_health('ok')
        stage.load.wait_progress(10)
    say('longest operation meanwhile: %.2f s' % longest_wait(stage))
    stage.end()


# ---- Running it ----

def add_case(stage, function):
    def case():
        stage.begin()
        try:
            function(stage)
        except BaseException:
            stage.drop(True)
            raise
    case.__name__, case.__doc__ = function.__name__, '%s: %s' % (stage.engine_class.name, harness.name_of(function))
    harness.TESTS.append(case)


def run(*engine_classes, only=None, setting=None):
    """only: names of scenarios. setting: of `dog cluster set`, for the clusters they share."""
    if os.getuid() != 0:
        raise Failed('network namespaces need root')
    stages = [Stage(e, setting) for e in engine_classes]
    for stage in stages:
        for function, quick, wanted in SCENARIOS:
            if QUICK and not (quick and function.__name__ in stage.engine_class.quick):
                continue
            if only and function.__name__ not in only:
                continue
            if wanted is None or wanted(stage.engine_class):
                add_case(stage, function)

        def last(stage=stage):
            stage.close()
        last.__name__, last.__doc__ = 'end', '%s: all of the volume reads as written; all daemons leave' % stage.engine_class.name
        harness.TESTS.append(last)
    try:
        harness.main()
    finally:
        for stage in stages:
            if stage.engine:
                stage.drop(False)
                stage.engine.stop()
