# SPDX-License-Identifier: MIT
"""Who may use whom, read from the #include lines (docs/architecture.md, Folders). The build says the
same by what each target links; this test also sees headers that need no library."""
import re

from sources import cxx, line_of, text

# A file belongs to the longest of these prefixes; what it may include, likewise by longest prefix.
MAY_USE = {
    'base/sys/': {'base/sys/'},
    'base/': {'base/sys/', 'base/'},
    'host/protocol/': {'base/sys/', 'base/', 'host/protocol/'},
    'fuse_channels/': {'base/sys/', 'base/', 'fuse_channels/'},
    'loader/': {'base/sys/', 'base/', 'loader/'},
    'host/': {'base/sys/', 'base/', 'host/protocol/', 'fuse_channels/', 'loader/', 'host/'},
    'swift_bridge/': {'base/sys/', 'base/', 'host/protocol/', 'swift_bridge/'},
    'cli/': {'base/sys/', 'base/', 'cli/'},
}

# Libraries that one folder wraps: everything else goes through the wrapper.
WRAPPED = {
    'liburing.h': ('base/async/',), 'openssl/': ('base/',), 'nlohmann/': ('base/',), 'boost/beast': ('base/http/',),
    # policyc runs while the project is built and stands on no module of it.
    'toml++/': ('base/', 'loader/policyc.cc'),
    'fuse3/': ('fuse_channels/',), 'fuse_lowlevel.h': ('fuse_channels/',), 'seccomp.h': ('loader/',),
    'sys/capability.h': ('loader/',),
}

# Slow to compile: kept out of headers, so that only the files which need them pay. base/json.h hands
# nlohmann's type on and therefore counts as one of them.
HEAVY = ('nlohmann/', 'boost/', 'toml++/', 'CLI/', 'fmt/ranges.h', 'base/json.h')


def module(path):
    return max((m for m in MAY_USE if path.startswith(m)), key=len, default=None)


def includes(path):
    source = text(path)
    for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', source, re.M):
        yield line_of(source, m.start()), m.group(1), m.group(2)


def test_folders_use_only_what_they_may():
    wrong = []
    for path in cxx():
        own = module(path)
        if own is None:
            continue
        for line, _, target in includes(path):
            other = module(target)
            if other is not None and other not in MAY_USE[own]:
                wrong.append('%s:%d: %s may not use %s' % (path, line, own, target))
    assert not wrong, '\n'.join(wrong)


def test_own_headers_are_included_by_their_path_from_the_top():
    wrong = ['%s:%d: "%s"' % (path, line, target) for path in cxx() if module(path)
             for line, kind, target in includes(path) if kind == '"' and '/' not in target]
    assert not wrong, '\n'.join(wrong)


def test_libraries_are_used_through_their_wrapper():
    wrong = ['%s:%d: <%s> belongs behind %s' % (path, line, target, home) for path in cxx() if module(path)
             for line, kind, target in includes(path) if kind == '<'
             for library, home in WRAPPED.items() if target.startswith(library) and not path.startswith(home)]
    assert not wrong, '\n'.join(wrong)


def test_heavy_headers_stay_out_of_headers():
    wrong = ['%s:%d: <%s>' % (path, line, target) for path in cxx(('.h',)) if module(path)
             for line, _, target in includes(path) if target.startswith(HEAVY) and path != 'base/json.h']
    assert not wrong, '\n'.join(wrong)
