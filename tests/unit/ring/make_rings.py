#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes data/*.ring.gz and data/expected.json, which ring_test.cc reads. Run again only to add a ring.

Rings are made and asked by Swift's own code (Debian package python3-swift). Format v2 and big-endian
v1 files, which that version does not write, are written here as swift/common/ring/io.py of 2.36 does.
"""
import array
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import zlib

from swift.common import utils
from swift.common.ring import RingBuilder, RingData

# Ring insists on a hash suffix although placement by partition number does not use it.
utils.HASH_PATH_SUFFIX, utils.HASH_PATH_PREFIX = b'endcap', b''
from swift.common.ring import Ring  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')
MTIME = 1300507380.0


def device(region, zone, node, n, weight=100.0):
    return {'region': region, 'zone': zone, 'ip': '10.%d.%d.%d' % (region, zone, node), 'port': 6200 + n,
            'replication_ip': '10.%d.%d.%d' % (region, zone, 100 + node), 'replication_port': 6300 + n,
            'device': 'd%d' % n, 'weight': weight, 'meta': ''}


def build(part_power, replicas, devices, remove=()):
    builder = RingBuilder(part_power, replicas, 1)
    for d in devices:
        builder.add_dev(d)
    builder.rebalance(seed='1')
    for dev_id in remove:
        builder.remove_dev(dev_id)
    if remove:
        builder.pretend_min_part_hours_passed()
        builder.rebalance(seed='2')
    return builder.get_ring()


def one():
    return build(4, 1, [device(1, 1, 1, 1)])


def lab():
    return build(6, 3, [device(1, 1, node, n) for node in (1, 2, 3) for n in (1, 2)])


def regions():
    """Two regions, weights, a fractional replica, one device that was removed and one that is empty."""
    devices = [device(1 + i % 2, 1 + i % 3, 1 + i % 4, i, 50.0 + 10 * (i % 5)) for i in range(21)]
    devices.append(device(2, 9, 9, 30, 0.0))
    return build(7, 3.35, devices, remove=(5,))


def wide():
    """2**17 partitions: the walk for hand-offs takes steps of two. A pattern, so that the file is small."""
    parts = 1 << 17
    devices = [dict(device(1 + i // 8, 1 + i // 4, 1 + i // 2, i), id=i) for i in range(16)]
    rows = [array.array('H', ((p * 5 + r * 7 + p // 4096) % 16 for p in range(parts))) for r in range(2)]
    rows.append(array.array('H', ((p // 3) % 16 for p in range(parts // 2))))
    return RingData(rows, devices, 15)


def write_v1(name, ring, byteorder):
    text = json.dumps({'devs': ring.devs, 'part_shift': ring._part_shift, 'byteorder': byteorder, 'version': 3,
                       'replica_count': len(ring._replica2part2dev_id)}, sort_keys=True).encode()
    raw = struct.pack('!4sHI', b'R1NG', 1, len(text)) + text
    for row in ring._replica2part2dev_id:
        row = array.array('H', row)
        if byteorder != sys.byteorder:
            row.byteswap()
        raw += row.tobytes()
    out = io.BytesIO()
    with gzip.GzipFile('', 'wb', fileobj=out, mtime=MTIME) as f:
        f.write(raw)
    write(name, out.getvalue())


def write_v2(name, ring, id_bytes):
    out = io.BytesIO()
    f = gzip.GzipFile('', 'wb', fileobj=out, mtime=MTIME)
    index = {}

    def level(n):
        f.flush(zlib.Z_FULL_FLUSH)
        f.compress = zlib.compressobj(n, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0)

    def section(section_name, data):
        start = len(out.getvalue()), f.tell()
        blob = struct.pack('!Q', len(data)) + data
        f.write(blob)
        f.flush(zlib.Z_FULL_FLUSH)
        index[section_name] = [*start, len(out.getvalue()), f.tell(), 'sha256', hashlib.sha256(blob).hexdigest()]
        return start

    level(0)
    f.write(struct.pack('!4sH', b'R1NG', 2))
    level(9)
    section('swift/ring/metadata', json.dumps(
        {'part_shift': ring._part_shift, 'dev_id_bytes': id_bytes, 'version': 3,
         'replica_count': ring.replica_count}, sort_keys=True).encode())
    section('swift/ring/devices', json.dumps(ring.devs, sort_keys=True).encode())
    section('swift/ring/assignments', b''.join(
        i.to_bytes(id_bytes, 'big') for row in ring._replica2part2dev_id for i in row))
    compressed, plain = section('swift/index', json.dumps(index).encode())
    level(0)
    f.write(struct.pack('!Q', plain))
    f.flush(zlib.Z_FULL_FLUSH)
    f.write(struct.pack('!Q', compressed))
    f.flush(zlib.Z_FULL_FLUSH)
    f.close()
    write(name, out.getvalue())


def write(name, data):
    with open(os.path.join(DATA, name + '.ring.gz'), 'wb') as f:
        f.write(data)


def answers(name, partitions):
    ring = Ring(DATA, ring_name=name)
    return {'part_power': ring.part_power, 'replicas': ring.replica_count,
            'devices': [d and [d['region'], d['zone'], d['ip'], d['port'], d['replication_ip'],
                               d['replication_port'], d['device'], d['weight']] for d in ring.devs],
            'parts': [[p, [d['id'] for d in ring.get_part_nodes(p)], [d['id'] for d in ring.get_more_nodes(p)]]
                      for p in partitions or range(ring.partition_count)]}


def main():
    os.makedirs(DATA, exist_ok=True)
    expected = {}
    for make in (one, lab, regions, wide):
        ring = make()
        name = make.__name__
        ring.save(os.path.join(DATA, name + '.ring.gz'))
        os.utime(os.path.join(DATA, name + '.ring.gz'))
        sample = [*range(0, 1 << 17, 4099), (1 << 17) - 1] if make is wide else None
        expected[name] = answers(name, sample)
        write_v2(name + '-v2', ring, 2)
    write_v1('regions-big-endian', regions(), 'big')
    write_v2('regions-v2-wide-ids', regions(), 4)
    with open(os.path.join(DATA, 'expected.json'), 'w') as f:
        f.write(json.dumps(expected).replace('], [[', '],\n[[').replace(']], [', ']],\n[') + '\n')


if __name__ == '__main__':
    main()
