#!/usr/bin/env python3
"""Names each public function of the libraries that may suspend and whose documentation comment does not say what
cancellation does to it. Who waits must know what is lost, and what is left, when the wait is cancelled.

A comment says it with the word "Cancellation", "cancelled", "cancels" or "cancellation" in it; a member of a protocol
that others implement says it at the requirement.
"""
import pathlib
import re
import sys

DECLARATION = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*public\s+(?:[a-z]+(?:\(\w+\))?\s+)*?(func|init|subscript|var)\b")
ATTRIBUTE = re.compile(r"^\s*@\w+(\([^)]*\))?\s*$")
SAYS_IT = re.compile(r"[Cc]ancel")


def signature(lines, start):
    """The declaration from its first line up to the brace that opens its body, or its last line in a protocol."""
    text, depth = "", 0
    for line in lines[start:start + 30]:
        code = line.split("//")[0]
        for character in code:
            if character == "{" and depth == 0:
                return text
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
            text += character
        text += " "
        if depth == 0 and not code.rstrip().endswith(("(", ",", "->", "async", "throws")):
            following = lines[start + text.count("\n") + 1:start + 2]
            if not following or not re.match(r"^\s*(async|throws|->|where|\{)", following[0]):
                pass
    return text


def without_parameters(text):
    """What stands outside of parentheses: `async` of a closure parameter does not make its function suspend."""
    result, depth = "", 0
    for character in text:
        depth -= character == ")"
        if depth == 0:
            result += character
        depth += character == "("
    return result


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
    for number, line in enumerate(lines):
        match = DECLARATION.match(line)
        if not match:
            continue
        outside = without_parameters(signature(lines, number))
        if match[1] == "var":
            suspends = any("get async" in text for text in lines[number:number + 3])
        else:
            suspends = re.search(r"\basync\b", outside)
        if suspends and not SAYS_IT.search(comment_above(lines, number)):
            yield f"{path}:{number + 1}: {line.strip()}"


found = [each for root in sys.argv[1:] for path in sorted(pathlib.Path(root).rglob("*.swift")) for each in violations(path)]
print("\n".join(found), end="\n" if found else "")
