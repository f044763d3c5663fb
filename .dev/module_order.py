#!/usr/bin/env python3
"""Holds a crate to the order of its lib.rs: a module uses only modules that are listed above it, so that there is no cycle.

usage: module_order.py CRATE…

Tests are left out: they may use whatever they want.
"""
import pathlib
import re
import sys

LISTED = re.compile(r"^(?:pub )?mod (\w+);$", re.MULTILINE)
TEST_MODULE = re.compile(r"^#\[cfg\(test\)\]\n(?:#\[.*\n)*(?:pub(?:\(.*\))? )?mod \w+ \{\n.*?^\}$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
PATH = re.compile(r"\bcrate::(\w+|\{)")
PATH_OF_ROOT = re.compile(r"\b(?:crate|super)::(\w+|\{)")


def main():
    count = 0
    for crate in sys.argv[1:]:
        found = list(faults(pathlib.Path(crate, "src")))
        count += len(found)
        for fault in found:
            print(fault)
        print(f"{crate}: {'every module uses only those above it' if not found else f'{len(found)} against the order'}")
    sys.exit(1 if count else 0)


def faults(source):
    order = LISTED.findall((source / "lib.rs").read_text(encoding="utf-8"))
    rank = {module: place for place, module in enumerate(order)}
    for file in sorted(source.rglob("*.rs")):
        parts = file.relative_to(source).with_suffix("").parts
        module = parts[0]
        if module not in rank or "tests" in parts:
            continue
        is_root = parts[1:] in ((), ("mod",))
        text = blanked(COMMENT, blanked(TEST_MODULE, file.read_text(encoding="utf-8")))
        for used, at in uses(text, PATH_OF_ROOT if is_root else PATH):
            if used in rank and rank[used] > rank[module]:
                line = text.count("\n", 0, at) + 1
                yield f"{file}:{line}: {module} uses {used}, which lib.rs lists below it"


def blanked(pattern, text):
    """Takes out what matches, and leaves the lines where they were."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def uses(text, path):
    for match in path.finditer(text):
        if match[1] == "{":
            yield from group(text, match.end())
        else:
            yield match[1], match.start(1)


def group(text, start):
    """The first names of a `crate::{…}`, whose inner groups are passed over."""
    depth, is_first = 1, True
    for token in re.compile(r"[{},]|\w+").finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return
        if depth == 1 and token[0] not in "{},":
            if is_first:
                yield token[0], token.start()
            is_first = False
        elif depth == 1 and token[0] == ",":
            is_first = True


if __name__ == "__main__":
    main()
