# SPDX-License-Identifier: MIT
"""One real cluster for the whole session, and what tests put into it."""
import contextlib
import os
import subprocess
import uuid

import pytest
import zvm


@pytest.fixture(scope='session', autouse=True)
def test_folder():
    """Where clusters lie: a folder that their unprivileged daemons can enter."""
    os.makedirs(zvm.TEST_DIR, mode=0o755, exist_ok=True)
    yield
    with contextlib.suppress(OSError):  # what is still there is a finding of its own
        os.rmdir(zvm.TEST_DIR)


@pytest.fixture(scope='session')
def probe_program(tmp_path_factory):
    path = tmp_path_factory.mktemp('programs') / 'probe'
    subprocess.run(['gcc', '-O2', '-static', '-o', path, os.path.join(zvm.HERE, 'probe.c')], check=True)
    return path.read_bytes()


def start(cluster, probe_program):
    if os.geteuid() != 0:
        pytest.skip('needs root: a cluster mounts file systems and makes jails')
    cluster.up()
    owner = cluster.client()
    cluster.owner = owner.account
    # The program is readable for every user of the lab, as a shared tool would be.
    owner.container('bin', {'X-Container-Read': '.r:*'})
    owner.put('bin/probe', probe_program)
    return cluster


@pytest.fixture(scope='session')
def cluster(test_folder, probe_program):
    c = zvm.Cluster('main', 21080, nodes=3, replicas=3, fs='auto')
    try:
        yield start(c, probe_program)
    finally:
        c.down()


@pytest.fixture(scope='session')
def second_cluster(test_folder, probe_program):
    """One replica of each object on one of two nodes: a host that is down has no stand-in. Small limits."""
    c = zvm.Cluster('second', 21180, nodes=2, replicas=1, fs='dir',
                    set=['bridge.limits.timeout_cap=10s', 'bridge.limits.memory_cap=1GiB'])
    try:
        yield start(c, probe_program)
    finally:
        c.down()


@pytest.fixture(scope='session')
def owner(cluster):
    return cluster.client()


@pytest.fixture(scope='session')
def stranger(cluster):
    """Somebody with an account of his own and no right in the owner's."""
    return cluster.client('test2:tester2', 'testing2')


@pytest.fixture
def box(owner):
    """A container of this test's own in the owner's account."""
    return owner.container('t-' + uuid.uuid4().hex[:12])


@pytest.fixture(autouse=True)
def leave_it_running(request):
    """A test that killed something gets the cluster restored, whatever became of the test."""
    yield
    if request.node.get_closest_marker('kills') and 'cluster' in request.fixturenames:
        request.getfixturevalue('cluster').restore()
