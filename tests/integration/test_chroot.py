# SPDX-License-Identifier: MIT
"""Jails start where the broker runs in a chroot, which by itself may make no user namespace."""
import os
import re
import subprocess

import pytest
import zvm

SCRIPT = r'''
set -eu
mount --make-rprivate /
mount --rbind / "$1"
exec chroot "$1" "$2" --gtest_brief=1 --gtest_filter="$3"
'''


def test_jails_start_in_a_chroot(tmp_path):
    program = os.path.join(zvm.BUILD, 'tests', 'loader_kernel_test')
    if not os.path.exists(program):
        pytest.skip('loader_kernel_test is not built in ' + zvm.BUILD)
    r = subprocess.run(['unshare', '-m', 'sh', '-c', SCRIPT, 'sh', str(tmp_path), program, 'Programs.*'],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    needs = re.search(r'^needs (.*)', r.stdout, re.M)
    if needs:
        pytest.skip('needs ' + needs.group(1))
    assert r.returncode == 0, r.stdout + r.stderr
