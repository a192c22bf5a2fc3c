# SPDX-License-Identifier: Apache-2.0
"""A run of the recovery drill: the cluster, the clients, the faults within their budget, the account at the end.

What may overlap: any faults that destroy nothing, as long as they touch at most m daemons (a power cut and a split come
alone). One that destroys begins only when the daemons touched since the cluster was last clean, and its own, are at
most m; after it the drill waits for clean before the next of that sort. Clean: no fault is active and `dog status` has
said OK twice, a second apart, with all daemons up; after flipped bits `dog vdi check` has repaired every volume before.
"""
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import threading
import time

import drill_faults
import harness
from drill_cluster import Load, Node
from harness import Failed, program


class Monitor(threading.Thread):
    """Asks for the status all the time; notes how long redundancy was missing."""

    def __init__(self, drill):
        super().__init__(daemon=True)
        self.drill, self.ended = drill, threading.Event()
        self.latest = None  # (when asked, status)
        self.missing_since, self.losses = None, []

    def run(self):
        while not self.ended.wait(0.3):
            asked = time.monotonic()
            status = self.drill.status()
            if status is None:
                continue
            ok = status['health'].lower() == 'ok'
            if not ok and self.missing_since is None:
                self.missing_since = asked
            if ok and self.missing_since is not None:
                self.losses.append(time.monotonic() - self.missing_since)
                self.missing_since = None
            self.latest = (asked, status)


class Churn(threading.Thread):
    """Creates, writes, reads and deletes volumes with dog. What a command that failed did is unknown: such a volume is left."""

    def __init__(self, drill, seed):
        super().__init__(daemon=True)
        self.drill, self.rng = drill, random.Random(seed)
        self.ended = threading.Event()
        self.volumes, self.deleted = {}, set()
        self.done = self.refused = self.number = 0
        self.wrong = []

    def dog(self, *args, data=b''):
        code, out, _ = self.drill.dog(*args, data=data)
        if code == 0:
            self.done += 1
        else:
            self.refused += 1
        return out if code == 0 else None

    def run(self):
        while not self.ended.wait(0.2):
            if len(self.volumes) < 4:
                self.create()
            else:
                self.rng.choice([self.read, self.read, self.delete])()

    def create(self):
        name, size = 'churn%d' % self.number, self.rng.randrange(1, 6 << 20)
        self.number += 1
        data = self.rng.randbytes(size)
        if self.dog('vdi', 'create', name, size) is not None and self.dog('vdi', 'write', name, data=data) is not None:
            self.volumes[name] = data

    def read(self):
        name = self.rng.choice(list(self.volumes))
        out = self.dog('vdi', 'read', name)
        if out is not None and out != self.volumes[name]:
            self.wrong.append('volume %s reads otherwise than written' % name)

    def delete(self):
        name = self.rng.choice(list(self.volumes))
        del self.volumes[name]
        if self.dog('vdi', 'delete', name) is not None:
            self.deleted.add(name)

    def verify(self):
        """At the end, when all must be there."""
        for name, data in self.volumes.items():
            code, out, err = self.drill.dog('vdi', 'read', name)
            if code != 0 or out != data:
                self.wrong.append('volume %s: %s' % (name, err.strip() or 'reads otherwise than written'))
        code, out, err = self.drill.dog('vdi', 'list', '-r')
        there = {line.split()[1] for line in out.decode().splitlines()} if code == 0 else set()
        self.wrong += ['volume %s was deleted and is there again' % n for n in sorted(self.deleted & there)]


class Drill:
    def __init__(self, options, net, missing):
        self.options, self.net = options, net
        self.missing = missing  # what the faults need and this machine has not: a sentence each
        self.dir, self.logs = options.dir, os.path.join(options.dir, 'logs')
        os.makedirs(self.logs, exist_ok=True)
        self.disks, self.port = options.disks, options.port
        self.slow = options.slow
        # In namespaces of their own all end with the drill anyhow.
        self.preexec = None if net.isolated else harness.die_with_parent
        self.log_level = options.log
        self.has_tmpfs, self.has_devices = 'tmpfs' not in missing, 'devices' not in missing
        self.shim = None if 'shim' in missing else program('tests/cluster/faulty_disk.so')
        self.nodes, self.loads, self.churn, self.monitor = [], [], None, None
        self.active, self.dirty = [], set()
        self.destroyed = self.check_wanted = False
        self.faults, self.errors_injected = {}, 0
        self.problems, self.longest = [], 0
        self.interrupted = False
        self.started = time.monotonic()
        self.events = open(os.path.join(self.logs, 'events'), 'a')

    # ---- Saying and asking

    def say(self, text):
        line = '%7.1f  %s' % (time.monotonic() - self.started, text)
        self.events.write(line + '\n')
        self.events.flush()
        if not self.options.quiet:
            print(line, flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say('PROBLEM: ' + text)

    def wrap(self, node):
        return [w.replace('%i', str(node.index)).replace('%n', str(node.starts)).replace('%d', self.logs)
                for w in self.options.wrap]

    def pause(self, seconds):
        time.sleep(seconds)

    def wait(self, condition, seconds, what):
        end = time.monotonic() + seconds * self.slow
        while not condition():
            self.check_nodes()
            if time.monotonic() > end:
                raise Failed('waited %d s in vain: %s' % (seconds * self.slow, what))
            self.pause(0.05)

    def count_errors(self, count):
        self.errors_injected += count

    def port_of(self):
        """A daemon that no fault touches, if there is one."""
        touched = {i for f in self.active for i in f.victims}
        free = [n for n in self.nodes if n.index not in touched and n.alive()]
        return (free or self.nodes)[int(time.monotonic()) % len(free or self.nodes)]

    def dog(self, *args, data=b'', timeout=300):
        command = [program('client/dog/dog'), *map(str, args), '-a', self.port_of().address, '-p', str(self.port)]
        try:
            done = subprocess.run(command, input=data, timeout=timeout * self.slow, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False, start_new_session=True)
        except subprocess.TimeoutExpired:
            return 124, b'', 'dog %s did not end in %d s' % (args[0], timeout * self.slow)
        return done.returncode, done.stdout, done.stderr.decode(errors='replace')

    def status(self):
        code, out, _ = self.dog('status', '--json', timeout=20)
        return json.loads(out) if code == 0 else None

    def disks_failed(self):
        return bool(self.monitor.latest and self.monitor.latest[1]['disks']['failed'])

    # ---- Building it up

    def start(self):
        self.nodes = [Node(self, i) for i in range(self.options.nodes)]
        for node in self.nodes:
            node.start()
        self.wait(self.listed, 60, 'all daemons in the node list')
        code, _, err = self.dog('cluster', 'format', '-c', self.options.redundancy, '--grace', self.options.grace, '-f')
        if code:
            raise Failed('format: ' + err)
        self.monitor = Monitor(self)
        self.monitor.start()
        for number, (name, size, redundancy) in enumerate(self.volumes()):
            code, _, err = self.dog('vdi', 'create', name, size, '-c', redundancy)
            if code:
                raise Failed('vdi create: ' + err)
            self.loads.append(Load(self, name, self.options.seed % 100000 + number + 1, int(600000 * self.slow),
                                   self.options.in_flight, self.options.delay_us))
        self.churn = Churn(self, self.options.seed)
        self.churn.start()

    def volumes(self):
        copies = str(self.options.m + 1)
        return [('a', '64M', self.options.redundancy), ('b', '24M', copies), ('c', '24M', self.options.redundancy)]

    def listed(self):
        return all(len([x for x in self.list_of(n) if x]) == len(self.nodes) for n in self.nodes)

    def list_of(self, node):
        command = [program('client/dog/dog'), 'node', 'list', '-r', '-a', node.address, '-p', str(self.port)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else []

    # ---- The faults

    def check_nodes(self):
        for node in self.nodes:
            node.check()

    def check_all(self):
        self.check_nodes()
        for load in self.loads:
            load.check()
        if self.churn.wrong:
            raise Failed(self.churn.wrong[0])

    def note_waits(self):
        """Operations that wait longer than any before."""
        for load in self.loads:
            longest = load.stats().get('longest_op_s', 0)
            if longest >= max(5, 1.5 * self.longest):
                self.longest = longest
                self.say('an operation on volume %s waits, or has waited, for %.1f s' % (load.name, longest))

    def may_begin(self, fault):
        busy = {i for f in self.active for i in f.victims}
        touched = busy | set(fault.victims)
        if fault.alone or any(f.alone for f in self.active):
            return not self.active
        if busy & set(fault.victims) or len(touched) > self.options.m:
            return False
        if not fault.destroys:
            return True
        if self.destroyed or len(self.dirty | touched) > self.options.m:
            if not self.active:
                self.wait_clean()
            return False
        return True

    def begin(self, fault):
        # SIGTERM ends a daemon that has not started as any program, and one refuses to start with a disk that fails.
        for index in fault.victims:
            self.wait(self.nodes[index].started, 60, 'daemon %d has not started' % index)
        self.say(str(fault))
        self.active.append(fault)
        self.dirty.update(fault.victims or range(len(self.nodes)))
        self.destroyed = self.destroyed or fault.destroys
        fault.until = time.monotonic() + fault.hold
        fault.begin(self)
        self.faults[fault.kind] = self.faults.get(fault.kind, 0) + 1

    def heal_due(self, everything=False):
        for fault in self.active[:]:
            if everything or time.monotonic() >= fault.until:
                fault.heal(self)
                self.active.remove(fault)
                self.say('healed: ' + fault.kind + ' ' + ' '.join(map(str, fault.victims)))

    def is_clean(self, since):
        latest = self.monitor.latest
        # A disk that was replaced may still be listed as failed.
        return (latest is not None and latest[0] >= since and latest[1]['health'].lower() == 'ok' and
                latest[1]['nodes']['up'] == len(self.nodes) and
                latest[1]['disks']['up'] == len(self.nodes) * self.disks)

    def wait_clean(self):
        begun = time.monotonic()
        self.wait_ok()
        if self.check_wanted:
            self.repair()
            self.wait_ok()
        self.dirty.clear()
        self.destroyed = self.check_wanted = False
        self.say('clean after %.1f s' % (time.monotonic() - begun))

    def wait_ok(self):
        begun = time.monotonic()
        twice = 0
        while twice < 2:
            if time.monotonic() - begun > self.options.clean_timeout * self.slow:
                raise Failed('not clean within %d s of the last fault; the last status: %s' % (
                    self.options.clean_timeout * self.slow, json.dumps(self.monitor.latest and self.monitor.latest[1])))
            self.check_all()
            since = time.monotonic()
            self.pause(1)
            twice = twice + 1 if self.is_clean(since) else 0

    def check_volume(self, name, *options):
        """Once more when it was not served in time: on a busy machine daemons lose each other now and then."""
        end = time.monotonic() + self.options.clean_timeout * self.slow
        while True:
            code, out, err = self.dog('vdi', 'check', name, *options, timeout=600)
            if code in (0, 5) or 'in time' not in err or time.monotonic() > end:
                return code, out, err
            self.wait_ok()

    def repair(self):
        for name in self.all_volumes():
            code, out, err = self.check_volume(name)
            if code not in (0, 5):
                raise Failed('vdi check %s: exit code %d: %s %s' % (name, code, out[-300:].decode(), err[-300:]))

    def all_volumes(self):
        code, out, err = self.dog('vdi', 'list', '-r')
        if code:
            raise Failed('vdi list: ' + err)
        return [line.split()[1] for line in out.decode().splitlines()]

    def kinds(self):
        """The faults this machine can do, of those asked for."""
        chosen = self.options.faults or sorted(drill_faults.KINDS)
        return [k for k in chosen if not any(n in self.missing for n in drill_faults.KINDS[k].needs)]

    def run(self):
        acts = drill_faults.schedule(self.options.seed, len(self.nodes), self.kinds())
        end = time.monotonic() + 60 * self.options.minutes
        gap, fault = next(acts)
        due, look = time.monotonic() + 2, 0
        while time.monotonic() < end:
            self.check_all()
            if time.monotonic() >= look:
                self.note_waits()
                look = time.monotonic() + 2
            self.heal_due()
            if time.monotonic() >= due and self.may_begin(fault):
                self.begin(fault)
                gap, fault = next(acts)
                due = time.monotonic() + gap
            self.pause(0.05)

    # ---- The end

    def finish(self):
        """Everything healed, clean, and read back."""
        self.heal_due(everything=True)
        self.wait_clean()
        self.churn.ended.set()
        self.churn.join(300 * self.slow)
        for load in self.loads:
            load.ask_to_stop()
        for load in self.loads:
            load.finish(900 * self.slow)
        for number, load in enumerate(self.loads):
            load.verify(self.nodes[(number + 1) % len(self.nodes)], 600 * self.slow)
        self.churn.verify()
        if self.churn.wrong:
            raise Failed(self.churn.wrong[0])
        self.wait_ok()
        self.repair()
        for name in self.all_volumes():
            code, out, err = self.check_volume(name, '-e')
            if code:
                self.problem('vdi check -e %s: %s %s' % (name, out.decode()[-300:], err[-300:]))
        self.monitor.ended.set()
        self.monitor.join(60)
        self.check_nodes()
        for node in self.nodes:
            node.signal(signal.SIGTERM)
        for node in self.nodes:
            node.left(node.process.wait(60 * self.slow))

    def close(self):
        for thread in (self.churn, self.monitor):
            if thread:
                thread.ended.set()
        for child in [l.process for l in self.loads] + [n.process for n in self.nodes]:
            if child and child.poll() is None:
                child.kill()
                child.wait()
        for node in self.nodes:
            for disk in node.disks:
                if disk.device:
                    disk.device.close()
        self.reports()
        self.events.close()

    def reports(self):
        """What sanitizers and valgrind wrote."""
        for name in sorted(os.listdir(self.logs)):
            path = os.path.join(self.logs, name)
            if name.startswith('report.') and os.path.getsize(path):
                with open(path, errors='replace') as f:
                    self.problem('report in %s: %s' % (path, f.read(1500)))
            if name.startswith('valgrind.'):
                with open(path, errors='replace') as f:
                    text = f.read()
                if 'ERROR SUMMARY: 0 errors' not in text and '==    at ' in text:
                    self.problem('valgrind complains in %s' % path)

    def remove(self):
        for node in self.nodes:
            for disk in node.disks:
                if disk.memory:
                    subprocess.run(['umount', '-l', disk.path], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def account(self):
        stats = []
        for load in self.loads:
            try:
                stats.append(load.stats() or {})
            except (OSError, ValueError):
                stats.append(load.last)

        def total(*keys):
            return sum(s.get(k, 0) for s in stats for k in keys)
        losses = list(self.monitor.losses) if self.monitor else []
        if self.monitor and self.monitor.missing_since is not None:
            losses.append(time.monotonic() - self.monitor.missing_since)
        churn = self.churn
        return {
            'seed': self.options.seed, 'seconds': round(time.monotonic() - self.started, 1),
            'acknowledged': total('reads', 'writes', 'discards') + (churn.done if churn else 0),
            'reads': total('reads'), 'writes': total('writes'), 'discards': total('discards'),
            'dog_commands': churn.done if churn else 0, 'dog_commands_refused': churn.refused if churn else 0,
            'refused_for_space': total('full'), 'failed': total('failed'),
            'lost': total('lost') + self.unfound(), 'stale': total('stale'),
            'corrupt': total('corrupt') + (len(churn.wrong) if churn else 0),
            'faults': dict(sorted(self.faults.items())), 'calls_failed_by_disks': self.errors_injected,
            'redundancy_lost': {
                'times': len(losses), 'min_s': round(min(losses), 1), 'median_s': round(statistics.median(losses), 1),
                'max_s': round(max(losses), 1)} if losses else {'times': 0},
            'longest_wait_s': max([s.get('longest_op_s', 0) for s in stats], default=0),
            'retries': total('retries'), 'left_out': self.left_out(),
            'problems': self.problems, 'dir': self.dir,
        }

    def unfound(self):
        latest = self.monitor and self.monitor.latest
        return latest[1]['objects']['unfound'] if latest and not self.interrupted else 0

    def left_out(self):
        return {k: self.missing[n] for k, f in drill_faults.KINDS.items() for n in f.needs if n in self.missing}
