# SPDX-License-Identifier: Apache-2.0
"""Inside a server that operations_test plays (a chroot in namespaces of its own): what systemd, ssh and apt do there.

systemctl takes units as they are installed: environment, user, state directory, Type=notify, restart on failure.
"""
import grp
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time

RUN = '/run/played'
UNIT_DIRS = ('/etc/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system')
ZOOKEEPER = '''[Service]
ExecStart=/usr/bin/java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp /etc/zookeeper/conf:/usr/share/java/zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/conf/zoo.cfg
Restart=on-failure
'''
# What a package brings that the machine of the test need not have: it is there under another name.
PACKAGES = {'zookeeperd': 'zookeeper'}


def unit_text(name):
    if name == 'zookeeper':
        return ZOOKEEPER  # Debian starts it by an init script
    for folder in UNIT_DIRS:
        path = '%s/%s.service' % (folder, name)
        if os.path.exists(path):
            with open(path, encoding='utf-8') as f:
                return f.read()
    sys.exit('Unit %s.service not found.' % name)


def unit_read(name):
    """{key: [values]} of its Service section."""
    unit, section = {}, ''
    for line in unit_text(name).splitlines():
        line = line.strip()
        if line.startswith('['):
            section = line
        elif section == '[Service]' and '=' in line and not line.startswith('#'):
            key, value = line.split('=', 1)
            unit.setdefault(key.strip(), []).append(value.strip())
    return unit


def unit_environment(unit):
    env = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'}
    env.update({k: v for k, v in os.environ.items() if k.endswith('_OPTIONS') and k.split('_')[0] in ('ASAN', 'UBSAN')})
    for line in unit.get('Environment', []):
        env.update(word.split('=', 1) for word in shlex.split(line))
    for path in unit.get('EnvironmentFile', []):
        if os.path.exists(path.lstrip('-')):
            with open(path.lstrip('-'), encoding='utf-8') as f:
                env.update(word.split('=', 1) for word in shlex.split(f.read(), comments=True))
    return env


def unit_command(unit, env):
    """$NAME as a word of its own is split at blanks, as systemd does."""
    words = []
    for word in shlex.split(unit['ExecStart'][0]):
        words += env.get(word[1:], '').split() if word.startswith('$') else [word]
    return words


def become(unit):
    os.setsid()
    if 'User' not in unit:
        return
    user = pwd.getpwnam(unit['User'][0])
    os.setgroups([])
    os.setgid(grp.getgrnam(unit.get('Group', unit['User'])[0]).gr_gid)
    os.setuid(user.pw_uid)


def state_directory(unit):
    for name in unit.get('StateDirectory', []):
        path = '/var/lib/' + name
        os.makedirs(path, exist_ok=True)
        user = pwd.getpwnam(unit['User'][0])
        os.chown(path, user.pw_uid, user.pw_gid)


def supervise(name, unit, ready):
    """Runs the unit until it ends in order or is stopped; one byte into `ready` as soon as it serves."""
    state_directory(unit)
    env = unit_environment(unit)
    notify = None
    if unit.get('Type') == ['notify']:
        env['NOTIFY_SOCKET'] = '%s/%s.notify' % (RUN, name)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(env['NOTIFY_SOCKET']):
            os.unlink(env['NOTIFY_SOCKET'])
        notify.bind(env['NOTIFY_SOCKET'])
        os.chmod(env['NOTIFY_SOCKET'], 0o777)
        notify.settimeout(0.2)
    while True:
        with open('%s/%s.log' % (RUN, name), 'ab') as log:
            process = subprocess.Popen(unit_command(unit, env), env=env, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, preexec_fn=lambda: become(unit))
        with open('%s/%s.pid' % (RUN, name), 'w', encoding='utf-8') as f:
            f.write(str(process.pid))
        served = notify is None
        while not served and process.poll() is None:
            try:
                served = b'READY=1' in notify.recv(4096).split(b'\n')
            except TimeoutError:
                pass
        if served and ready is not None:
            os.write(ready, b'1')
            os.close(ready)
            ready = None
        code = process.wait()
        if code in (0, -signal.SIGTERM) or unit.get('Restart') != ['on-failure']:
            return
        if ready is not None:  # the job has failed, it is tried again all the same
            os.close(ready)
            ready = None
        time.sleep(1)


def systemctl_start(name, wait):
    unit = unit_read(name)
    ready_read, ready_write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        null = os.open('/dev/null', os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(ready_read)
        if not wait:
            os.close(ready_write)
        supervise(name, unit, ready_write if wait else None)
        os._exit(0)
    os.close(ready_write)
    if wait and os.read(ready_read, 1) != b'1':
        sys.exit('Job for %s.service failed: see its log' % name)


def systemctl_stop(name):
    path = '%s/%s.pid' % (RUN, name)
    if not os.path.exists(path):
        return
    with open(path, encoding='utf-8') as f:
        pid = int(f.read())
    os.unlink(path)
    try:
        os.kill(pid, signal.SIGTERM)
        while os.path.exists('/proc/%d/exe' % pid):
            time.sleep(0.05)
    except ProcessLookupError:
        pass


def systemctl(args):
    verb, names = args[0], [a for a in args[1:] if not a.startswith('-')]
    for name in names:
        name = name.removesuffix('.service')
        if verb in ('stop', 'restart') or (verb == 'disable' and '--now' in args):
            systemctl_stop(name)
        if verb in ('start', 'restart'):
            systemctl_start(name, '--no-block' not in args)
        if verb in ('enable', 'disable'):
            unit_text(name)


def apt_get(args):
    if args[0] != 'install':
        return
    names = [PACKAGES.get(a, a) for a in args[1:] if not a.startswith('-')]
    sys.exit(subprocess.run(['dpkg', '-s', *names], stdout=subprocess.DEVNULL, check=False).returncode)


def ssh(host, command, data=b''):
    with socket.create_connection((host, 22), timeout=30) as s:
        s.sendall(command.encode() + b'\0' + data)
        s.shutdown(socket.SHUT_WR)
        answer = b''.join(iter(lambda: s.recv(65536), b''))
    sys.stdout.buffer.write(answer[:-1])
    return answer[-1]


def scp(args):
    source, target = [a for a in args if not a.startswith('-')]
    host, path = target.split(':', 1)
    with open(source, 'rb') as f:
        data = f.read()
    mode = '%o' % (os.stat(source).st_mode & 0o777)
    sys.exit(ssh(host, 'umask 077; cat >%s && chmod %s %s' % (shlex.quote(path), mode, shlex.quote(path)), data))


def serve():
    """The server's first process: what comes over ssh, until the test ends."""
    os.makedirs(RUN, exist_ok=True)
    os.chmod(RUN, 0o755)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.create_server(('0.0.0.0', 22)) as listener:
        print('up', flush=True)
        while True:
            conn, _ = listener.accept()
            with conn:
                words = b''.join(iter(lambda: conn.recv(65536), b'')).split(b'\0', 1)
                done = subprocess.run(['sh', '-c', words[0].decode()], input=words[1], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, check=False)
                conn.sendall(done.stdout + bytes([done.returncode & 0xff]))


def main():
    tool, args = os.path.basename(sys.argv[1]), sys.argv[2:]
    if tool == 'systemctl':
        systemctl(args)
    elif tool == 'apt-get':
        apt_get(args)
    elif tool == 'ssh':
        sys.exit(ssh(args[0], ' '.join(args[1:])))
    elif tool == 'scp':
        scp(args)
    elif tool == 'serve':
        serve()


main()
