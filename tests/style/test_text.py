# SPDX-License-Identifier: MIT
"""What can be seen in the text of the sources."""
import os
import re
import tomllib

from sources import TOP, cxx, line_of, text, tracked, without_comments

# Written in halves, so that this file does not find itself.
UNFINISHED = re.compile(r'\b(%s)\b' % '|'.join(
    a + b for a, b in (('TO', 'DO'), ('FIX', 'ME'), ('XX', 'X'), ('HA', 'CK'), ('place', 'holder'), ('for ', 'now'),
                       ('st', 'ub'), ('not implemented ', 'yet'))))
WORKPLACE = re.compile('|'.join((
    r'(?<![\w/])/ro' r'ot/(?!\.)', r'(?<![\w/])/ho' r'me/\w', r'(?<![\w/])/wo' r'rk/', r'https?://[\w.-]*\bdeb' r'ian\.')))
MAX_LINES = 700


def own_text_files():
    for path in tracked():
        if path.startswith('tests/fuzz/corpus/') or path.endswith(('.png', '.bin', '.gz')):
            continue
        yield path


def findings(pattern, paths):
    out = []
    for path in paths:
        source = text(path)
        out += ['%s:%d: %s' % (path, line_of(source, m.start()), m.group(0)) for m in pattern.finditer(source)]
    return out


def test_nothing_is_left_unfinished():
    found = findings(UNFINISHED, own_text_files())
    assert not found, '\n'.join(found)


def test_no_path_of_a_workplace():
    found = findings(WORKPLACE, own_text_files())
    assert not found, '\n'.join(found)


def test_headers_guard_themselves_and_say_what_they_are_for():
    wrong = []
    for path in cxx(('.h',)):
        if '#pragma once' not in text(path):
            wrong.append(path + ': no #pragma once')
        if not text(path).lstrip().startswith('//'):
            wrong.append(path + ': no comment at the top')
    assert not wrong, '\n'.join(wrong)


def test_files_hold_one_idea():
    wrong = ['%s: %d lines' % (p, text(p).count('\n')) for p in tracked()
             if p.endswith(('.cc', '.h', '.py')) and text(p).count('\n') > MAX_LINES]
    assert not wrong, '\n'.join(wrong)


# g++ 12 destroys class temporaries twice that are made by braces or ?: inside a co_await expression, and
# miscompiles conditions and member accesses on an awaited class: every such form is written with a name.
MISCOMPILED = (
    (re.compile(r'!\s*co_await\b'), 'negated co_await'),
    (re.compile(r'\(\s*co_await\b[^;]*?\)\s*(?:\.|->)\s*\w'), 'member of an awaited value'),
    (re.compile(r'\bco_await\b[^;{}]*[\w>]\{[^;]*;'), 'braced temporary in a co_await expression'),
    (re.compile(r'\bco_await\b[^;{}]*\?[^;{}]*:[^;{}]*;'), 'conditional in a co_await expression'),
)


def conditions(code):
    """Position and text of each parenthesised head of if, while and switch."""
    for m in re.finditer(r'\b(?:if|while|switch)\s*(?:constexpr\s*)?\(', code):
        depth, end = 1, m.end()
        while depth and end < len(code):
            depth += {'(': 1, ')': -1}.get(code[end], 0)
            end += 1
        yield m.start(), code[m.end():end]


def test_co_await_stays_clear_of_compiler_bugs():
    wrong = []
    for path in cxx():
        code = without_comments(text(path))
        for pattern, what in MISCOMPILED:
            wrong += ['%s:%d: %s' % (path, line_of(code, m.start()), what) for m in pattern.finditer(code)]
        wrong += ['%s:%d: co_await in a condition' % (path, line_of(code, position))
                  for position, head in conditions(code) if re.search(r'\bco_await\b', head)]
    assert not wrong, '\n'.join(wrong)


def test_scripts_are_executable_and_say_how_they_run():
    wrong = []
    for path in own_text_files():
        executable = os.access(os.path.join(TOP, path), os.X_OK)
        if executable != text(path).startswith('#!/'):
            wrong.append(path)
    assert not wrong, 'executable without #! or the other way round: ' + ', '.join(wrong)


def test_each_seccomp_rule_has_a_reason():
    wrong = []
    for path in tracked():
        if path.startswith('loader/policies/') and path.endswith('.toml'):
            policy = tomllib.loads(text(path))
            rules = [rule for value in policy.values() if isinstance(value, list) for rule in value]
            assert rules, path
            wrong += ['%s: %s' % (path, rule) for rule in rules if not isinstance(rule, dict) or not rule.get('why')]
    assert not wrong, '\n'.join(wrong)
