#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Automake's test driver: runs one test, counts its cases, writes NAME.log and NAME.trs.

A test prints TAP. What cmocka 1.1 prints is TAP but for three things, understood here: each group has
its own plan and numbers, a skipped case is "not ok N # SKIP name", a failed group set-up is number 0.
A test that prints no plan is one case, by its exit code: 0 passed, 77 skipped, else failed.

SF_TEST_TIMEOUT (seconds, default 900) ends a test that hangs. Tests in tests/cluster/ start many
processes, and wait more than they work: two of them at a time, whatever make -j says.
"""
import argparse
import fcntl
import os
import re
import signal
import subprocess
import sys
import time

RESULT = re.compile(r'(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*?)\s*(?:#\s*((?i:SKIP|TODO))\b\s*(.*))?$')
PLAN = re.compile(r'1\.\.(\d+)\s*(?:#\s*(SKIP)\b\s*(.*))?$', re.I)
COLORS = {'PASS': '\033[0;32m', 'SKIP': '\033[1;34m', 'FAIL': '\033[0;31m', 'ERROR': '\033[0;35m'}
EXIT_SKIPPED = 77
CLUSTERS = 2  # tests with real daemons that may run at the same time


def parse_args():
    p = argparse.ArgumentParser()
    for name in ('--test-name', '--log-file', '--trs-file'):
        p.add_argument(name, required=True)
    for name in ('--color-tests', '--expect-failure', '--enable-hard-errors',
                 '--collect-skipped-logs'):
        p.add_argument(name, default='no')
    p.add_argument('command', nargs=argparse.REMAINDER)
    args = p.parse_args()
    if args.command and args.command[0] == '--':
        args.command = args.command[1:]
    return args


def how_it_ended(code):
    if code is None:
        return 'did not end in time'
    if code < 0:
        return 'killed by ' + signal.Signals(-code).name
    return 'exited with %d' % code


def cases_of(output, code):
    """[(PASS | SKIP | FAIL | ERROR, name)] of a test that printed this and ended with this code."""
    cases, planned = [], None
    for line in output.splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned = (planned or 0) + int(plan[1])
            if plan[2]:
                cases.append(('SKIP', plan[3] or 'all'))
                planned += 1
        elif result:
            no, _, name, directive, why = result.groups()
            name = name or (why or '').strip() or '?'
            if directive:
                cases.append(('SKIP', name))
            else:
                cases.append(('FAIL' if no else 'PASS', name))
        elif line.startswith('Bail out!'):
            cases.append(('ERROR', line))
    if planned is None and not cases:
        if code in (0, EXIT_SKIPPED):
            return [('SKIP' if code else 'PASS', 'exit code')]
        return [('FAIL', how_it_ended(code))]
    if planned is None:
        cases.append(('ERROR', 'printed no plan'))
    elif len(cases) != planned:
        cases.append(('ERROR', 'planned %d cases, ran %d' % (planned, len(cases))))
    if code != 0 and not any(r in ('FAIL', 'ERROR') for r, _ in cases):
        cases.append(('ERROR', how_it_ended(code)))
    elif code is None or code < 0:
        cases.append(('ERROR', how_it_ended(code)))
    return cases


def run(command, log_path, timeout):
    """Exit code, or None when the time was over."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT='TAP')
    with open(log_path, 'wb') as log:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env=env, start_new_session=True)
        except OSError as e:
            log.write(('%s\n' % e).encode())
            return 127
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        try:  # what it started and left behind
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        return code


def wait_for_turn():
    """A lock that ends with this process."""
    locks = [open('tests/cluster.lock%d' % i, 'w') for i in range(CLUSTERS)]
    while True:
        for lock in locks:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                pass
        time.sleep(0.2)


def worst(cases):
    seen = {r for r, _ in cases}
    if seen == {'SKIP'}:
        return 'SKIP'
    return next((r for r in ('ERROR', 'FAIL') if r in seen), 'PASS')


def report(args, cases, seconds):
    counts = {r: sum(1 for c, _ in cases if c == r) for r in COLORS}
    for result, name in cases:
        if result != 'PASS':
            say(args, result, '%s: %s' % (args.test_name, name))
    if counts['PASS']:
        say(args, 'PASS', '%s (%d in %.1f s)' % (args.test_name, counts['PASS'], seconds))


def say(args, result, text):
    if args.color_tests == 'yes':
        print('%s%s\033[m: %s' % (COLORS[result], result, text))
    else:
        print('%s: %s' % (result, text))


def trs_text(cases):
    result = worst(cases)
    bad = 'yes' if result in ('FAIL', 'ERROR') else 'no'
    lines = [':test-result: %s %s' % c for c in cases]
    lines += [':global-test-result: ' + result, ':recheck: ' + bad, ':copy-in-global-log: ' + bad]
    return '\n'.join(lines) + '\n'


def main():
    args = parse_args()
    turn = wait_for_turn() if args.test_name.startswith('tests/cluster/') else None
    start = time.monotonic()
    code = run(args.command, args.log_file, float(os.environ.get('SF_TEST_TIMEOUT', 900)))
    with open(args.log_file, errors='replace') as f:
        cases = cases_of(f.read(), code)
    report(args, cases, time.monotonic() - start)
    with open(args.trs_file, 'w') as f:
        f.write(trs_text(cases))


if __name__ == '__main__':
    sys.exit(main())
