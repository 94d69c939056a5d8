# SPDX-License-Identifier: MIT
"""Jobs that work: what they read, what they write, what the answer tells."""
import json
import os
import zlib

import pytest
import zvm

TEXT = b'To be, or not to be, that is the question.\n' * 1000


def numbers(answer):
    """size, digest as the probe prints them."""
    assert answer.status == 200, answer
    size, digest = answer.text.split()[:2]
    return int(size), int(digest, 16)


@pytest.mark.quick
def test_hello(owner):
    a = owner.probe('hello')
    assert (a.status, a.body) == (200, b'hello\n'), a
    assert a['Content-Type'] == 'text/plain'
    assert a['X-Nexe-System'] == 'probe'
    assert a['X-Nexe-Status'] == 'ok'
    assert a['X-Nexe-Retcode'] == '0'
    assert a['X-Nexe-Validation'] == '0'
    assert a['X-Nexe-Policy'] is not None
    assert a['X-Zvm-Job'] == a.report['id']
    assert 'Etag' not in a.headers or a['Etag'], a
    assert a['X-Nexe-Error'] is None


@pytest.mark.quick
def test_reads_the_local_replica_in_place(owner, box, cluster):
    owner.put(box + '/o', TEXT)
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    assert numbers(a) == (len(TEXT), zlib.adler32(TEXT))
    node = a.node
    assert node['locality'] == 'local', a
    assert node['host'] in ['node%d' % i for i in cluster.nodes]
    assert node['wall'] >= 0 and node['attempt'] >= 1
    channels = {c['device']: c for c in node['channels']}
    assert channels['stdout']['bytes_written'] == len(a.body)
    assert [i['bytes'] for i in node['inputs']] == [len(TEXT)]


def test_a_script_runs_with_the_nodes_own_python_over_the_object_it_is_posted_to(owner, box):
    owner.put(box + '/o', TEXT)
    script = b'#!file://host:/usr/bin/python3\nimport sys\nprint(len(sys.stdin.read().split()))\n'
    a = owner.execute(script, {'Content-Type': 'text/x-python'}, path='/%s/o' % box)
    assert (a.status, a.text) == (200, '%d\n' % len(TEXT.split())), a
    assert a['X-Nexe-System'] == 'script'
    assert a['X-Nexe-Validation'] == '2'
    assert a.node['locality'] == 'local', a


def test_a_script_without_an_object(owner):
    a = owner.execute(b'#!file://host:/usr/bin/python3 -B\nimport sys\nprint(sys.argv, sys.flags.dont_write_bytecode)\n',
                      {'Content-Type': 'text/x-python'})
    assert (a.status, a['X-Nexe-Status']) == (200, 'ok'), a
    assert a.text.endswith(' 1\n') and 'script' in a.text
    assert a['Content-Type'] == 'text/plain'


def test_a_shell_pipeline_in_the_image_host(owner, box):
    owner.put(box + '/o', TEXT)
    a = owner.execute(b'#!file://host:/bin/sh\ntr a-z A-Z | sort | uniq -c | while read n rest; do echo $n; done\n',
                      {'Content-Type': 'text/x-sh'}, path='/%s/o' % box)
    assert (a.status, a.text) == (200, '1000\n'), a


def test_arguments_and_environment(owner):
    a = owner.execute([{'name': 'first', 'exec': {'path': 'swift://~/bin/probe', 'args': 'args one two',
                                                  'name': 'myself'}, 'devices': [{'name': 'stdout'}]}])
    assert a.text.splitlines() == ['myself', 'args', 'one', 'two'], a
    a = owner.execute([{'name': 'second', 'exec': {'path': 'swift://~/bin/probe', 'args': 'env',
                                                   'env': {'COLOUR': 'blue', 'EMPTY': ''}},
                        'devices': [{'name': 'stdout'}]}], {'X-Extra': 'yes', 'Cookie': 'secret'})
    env = dict(line.split('=', 1) for line in a.text.splitlines())
    assert env['COLOUR'] == 'blue' and 'EMPTY' not in env
    assert env['REQUEST_METHOD'] == 'POST' and env['GATEWAY_INTERFACE'] == 'CGI/1.1'
    assert env['SCRIPT_NAME'] == 'second' and env['HTTP_X_EXTRA'] == 'yes'
    assert not [name for name in env if 'AUTH' in name or 'COOKIE' in name], env
    assert owner.token not in a.text


def test_the_local_object_is_described_in_the_environment(owner, box):
    owner.put(box + '/o', TEXT, {'Content-Type': 'text/plain', 'X-Object-Meta-Colour': 'red'})
    a = owner.probe('env', [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    env = dict(line.split('=', 1) for line in a.text.splitlines())
    assert env['LOCAL_OBJECT'] == 'on'
    assert env['LOCAL_PATH_INFO'] == '/%s/%s/o' % (owner.account, box)
    assert env['LOCAL_CONTENT_TYPE'] == 'text/plain'
    assert env['LOCAL_CONTENT_LENGTH'] == str(len(TEXT))


def test_outputs_are_stored_with_type_and_metadata(owner, box):
    a = owner.probe('both', [
        {'name': 'stdout', 'path': 'swift://~/%s/out.txt' % box, 'content_type': 'text/x-result',
         'meta': {'Made-By': 'probe'}},
        {'name': 'stderr', 'content_type': 'text/plain'}])
    assert (a.status, a.body) == (200, b'to stderr\n'), a
    stored = owner.must('GET', '%s/%s/out.txt' % (owner.account, box))
    assert stored.body == b'to stdout\n'
    assert stored['Content-Type'] == 'text/x-result'
    assert stored['X-Object-Meta-Made-By'] == 'probe'


def test_a_declared_output_that_was_not_touched_is_stored_empty(owner, box):
    a = owner.probe('hello', [{'name': 'stdout', 'path': 'swift://~/%s/out' % box},
                              {'name': 'output', 'path': 'swift://~/%s/untouched' % box}])
    assert (a.status, a.body) == (200, b''), a
    assert owner.get(box + '/out') == b'hello\n'
    assert owner.get(box + '/untouched') == b''


def test_a_large_output_is_stored_whole(owner, box):
    data = os.urandom(1 << 20) * 20
    owner.put(box + '/big', data)
    a = owner.probe('cat', [{'name': 'stdin', 'path': 'swift://~/%s/big' % box},
                            {'name': 'stdout', 'path': 'swift://~/%s/copy' % box}])
    assert a.status == 200, a
    assert owner.get(box + '/copy') == data


def test_a_large_answer_comes_whole(owner, box):
    data = os.urandom(1 << 20) * 12
    owner.put(box + '/big', data)
    a = owner.probe('cat', [{'name': 'stdin', 'path': 'swift://~/%s/big' % box}, {'name': 'stdout'}])
    assert a.status == 200 and a.body == data, a


def test_input_is_read_at_random_and_mapped(owner, box):
    owner.put(box + '/o', TEXT)
    a = owner.probe('random-read /dev/input', [{'name': 'input', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    assert numbers(a) == (len(TEXT), zlib.adler32(TEXT[::-1]))


def test_output_is_written_at_random(owner, box):
    a = owner.probe('write-output /dev/output', [{'name': 'output', 'path': 'swift://~/%s/out' % box},
                                                 {'name': 'stdout'}])
    assert (a.status, a.body) == (200, b'written\n'), a
    assert owner.get(box + '/out') == b'begin' + bytes(100000 - 5) + b'end'


def test_an_input_opened_for_writing_is_a_copy(owner, box, cluster):
    owner.put(box + '/o', TEXT)
    before = {path: open(path, 'rb').read() for path in cluster.replicas(owner.account, box, 'o').values()}
    assert len(before) == 3
    a = owner.probe('write-input /dev/input', [{'name': 'input', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    changed = b'CHANGED' + TEXT[7:] + b'TAIL'
    assert numbers(a) == (len(changed), zlib.adler32(changed))
    assert owner.get(box + '/o') == TEXT
    assert before == {path: open(path, 'rb').read() for path in before}


def test_several_inputs_by_any_name(owner, box):
    owner.put(box + '/a', b'first')
    owner.put(box + '/b', b'second')
    a = owner.probe('random-read /dev/input-2', [
        {'name': 'input-1', 'path': 'swift://~/%s/a' % box}, {'name': 'input-2', 'path': 'swift://~/%s/b' % box},
        {'name': 'stdout'}])
    assert numbers(a) == (6, zlib.adler32(b'second'[::-1]))


def test_reading_and_writing_one_path(owner, box):
    owner.put(box + '/o', TEXT)
    path = 'swift://~/%s/o' % box
    a = owner.probe('sum', [{'name': 'stdin', 'path': path}, {'name': 'stdout', 'path': path}])
    assert a.status == 200, a
    assert owner.get(box + '/o') == b'%d %08x\n' % (len(TEXT), zlib.adler32(TEXT))


@pytest.mark.parametrize('name', ['a b', '100%', 'sl//ash', 'dé', 'a?b#c'])
def test_names_are_decoded_once(owner, box, name):
    from urllib.parse import quote
    owner.put('%s/%s' % (box, quote(name)), b'x' * 10)
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/%s' % (box, quote(name))}, {'name': 'stdout'}])
    assert numbers(a) == (10, zlib.adler32(b'x' * 10))


def test_an_empty_object(owner, box):
    owner.put(box + '/empty', b'')
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/empty' % box}, {'name': 'stdout'}])
    assert numbers(a) == (0, zlib.adler32(b''))


def test_an_updated_object_is_read_in_its_newest_version(owner, box):
    for text in (b'one', b'second', b'third one'):
        owner.put(box + '/o', text)
        a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
        assert numbers(a) == (len(text), zlib.adler32(text))
    owner.must('POST', '%s/%s/o' % (owner.account, box), {'X-Object-Meta-A': 'b', 'Content-Type': 'text/x-new'})
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}])
    assert numbers(a) == (9, zlib.adler32(b'third one'))
    assert a.node['locality'] == 'local', a


def test_a_segmented_object_is_read_through_swift(owner, box):
    segments = [os.urandom(1 << 20) for _ in range(3)]
    manifest = []
    for i, data in enumerate(segments):
        etag = owner.put('%s/seg%d' % (box, i), data)['Etag']
        manifest.append({'path': '/%s/seg%d' % (box, i), 'etag': etag, 'size_bytes': len(data)})
    owner.must('PUT', '%s/%s/slo?multipart-manifest=put' % (owner.account, box), body=json.dumps(manifest))
    whole = b''.join(segments)
    a = owner.probe('sum', [{'name': 'stdin', 'path': 'swift://~/%s/slo' % box}, {'name': 'stdout'}])
    assert numbers(a) == (len(whole), zlib.adler32(whole))
    assert (a.node['locality'], a.node['reason']) == ('remote', 'slo'), a


def test_another_account_with_an_acl(owner, stranger, box):
    owner.put(box + '/o', TEXT)
    owner.must('POST', '%s/%s' % (owner.account, box), {'X-Container-Read': 'test2:tester2'})
    a = stranger.probe('sum', [{'name': 'stdin', 'path': 'swift://%s/%s/o' % (owner.account, box)},
                               {'name': 'stdout'}])
    assert numbers(a) == (len(TEXT), zlib.adler32(TEXT))


def test_undeclared_devices(owner):
    a = owner.probe('both', [])
    assert (a.status, a.body) == (200, b''), a
    a = owner.probe('cat', [{'name': 'stdout'}])
    assert (a.status, a.body) == (200, b''), a


def test_what_a_job_sees_of_the_machine(owner):
    a = owner.probe('escape')
    assert (a.status, a.text) == (200, 'done\n'), a


def test_what_an_interpreter_sees_of_the_machine(owner):
    script = (b'#!file://host:/usr/bin/python3\nimport os\n'
              b'print(sorted(os.listdir("/dev")), os.path.exists("/proc/self"), os.getuid() == 0, os.getcwd())\n'
              b'try:\n import socket; socket.create_connection(("127.0.0.1", 8080), 1); print("network")\n'
              b'except OSError as e: print("no network")\n')
    a = owner.execute(script, {'Content-Type': 'text/x-python'})
    assert a.status == 200, a
    first, second = a.text.splitlines()
    assert second == 'no network'
    assert 'False' in first and first.endswith(' /')
    devices = set(eval(first[:first.index(']') + 1]))
    assert {'null', 'zero', 'urandom', 'random', 'full'} <= devices and 'fd' not in devices, devices


def test_many_jobs_at_once(owner, box):
    owner.put(box + '/o', TEXT)
    devices = [{'name': 'stdin', 'path': 'swift://~/%s/o' % box}, {'name': 'stdout'}]
    answers = [job.result() for job in [zvm.Background(owner.probe, 'sum', devices) for _ in range(12)]]
    assert [numbers(a) for a in answers] == [(len(TEXT), zlib.adler32(TEXT))] * 12


def test_the_accounting_line_has_its_twelve_fields(owner):
    a = owner.probe('hello')
    total, node, rest = a['X-Nexe-Cdr-Line'].split(', ')
    fields = [total, node] + rest.split(' ')
    assert len(fields) == 12 and all(float(f) >= 0 for f in fields), a
    assert float(total) >= float(node)
