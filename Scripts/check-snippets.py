#!/usr/bin/env python3
"""Compiles the programs of the documentation: each Swift block of README.md and of the articles that begins with an
import of Eddy, as somebody would who pastes it into a file of its own. In an article on tests all blocks make one file, and
what imports EddyTesting alone goes on from the program before it.

    Scripts/check-snippets.py [FILE...]

Prints what the compiler says of those that do not compile, and fails if there are any.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```swift\n(.*?)^```", re.S | re.M)


def programs(article):
    text = article.read_text()
    blocks = [(text[:match.start()].count("\n") + 2, match[1]) for match in BLOCK.finditer(text)]
    if any("@Test" in block for _, block in blocks):
        return [(blocks[0][0], "\n".join(block for _, block in blocks))]
    found = []
    for line, block in blocks:
        if re.match(r"(?://.*\n)?import Eddy(Reactor)?\n", block):
            found.append((line, block))
        elif block.startswith("import EddyTesting\n") and found:
            found.append((line, found[-1][1] + block))
    return found


def flags(binaries):
    toolchain = pathlib.Path(subprocess.run(["which", "swift"], capture_output=True, text=True).stdout.strip()).resolve()
    testing = toolchain.parent.parent / "lib" / "swift" / "host" / "plugins" / "testing"
    return [
        "-typecheck", "-swift-version", "6", "-enable-upcoming-feature", "MemberImportVisibility",
        "-I", str(binaries / "Modules"), "-I", str(ROOT / "Sources" / "CEpoll"),
        "-I", str(ROOT / "Sources" / "CEddyTask" / "include"), "-plugin-path", str(testing),
        "-module-cache-path", str(binaries / "ModuleCache"), "-suppress-warnings",
    ]


def compile_one(job):
    article, line, text, options = job
    with tempfile.TemporaryDirectory() as directory:
        # A program with `@main` is a library to the compiler; one with statements at its top level is a `main.swift`.
        is_library = "@main" in text or "@Test" in text
        path = pathlib.Path(directory) / ("Program.swift" if is_library else "main.swift")
        path.write_text(text)
        extra = ["-parse-as-library"] if is_library else []
        if "defaultIsolation(MainActor.self)" in text.splitlines()[0]:
            extra += ["-default-isolation", "MainActor"]
        result = subprocess.run(["swiftc", *options, *extra, str(path)], capture_output=True, text=True)
        if result.returncode == 0:
            return None
        return f"{article.relative_to(ROOT)}:{line}:\n" + result.stderr.replace(str(path), f"{article.name}+{line}")


def main():
    named = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
    articles = named or [ROOT / "README.md", *sorted(ROOT.glob("Sources/*/*.docc/*.md"))]
    for library in ["EddyTesting", "EddyJSON"]:
        subprocess.run(["swift", "build", "--quiet", "--target", library], cwd=ROOT, check=True)
    shown = subprocess.run(["swift", "build", "--show-bin-path"], capture_output=True, text=True, cwd=ROOT, check=True)
    options = flags(pathlib.Path(shown.stdout.strip()))
    jobs = [(article, line, text, options) for article in articles for line, text in programs(article)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(compile_one, jobs) if failure]
    print("\n".join(failures), end="")
    print(f"check-snippets: {len(jobs) - len(failures)} of {len(jobs)} programs compile")
    sys.exit(1 if failures else 0)


main()
