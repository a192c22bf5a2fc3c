# SPDX-License-Identifier: Apache-2.0
"""The drill's daemons and their disks."""
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess

import harness
from drill_device import Device
from drill_machine import address, run
from harness import Failed, program

RECORD = struct.Struct('<12I')  # struct disk_control of faulty_disk.h
RECORDS = 8
TMPFS_MIB = 256


class Disk:
    """A folder, a small tmpfs that can be full, or a block device that can fail."""

    def __init__(self, node, number, drill):
        self.node, self.number, self.device = node, number, None
        self.memory = drill.has_tmpfs and node.index % 3 == 1 and number == 0
        self.path = os.path.join(node.dir, 'd%d' % (number + 1))
        os.makedirs(self.path)
        if self.memory:
            run('mount', '-t', 'tmpfs', '-o', 'size=%dm' % TMPFS_MIB, 'tmpfs', self.path)
        elif drill.has_devices and node.index % 3 == 2 and number == drill.disks - 1:
            self.device = Device(self.path, os.path.join(node.dir, 'device'))

    def control(self, read=(0, 0), write=(0, 0), sync=(0, 0), torn=0, delay_us=0):
        """What the preloaded library does from now on: pairs are (errno, millionths of the calls)."""
        record = RECORD.pack(*read, *write, *sync, torn, delay_us, 0, 0, 0, 0)
        with open(self.node.control, 'r+b') as f:
            f.seek(self.number * RECORD.size)
            f.write(record[:32])  # the counts stay

    def counts(self):
        """(reads, writes, syncs failed; calls seen)"""
        with open(self.node.control, 'rb') as f:
            f.seek(self.number * RECORD.size)
            return RECORD.unpack(f.read(RECORD.size))[8:]

    def wipe(self):
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def save(self):
        self.saved = os.path.join(self.node.dir, 'saved%d' % self.number)
        run('cp', '-a', '--sparse=always', self.path, self.saved)

    def bring_back(self):
        self.wipe()
        run('cp', '-a', '--sparse=always', self.saved + '/.', self.path)
        shutil.rmtree(self.saved)

    def used_kib(self):
        s = os.statvfs(self.path)
        return (s.f_blocks - s.f_bfree) * s.f_frsize // 1024

    def fill(self, spare_kib):
        for last in (False, False, False, True):
            try:
                run('mount', '-o', 'remount,size=%dk' % (self.used_kib() + spare_kib), self.path)
                return
            except OSError:  # it has grown meanwhile
                if last:
                    raise

    def empty(self):
        run('mount', '-o', 'remount,size=%dm' % TMPFS_MIB, self.path)

    def segments(self):
        return sorted(os.path.join(self.path, n) for n in os.listdir(self.path) if n.startswith('seg-'))


class Node:
    def __init__(self, drill, index):
        self.drill, self.index = drill, index
        self.dir = os.path.join(drill.dir, 'nodes', str(index))
        os.makedirs(self.dir)
        self.control = os.path.join(self.dir, 'faults')
        with open(self.control, 'wb') as f:
            f.write(bytes(RECORDS * RECORD.size))
        self.log = os.path.join(drill.logs, 'sheep.%d' % index)
        self.disks = [Disk(self, d, drill) for d in range(drill.disks)]
        self.order = list(self.disks)
        self.process, self.may_end, self.starts = None, False, 0

    @property
    def address(self):
        return address(self.index)

    def command(self):
        dirs = ','.join([self.dir] + [d.path for d in self.order])
        return [*self.drill.net.enter(self.index), *self.drill.wrap(self), program('sheep/sheep'), '-f',
                '-p', str(self.drill.port), '-b', self.address, '-V', '1', '-l', 'level=%s,dst=stdout' % self.drill.log_level,
                '-c', 'local:' + os.path.join(self.drill.dir, 'member'), dirs]

    def environment(self):
        env = dict(os.environ)
        logs = os.path.join(self.drill.logs, 'report.%d' % self.index)
        supp = os.path.join(harness.HERE, 'tsan.supp')
        env['TSAN_OPTIONS'] = 'log_path=%s:suppressions=%s:exitcode=66:second_deadlock_stack=1' % (logs, supp)
        env['ASAN_OPTIONS'] = 'log_path=%s:verify_asan_link_order=0' % logs
        env['UBSAN_OPTIONS'] = 'log_path=%s:print_stacktrace=1' % logs
        if self.drill.shim:
            env['SF_FAULTY_CONTROL'] = self.control
            env['SF_FAULTY_DISKS'] = ':'.join(d.path for d in self.disks)
            env['LD_PRELOAD'] = self.drill.shim
        return env

    def start(self):
        assert not self.alive()
        self.may_end = False
        self.starts += 1
        with open(self.log, 'ab') as log:
            self.log_at = log.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment(), start_new_session=True,
                                            preexec_fn=self.drill.preexec)

    def started(self):
        """It said so: SIGTERM before that ends it as any program."""
        with open(self.log, 'rb') as log:
            log.seek(self.log_at)
            return b' on %s port ' % self.address.encode() in log.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check(self):
        if self.process is not None and not self.may_end and not self.alive():
            raise Failed('daemon %d ended by itself with %d\n%s' % (
                self.index, self.process.returncode, self.tail()))

    def signal(self, number):
        self.check()
        self.may_end = self.may_end or number in (signal.SIGTERM, signal.SIGKILL)
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def left(self, code):
        """Ended on request; that must be in order."""
        if code != 0:
            raise Failed('daemon %d left with exit code %d after SIGTERM\n%s' % (self.index, code, self.tail()))

    def tail(self):
        with contextlib.suppress(OSError), open(self.log, errors='replace') as f:
            return '\n'.join(f.read().splitlines()[-12:])
        return ''


class Load:
    """tests/cluster/workload on one volume."""

    def __init__(self, drill, name, seed, timeout_ms, in_flight, delay_us):
        self.drill, self.name = drill, name
        self.model = os.path.join(drill.dir, name + '.model')
        self.errors = os.path.join(drill.logs, 'workload.' + name)
        self.last, self.finished = {}, False
        command = [program('tests/cluster/workload'), '-a', drill.nodes[0].address, '-p', str(drill.port), '-f',
                   '-n', str(in_flight), '-d', str(delay_us), '-s', str(seed), '-T', str(timeout_ms),
                   '-m', self.model, name]
        env = dict(os.environ)
        env['TSAN_OPTIONS'] = 'log_path=%s:suppressions=%s' % (
            os.path.join(drill.logs, 'report.' + name), os.path.join(harness.HERE, 'tsan.supp'))
        with open(self.errors, 'wb') as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, env=env, start_new_session=True,
                                            preexec_fn=drill.preexec)

    def said(self):
        with open(self.errors, errors='replace') as f:
            return f.read()[-1500:]

    def stats(self):
        if self.process.poll() is None:
            self.process.stdin.write('stats\n')
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if line:
                self.last = json.loads(line)
        return self.last

    def check(self):
        if self.process.poll() is not None and not self.finished:
            self.finished = True
            rest = self.process.stdout.read().splitlines()
            if rest:
                self.last = json.loads(rest[-1])
            raise Failed('the workload on volume %s ended with %d: %s' % (
                self.name, self.process.returncode, self.said()))

    def ask_to_stop(self):
        self.process.stdin.write('stop\n')
        self.process.stdin.flush()

    def finish(self, timeout):
        """It reads everything once more."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed('the workload on volume %s does not end' % self.name) from None
        self.finished = True
        if out.splitlines():
            self.last = json.loads(out.splitlines()[-1])
        if self.process.returncode != 0:
            raise Failed('the workload on volume %s failed with %d: %s' % (
                self.name, self.process.returncode, self.said()))

    def verify(self, node, timeout):
        """Everything against the saved model, in another process that enters by this node."""
        done = subprocess.run([program('tests/cluster/workload'), '-a', node.address, '-p', str(self.drill.port), '-v',
                               '-m', self.model, self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            lines = [json.loads(x) for x in done.stdout.splitlines() if x.startswith('{')]
            for key in ('lost', 'stale', 'corrupt', 'failed'):
                self.last[key] = self.last.get(key, 0) + (lines[-1][key] if lines else 0)
            raise Failed('volume %s read back by another process: %s' % (self.name, done.stdout[-1500:]))
