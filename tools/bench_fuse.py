# SPDX-License-Identifier: Apache-2.0
"""The rows of tools/bench that go through a mount, and dog on the same volume beside them."""
import json
import os
import subprocess
import time

MIB, GIB = 1 << 20, 1 << 30
PAIRS = ('write', 'read')  # dog and the mount in turn
ROWS = ('direct write', 'direct read', 'rand-write 4k', 'rand-read 4k')
ROUNDS = 3


class FuseBench:
    """bench: the Bench whose cluster is used; run: its way to run a command."""

    # The rows that compare with the data file come before those that write something else.

    def __init__(self, bench, build, run):
        self.bench, self.build, self.run = bench, build, run
        self.dir = os.path.join(bench.dir, 'mount')
        self.data = os.path.join(bench.dir, 'data')
        self.size = bench.size()
        self.prepared = False

    def rows(self):
        for name in PAIRS:
            yield 'fuse ' + name, lambda n=name: self.pair(n)
        for name in ROWS:
            yield 'fuse ' + name, lambda n=name: self.bench.add(self.row(n))

    def prepare(self):
        os.makedirs(self.dir)
        with open('/dev/urandom', 'rb') as source, open(self.data, 'wb') as f:
            for _ in range(self.size // MIB):
                f.write(source.read(MIB))
        self.bench.dog('vdi', 'create', 'fuse', str(self.size))
        self.prepared = True

    def pair(self, name):
        """The median of each. What is written first meets fresh memory and no old objects: that is not counted."""
        if name == 'write':
            self.row('dog write')
        runs = [(self.row('dog ' + name), self.row(name)) for _ in range(ROUNDS)]
        dog, mounted = (sorted(side, key=lambda r: r['seconds'])[ROUNDS // 2] for side in zip(*runs))
        self.bench.add(dog)
        self.bench.add({**mounted, 'ratio_to_dog': mounted['mib_s'] / dog['mib_s']})

    def row(self, name):
        if not self.prepared:
            self.prepare()
        if name.startswith('dog'):
            return self.dog_row(name)
        # Mounted anew each time, so that nothing is in the kernel's pages.
        self.run(os.path.join(self.build, 'fuse/sheepfs'), '-p', self.bench.port, '-o', 'all', self.dir)
        try:
            return self.mounted_row(name, os.path.join(self.dir, 'volume', 'fuse'))
        finally:
            for _ in range(100):
                if self.run('fusermount3', '-u', self.dir, check=False).returncode == 0:
                    break
                time.sleep(0.05)

    def mounted_row(self, name, path):
        if name == 'write':
            return self.sequential(name, lambda: self.run('dd', 'if=' + self.data, 'of=' + path, 'bs=1M', 'conv=notrunc,fsync'))
        if name == 'read':
            return self.sequential(name, lambda: self.run('cmp', '-n', self.size, path, self.data))
        if name.startswith('direct'):
            return self.fio(name, path, '--bs=1M', '--rw=' + name.split()[1], '--size=%d' % self.size)
        return self.fio(name, path, '--bs=4k', '--rw=' + name.split()[0].replace('-', ''), '--size=%d' % self.size,
                        '--time_based', '--runtime=5')

    def dog_row(self, name):
        dog = [os.path.join(self.build, 'client/dog/dog'), 'vdi', name.split()[1], 'fuse', '-p', str(self.bench.port)]

        def work():
            if name == 'dog write':
                with open(self.data, 'rb') as f:
                    subprocess.run(dog, stdin=f, check=True)
                return
            with subprocess.Popen(dog, stdout=subprocess.PIPE) as reader:
                subprocess.run(['cmp', '-', self.data], stdin=reader.stdout, check=True)
        return self.sequential(name, work)

    def sequential(self, name, work):
        self.bench.rss_reset()
        before, began = self.bench.cpu(), time.monotonic()
        work()
        seconds = time.monotonic() - began
        return self.result(name, before, self.size, seconds, {})

    def fio(self, name, path, *options):
        self.bench.rss_reset()
        before = self.bench.cpu()
        done = self.run('fio', '--name=bench', '--filename=' + path, '--direct=1', '--ioengine=libaio', '--iodepth=16',
                        '--output-format=json', *options)
        said = json.loads(done.stdout)['jobs'][0]
        said = said['write' if 'write' in name else 'read']
        percentiles = said['clat_ns']['percentile']
        return self.result(name, before, said['io_bytes'], said['runtime'] / 1000,
                           {'ops_s': said['iops'], 'p50_us': percentiles['50.000000'] / 1000,
                            'p99_us': percentiles['99.000000'] / 1000,
                            'cpu_us_per_op': self.daemons(before) * 1e6 / said['total_ios']})

    def daemons(self, before):
        after = self.bench.cpu()
        return sum(after[i] - before.get(i, 0) for i in after)

    def result(self, name, before, count, seconds, more):
        daemons = self.daemons(before)
        return {'row': 'fuse ' + name, 'mib_s': count / MIB / seconds, 'bytes': count, 'seconds': seconds,
                'cpu_daemons_s_per_gib': daemons / (count / GIB), 'cpu_s_per_gib': daemons / (count / GIB),
                'peak_rss_mib': max(self.bench.rss().values()), **more}
