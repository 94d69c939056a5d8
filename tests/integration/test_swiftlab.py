# SPDX-License-Identifier: MIT
"""The lab's Swift hashes names with the lab's own prefix and suffix, whatever /etc/swift says."""
import os
import subprocess
import sys

import pytest
import zvm

LAB = os.path.join(zvm.TOP, 'tests', 'cluster', 'swiftlab')

# In a mount namespace of its own, so that no real /etc/swift is touched. $1: swiftlab, $2: its folder.
SCRIPT = r'''
set -eu
mkdir -p /etc/swift
mount -t tmpfs none /etc/swift
if [ "$3" = present ]; then
  printf '[swift-hash]\nswift_hash_path_prefix = other\nswift_hash_path_suffix = other\n' > /etc/swift/swift.conf
fi
trap '"$0" "$1" down --purge --dir "$2" > /dev/null' EXIT
"$0" "$1" up --dir "$2" --port 21280
token=$(curl -sS -i http://127.0.0.1:21280/auth/v1.0 -H 'X-Auth-User: test:tester' -H 'X-Auth-Key: testing' |
  tr -d '\r' | awk 'tolower($1) == "x-auth-token:" {print $2}')
for target in c c/o; do
  curl -sS -f -X PUT -H "X-Auth-Token: $token" -d data "http://127.0.0.1:21280/v1/AUTH_test/$target"
done
"$0" "$1" exec --dir "$2" swift-get-nodes "$2/etc/object.ring.gz" AUTH_test c o | awk '/^Hash/ {print "tool", $2}'
find "$2/node1/srv/node/d1/objects" -name '*.data' | awk -F/ '{print "disk", $(NF - 1)}'
python=$0
"$python" - "$2/etc/swift.conf" << 'PYTHON'
import configparser, hashlib, sys
conf = configparser.ConfigParser()
conf.read(sys.argv[1])
conf = conf['swift-hash']
print('lab', hashlib.md5((conf['swift_hash_path_prefix'] + '/AUTH_test/c/o' +
                          conf['swift_hash_path_suffix']).encode()).hexdigest())
PYTHON
'''


@pytest.mark.parametrize('etc_swift', ['present', 'absent'])
def test_names_are_hashed_with_the_labs_own_configuration(etc_swift):
    if os.geteuid() != 0:
        pytest.skip('needs root: a mount namespace hides /etc/swift')
    lab = os.path.join(zvm.TEST_DIR, 'lab')
    r = subprocess.run(['unshare', '-m', 'bash', '-c', SCRIPT, sys.executable, LAB, lab, etc_swift],
                       capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert r.returncode == 0, r.stdout + r.stderr
    hashes = dict(line.split() for line in r.stdout.splitlines() if line.startswith(('tool ', 'disk ', 'lab ')))
    assert set(hashes) == {'tool', 'disk', 'lab'}, r.stdout + r.stderr
    assert len(set(hashes.values())) == 1, hashes
