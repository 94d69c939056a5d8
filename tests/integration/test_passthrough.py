# SPDX-License-Identifier: MIT
"""Everything that is no job goes to the stock proxy and comes back as it was."""
import hashlib
import http.client
import json
import os
import socket
import subprocess

import pytest
import zvm

DATA = os.urandom(1 << 20) * 9 + b'tail'

# Differ from one answer to the next, whoever gave them.
VOLATILE = {'date', 'x-trans-id', 'x-openstack-request-id', 'x-timestamp', 'last-modified'}


def steady(answer):
    return answer.status, {k: v for k, v in answer.headers.items() if k not in VOLATILE}, answer.body


@pytest.mark.quick
def test_answers_are_the_proxys_own(owner, box):
    owner.put(box + '/o', b'content', {'X-Object-Meta-Colour': 'blau', 'Content-Type': 'text/x-a'})
    path = '%s/%s' % (owner.account, box)
    for method, target, headers in (
            ('GET', path + '/o', {}), ('HEAD', path + '/o', {}), ('GET', path + '/absent', {}),
            ('GET', path + '?format=json', {}), ('HEAD', path, {}), ('OPTIONS', path, {}), ('BREW', path, {}),
            ('GET', path + '/o', {'Range': 'bytes=1-3'}), ('GET', path + '/o', {'Range': 'bytes=0-1,3-4'}),
            ('GET', path + '/o', {'Range': 'bytes=99-'}), ('GET', path + '/o', {'If-None-Match': '*'}),
            ('GET', path + '/o', {'X-Auth-Token': 'nonsense'})):
        ours = owner.request(method, target, headers)
        direct = owner.request(method, target, headers, address=owner.cluster.swift())
        if 'multipart' in (direct['Content-Type'] or ''):  # the boundary is random
            assert (ours.status, len(ours.body)) == (direct.status, len(direct.body))
            continue
        assert steady(ours) == steady(direct), (method, target)


def test_other_paths_of_the_proxy(owner):
    for path in ('/healthcheck', '/info', '/nonsense', '/v1'):
        ours, direct = owner.raw('GET', path), owner.raw('GET', path, address=owner.cluster.swift())
        assert ours.status == direct.status, path
    assert json.loads(owner.raw('GET', '/info').body)['swift']


def test_one_connection_carries_many_requests(owner, box):
    connection = http.client.HTTPConnection(*owner.cluster.bridge(), timeout=60)
    try:
        connection.connect()
        first = connection.sock
        for i in range(20):
            target = '/v1/%s/%s/o%d' % (owner.account, box, i)
            for method, body in (('PUT', b'%d' % i), ('GET', None), ('HEAD', None), ('DELETE', None)):
                connection.request(method, target, body=body, headers={'X-Auth-Token': owner.token})
                response = connection.getresponse()
                got = response.read()
                assert response.status // 100 == 2, (method, response.status, got)
                assert method != 'GET' or got == b'%d' % i
                assert connection.sock is first
        body = json.dumps([{'name': 'n', 'exec': {'path': 'swift://~/bin/probe'}, 'devices': [{'name': 'stdout'}]}])
        for _ in range(3):  # jobs on the same connection as everything else
            connection.request('POST', '/v1/' + owner.account, body=body, headers={
                'X-Auth-Token': owner.token, 'X-Zerovm-Execute': '1.0', 'Content-Type': 'application/json'})
            assert connection.getresponse().read() == b'hello\n'
            assert connection.sock is first
    finally:
        connection.close()


def test_pipelined_requests_are_answered_in_order(owner, box):
    for i in range(5):
        owner.put('%s/o%d' % (box, i), b'<%d>' % i)
    request = b''.join(b'GET /v1/%s/%s/o%d HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\n%s\r\n' % (
        owner.account.encode(), box.encode(), i, owner.token.encode(), b'Connection: close\r\n' if i == 4 else b'')
        for i in range(5))
    got = zvm.exchange(owner.cluster.bridge(), request)
    assert [got.find(b'<%d>' % i) for i in range(5)] == sorted(got.find(b'<%d>' % i) for i in range(5))
    assert got.count(b'HTTP/1.1 200') == 5


def test_large_bodies_both_ways(owner, box):
    owner.put(box + '/big', DATA)
    assert owner.get(box + '/big') == DATA


def test_a_chunked_upload(owner, box):
    pieces = [DATA[i:i + 70001] for i in range(0, len(DATA), 70001)]
    owner.put(box + '/chunked', iter(pieces))  # without a length the library sends chunks
    assert hashlib.md5(owner.get(box + '/chunked')).digest() == hashlib.md5(DATA).digest()


def expecting(owner, target, length):
    s = socket.create_connection(owner.cluster.bridge(), 60)
    s.sendall(b'PUT /v1/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n'
              % (target.encode(), owner.token.encode(), length))
    return s


def test_100_continue_comes_from_the_proxy(owner, box):
    with expecting(owner, '%s/%s/o' % (owner.account, box), 5) as s:
        assert s.recv(65536).startswith(b'HTTP/1.1 100 Continue\r\n')
        s.sendall(b'hello')
        assert b'HTTP/1.1 201' in s.recv(65536)
    assert owner.get(box + '/o') == b'hello'


def test_a_refusal_comes_without_100(owner, box):
    with expecting(owner, '%s/no-such-container-here/o' % owner.account, 5) as s:
        assert s.recv(65536).startswith(b'HTTP/1.1 404')
    with expecting(owner, 'AUTH_test2/c/o', 5) as s:
        assert s.recv(65536).startswith(b'HTTP/1.1 403')


def test_copy(owner, box):
    owner.put(box + '/o', b'content')
    owner.must('COPY', '%s/%s/o' % (owner.account, box), {'Destination': box + '/p'})
    assert owner.get(box + '/p') == b'content'


def test_targets_are_not_normalised(owner, box):
    name = 'a%20b//../d%C3%A9/./x%2Fy'
    owner.put('%s/%s' % (box, name), b'odd name')
    assert owner.request('GET', '%s/%s/%s' % (owner.account, box, name), address=owner.cluster.swift()).body == b'odd name'
    assert 'a b//../dé/./x/y' in owner.get(box).decode()


def test_an_upload_that_stops_short_stores_nothing(owner, box):
    s = socket.create_connection(owner.cluster.bridge(), 60)
    s.sendall(b'PUT /v1/%s/%s/cut HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Length: 1000\r\n\r\nonly this' % (
        owner.account.encode(), box.encode(), owner.token.encode()))
    s.close()
    assert owner.request('GET', '%s/%s/cut' % (owner.account, box)).status == 404


def test_both_lengths_are_refused(owner):
    got = zvm.exchange(owner.cluster.bridge(), b'PUT /v1/AUTH_test/c/o HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n'
                       b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
    assert got.startswith(b'HTTP/1.1 400'), got


@pytest.mark.parametrize('garbage', [b'\r\n\r\n\r\n', b'GET\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00', b'GET / HTTP/9.9\r\n\r\n',
                                     b'GET / HTTP/1.1\r\nno colon\r\n\r\n', b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 5000])
def test_garbage_ends_the_connection(owner, garbage):
    got = zvm.exchange(owner.cluster.bridge(), garbage, shut=True)
    assert got == b'' or got.startswith((b'HTTP/1.1 4', b'HTTP/1.0 4', b'HTTP/1.1 5')), got
    assert owner.raw('GET', '/healthcheck').status == 200


def run(cluster, *argv, **env):
    environment = dict(os.environ, ST_AUTH=cluster['ST_AUTH'], ST_USER=cluster['ST_USER'], ST_KEY=cluster['ST_KEY'], **env)
    r = subprocess.run(argv, capture_output=True, env=environment, stdin=subprocess.DEVNULL, timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def test_the_swift_client(cluster, owner, box, tmp_path):
    (tmp_path / 'big').write_bytes(DATA)
    swift = '/usr/bin/swift'
    run(cluster, swift, 'upload', box, str(tmp_path / 'big'), '--object-name', 'big', '-S', '5000000', '--use-slo')
    assert b'big' in run(cluster, swift, 'list', box)
    assert run(cluster, swift, 'download', box, 'big', '-o', '-') == DATA
    assert owner.request('GET', '%s/%s/big' % (owner.account, box)).body == DATA


def test_rclone(cluster, box, tmp_path):
    (tmp_path / 'big').write_bytes(DATA)
    remote = ":swift,auth='%s',user='test:tester',key=testing,auth_version=1:%s/big" % (cluster['ST_AUTH'], box)
    run(cluster, 'rclone', 'copyto', str(tmp_path / 'big'), remote, '--swift-chunk-size', '5M', RCLONE_CONFIG='/dev/null')
    assert run(cluster, 'rclone', 'cat', remote, RCLONE_CONFIG='/dev/null') == DATA


def test_curl_over_the_unix_socket(cluster, owner, box, tmp_path):
    (tmp_path / 'big').write_bytes(DATA)
    curl = ['curl', '-sS', '-f', '--unix-socket', cluster['ZVM_SOCKET'], '-H', 'X-Auth-Token: ' + owner.token]
    url = 'http://swift/v1/%s' % owner.account
    run(cluster, *curl, '-T', str(tmp_path / 'big'), '%s/%s/big' % (url, box))
    assert run(cluster, *curl, '%s/%s/big' % (url, box)) == DATA
    (tmp_path / 'job.json').write_text(json.dumps([
        {'name': 'n', 'exec': {'path': 'swift://~/bin/probe'}, 'devices': [{'name': 'stdout'}]}]))
    assert run(cluster, *curl, '-H', 'X-Zerovm-Execute: 1.0', '-H', 'Content-Type: application/json',
               '--data-binary', '@%s' % (tmp_path / 'job.json'), url) == b'hello\n'


def test_swift_that_is_down_is_said(cluster, owner):
    cluster.kill('proxy')
    try:
        assert owner.raw('GET', '/healthcheck').status in (502, 503)
        a = owner.probe('hello')
        assert a.status in (502, 503), a
    finally:
        cluster.restore()
    assert owner.raw('GET', '/healthcheck').status == 200
