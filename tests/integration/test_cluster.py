# SPDX-License-Identifier: MIT
"""tests/cluster/cluster keeps its word: idempotent, restorable, and leaving nothing behind."""
import os
import subprocess

import zvm


def machine_state(directory):
    """What a cluster in this folder has on the machine."""
    with open('/proc/self/mountinfo') as f:
        found = [line.strip() for line in f if directory + '/' in line]
    found += [line for line in subprocess.run(['losetup', '-a'], capture_output=True, text=True).stdout.splitlines()
              if directory + '/' in line]
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % pid, 'rb') as f:
                if (directory + '/').encode() in f.read() and int(pid) != os.getpid():
                    found.append('process ' + pid)
        except OSError:
            pass
    return found


def pids(cluster):
    run = os.path.join(cluster.dir, 'run')
    return {name: open(os.path.join(run, name)).read() for name in os.listdir(run) if name.endswith('.pid')}


def test_a_whole_life(test_folder):
    c = zvm.Cluster('life', 21380, nodes=2, replicas=2, fs='auto')
    try:
        c.up()
        before = pids(c)
        c.up()
        assert pids(c) == before
        assert c.run('status').count(' up ') >= 5
        assert c.client().raw('GET', '/healthcheck').status == 200
        c.kill('host2', nine=True)
        r = c.run('status', check=False)
        assert 'host2' in r and 'down' in r
        c.up()
        after = pids(c)
        assert {n for n in before if before[n] != after[n]} == {'host2.pid'}
        c.kill('broker1', nine=True)
        c.kill('object1')
        c.kill('bridge')
        c.up()
        c.run('status')
    finally:
        c.down()
    assert not os.path.exists(c.dir)
    assert not machine_state(c.dir)
    assert 'none in' in c.run('down')


def test_a_setting_that_nobody_knows_is_refused():
    c = zvm.Cluster('wrong', 21480, nodes=1, set=['bridge.no_such_setting=1'])
    try:
        r = c.run('up', '--port', '21480', '--build', zvm.BUILD, '--set', 'bridge.no_such_setting=1', check=False)
        assert 'no_such_setting' in r and 'refuses' in r, r
    finally:
        c.down()
