# SPDX-License-Identifier: Apache-2.0
"""The faults of the recovery drill, and the schedule that a seed draws.

A fault has victims (indexes of daemons), begins, lasts for its hold, and is healed. One that `destroys` may cost what
its victims hold. A placement group has at most one disk on a daemon, so each victim counts once against m.
"""
import errno
import os
import random
import signal
import struct

from drill_machine import CLIENT

WHOLE = 1000000
BATCH = struct.Struct('<8sHHIQQIIII')  # the beginning of struct batch_header, sheep/store/record.c


class Fault:
    kind, what = '', ''
    destroys = alone = False
    needs = ()

    def __init__(self, rng, count):
        self.victims = [rng.randrange(count)]
        self.hold = round(rng.uniform(1, 8), 1)
        self.draw(rng, count)

    def draw(self, rng, count):
        """What else the seed decides."""

    def nodes(self, drill):
        return [drill.nodes[i] for i in self.victims]

    def begin(self, drill):
        raise NotImplementedError

    def heal(self, drill):
        raise NotImplementedError

    def __str__(self):
        detail = ' (%s)' % self.what if self.what else ''
        whom = ' '.join(map(str, self.victims)) if self.victims else 'all'
        return '%s %s for %.1f s%s' % (self.kind, whom, self.hold, detail)


class Kill(Fault):
    kind = 'kill'

    def draw(self, rng, count):
        self.hold = rng.choice([0, 0.2, 1.5, 4, 9])

    def begin(self, drill):
        for node in self.nodes(drill):
            node.kill()

    def heal(self, drill):
        for node in self.nodes(drill):
            node.start()


class Term(Fault):
    kind = 'term'

    def begin(self, drill):
        for node in self.nodes(drill):
            node.signal(signal.SIGTERM)
            node.left(node.process.wait(60 * drill.slow))

    def heal(self, drill):
        for node in self.nodes(drill):
            node.start()


class Stop(Fault):
    """Longer than the lease, mostly."""
    kind = 'stop'

    def draw(self, rng, count):
        self.hold = rng.choice([0.3, 2, 5, 8, 12])

    def begin(self, drill):
        for node in self.nodes(drill):
            node.signal(signal.SIGSTOP)

    def heal(self, drill):
        for node in self.nodes(drill):
            node.signal(signal.SIGCONT)


class Cut(Fault):
    """Packets are dropped while the membership directory still shows everybody: the data path alone is cut."""
    kind = 'cut'
    needs = ('nft',)
    percent = 100

    def draw(self, rng, count):
        self.hold = rng.choice([0.5, 2, 4, 8, 12])
        self.what = rng.choice(['from all', 'from peers', 'hears nobody', 'is not heard', 'from one', 'one way to one',
                                'from clients'])
        self.other = (self.victims[0] + rng.randrange(1, count)) % count

    def pairs(self, drill):
        me = self.victims[0]
        peers = [i for i in range(len(drill.nodes)) if i != me]
        hear, say = [(i, me) for i in peers], [(me, i) for i in peers]
        clients = [(CLIENT, me), (me, CLIENT)]
        return {'from all': hear + say + clients, 'from peers': hear + say, 'hears nobody': hear + clients[:1],
                'is not heard': say + clients[1:], 'from one': [(me, self.other), (self.other, me)],
                'one way to one': [(me, self.other)], 'from clients': clients}[self.what]

    def begin(self, drill):
        drill.net.drop(self.pairs(drill), self.percent)

    def heal(self, drill):
        drill.net.drop(self.pairs(drill), 0)


class Loss(Cut):
    """Some of the packets only."""
    kind = 'loss'

    def draw(self, rng, count):
        super().draw(rng, count)
        self.percent = rng.choice([5, 20, 50])
        self.what = 'from all'

    def __str__(self):
        return super().__str__() + ' %d%%' % self.percent


class Split(Cut):
    """Two halves that do not hear each other; clients hear both, or one way only."""
    kind = 'split'
    alone = True

    def draw(self, rng, count):
        order = rng.sample(range(count), count)
        self.victims = sorted(order[:count // 2])
        self.hold = rng.choice([1, 3, 7])
        self.what = rng.choice(['both ways', 'one way'])

    def pairs(self, drill):
        rest = [i for i in range(len(drill.nodes)) if i not in self.victims]
        there = [(a, b) for a in self.victims for b in rest]
        return there + ([(b, a) for a, b in there] if self.what == 'both ways' else [])


class Unplug(Fault):
    """The cable."""
    kind = 'unplug'
    needs = ('netns',)

    def begin(self, drill):
        drill.net.link(self.victims[0], 'down')

    def heal(self, drill):
        drill.net.link(self.victims[0], 'up')


class Power(Fault):
    """kill -9 of all at once; they start in any order."""
    kind = 'power'
    alone = True

    def draw(self, rng, count):
        self.victims = []
        self.hold = rng.choice([0, 0.5, 2])
        self.order = rng.sample(range(count), count)
        self.pauses = [rng.choice([0, 0, 0.1, 0.5]) for _ in range(count)]

    def begin(self, drill):
        for node in drill.nodes:
            node.signal(signal.SIGKILL)
        for node in drill.nodes:
            node.process.wait()

    def heal(self, drill):
        for index, pause in zip(self.order, self.pauses):
            drill.nodes[index].start()
            drill.pause(pause)


class DiskFault(Fault):
    needs = ('shim',)

    def draw(self, rng, count):
        self.pick = rng.randrange(1 << 16)
        self.hold = rng.choice([3, 6, 10])
        self.replaced = rng.random() < 0.5

    def disk(self, drill):
        disks = drill.nodes[self.victims[0]].disks
        return disks[self.pick % len(disks)]

    def heal(self, drill):
        node, disk = self.nodes(drill)[0], self.disk(drill)
        seen = disk.counts()
        drill.count_errors(sum(seen[:3]))
        disk.control()
        node.kill()
        if self.replaced:
            disk.wipe()
        node.start()


class ReadError(DiskFault):
    kind = 'eio-read'
    destroys = True

    def draw(self, rng, count):
        super().draw(rng, count)
        self.rate = rng.choice([WHOLE, WHOLE // 5])
        self.what = '%s reads, then %s' % ('all' if self.rate == WHOLE else 'a fifth of the',
                                           'replaced' if self.replaced else 'back with its data')

    def begin(self, drill):
        self.disk(drill).control(read=(errno.EIO, self.rate))


class WriteError(DiskFault):
    kind = 'eio-write'
    destroys = True

    def draw(self, rng, count):
        super().draw(rng, count)
        self.torn = rng.randrange(2)
        self.sync_only = rng.random() < 0.3
        self.what = '%s%s, then %s' % ('fsync' if self.sync_only else 'writes', ', torn' if self.torn else '',
                                       'replaced' if self.replaced else 'back with its data')

    def begin(self, drill):
        error = (errno.EIO, WHOLE)
        self.disk(drill).control(write=(0, 0) if self.sync_only else error, sync=error, torn=self.torn)


class Slow(DiskFault):
    kind = 'slow'

    def draw(self, rng, count):
        super().draw(rng, count)
        self.delay_ms = rng.choice([10, 50, 300, 2000])
        self.what = '%d ms a call' % self.delay_ms

    def begin(self, drill):
        self.disk(drill).control(delay_us=self.delay_ms * 1000)

    def heal(self, drill):
        self.disk(drill).control()


class Full(Fault):
    """A tmpfs shrinks to what is on it. A disk that gave up over it gets a new start."""
    kind = 'full'
    needs = ('tmpfs',)
    destroys = True

    def draw(self, rng, count):
        self.victims = [rng.choice([i for i in range(count) if i % 3 == 1])]
        self.spare_kib = rng.choice([4, 256, 4096, 20480])
        self.what = '%d KiB left' % self.spare_kib

    def begin(self, drill):
        self.nodes(drill)[0].disks[0].fill(self.spare_kib)

    def heal(self, drill):
        node, = self.nodes(drill)
        node.disks[0].empty()
        if drill.disks_failed():
            node.kill()
            node.start()


class DeviceError(Fault):
    """The block device under one disk's file system fails every request; then it is replaced."""
    kind = 'eio-device'
    needs = ('devices',)
    destroys = True

    def draw(self, rng, count):
        self.victims = [rng.choice([i for i in range(count) if i % 3 == 2])]
        self.hold = rng.choice([3, 6])

    def begin(self, drill):
        self.nodes(drill)[0].disks[-1].device.fail()

    def heal(self, drill):
        node, = self.nodes(drill)
        node.kill()
        node.disks[-1].device.replace()
        node.start()


class Flip(Fault):
    """Bits of payload in the segment files of one disk."""
    kind = 'flip'
    destroys = True

    def draw(self, rng, count):
        self.where = random.Random(rng.randrange(1 << 32))
        self.times = rng.choice([1, 3, 20])
        self.hold = rng.choice([0, 3])
        self.what = 'up to %d bits' % self.times

    def begin(self, drill):
        disk = self.where.choice(self.nodes(drill)[0].disks)
        flipped = 0
        for _ in range(self.times):
            paths = disk.segments()
            flipped += bool(paths) and self.flip(self.where.choice(paths))
        drill.say('flipped %d bits of %s' % (flipped, disk.path))
        drill.check_wanted = True

    def flip(self, path):
        try:
            with open(path, 'r+b') as f:
                spans = payloads(f)
                if not spans:
                    return False
                first, end = self.where.choice(spans)
                at = self.where.randrange(first, end)
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 1 << self.where.randrange(8)]))
                return True
        except OSError:
            return False  # compaction took the segment away

    def heal(self, drill):
        pass


def payloads(f):
    """Where the payloads of a segment lie."""
    size, at, spans = os.fstat(f.fileno()).st_size, 0, []
    magic = None
    while at + BATCH.size <= size:
        f.seek(at)
        head = BATCH.unpack(f.read(BATCH.size))
        magic = magic or head[0]
        desc, blocks = head[7], head[9]
        if head[0] != magic or not any(magic) or not blocks or at + blocks * 4096 > size:
            break
        if desc < blocks * 4096:
            spans.append((at + desc, at + blocks * 4096))
        at += blocks * 4096
    return spans


class Wipe(Fault):
    """A node comes back with a disk empty, or with all of them."""
    kind = 'wipe'
    destroys = True

    def draw(self, rng, count):
        self.hold = rng.choice([0, 2, 6])
        self.every = rng.random() < 0.3
        self.what = 'all its disks' if self.every else 'one disk'

    def begin(self, drill):
        node, = self.nodes(drill)
        node.kill()
        for disk in node.disks if self.every else node.disks[:1]:
            disk.wipe()

    def heal(self, drill):
        self.nodes(drill)[0].start()


class Old(Fault):
    """A disk forgets what it did for a while: a copy made before takes its place."""
    kind = 'old'
    destroys = True

    def draw(self, rng, count):
        self.hold = rng.choice([2, 5, 9])

    def begin(self, drill):
        node, = self.nodes(drill)
        node.kill()
        node.disks[0].save()
        node.start()

    def heal(self, drill):
        node, = self.nodes(drill)
        node.kill()
        node.disks[0].bring_back()
        node.start()


class Swap(Fault):
    """The disks of a node in another order."""
    kind = 'swap'

    def begin(self, drill):
        node, = self.nodes(drill)
        node.kill()
        node.order.reverse()

    def heal(self, drill):
        self.nodes(drill)[0].start()


KINDS = {f.kind: f for f in (Kill, Term, Stop, Cut, Loss, Split, Unplug, Power, ReadError, WriteError, DeviceError,
                             Slow, Full, Flip, Wipe, Old, Swap)}
WEIGHTS = {'kill': 6, 'stop': 5, 'cut': 6, 'term': 2, 'slow': 3, 'loss': 2, 'unplug': 2, 'power': 1, 'split': 1}


def schedule(seed, count, kinds):
    """(seconds after the one before, fault), for ever. The same for the same seed, daemons and kinds."""
    rng = random.Random(seed)
    kinds = sorted(kinds)
    first = rng.sample(kinds, len(kinds))  # each kind once, then as it comes
    while True:
        kind = first.pop() if first else rng.choices(kinds, [WEIGHTS.get(k, 2) for k in kinds])[0]
        yield rng.choice([0.2, 1, 3, 6]), KINDS[kind](random.Random(rng.randrange(1 << 48)), count)
