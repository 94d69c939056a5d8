# SPDX-License-Identifier: MIT
"""Programs that misbehave, clients that leave, hosts that die, replicas that rot."""
import glob
import http.client
import json
import os
import socket
import time
import zlib

import pytest
import zvm

OUT = [{'name': 'stdout'}]
TEXT = b'abcdefghijklmnop' * (3 << 16)  # 3 MiB


def test_exit_status_is_not_an_error_of_http(owner):
    a = owner.probe('exit 3')
    assert (a.status, a.body) == (200, b'leaving\n'), a
    assert (a['X-Nexe-Status'], a['X-Nexe-Retcode']) == ('ok', '3')


def test_a_crash(owner, box):
    a = owner.probe('crash')
    assert (a.status, a.body) == (500, b'before the crash\n'), a
    assert a['X-Nexe-Status'] == 'signal 11' and a['X-Nexe-Error']
    a = owner.probe('crash', [{'name': 'stdout', 'path': 'swift://~/%s/o' % box}])
    assert a.status == 500, a
    assert owner.get(box) == b''


@pytest.mark.parametrize('how', ['forever', 'forever stubborn'])
def test_writing_without_end(owner, box, how):
    a = owner.probe(how, max_output='1MiB')
    assert a.status == 500 and a['X-Nexe-Status'] == 'output limit', a
    assert len(a.body) <= 1 << 20
    a = owner.probe(how, [{'name': 'stdout', 'path': 'swift://~/%s/o' % box}], max_output='1MiB')
    assert a.status == 500, a
    assert owner.get(box) == b''


def test_sleeping_past_the_timeout(owner):
    word = zvm.marker()
    a = owner.probe('hold 600 ' + word, timeout=2)
    assert a.status == 500 and a['X-Nexe-Status'] == 'session timeout', a
    assert a.body == b'holding\n'
    zvm.wait_gone(word)


def test_using_up_the_processor_time(owner):
    a = owner.probe('spin', cpu=1)
    assert a.status == 500 and a['X-Nexe-Status'] == 'cpu limit', a


def test_using_up_the_memory(owner):
    a = owner.probe('eat 200', memory='64MiB')
    # A limit may show first as a failed allocation, which the program reports itself.
    if a.status == 200:
        assert a['X-Nexe-Retcode'] == '99' and 'malloc' in a.text, a
    else:
        assert a.status == 500 and a['X-Nexe-Status'] == 'out of memory', a
    assert owner.probe('eat 200').body == b'eaten\n'


def test_a_client_that_leaves_takes_its_job_with_it(owner, cluster):
    word = zvm.marker()
    body = json.dumps([{'name': 'probe', 'exec': {'path': 'swift://~/bin/probe', 'args': 'hold 600 ' + word},
                        'devices': OUT}]).encode()
    with socket.create_connection(cluster.bridge(), 30) as s:
        s.sendall(b'POST /v1/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nX-Zerovm-Execute: 1.0\r\n'
                  b'Content-Type: application/json\r\nContent-Length: %d\r\n\r\n' % (
                      owner.account.encode(), owner.token.encode(), len(body)) + body)
        zvm.wait_running(word)
    zvm.wait_gone(word)
    assert owner.probe('hello').status == 200


def leftovers(cluster):
    """What jobs may have left on the hosts: processes of jails, spooled outputs, clones."""
    found = [path for i in cluster.nodes for path in
             glob.glob(cluster['SWIFTLAB_NODE%d_ROOT' % i] + '/*/zvm/*') +
             glob.glob(os.path.join(cluster.dir, 'node%d' % i, 'scratch', '*'))]
    with open('/proc/self/mountinfo') as f:
        found += [line for line in f if cluster.dir in line and ' fuse' in line]
    return found


@pytest.mark.kills
@pytest.mark.parametrize('victim', ['host', 'broker'])
def test_a_host_that_dies_mid_job(owner, cluster, victim):
    word = zvm.marker()
    job = zvm.Background(owner.probe, 'hold 600 ' + word)
    node = zvm.node_of(cluster, zvm.wait_running(word)[0])
    begin = time.monotonic()
    cluster.kill('%s%d' % (victim, node), nine=True)
    a = job.result(zvm.SOON)
    assert time.monotonic() - begin < zvm.SOON
    assert a.status == 500 and a['X-Nexe-Status'] in ('host lost', 'host fault'), a
    zvm.wait_gone(word)
    # The others go on, without and with it.
    assert owner.probe('hello').status == 200
    cluster.restore()
    assert owner.probe('hello').status == 200
    zvm.eventually(lambda: not leftovers(cluster), 'nothing is left of the job')


@pytest.mark.kills
def test_the_bridge_dies_mid_job(owner, cluster):
    word = zvm.marker()
    job = zvm.Background(owner.probe, 'hold 600 ' + word)
    zvm.wait_running(word)
    cluster.kill('bridge', nine=True)
    with pytest.raises((OSError, http.client.HTTPException)):
        job.result(zvm.SOON)
    zvm.wait_gone(word)
    cluster.restore()
    assert owner.probe('hello').status == 200


@pytest.mark.parametrize('change', ['overwritten', 'deleted'])
def test_an_object_that_changes_while_it_is_read(owner, box, change):
    for patience in (5, 15, 45):  # a loaded machine may be late with its change: then once more
        owner.put(box + '/o', TEXT)
        word = zvm.marker()
        job = zvm.Background(owner.probe, 'slow-sum %d %s' % (patience, word), [
            {'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
        zvm.wait_running(word)
        if change == 'overwritten':
            owner.put(box + '/o', b'X' * len(TEXT))
        else:
            owner.must('DELETE', '%s/%s/o' % (owner.account, box))
        changed = time.time()
        a = job.result()
        assert a.status == 200, a
        size, digest, resumed = a.text.split()
        assert (int(size), int(digest, 16)) == (len(TEXT), zlib.adler32(TEXT))
        if changed < float(resumed):
            return
    pytest.fail('the object never changed in time')


def run_sum(owner, box):
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    assert a.status == 200, a
    size, digest = a.text.split()
    assert (int(size), int(digest, 16)) == (len(TEXT), zlib.adler32(TEXT))
    return a.node


def cut_content(path):
    with open(path, 'r+b') as f:
        f.truncate(len(TEXT) // 2)


def cut_metadata(path):
    value = os.getxattr(path, 'user.swift.metadata')
    os.setxattr(path, 'user.swift.metadata', value[:len(value) // 2])


def drop_metadata(path):
    os.removexattr(path, 'user.swift.metadata')


def remove(path):
    os.unlink(path)


@pytest.mark.parametrize('damage', [cut_content, cut_metadata, drop_metadata, remove])
def test_a_replica_that_is_damaged_is_passed_over(owner, box, cluster, damage):
    owner.put(box + '/o', TEXT)
    replicas = cluster.replicas(owner.account, box, 'o')
    assert len(replicas) == 3
    first = run_sum(owner, box)
    assert first['locality'] == 'local'
    for victims in (1, 2):
        damage(replicas.pop(int(run_sum(owner, box)['host'].removeprefix('node'))))
        node = run_sum(owner, box)
        assert node['locality'] == 'local', node
        assert int(node['host'].removeprefix('node')) in replicas
        assert node['attempt'] > victims, node


@pytest.mark.kills
def test_a_replicas_host_that_is_down_is_passed_over(owner, box, cluster):
    owner.put(box + '/o', TEXT)
    for _ in range(2):
        cluster.kill(run_sum(owner, box)['host'].replace('node', 'host'))
        assert run_sum(owner, box)['locality'] == 'local'


def test_no_host_left_is_said_at_once(second_cluster):
    c = second_cluster
    owner = c.client()
    try:
        c.kill('host1')
        c.kill('host2')
        a = owner.probe('hello')
        assert a.status == 503 and a.text.strip(), a
    finally:
        c.restore()
    assert owner.probe('hello').status == 200


def test_a_host_without_the_replica_reads_through_swift(second_cluster):
    c = second_cluster
    owner = c.client()
    box = owner.container('remote')
    owner.put(box + '/o', TEXT)
    (holder,) = c.replicas(owner.account, box, 'o')
    assert run_sum(owner, box)['locality'] == 'local'
    try:
        c.kill('host%d' % holder)
        node = run_sum(owner, box)
    finally:
        c.restore()
    assert (node['locality'], node['reason']) == ('remote', 'no-executor'), node
    assert node['host'] != 'node%d' % holder


def test_settings_reach_the_daemons(second_cluster):
    owner = second_cluster.client()
    for key, value in (('timeout', 11), ('memory', '2GiB')):
        a = owner.probe('hello', **{key: value})
        assert a.status == 400, a
