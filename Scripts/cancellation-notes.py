#!/usr/bin/env python3
"""Names each public function of the libraries that may suspend and does not say what cancellation does to it. Who waits
must know what is lost, and what is left, when the wait is cancelled.

    Scripts/cancellation-notes.py FOLDER...

A documentation comment says it with a word of the family of "cancel", or by "as ``another(_:)``". For an iterator's `next`
its sequence, in the same file, may say it. What has no comment has that of the requirement that it meets.
"""
import pathlib
import re
import sys

DECLARATION = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*public\s+(?:[a-z]+(?:\(\w+\))?\s+)*?(func|init|subscript|var)\b")
ATTRIBUTE = re.compile(r"^\s*@\w+(\([^)]*\))?\s*$")
SAYS_IT = re.compile(r"[Cc]ancel|[Aa]s (?:for )?``|[Aa]s the \w+'s own")


def signature(lines, start):
    """The declaration without what stands in parentheses: an `async` of a parameter does not make its function suspend."""
    text, depth = "", 0
    for line in lines[start:start + 30]:
        for character in line.split("//")[0] + " ":
            if character in ")]":
                depth -= 1
            if depth == 0:
                if character == "{":
                    return text
                text += character
            if character in "([":
                depth += 1
        # A requirement of a protocol has no body: it ends where the next comment or declaration begins.
        if depth == 0 and not text.rstrip().endswith(("func", "=", "->")) and "\n" not in text:
            following = lines[start + 1] if start + 1 < len(lines) else ""
            if re.match(r"^\s*(///|public|@|func|var|}|$)", following):
                return text
    return text


def comment_above(lines, number):
    above = number - 1
    while above >= 0 and ATTRIBUTE.match(lines[above]):
        above -= 1
    comment = []
    while above >= 0 and lines[above].lstrip().startswith("///"):
        comment.append(lines[above])
        above -= 1
    return "\n".join(comment)


def violations(path):
    lines = path.read_text().splitlines()
    of_sequence = "\n".join(line for line in lines if line.lstrip().startswith("///"))
    for number, line in enumerate(lines):
        match = DECLARATION.match(line)
        if not match:
            continue
        if match[1] == "var":
            suspends = any("get async" in text for text in lines[number:number + 3])
        else:
            suspends = re.search(r"\basync\b", signature(lines, number))
        if not suspends:
            continue
        comment = comment_above(lines, number)
        if re.search(r"func next\(", line):
            comment += of_sequence
        if comment and not SAYS_IT.search(comment):
            yield f"{path}:{number + 1}: {line.strip()}"


for root in sys.argv[1:]:
    for path in sorted(pathlib.Path(root).rglob("*.swift")):
        for each in violations(path):
            print(each)
