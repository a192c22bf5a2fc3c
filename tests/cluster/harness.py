# SPDX-License-Identifier: Apache-2.0
"""Real clusters for tests: starts sheep daemons in the foreground on free ports and fresh directories, runs dog
and the verified workload against them, waits by condition, prints TAP.

A test file holds functions marked @test and ends with harness.main(). All processes die with the test.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

QUICK = os.environ.get('SF_QUICK', '') not in ('', '0')
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get('SHEEPFOLD_BUILD') or os.path.join(HERE, '..', '..', 'build')
SLOW = 4 if QUICK else 1  # the sanitizer build needs longer for everything
MIB = 1 << 20

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
PORTS = []


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def say(text):
    """A diagnostic line of TAP."""
    for line in str(text).splitlines():
        print('# ' + line, flush=True)


def program(path):
    return os.path.join(BUILD, path)


def wait_until(condition, timeout, what):
    """What the condition returned once it is true."""
    end = time.monotonic() + timeout * SLOW
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed('waited %d s in vain: %s' % (timeout * SLOW, what() if callable(what) else what))
        time.sleep(0.05)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count):
    """The first of so many free ports in a row, below those that the kernel gives to clients. They are this program's until
    it ends, also while nobody listens there: other tests run beside it, and byte N of a file is locked for port N."""
    if not PORTS:
        PORTS.append(open(os.path.join(tempfile.gettempdir(), 'sheepfold-ports-%d' % os.getuid()), 'a'))
    for _ in range(200):
        first = random.randrange(10000, 30000)
        with contextlib.ExitStack() as stack:
            try:
                fcntl.lockf(PORTS[0], fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
                for port in range(first, first + count):
                    s = stack.enter_context(socket.socket())
                    s.bind(('127.0.0.1', port))
                return first
            except OSError:
                continue
    raise Failed('no %d free ports in a row' % count)


def fresh_dir(in_memory=False):
    """in_memory: where there is room. A daemon drives stores on memory and on disks in different ways."""
    base = None
    with contextlib.suppress(OSError):
        if in_memory and shutil.disk_usage('/dev/shm').free > 4 << 30:
            base = '/dev/shm'
    return tempfile.mkdtemp(prefix='sheepfold-test-', dir=base)


class Node:
    def __init__(self, cluster, index):
        self.cluster, self.index = cluster, index
        self.port = cluster.port + index
        self.dir = os.path.join(cluster.dir, str(index))
        self.log = os.path.join(cluster.dir, '%d.out' % index)
        self.process = None
        self.options = []
        self.may_end = False

    def data_dirs(self):
        return [self.dir] + [os.path.join(self.dir, 'd%d' % d)
                             for d in range(1, self.cluster.disks + 1)]

    def command(self):
        return [program('sheep/sheep'), '-f', '-p', str(self.port), '-c',
                'local:' + os.path.join(self.cluster.dir, 'member'),
                *self.cluster.options, *self.options, ','.join(self.data_dirs())]

    def start(self):
        for path in self.data_dirs():
            os.makedirs(path, exist_ok=True)
        self.may_end = False
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_with_parent)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.may_end = self.may_end or number in (signal.SIGTERM, signal.SIGKILL)
        self.process.send_signal(number)

    def check_process(self):
        """That it did not end by itself."""
        if self.process is None or self.may_end or self.alive():
            return
        raise Failed('daemon %d ended by itself with %d' % (self.index, self.process.returncode))

    def kill(self):
        self.check_process()
        self.may_end = True
        if self.alive():
            self.process.kill()
            self.process.wait()

    def wait(self, timeout=20):
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed('daemon %d does not end' % self.index) from None

    def listens(self):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def stores(self):
        """META alone is a disk too."""
        return self.data_dirs()[1:] or [os.path.join(self.dir, 'store')]

    def segments(self):
        return sorted(os.path.join(d, name) for d in self.stores() for name in os.listdir(d)
                      if name.startswith('seg-'))

    def text(self):
        """All that the daemon said."""
        parts = []
        for path in (self.log, os.path.join(self.dir, 'sheep.log')):
            with contextlib.suppress(OSError), open(path, errors='replace') as f:
                parts.append(f.read())
        return '\n'.join(parts)


class Cluster:
    """with Cluster(5) as c: ..."""

    def __init__(self, count, disks=0, options=(), start=True, in_memory=False):
        self.dir = fresh_dir(in_memory)
        self.disks, self.options = disks, list(options)
        self.port = free_ports(count + 4)
        self.nodes = [Node(self, i) for i in range(count)]
        self.children = []
        self.mounts = []
        self.start_at_once = start

    def __enter__(self):
        try:
            if self.start_at_once:
                self.start_all()
        except BaseException:
            self.close(failed=True)
            raise
        return self

    def __exit__(self, kind, value, tb):
        try:
            if kind is None:
                self.check_processes()
                self.end_in_order()
        except Failed:
            self.close(failed=True)
            raise
        self.close(failed=kind is not None)

    def end_in_order(self):
        """So that a leak, or a mess on the way out, fails the test too."""
        ending = self.living()
        for node in ending:
            node.signal(signal.SIGTERM)
        for node in ending:
            code = node.wait()
            check(code == 0, 'daemon %d left with exit code %d' % (node.index, code))

    def check_processes(self):
        for node in self.nodes:
            node.check_process()

    def close(self, failed):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for node in self.nodes:
            if node.alive():
                node.signal(signal.SIGKILL)
                node.process.wait()
        if failed:
            self.show_logs()
        for path in reversed(self.mounts):
            subprocess.run(['umount', '-l', path], check=False)
        keep = os.environ.get('SF_KEEP') and failed
        if keep:
            say('kept: ' + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def show_logs(self):
        for node in self.nodes:
            lines = node.text().splitlines()
            say('---- daemon %d: last of %d lines' % (node.index, len(lines)))
            say('\n'.join(lines[-8:]))

    def add_node(self):
        node = Node(self, len(self.nodes))
        self.nodes.append(node)
        return node

    def start_all(self):
        for node in self.nodes:
            if not node.alive():
                node.start()
        self.wait_listed(len(self.nodes))

    def living(self):
        return [n for n in self.nodes if n.alive()]

    def wait_listed(self, count, timeout=20):
        """Every living daemon lists so many nodes."""
        def listed():
            self.check_processes()
            return all(len(self.dog('node', 'list', '-r', port=n.port, ok=None).lines()) == count
                       for n in self.living())
        wait_until(listed, timeout, '%d nodes in every node list' % count)

    def any_port(self):
        return self.living()[0].port

    def dog(self, *args, port=None, data=None, ok=(0,), timeout=120):
        """Runs dog; ok: the exit codes that are right, None for any."""
        command = [program('client/dog/dog'), *map(str, args), '-p', str(port or self.any_port())]
        try:
            done = subprocess.run(command, input=data if data is not None else b'', timeout=timeout * SLOW,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        except subprocess.TimeoutExpired:
            raise Failed('dog %s did not end in %d s' % (' '.join(map(str, args)), timeout * SLOW)) from None
        result = Result(args, done)
        if ok is not None:
            check(done.returncode in ok, str(result))
        return result

    def format(self, redundancy='4:2', grace='2s', *more):
        return self.dog('cluster', 'format', '-c', redundancy, '--grace', grace, '-f', *more)

    def status(self):
        self.check_processes()
        result = self.dog('status', '--json', ok=None, timeout=30)
        if result.code != 0:
            return None
        return json.loads(result.out)

    def health(self):
        status = self.status()
        return status['health'].lower() if status else 'no answer'

    def wait_health(self, *words, timeout=60):
        """Until `dog status` says one of these."""
        seen = ['?']

        def reached():
            seen[0] = self.health()
            return seen[0] in words
        wait_until(reached, timeout, lambda: 'health %s; it is %s\n%s' % (
            ' or '.join(words), seen[0], json.dumps(self.status())))

    def workload(self, volume='test', *options, port=None):
        return Workload(self, volume, options, port)

    def tmpfs(self, path, size_mib):
        os.makedirs(path, exist_ok=True)
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % size_mib, 'tmpfs', path],
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Skip('cannot mount a tmpfs')
        self.mounts.append(path)


class Result:
    def __init__(self, args, done):
        self.args, self.code = args, done.returncode
        self.out_bytes = done.stdout
        self.err = done.stderr.decode(errors='replace')

    @property
    def out(self):
        return self.out_bytes.decode(errors='replace')

    def lines(self):
        return self.out.splitlines()

    def __str__(self):
        return 'dog %s: exit code %d, said: %s' % (' '.join(map(str, self.args)), self.code,
                                                   (self.out[-500:] + self.err[-500:]).strip())


class Workload:
    """tests/cluster/workload on a volume, in the background."""

    def __init__(self, cluster, volume, options, port):
        self.errors = tempfile.TemporaryFile()
        command = [program('tests/cluster/workload'), '-p', str(port or cluster.any_port()), *options, volume]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, preexec_fn=die_with_parent)
        cluster.children.append(self.process)

    def ask(self, word):
        check(self.process.poll() is None, 'the workload ended: ' + self.said())
        self.process.stdin.write(word + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, 'the workload ended: ' + self.said())
        return json.loads(line)

    def stats(self):
        return self.ask('stats')

    def wait_progress(self, operations, timeout=60):
        """Until so many more were acknowledged."""
        def total():
            s = self.stats()
            return s['reads'] + s['writes'] + s['discards']
        start = total()
        wait_until(lambda: total() >= start + operations, timeout,
                   lambda: '%d more operations; %s' % (operations, self.stats()))

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')[-2000:]

    def finish(self, timeout=120):
        """Ends it; it reads everything once more. The last counts."""
        try:
            out, _ = self.process.communicate('stop\n', timeout=timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed('the workload does not end; ' + self.said()) from None
        check(self.process.returncode == 0, 'the workload failed (exit code %s): %s %s' % (
            self.process.returncode, self.said(), out))
        return json.loads(out.splitlines()[-1])


def verify(cluster, volume, model):
    """Reads the volume against a saved model, in another process."""
    done = subprocess.run([program('tests/cluster/workload'), '-p', str(cluster.any_port()), '-v', '-m', model,
                           volume], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120 * SLOW, check=False)
    check(done.returncode == 0, 'verify: exit code %d: %s' % (done.returncode, done.stdout[-2000:]))


class Skip(Exception):
    pass


TESTS = []


def test(function):
    TESTS.append(function)
    return function


def name_of(function):
    return (function.__doc__ or function.__name__).splitlines()[0].strip().rstrip('.')


def main():
    """Runs the tests named on the command line, or all."""
    chosen = [t for t in TESTS if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    failed = 0
    for path in ('sheep/sheep', 'client/dog/dog', 'tests/cluster/workload'):
        if not os.path.exists(program(path)):
            sys.exit('%s is not built; build first, and set SHEEPFOLD_BUILD' % program(path))
    print('1..%d' % len(chosen), flush=True)
    for number, function in enumerate(chosen, 1):
        start = time.monotonic()
        try:
            function()
            print('ok %d - %s' % (number, name_of(function)), flush=True)
        except Skip as why:
            print('ok %d - %s # SKIP %s' % (number, name_of(function), why), flush=True)
        except Exception as e:  # whatever went wrong is this test's result
            failed += 1
            why = ' '.join((str(e) or repr(e)).replace('#', ' ').split())  # the summary of a run shows this line only
            print('not ok %d - %s: %s' % (number, name_of(function), why[:300]), flush=True)
            say(e if isinstance(e, Failed) else traceback.format_exc())
        say('%.1f s' % (time.monotonic() - start))
    sys.exit(1 if failed else 0)
