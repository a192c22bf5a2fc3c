# SPDX-License-Identifier: Apache-2.0
"""What volumes, snapshots and clones must be after any row of operations: contents, size, redundancy, Used and Shared."""
import hashlib
import random
import subprocess

from harness import MIB, check, program

BLOCK = 65536
BLOCKS_OF_OBJECT = MIB // BLOCK
MAX_BLOCKS = 8 * BLOCKS_OF_OBJECT
MAX_VOLUMES = 5
REDUNDANCIES = ['2', '2:1', '3']


def block_bytes(n):
    return bytes(BLOCK) if n == 0 else hashlib.sha256(b'%d' % n).digest() * (BLOCK // 32)


class Image:
    """
    A working volume or a snapshot. `owners` is its map: for every object that it has, which image made that: itself
    (counted in Used) or one whose object it shares (counted in Shared).
    """

    def __init__(self, blocks, redundancy):
        self.blocks, self.redundancy, self.owners = list(blocks), redundancy, {}

    def derive(self):
        """What a snapshot leaves to the volume, or a clone begins with: the same objects, none its own."""
        image = Image(self.blocks, self.redundancy)
        image.owners = dict(self.owners)
        return image

    def objects(self):
        return range((len(self.blocks) + BLOCKS_OF_OBJECT - 1) // BLOCKS_OF_OBJECT)

    def object(self, index):
        return self.blocks[index * BLOCKS_OF_OBJECT:(index + 1) * BLOCKS_OF_OBJECT]

    def touched(self, first, count):
        return range(first // BLOCKS_OF_OBJECT, (first + count - 1) // BLOCKS_OF_OBJECT + 1) if count else range(0)

    def own(self, indices):
        self.owners.update((i, self) for i in indices)

    def write(self, first, numbers):
        self.blocks[first:first + len(numbers)] = numbers
        self.own(self.touched(first, len(numbers)))

    def discard(self, first, count):
        """Whole objects go; of a part of one, a shared object is copied first and none is made."""
        for index in self.touched(first, count):
            begin = index * BLOCKS_OF_OBJECT
            end = begin + len(self.object(index))
            if first <= begin and first + count >= end:
                self.owners.pop(index, None)
            elif index in self.owners:
                self.own([index])
        self.blocks[first:first + count] = [0] * count

    def resize(self, count):
        if count < len(self.blocks):
            self.discard(count, len(self.blocks) - count)
        self.blocks = self.blocks[:count] + [0] * (count - len(self.blocks))

    def bytes(self):
        return b''.join(map(block_bytes, self.blocks))

    def row(self, name, tag):
        own = sum(owner is self for owner in self.owners.values())
        return (name, tag, len(self.blocks) * BLOCK, own * MIB, (len(self.owners) - own) * MIB, self.redundancy)


class Model:
    def __init__(self, cluster, seed):
        self.c, self.random = cluster, random.Random(seed)
        self.volumes = {}  # name: {'' or tag: Image}, snapshots oldest first
        self.number = self.names = 0
        self.did = {}

    # ---- What is compared

    def check_list(self, after):
        rows = [line.split(' ') for line in self.c.dog('vdi', 'list', '-r').lines()]
        listed = sorted((r[1], r[9], int(r[3]), int(r[4]), int(r[5]), r[8]) for r in rows)
        expected = sorted(image.row(n, t) for n, tags in self.volumes.items() for t, image in tags.items())
        check(listed == expected, 'after %s: listed and not expected %s, expected and not listed %s' % (
            after, [r for r in listed if r not in expected], [r for r in expected if r not in listed]))

    def check_contents(self):
        for name, tags in self.volumes.items():
            for tag, image in tags.items():
                got = self.c.dog('vdi', 'read', name, *(['-s', tag] if tag else [])).out_bytes
                check(got == image.bytes(), '%s %s is not what was written' % (name, tag))

    # ---- Drawing

    def new_name(self):
        self.names += 1
        return 'v%d' % self.names

    def pick(self):
        names = [n for n in self.volumes if '' in self.volumes[n]]
        return self.random.choice(names) if names else self.create()

    def pick_range(self, name):
        blocks = len(self.volumes[name][''].blocks)
        first = self.random.randrange(blocks)
        count = self.random.randint(1, min(40, blocks - first))
        if self.random.random() < 0.4:  # of whole objects
            first = first // BLOCKS_OF_OBJECT * BLOCKS_OF_OBJECT
            count = min(blocks - first, max(1, count // BLOCKS_OF_OBJECT) * BLOCKS_OF_OBJECT)
        return first, count

    def pick_snapshot(self):
        found = [(n, t) for n, tags in self.volumes.items() for t in tags if t]
        return self.random.choice(found) if found else self.snapshot()

    def is_full(self):
        return len(self.volumes) >= MAX_VOLUMES

    # ---- Operations: each does it and says what must be then

    def create(self):
        name = self.new_name()
        blocks = self.random.randint(1, MAX_BLOCKS)
        redundancy = self.random.choice(REDUNDANCIES)
        self.c.dog('vdi', 'create', name, blocks * BLOCK, '-c', redundancy)
        self.volumes[name] = {'': Image([0] * blocks, redundancy)}
        return name

    def write(self):
        name = self.pick()
        first, count = self.pick_range(name)
        numbers = list(range(self.number + 1, self.number + 1 + count))
        self.number += count
        self.c.dog('vdi', 'write', name, first * BLOCK, count * BLOCK, data=b''.join(map(block_bytes, numbers)))
        self.volumes[name][''].write(first, numbers)

    def discard(self):
        name = self.pick()
        first, count = self.pick_range(name)
        done = subprocess.run([program('tests/cluster/discard'), str(self.c.any_port()), name, str(first * BLOCK),
                               str(count * BLOCK)], stderr=subprocess.PIPE, check=False)
        check(done.returncode == 0, 'discard %s: %s' % (name, done.stderr))
        self.volumes[name][''].discard(first, count)

    def resize(self):
        name = self.pick()
        blocks = self.random.randint(1, MAX_BLOCKS)
        self.c.dog('vdi', 'resize', name, blocks * BLOCK, '-f')
        self.volumes[name][''].resize(blocks)

    def snapshot(self):
        name = self.pick()
        self.number += 1
        tag = 's%d' % self.number
        self.c.dog('vdi', 'snapshot', name, '-s', tag)
        self.keep(name, tag)
        return name, tag

    def keep(self, name, tag):
        tags = self.volumes[name]
        tags[tag] = tags.pop('')
        tags[''] = tags[tag].derive()

    def clone(self):
        name, tag = self.pick_snapshot()
        if self.is_full():
            return
        copy = self.new_name()
        done = self.c.dog('vdi', 'clone', '-s', tag, name, copy, *self.random.choice([[], [], ['-n'], ['-P']]))
        image = self.volumes[name][tag].derive()
        if '-P' in done.args:
            image.own(image.objects())
        elif '-n' in done.args:
            image.own(list(image.owners))
        self.volumes[copy] = {'': image}

    def rollback(self):
        name, tag = self.pick_snapshot()
        self.c.dog('vdi', 'rollback', name, '-s', tag)
        self.volumes[name][''] = self.volumes[name][tag].derive()

    def delete(self):
        name = self.pick()
        self.c.dog('vdi', 'delete', name)
        self.forget(name, '')

    def delete_snapshot(self):
        name, tag = self.pick_snapshot()
        self.c.dog('vdi', 'delete', name, '-s', tag)
        self.forget(name, tag)

    def forget(self, name, tag):
        del self.volumes[name][tag]
        if not self.volumes[name]:
            del self.volumes[name]

    def convert(self):
        name = self.pick()
        image = self.volumes[name]['']
        redundancy = self.random.choice([r for r in REDUNDANCIES if r != image.redundancy])
        self.c.dog('vdi', 'alter-copy', name, '-c', redundancy)
        converted = Image(image.blocks, redundancy)
        converted.own(image.owners)
        self.volumes[name][''] = converted

    def backup(self):
        """A full one, and where there is a later snapshot a differential one on top of it."""
        source, tag = self.pick_snapshot()
        if self.is_full():
            return
        name = self.new_name()
        stream = self.c.dog('vdi', 'backup', source, '-s', tag).out_bytes
        self.c.dog('vdi', 'restore', name, '-s', 'restored', data=stream)
        base = self.volumes[source][tag]
        image = Image(base.blocks, base.redundancy)
        image.own(i for i in base.owners if any(base.object(i)))
        self.volumes[name] = {'': image}
        self.keep(name, 'restored')
        tags = [t for t in self.volumes[source] if t]
        later = tags[tags.index(tag) + 1:]
        if later:
            self.backup_on(source, tag, self.random.choice(later), name)

    def backup_on(self, source, tag, later, name):
        stream = self.c.dog('vdi', 'backup', source, '-s', later, '-F', tag).out_bytes
        self.c.dog('vdi', 'restore', name, '-s', 'restored', data=stream)
        base, to = self.volumes[source][tag], self.volumes[source][later]
        image = self.volumes[name]['restored'].derive()
        image.blocks = list(to.blocks)
        for i in [i for i in image.owners if i not in image.objects()]:
            del image.owners[i]
        for i in image.objects():
            if to.owners.get(i) is base.owners.get(i):
                continue
            if i in to.owners and any(to.object(i)):
                image.own([i])
            else:
                image.owners.pop(i, None)
        self.volumes[name][''] = image
        self.keep(name, later)

    def step(self):
        operation = self.random.choice([self.write] * 6 + [self.snapshot] * 3 + [self.discard] * 3 + [
            self.clone, self.clone, self.rollback, self.delete_snapshot, self.delete_snapshot, self.delete, self.create,
            self.resize, self.resize, self.convert, self.backup])
        operation()
        name = operation.__name__
        self.did[name] = self.did.get(name, 0) + 1
        self.check_list(name)
        return name

    def delete_all(self):
        images = [(n, t) for n, tags in self.volumes.items() for t in tags]
        self.random.shuffle(images)
        for name, tag in images:
            self.c.dog('vdi', 'delete', name, *(['-s', tag] if tag else []))
            self.forget(name, tag)
            self.check_list('delete')
