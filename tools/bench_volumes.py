# SPDX-License-Identifier: Apache-2.0
"""The rows of tools/bench about volumes as a whole: how long dog takes for them."""
import os
import time

OBJECT, VOLUMES, ROUNDS = 4 << 20, 10000, 3


class VolumeBench:
    """bench: the Bench whose cluster is used; run: its way to run a command."""

    # In this order. A row that is asked for alone makes what it needs.

    def __init__(self, bench, build, run):
        self.bench, self.build, self.run = bench, build, run
        self.created = self.filled = False
        self.number = 0

    def rows(self):
        for name in ('snapshot', 'clone', 'create', 'list'):
            yield 'volumes ' + name, getattr(self, name)

    def add(self, name, seconds, count):
        self.bench.add({'row': 'volumes ' + name, 'seconds': seconds, 'count': count,
                        'peak_rss_mib': max(self.bench.rss().values())})

    def median(self, name, count, work):
        """Of a few: each a dog of its own, its start and connecting counted."""
        times = []
        for _ in range(ROUNDS):
            self.number += 1
            began = time.monotonic()
            work(self.number)
            times.append(time.monotonic() - began)
        self.add(name, sorted(times)[ROUNDS // 2], count)

    def fill(self):
        """A volume of which every object exists: 1 TiB of them, with 4 KiB in each, or as --map says."""
        if self.filled:
            return
        count = self.bench.args.map
        self.bench.dog('vdi', 'create', 'full', str(count * OBJECT))
        self.run(os.path.join(self.build, 'tools/bench_load'), 'object-write', 'full', '-p', self.bench.port, '-n', count,
                 '-w', 64, '-b', count * OBJECT)
        self.filled = True

    def snapshot(self):
        self.fill()
        self.median('snapshot', self.bench.args.map, lambda i: self.bench.dog('vdi', 'snapshot', 'full', '-s', 'tag%d' % i))

    def clone(self):
        self.fill()
        self.bench.dog('vdi', 'snapshot', 'full', '-s', 'base')
        self.median('clone', self.bench.args.map, lambda i: self.bench.dog('vdi', 'clone', 'full', 'clone%d' % i, '-s', 'base'))

    def create(self):
        if self.created:
            return
        began = time.monotonic()
        self.run(os.path.join(self.build, 'tools/bench_create'), self.bench.port, VOLUMES)
        self.add('create', time.monotonic() - began, VOLUMES)
        self.created = True

    def list(self):
        self.create()

        def work(_):
            lines = self.bench.dog('vdi', 'list', '-r').stdout.splitlines()
            assert len(lines) >= VOLUMES, len(lines)
        self.median('list', VOLUMES, work)
