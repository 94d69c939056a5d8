# SPDX-License-Identifier: MIT
"""The tree's own files, for the tests beside this one."""
import functools
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@functools.lru_cache(maxsize=None)
def tracked():
    """Paths relative to the top, as git knows them; new files that are not ignored included."""
    out = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=TOP,
                         capture_output=True, check=True).stdout.decode()
    return sorted(p for p in set(out.split('\0')) if p and os.path.isfile(os.path.join(TOP, p)))


@functools.lru_cache(maxsize=None)
def text(path):
    with open(os.path.join(TOP, path), encoding='utf-8', errors='replace') as f:
        return f.read()


def cxx(suffixes=('.cc', '.h')):
    return [p for p in tracked() if p.endswith(suffixes) and not p.startswith('tests/fuzz/corpus/')]


def without_comments(source):
    """The code with comments blanked and string contents emptied; line numbers stay."""
    def blank(m):
        s = m.group(0)
        if s.startswith('R"'):
            return '""' + '\n' * s.count('\n')
        if s[0] in '"\'':
            return s[0] * 2
        return '\n' * s.count('\n')
    return re.sub(r'R"([^()\s]*)\((?:.|\n)*?\)\1"|//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"'
                  r"|'(?:\\.|[^'\\\n])+'", blank, source)


def line_of(source, position):
    return source.count('\n', 0, position) + 1
