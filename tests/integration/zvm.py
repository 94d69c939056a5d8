# SPDX-License-Identifier: MIT
"""Clusters, clients and jobs for the tests beside this file."""
import contextlib
import glob
import hashlib
import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CLUSTER = os.path.join(TOP, 'tests', 'cluster', 'cluster')
BUILD = os.environ.get('ZVM_BUILD', os.path.join(TOP, 'build', 'release'))
TEST_DIR = os.environ.get('ZVM_TEST_DIR', '/var/tmp/zvm-test-%d' % os.getpid())
# For events that come at once on an idle machine: generous, since a loaded one must pass too.
SOON = 20


def eventually(condition, what, seconds=SOON):
    """The condition's first true value; fails if none came in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, 'in vain waited %d s for: %s' % (seconds, what)
        time.sleep(0.05)


class Cluster(object):
    def __init__(self, name, port, **options):
        self.dir = os.path.join(TEST_DIR, name)
        self.port, self.options = port, options
        self.environment = {}

    def run(self, verb, *args, check=True):
        r = subprocess.run([sys.executable, CLUSTER, verb, '--dir', self.dir] + list(args), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or r.returncode == 0, 'cluster %s: %s\n%s' % (verb, r.stdout, self.logs())
        return r.stdout

    def logs(self):
        out = []
        for path in sorted(glob.glob(os.path.join(self.dir, 'log', '*.log'))):
            with open(path, errors='replace') as f:
                lines = f.readlines()[-25:]
            if lines:
                out.append('-- %s\n%s' % (path, ''.join(lines)))
        return '\n'.join(out)

    def up(self):
        args = ['--port', str(self.port), '--build', BUILD]
        for key, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                args += ['--' + key.replace('_', '-')] + ([] if one is True else [str(one)])
        self.run('up', *args)
        for line in self.run('env').splitlines():
            name, _, value = line.removeprefix('export ').partition('=')
            self.environment[name] = ''.join(shlex.split(value))

    def restore(self):
        """Starts again what a test killed."""
        self.run('up')

    def down(self):
        self.run('down')

    def kill(self, name, nine=False):
        self.run('kill', name, *(['-9'] if nine else []))

    def __getitem__(self, name):
        return self.environment[name]

    @property
    def nodes(self):
        return range(1, int(self['ZVM_NODES']) + 1)

    def bridge(self):
        host, port = self['ZVM_URL'].removeprefix('http://').split(':')
        return host, int(port)

    def swift(self):
        host, port = self['SWIFT_URL'].removeprefix('http://').split(':')
        return host, int(port)

    def host(self, i):
        host, port = self['ZVM_HOST%d' % i].split(':')
        return host, int(port)

    def client(self, user='test:tester', key='testing'):
        return Client(self, user, key)

    def pid(self, name):
        with open(os.path.join(self.dir, 'run', name + '.pid')) as f:
            return int(f.read().split()[0])

    def replicas(self, account, container, name):
        """node number -> path of the object's one .data file there."""
        with open(self['SWIFTLAB_SWIFT_CONF']) as f:
            conf = dict(re.findall(r'^(\w+) *= *(.*)$', f.read(), re.M))
        digest = hashlib.md5((conf['swift_hash_path_prefix'] + '/%s/%s/%s' % (account, container, name) +
                              conf['swift_hash_path_suffix']).encode()).hexdigest()
        found = {}
        for i in self.nodes:
            for path in glob.glob('%s/*/objects*/*/%s/%s/*.data' % (self['SWIFTLAB_NODE%d_ROOT' % i], digest[-3:],
                                                                    digest)):
                found[i] = path
        return found


class Answer(object):
    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {k.lower(): v for k, v in headers}

    def __getitem__(self, name):
        return self.headers.get(name.lower())

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    @property
    def report(self):
        return json.loads(self['X-Zvm-Report'])

    @property
    def node(self):
        return self.report['nodes'][0]

    def __repr__(self):
        nexe = {k: v for k, v in self.headers.items() if k.startswith(('x-nexe', 'x-zvm'))}
        return '<%d %r %r>' % (self.status, nexe, self.body[:500])


class Client(object):
    """One user: each call is one request on a connection of its own, through the bridge."""

    def __init__(self, cluster, user, key):
        self.cluster = cluster
        self.token = None
        if user:
            answer = self.raw('GET', '/auth/v1.0', {'X-Auth-User': user, 'X-Auth-Key': key})
            assert answer.status == 200, answer
            self.token = answer['X-Auth-Token']
            self.account = answer['X-Storage-Url'].rsplit('/', 1)[1]

    def raw(self, method, target, headers=None, body=None, address=None, timeout=120):
        connection = http.client.HTTPConnection(*(address or self.cluster.bridge()), timeout=timeout)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def request(self, method, path, headers=None, body=None, **kw):
        all_headers = {'X-Auth-Token': self.token} if self.token else {}
        all_headers.update(headers or {})
        return self.raw(method, '/v1/' + path, all_headers, body, **kw)

    def must(self, method, path, headers=None, body=None, **kw):
        answer = self.request(method, path, headers, body, **kw)
        assert answer.status // 100 == 2, '%s %s: %r' % (method, path, answer)
        return answer

    def container(self, name, headers=None):
        self.must('PUT', '%s/%s' % (self.account, name), headers)
        return name

    def put(self, path, body, headers=None):
        return self.must('PUT', '%s/%s' % (self.account, path), headers, body)

    def get(self, path):
        return self.must('GET', '%s/%s' % (self.account, path)).body

    def execute(self, body, headers=None, account=None, path='', **kw):
        all_headers = {'X-Zerovm-Execute': '1.0', 'Content-Type': 'application/json'}
        all_headers.update(headers or {})
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.request('POST', (account or self.account) + path, {k: v for k, v in all_headers.items() if v}, body,
                            **kw)

    def probe(self, args, devices=None, headers=None, account=None, **keys):
        """Runs the probe program with these arguments; stdout is answered unless devices say otherwise."""
        if devices is None:
            devices = [{'name': 'stdout', 'content_type': 'text/plain'}]
        node = dict(name='probe', exec=dict(path='swift://%s/bin/probe' % self.cluster.owner, args=args),
                    devices=devices)
        node.update(keys)
        return self.execute([node], headers, account)


class Background(threading.Thread):
    """A request whose answer is waited for later; exceptions come out of result()."""

    def __init__(self, function, *a, **kw):
        super().__init__(daemon=True)
        self.work = lambda: function(*a, **kw)
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.work()
        except Exception as e:  # handed to whoever asks for the result
            self.error = e

    def result(self, seconds=120):
        self.join(seconds)
        assert not self.is_alive(), 'no answer in %d s' % seconds
        if self.error:
            raise self.error
        return self.value


def marker():
    """A word to find a job's process by."""
    return 'marker-' + uuid.uuid4().hex


def processes_with(word):
    """pids of the processes on this machine that have this word as an argument of their own."""
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            with open(path, 'rb') as f:
                args = f.read().split(b'\0')
            if word.encode() in args and b'probe' in args[0]:
                found.append(int(path.split('/')[2]))
    return found


def wait_running(word):
    return eventually(lambda: processes_with(word), 'the job runs')


def wait_gone(word, seconds=SOON):
    eventually(lambda: not processes_with(word), 'the job is gone', seconds)


def parents(pid):
    """pids from this process up to init."""
    chain = []
    while pid > 1:
        chain.append(pid)
        with open('/proc/%d/stat' % pid) as f:
            pid = int(f.read().rsplit(')', 1)[1].split()[1])
    return chain


def node_of(cluster, pid):
    """The storage node whose broker made this process's jail."""
    chain = parents(pid)
    for i in cluster.nodes:
        if cluster.pid('broker%d' % i) in chain:
            return i
    raise AssertionError('process %d is no jail of this cluster' % pid)


def exchange(address, data, shut=False, seconds=30):
    """Sends raw bytes on one connection and reads until the other side closes (or half a second after
    a whole answer without a body)."""
    with socket.create_connection(address, seconds) as s:
        s.settimeout(seconds)
        s.sendall(data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        got = b''
        while True:
            part = s.recv(65536)
            if not part:
                return got
            got += part
