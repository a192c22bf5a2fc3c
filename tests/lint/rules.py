# SPDX-License-Identifier: Apache-2.0
"""The rules that tests/lint checks. Each takes a Tree and returns findings, "path:line: what is wrong"."""
import os
import re

# A room may include what its list names, and itself (design: one direction only).
LIBS = ['lib/base', 'lib/wire', 'lib/place', 'lib/ec']
ROOMS = {
    'lib/base': [],
    'lib/wire': ['lib/base'],
    'lib/place': ['lib/base', 'lib/wire'],
    'lib/ec': ['lib/base', 'lib/wire'],
    'lib/tls': ['lib/base'],
    'sheep/core': LIBS,
    'sheep/store': LIBS + ['sheep/core'],
    'sheep/member': LIBS + ['sheep/core'],
    'sheep/net': LIBS + ['lib/tls', 'sheep/core'],
    'sheep/loop': LIBS + ['lib/tls', 'sheep/core', 'sheep/store', 'sheep/member', 'sheep/net'],
    'sheep': LIBS + ['lib/tls', 'sheep/core', 'sheep/store', 'sheep/member', 'sheep/net', 'sheep/loop'],
    'include': [],
    'client/lib': LIBS + ['lib/tls', 'include'],
    'client/dog': ['include'],
    'fuse': ['include'],
}
FREE_ROOMS = ['tests', 'tools']  # look into any room

# Rooms that are pure: time, randomness and everything outside come to them as arguments.
PURE_ROOMS = ['lib/wire', 'lib/place', 'lib/ec', 'sheep/core']
IMPURE_HEADERS = re.compile(r'''
    (sys/(socket|un|stat|uio|mman|time|epoll|eventfd|timerfd|signalfd|select|file|ioctl|statvfs|vfs
         |random|sendfile|inotify|wait|resource|syscall)
    |netinet/.*|arpa/.*|netdb|net/.*|pthread|threads|semaphore|stdatomic|fcntl|unistd|dirent|poll|aio
    |time|signal|ev|liburing|lmdb|linux/.*|openssl/.*|jansson|locale)\.h$''', re.X)
IMPURE_CALLS = re.compile(r'''
    (?<![\w.>])(time|gettimeofday|clock|clock_gettime|timespec_get|times|ftime
    |rand|rand_r|srand|random|srandom|[delmnj]rand48|getrandom|getentropy|arc4random\w*
    |getenv|secure_getenv|sleep|usleep|nanosleep|localtime\w*|gmtime\w*
    |fopen|fdopen|freopen|tmpfile|printf|fprintf|puts|putchar|fputs|fwrite|fread|perror|system)\s*\('''
    r'|(?<![\w.>])(stdin|stdout|stderr|FILE)\b', re.X)

MAX_LINES = 600
# path: why it is better in one piece
LONG_FILES = {
}

SPDX = 'SPDX-License-Identifier: Apache-2.0'
SOURCE_DIRS = ['include', 'lib', 'sheep', 'client', 'fuse', 'tests', 'tools', '.ci']
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def in_dir(path, folder):
    return path.startswith(folder + '/')


def room_of(path):
    """The longest known folder the path lies in, or None."""
    rooms = [r for r in list(ROOMS) + FREE_ROOMS if in_dir(path, r)]
    return max(rooms, key=len, default=None)


def code_only(text):
    """Comments and strings blanked, line numbers kept; #include lines stay readable to INCLUDE only before."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r'[^\n]', ' ', m[0]), text)


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = {}  # path from the root: text
        for folder in SOURCE_DIRS:
            for at, dirs, names in os.walk(os.path.join(root, folder)):
                dirs[:] = [d for d in dirs if d not in ('__pycache__', '.deps')]
                for name in names:
                    self.add(os.path.relpath(os.path.join(at, name), root))
        for name in ('Makefile.am', 'configure.ac', 'run.in'):
            self.add(name)

    def add(self, path):
        full = os.path.join(self.root, path)
        if not os.path.isfile(full) or '.pb-c.' in path:
            return
        try:
            with open(full, encoding='utf-8') as f:
                self.files[path] = f.read()
        except UnicodeDecodeError:
            pass  # a program or data

    def c_files(self):
        return sorted((p, t) for p, t in self.files.items() if p.endswith(('.c', '.h')))


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        m = INCLUDE.match(line)
        if m:
            yield number, m[1] == '"', m[2]


def target_of(tree, header, quoted):
    """The path in the tree that an include names; None when it is not ours."""
    if header == 'sheepfold.pb-c.h':  # generated
        return 'lib/wire/' + header
    if header in tree.files or room_of(header):
        return header
    return header if quoted else None


def check_direction(tree):
    """include lines follow the direction of the rooms"""
    for path, text in tree.c_files():
        room = room_of(path)
        if room is None:
            yield '%s:1: in no room that tests/lint/rules.py knows' % path
            continue
        for number, quoted, header in includes(text):
            target = target_of(tree, header, quoted)
            if target is None:
                continue
            to = room_of(target)
            if to is None:
                yield '%s:%d: "%s" is not written from the root' % (path, number, header)
            elif room not in FREE_ROOMS and to != room and to not in ROOMS[room]:
                yield '%s:%d: %s must not include %s' % (path, number, room, header)


def check_pure_headers(tree):
    """pure rooms include no socket, thread, file, event-loop or clock header"""
    for path, text in tree.c_files():
        if room_of(path) not in PURE_ROOMS:
            continue
        for number, _, header in includes(text):
            if IMPURE_HEADERS.match(header):
                yield '%s:%d: a pure room includes <%s>' % (path, number, header)


def check_pure_calls(tree):
    """pure rooms call no clock, random source, environment or stdio stream"""
    for path, text in tree.c_files():
        if room_of(path) not in PURE_ROOMS:
            continue
        for number, line in enumerate(code_only(text).splitlines(), 1):
            m = IMPURE_CALLS.search(line)
            if m:
                yield '%s:%d: a pure room uses %s' % (path, number, m[1] or m[2])


def check_spdx(tree):
    """every source file names its licence"""
    for path, text in sorted(tree.files.items()):
        source = path.endswith(('.c', '.h', '.proto', '.py', '.sh', '.ac', '.am', '.mk'))
        if not source and not text.startswith('#!'):
            continue
        if not any(SPDX in line for line in text.splitlines()[:3]):
            yield '%s:1: no line "%s"' % (path, SPDX)


def check_length(tree, listed=None):
    """no C file is too long without a reason"""
    listed = LONG_FILES if listed is None else listed
    for path, text in tree.c_files():
        lines = text.count('\n')
        if lines > MAX_LINES and path not in listed:
            yield '%s:%d: more than %d lines; split it, or list it with a reason' % (
                path, lines, MAX_LINES)
    for path in listed:
        if tree.files.get(path, '').count('\n') <= MAX_LINES:
            yield '%s:1: listed as too long, but is not' % path


def check_built(tree):
    """every C file is in a local.mk, every local.mk in Makefile.am"""
    makefile = tree.files.get('Makefile.am', '')
    fragments = [p for p in tree.files if os.path.basename(p) == 'local.mk']
    included = set(re.findall(r'^include (\S+)$', makefile, re.M))
    words = set(makefile.split())
    for path in fragments:
        words |= set(tree.files[path].split())
        if path not in included:
            yield '%s:1: not included by Makefile.am' % path
    for path, _ in tree.c_files():
        if path not in words:
            yield '%s:1: in no local.mk' % path


RULES = [check_direction, check_pure_headers, check_pure_calls, check_spdx, check_length, check_built]
