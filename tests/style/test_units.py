# SPDX-License-Identifier: MIT
"""The shipped systemd units: understood by systemd, and hardened."""
import os
import re
import shutil
import subprocess

import pytest
from sources import TOP, text, tracked

UNITS = [p for p in tracked() if p.startswith('systemd/') and p.endswith(('.service', '.socket', '.slice'))]
# systemd-analyze's exposure, 0 (safe) to 10; the broker makes mounts and namespaces, so it cannot be as tight.
EXPOSURE = {'zvm-bridge.service': 1.4, 'zvm-hostd.service': 1.6, 'zvm-broker.service': 3.8}

needs_analyze = pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='systemd-analyze is not installed')


@pytest.fixture(scope='module')
def unit_root(tmp_path_factory):
    """A root of its own with our units and the programs they start, so nothing of this machine matters."""
    root = tmp_path_factory.mktemp('root')
    for d in ('etc/systemd/system', 'usr/lib/systemd/system', 'usr/sbin', 'usr/bin'):
        (root / d).mkdir(parents=True)
    for path in UNITS:
        shutil.copy(os.path.join(TOP, path), root / 'usr/lib/systemd/system')
        for program in re.findall(r'^Exec\w+=[-+!@:|]*(\S+)', text(path), re.M):
            target = root / program.lstrip('/')
            target.write_text('#!/bin/sh\n')
            target.chmod(0o755)
    return root


@needs_analyze
@pytest.mark.parametrize('unit', [u for u in UNITS if u.endswith('.service')])
def test_exposure_stays_under_its_threshold(unit):
    name = os.path.basename(unit)
    r = subprocess.run(['systemd-analyze', 'security', '--offline=yes', '--no-pager',
                        '--threshold=%d' % round(EXPOSURE[name] * 10), os.path.join(TOP, unit)],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


@needs_analyze
@pytest.mark.parametrize('unit', UNITS)
def test_systemd_understands_every_line(unit, unit_root):
    r = subprocess.run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', '--root=%s' % unit_root,
                        os.path.basename(unit)], capture_output=True, text=True)
    ours = [line for line in (r.stdout + r.stderr).splitlines()
            if 'zvm' in line and not re.search(r'Failed to (add|load|prepare)|not found', line)]
    assert not ours, '\n'.join(ours)


def test_settings_that_are_not_plain_carry_a_reason():
    """A comment stands above every hardening or resource line, or above the block it opens."""
    plain = {'Description', 'Documentation', 'After', 'Before', 'Requires', 'Wants', 'WantedBy', 'Type', 'ExecStart',
             'ExecStartPre', 'ExecReload', 'User', 'Group', 'Also', 'ListenSequentialPacket', 'ListenStream', 'Slice'}
    wrong = []
    for path in UNITS:
        reasoned = False
        for number, line in enumerate(text(path).splitlines(), 1):
            if line.startswith('#'):
                reasoned = True
            elif not line.strip():
                reasoned = False
            elif '=' in line and line.split('=', 1)[0] not in plain and not reasoned:
                wrong.append('%s:%d: %s' % (path, number, line))
    assert not wrong, '\n'.join(wrong)
