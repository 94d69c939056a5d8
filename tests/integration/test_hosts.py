# SPDX-License-Identifier: MIT
"""A host daemon does nothing for who cannot prove the cluster key (host/protocol/auth.h). The proof is
computed here once more, from its description."""
import hashlib
import hmac
import http.client
import json
import os
import secrets

import pytest
import zvm


class Peer(object):
    """Speaks to one host daemon as a bridge would."""

    def __init__(self, cluster, node=1):
        self.address = cluster.host(node)
        with open(os.path.join(cluster['ZVM_CONFIG_DIR'], 'cluster.key')) as f:
            self.key = bytes.fromhex(f.read().strip())
        self.identity = json.loads(self.send('GET', '/v1/identity?nonce=' + secrets.token_hex(16)).body)

    def send(self, method, target, headers=None, body=None):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            response = connection.getresponse()
            return zvm.Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def authorization(self, body, target='/v1/sessions', key=None, life=30, **change):
        f = dict(host=self.identity['id'], boot=self.identity['boot'], expires=str(self.identity['time'] + life),
                 nonce=secrets.token_hex(16), body=hashlib.sha256(body).hexdigest())
        f.update(change)
        text = '\n'.join(['ZVM1', 'POST', target, f['host'], f['boot'], f['expires'], f['nonce'], f['body']])
        f['mac'] = hmac.new(key or self.key, text.encode(), hashlib.sha256).hexdigest()
        return 'ZVM1 ' + ','.join('%s=%s' % (k, f[k]) for k in ('host', 'boot', 'expires', 'nonce', 'body', 'mac'))

    def post(self, body, authorization):
        return self.send('POST', '/v1/sessions', {'Authorization': authorization} if authorization else {}, body)


@pytest.fixture
def peer(cluster):
    return Peer(cluster)


BODY = b'{"version": 1}'  # signed rightly it is refused for what it lacks, not for who sent it


def test_the_right_signature_is_the_control(peer):
    a = peer.post(BODY, peer.authorization(BODY))
    assert a.status == 400, a
    assert a['Zvm-Proof'] and a['Zvm-Nonce']


def test_without_a_signature_nothing_is_done(peer):
    for authorization in (None, '', 'Basic dGVzdDp0ZXN0', 'ZVM1', 'ZVM1 host=,boot=,expires=,nonce=,body=,mac='):
        assert peer.post(BODY, authorization).status == 401, authorization


def test_what_is_signed_may_not_change(peer):
    good = peer.authorization(BODY)
    assert peer.post(BODY + b' ', good).status == 401
    for method, target in (('PUT', '/v1/sessions'), ('POST', '/v1/sessions?x=1'), ('POST', '/v1/other')):
        assert peer.send(method, target, {'Authorization': good}, BODY).status in (401, 404, 405)


@pytest.mark.parametrize('change', [
    {'key': bytes(32)}, {'host': 'another'}, {'boot': '0' * 32}, {'life': -1}, {'life': 100000}, {'nonce': 'short'}])
def test_a_wrong_claim_is_refused(peer, change):
    assert peer.post(BODY, peer.authorization(BODY, **change)).status == 401


def test_a_request_is_good_once(peer):
    authorization = peer.authorization(BODY)
    assert peer.post(BODY, authorization).status == 400
    assert peer.post(BODY, authorization).status == 401


@pytest.mark.kills
def test_a_request_of_before_a_restart_is_refused(cluster, peer):
    authorization = peer.authorization(BODY)
    cluster.kill('host1')
    cluster.restore()
    assert peer.post(BODY, authorization).status == 401
    fresh = Peer(cluster)
    assert fresh.identity['boot'] != peer.identity['boot']
    assert fresh.post(BODY, fresh.authorization(BODY)).status == 400


def test_a_refusal_is_logged(cluster, peer):
    def denials():
        with open(os.path.join(cluster['ZVM_LOG_DIR'], 'host1.log'), errors='replace') as f:
            return f.read().count('\n')
    before = denials()
    assert peer.post(BODY, None).status == 401
    zvm.eventually(lambda: denials() > before, 'a line in the log')


def test_secrets_stay_out_of_logs(cluster, owner, peer):
    owner.probe('hello')
    with open(os.path.join(cluster['ZVM_CONFIG_DIR'], 'cluster.key')) as f:
        key = f.read().strip()
    for name in os.listdir(cluster['ZVM_LOG_DIR']):
        with open(os.path.join(cluster['ZVM_LOG_DIR'], name), errors='replace') as f:
            text = f.read()
        assert key not in text and owner.token not in text, name


def test_the_broker_serves_nobody_but_its_host_daemon(cluster):
    import socket
    path = os.path.join(cluster.dir, 'run', 'broker1.sock')
    nobody = 65534
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgid(nobody)
            os.setuid(nobody)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.settimeout(20)
                s.connect(path)
                s.send(b'\0' * 64)
                code = 0 if s.recv(64) == b'' else 2
        except OSError:
            code = 0  # refused at the door, or hung up
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
