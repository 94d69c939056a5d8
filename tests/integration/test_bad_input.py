# SPDX-License-Identifier: MIT
"""What is refused, with which status and words, and that nothing was run or stored."""
import json

import pytest
import zvm

OUT = [{'name': 'stdout'}]


def job(**change):
    node = {'name': 'n', 'exec': {'path': 'swift://~/bin/probe'}, 'devices': OUT}
    node.update(change)
    return [{k: v for k, v in node.items() if v is not None}]


@pytest.mark.quick
@pytest.mark.parametrize('body, status, words', [
    (b'{not json', 422, 'Could not parse system map'),
    (b'\xff\xfe', 422, 'Could not parse system map'),
    (b'[' * 3000, 422, 'Could not parse system map'),
    (b'', 422, 'Could not parse system map'),
    (b'{}', 400, 'Config parser internal error'),
    (b'"text"', 400, 'Config parser internal error'),
    (b'[1]', 400, 'Config parser internal error'),
    (b'[]', 400, 'Config parser cannot resolve any job nodes'),
    (job(name=None), 400, 'Must specify node name'),
    (job(name='with blank'), 400, ''),
    (job(name='x' * 65), 400, ''),
    (job(exec=None), 400, 'Must specify exec stanza for n'),
    (job(exec={}), 400, 'Must specify exec stanza for n'),
    (job(exec={'args': 'x'}), 400, 'Must specify executable path for n'),
    (job(exec={'path': 'nonsense'}), 400, 'Must specify executable path for n'),
    (job(exec={'path': 'zvm://other:stdin'}), 400, ''),
    (job(exec={'path': 'swift://~/bin/probe', 'args': 'a\x01b'}), 400, ''),
    (job(devices=[{'path': 'swift://~/bin/probe'}]), 400, 'Must specify device for file in n'),
    (job(devices=[{'name': 'mystery'}]), 400, 'mystery'),
    (job(devices=[{'name': 'a/b', 'path': 'swift://~/bin/probe'}]), 400, ''),
    (job(devices=[{'name': 'stdin', 'path': 'swift://~'}]), 400, ''),
    (job(devices=OUT + OUT), 400, ''),
    (job(devices=[{'name': 'output'}]), 400, 'Immediate response is not available for device output'),
    (job(devices=OUT + [{'name': 'stderr'}]), 400, ''),
    (job(devices=[{'name': 'stdout', 'path': 'swift://~/bin'}]), 400, 'Container path must be read-only'),
    (job(count=0), 400, 'Invalid node count'),
    (job(count='many'), 400, 'Invalid node count'),
    (job(timeout=-1), 400, ''),
    (job(memory='plenty'), 400, ''),
])
def test_a_job_that_is_no_job(owner, body, status, words):
    a = owner.execute(body)
    assert a.status == status and words in a.text, a
    assert a['X-Zvm-Job'], a


@pytest.mark.parametrize('change', [
    {'count': 2}, {'connect': ['n']}, {'replicate': 2}, {'deterministic': True},
    {'devices': [{'name': 'stdin', 'path': 'swift://~/bin/pro*'}, {'name': 'stdout'}]},
    {'devices': [{'name': 'stdout', 'path': 'zvm://other:stdin'}]},
])
def test_what_is_not_there_yet_is_said(owner, change):
    a = owner.execute(job(**change))
    assert a.status == 501 and a.text.strip(), a


def test_two_groups_are_not_there_yet(owner):
    a = owner.execute(job() + job(name='m'))
    assert a.status == 501 and a.text.strip(), a


@pytest.mark.parametrize('value, status', [('2.0', 400), ('', 400), ('1', 400), ('open/1.0', 501), ('api/1.0', 501)])
def test_the_version_is_checked(owner, value, status):
    a = owner.request('POST', owner.account, {'X-Zerovm-Execute': value, 'Content-Type': 'application/json'},
                      json.dumps(job()))
    assert a.status == status, a


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'PUT', 'DELETE'])
def test_only_post_runs_a_job(owner, method):
    a = owner.request(method, owner.account, {'X-Zerovm-Execute': '1.0'})
    assert a.status == 501, a


@pytest.mark.parametrize('content_type, body, status, words', [
    (None, b'[]', 400, 'Must specify Content-Type'),
    ('text/plain', b'no shebang', 400, 'Unsupported Content-Type'),
    ('text/plain', b'#!file://host:/bin/sh', 400, 'Cannot find shebang'),
    ('text/plain', b'#!/bin/sh\n', 400, 'Bad interpreter'),
    ('text/plain', b'#!file:///bin/sh\n', 400, ''),
    ('application/x-tar', b'x' * 1024, 501, ''),
    ('application/x-gzip', b'x' * 1024, 501, ''),
    ('json', json.dumps(job()).encode(), 400, ''),
])
def test_the_content_type_decides(owner, content_type, body, status, words):
    raw = (b'POST /v1/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nX-Zerovm-Execute: 1.0\r\nConnection: close\r\n%s'
           b'Content-Length: %d\r\n\r\n' % (
               owner.account.encode(), owner.token.encode(),
               b'Content-Type: %s\r\n' % content_type.encode() if content_type else b'', len(body))) + body
    got = zvm.exchange(owner.cluster.bridge(), raw).decode()
    assert got.startswith('HTTP/1.1 %d ' % status) and words in got, got


def test_parameters_of_the_content_type_do_not_matter(owner):
    a = owner.execute(job(), {'Content-Type': 'application/json; charset=utf-8'})
    assert a.status == 200, a


def test_a_job_that_is_too_large(owner):
    a = owner.execute(job(exec={'path': 'swift://~/bin/probe', 'env': {'X': 'x' * 70000}}))
    assert a.status == 413, a


@pytest.mark.parametrize('framing', [b'Content-Length: 1000\r\n\r\n[', b'Transfer-Encoding: chunked\r\n\r\n5\r\n[{"na\r\n'])
def test_a_body_that_stops_short_is_no_job(owner, framing):
    head = (b'POST /v1/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nX-Zerovm-Execute: 1.0\r\n'
            b'Content-Type: application/json\r\n' % (owner.account.encode(), owner.token.encode()))
    got = zvm.exchange(owner.cluster.bridge(), head + framing, shut=True)
    assert got == b'' or got.split()[1] in (b'400', b'499'), got


def test_a_chunked_job_is_a_job(owner):
    a = owner.request('POST', owner.account, {'X-Zerovm-Execute': '1.0', 'Content-Type': 'application/json'},
                      iter([json.dumps(job()).encode()]))  # without a length the library sends chunks
    assert (a.status, a.body) == (200, b'hello\n'), a


def test_the_digest_of_the_body_is_checked(owner):
    assert owner.execute(job(), {'ETag': '0' * 32}).status == 422


@pytest.mark.parametrize('devices, path', [
    ([{'name': 'stdin', 'path': 'swift://~/bin/no-such-object'}], '/AUTH_test/bin/no-such-object'),
    ([{'name': 'stdin', 'path': 'swift://~/no-such-container/o'}], '/AUTH_test/no-such-container'),
    ([{'name': 'stdout', 'path': 'swift://~/no-such-container/o'}], '/AUTH_test/no-such-container'),
])
def test_what_is_missing_is_named(owner, devices, path):
    a = owner.probe('hello', devices)
    assert a.status == 404 and path in a.text, a
    assert a['X-Nexe-Status'] == 'ZeroVM did not run' and a['X-Nexe-System'] == 'probe', a


def test_a_missing_program(owner):
    a = owner.execute(job(exec={'path': 'swift://~/bin/absent'}))
    assert a.status == 404 and '/AUTH_test/bin/absent' in a.text, a


def test_a_missing_program_of_an_image(owner):
    a = owner.execute(job(exec={'path': 'file://host:/usr/bin/absent'}))
    assert a.status == 400 and a.text.strip(), a
    a = owner.execute(job(exec={'path': 'file://no-such-image:/bin/sh'}))
    assert a.status == 400 and 'no-such-image' in a.text, a


def test_a_denied_input(owner, stranger, box):
    owner.put(box + '/secret', b'secret')
    path = 'swift://%s/%s/secret' % (owner.account, box)
    a = stranger.probe('cat', [{'name': 'stdin', 'path': path}, {'name': 'stdout'}])
    assert a.status == 403 and '/%s/%s/secret' % (owner.account, box) in a.text, a
    assert b'secret' != a.body


def test_a_denied_output_stores_nothing_anywhere(owner, stranger, box):
    mine = stranger.container('mine')
    a = stranger.probe('both', [{'name': 'stdout', 'path': 'swift://~/%s/ok' % mine},
                                {'name': 'stderr', 'path': 'swift://%s/%s/denied' % (owner.account, box)}])
    assert a.status == 403 and '/%s/%s' % (owner.account, box) in a.text, a
    assert owner.get(box) == b''
    assert stranger.get(mine) == b''


def test_a_denied_program(owner, stranger, box):
    owner.put(box + '/tool', b'x')
    a = stranger.execute(job(exec={'path': 'swift://%s/%s/tool' % (owner.account, box)}))
    assert a.status == 403, a


def test_running_in_an_account_is_its_owners_right(cluster, owner, stranger):
    assert stranger.execute(job(), account=owner.account).status == 403
    assert cluster.client('test:tester3', 'testing3').execute(job(), account=owner.account).status == 403
    anonymous = cluster.client(None, None)
    anonymous.account = owner.account
    assert anonymous.execute(job()).status == 401
    anonymous.token = 'AUTH_tk' + '0' * 32
    assert anonymous.execute(job()).status == 401


@pytest.mark.parametrize('content, what', [
    (b'just text, no program\n', 'text'), (b'\x7fELF', 'cut'), (b'\x7fELF' + bytes(2000), 'zeros'),
    (b'\x7fELF\x02\x01\x01' + bytes(9) + b'\x02\x00\xb7\x00' + bytes(2000), 'another machine'),
])
def test_a_program_that_is_no_program(owner, box, content, what):
    owner.put(box + '/program', content)
    a = owner.execute(job(exec={'path': 'swift://~/%s/program' % box}))
    assert a.status == 400, (what, a)
    assert a['X-Nexe-Status'] == 'ZeroVM did not run'
    assert a['X-Nexe-Validation'] == '1'
    assert a.text.strip()


def test_an_empty_program(owner, box):
    owner.put(box + '/program', b'')
    a = owner.execute(job(exec={'path': 'swift://~/%s/program' % box}))
    assert a.status == 400 and a.text.strip() and a['X-Nexe-Status'] == 'ZeroVM did not run', a


def test_errors_have_a_machine_readable_twin(owner):
    a = owner.execute(job(exec={'path': 'swift://~/bin/absent'}), {'Accept': 'application/json'})
    assert a.status == 404 and a['Content-Type'].startswith('application/json'), a
    twin = json.loads(a.body)
    assert twin['error'] and twin['job'] == a['X-Zvm-Job'], twin


def test_limits_above_the_servers_caps(owner):
    for key, value in (('timeout', 10**6), ('memory', '1TiB'), ('max_output', '1PiB')):
        a = owner.execute(job(**{key: value}))
        assert a.status == 400 and a.text.strip(), (key, a)


def test_asking_leaves_nothing_behind(owner, stranger, box):
    """Authorising reads and writes must not create, version or delete anything."""
    versioned = box + '-v'
    owner.container(versioned, {'X-Versions-Enabled': 'true'})
    owner.put(versioned + '/o', b'one')

    def everything():
        return [owner.get(c + '?format=json&versions' if c == versioned else c + '?format=json')
                for c in (box, versioned)] + [owner.get('?format=json')]
    before = everything()
    for path in ('swift://~/%s/o' % versioned, 'swift://~/%s/new' % box):
        a = owner.probe('cat', [{'name': 'stdin', 'path': 'swift://~/%s/absent' % box},
                                {'name': 'stdout', 'path': path}])
        assert a.status == 404, a
    assert everything()[:2] == before[:2]
    assert owner.get(versioned + '/o') == b'one'
