#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes data/selections.json, which rules_test.cc reads: listings of hash directories and the files that
Swift's own code (Debian package python3-swift) takes from them. Run again only to add a kind of name."""
import json
import os
import random

from swift.common import utils

utils.HASH_PATH_SUFFIX = b'endcap'
from swift.common.storage_policy import POLICIES  # noqa: E402
from swift.obj.diskfile import DiskFileManager  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')
# Few times, so that equal ones meet.
TIMES = ['1795352857.15555', '1795352857.15555_0000000000000001', '1795352857.15556', '1795352858.00000',
         '1795352858.00000_00000000000000ff', '1700000000.00000']
NOISE = ['.1795352857.15555.data.Xy12Zz', '.lock', 'hashes.pkl', '1795352857.15555.tmp']


def name(rng):
    t = rng.choice(TIMES)
    kind = rng.choice(['.data', '.data', '.meta', '.meta', '.ts', 'ctype'])
    if kind == 'ctype':
        return t + rng.choice(['+0', '-1', '-3b9aca00', '+2f']) + '.meta'
    return t + kind


def main():
    rng = random.Random(1)
    manager = DiskFileManager({'devices': '/srv/node', 'mount_check': 'false'}, None)
    cases = []
    for _ in range(250):
        listing = sorted({name(rng) for _ in range(rng.randint(0, 5))})
        found = manager.get_ondisk_files(listing, '/d', policy=POLICIES.legacy)
        base = {k: found.get(k) and os.path.basename(found[k]) for k in ('data_file', 'meta_file', 'ts_file')}
        listing = listing + rng.sample(NOISE, rng.randint(0, 2))
        rng.shuffle(listing)
        cases.append([listing, base['data_file'], base['meta_file'], base['ts_file']])
    with open(os.path.join(DATA, 'selections.json'), 'w') as f:
        f.write('[\n' + ',\n'.join(json.dumps(c) for c in cases) + '\n]\n')


if __name__ == '__main__':
    main()
