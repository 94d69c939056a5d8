#!file://host:/usr/bin/python3
# Lines, words and bytes of standard input. The first line names the interpreter as the storage node
# has it: image `host` is the node's own /usr, read-only.
import sys

lines = words = size = 0
in_word = False
for block in iter(lambda: sys.stdin.buffer.read(1 << 20), b""):
    lines += block.count(b"\n")
    size += len(block)
    words += len(block.split())
    # A word that two blocks share was counted in both.
    words -= in_word and not block[:1].isspace()
    in_word = not block[-1:].isspace()
print(lines, words, size)
