"""Builds Eddy's programs and the peers, and finds out what can't be built here."""
import json
import os
import shutil
import subprocess

from . import peers
from .processes import Failure

EXAMPLES_OF = {
    "echo": "echo-server", "loops": "echo-server", "http": "http-hello", "udp": "udp-echo", "proxy": "tcp-proxy",
    "resp": "redis-ping"}


def build_own(kinds, say):
    """Eddy's programs for these kinds of subjects, in release mode."""
    products = [EXAMPLES_OF[kind] for kind in kinds if kind in EXAMPLES_OF]
    for product in products:
        say(f"building {product}")
        swift_build(peers.ROOT, product)
    for product in ["eddy-bench"] * ("micro" in kinds) + ["eddy-load"] * bool(products):
        say(f"building {product}")
        swift_build(peers.HERE, product)


def swift_build(package, product):
    command = ["swift", "build", "-c", "release", "--product", product, "--package-path", package]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failure(f"swift does not start: {error}") from error
    if result.returncode != 0:
        raise Failure(f"{product} does not build:\n{result.stdout}{result.stderr}")


def build_peers(entries, say):
    """Builds what can be built. `missing` of the others says what they lack."""
    finished, versions = {}, {}
    for peer, source in entries:
        lacking = what_is_missing(source["needs"])
        if lacking:
            install = f" ({source['install']})" if source["install"] else ""
            peer.missing = f"{' and '.join(lacking)} missing{install}"
            continue
        os.makedirs(source["build_directory"], exist_ok=True)
        for command in source["build"]:
            # Several peers may share one.
            key = (source["folder"], *command)
            if key not in finished:
                finished[key] = run_build(source, command, lambda: say(f"building {peer.name}"))
            if finished[key]:
                peer.missing = finished[key]
                break
        if source["version"] and not peer.missing:
            key = (source["folder"], *source["version"])
            if key not in versions:
                versions[key] = first_line(source["version"], source["folder"])
            peer.version = versions[key]


def what_is_missing(needs):
    lacking = [command for command in needs["commands"] if not shutil.which(command)]
    if needs["headers"] and not lacking:
        lacking += [f"<{header}>" for header in needs["headers"] if not has_header(header)]
    if needs["modules"] and not lacking:
        lacking += [f"module {module}" for module in needs["modules"] if not has_module(module)]
    return lacking


def has_header(header):
    """Whether the C++ compiler would find it: it looks where the C compiler does, and in more places."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return False
    test = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
    return subprocess.run(
        [compiler, "-E", "-x", "c", "-"], input=test, capture_output=True, text=True, check=False).returncode == 0


def has_module(module):
    return subprocess.run(
        ["python3", "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def run_build(source, command, announce):
    """None when it worked, or has before; else why not."""
    stamps = Stamps(source)
    if stamps.is_fresh(command):
        return None
    announce()
    # What is changed while it builds is younger.
    began = stamps.now()
    try:
        result = subprocess.run(
            command, cwd=source["folder"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"'{command[0]}' does not start: {error}"
    if result.returncode == 0:
        stamps.set(command, began)
        return None
    log = os.path.join(source["build_directory"], "build.log")
    with open(log, "w") as file:
        file.write(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines[-1:] or [f"status {result.returncode}"]
    return f"does not build: {errors[0][:200]} (all of it in {os.path.relpath(log)})"


def first_line(command, folder):
    try:
        result = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0].strip() if lines and result.returncode == 0 else ""


class Stamps:
    """Which commands have run since the sources last changed: some tools need seconds to find that nothing is to do."""

    def __init__(self, source):
        self.path = os.path.join(source["build_directory"], "stamps.json")
        self.folder = source["folder"]

    def is_fresh(self, command):
        return self.read().get(" ".join(command), 0) > newest(self.folder)

    def now(self):
        """The time of the file system's own clock, which the sources' times are of."""
        with open(self.path, "a"):
            os.utime(self.path)
        return os.stat(self.path).st_mtime

    def set(self, command, time):
        stamps = self.read()
        stamps[" ".join(command)] = time
        with open(self.path, "w") as file:
            json.dump(stamps, file, indent=1)

    def read(self):
        try:
            with open(self.path) as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}


def newest(folder):
    """When the youngest file below a folder was changed, build directories aside."""
    youngest = 0
    for root, directories, files in os.walk(folder):
        directories[:] = [name for name in directories if not name.startswith(".build") and name != "target"]
        youngest = max([youngest] + [os.stat(os.path.join(root, name)).st_mtime for name in files])
    return youngest
