"""The manifests, Peers/*/peers.json: what a peer is, what it needs, how it is built and started."""
import glob
import json
import os
import shlex

from .peers import KINDS, Command, Peer, role_of
from .processes import Failure

TEXTS = ("name", "about", "install", "version", *KINDS)
NEEDS = ("commands", "headers", "modules")


def read_all(directory, build_root):
    """The peers of all groups below a directory, in alphabetical order of the groups.

    Returns entries: a Peer, and its part of the manifest. Raises Failure for a manifest that is not one."""
    entries, owners = [], {}
    for path in sorted(glob.glob(os.path.join(directory, "*", "peers.json"))):
        for peer, source in read(path, build_root):
            if peer.name in owners:
                raise Failure(f"{path}: the name {peer.name!r} is also in {owners[peer.name]}")
            owners[peer.name] = path
            entries.append((peer, source))
    return entries


def read(path, build_root):
    try:
        with open(path) as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {error}") from error
    problems = check(manifest)
    if problems:
        raise Failure("\n".join(f"{path}: {problem}" for problem in problems))
    folder, group = os.path.dirname(os.path.abspath(path)), manifest["group"]
    build = os.path.join(build_root, group)
    entries = []
    for source in manifest["peers"]:
        commands = {
            kind: Command(tuple(split(source[kind], build)), folder) for kind in KINDS if source.get(kind)}
        peer = Peer(source["name"], source.get("about", ""), group, role_of(source["name"]), commands)
        needs = source.get("needs", {})
        entries.append((peer, {
            "folder": folder,
            "needs": {key: needs.get(key, []) for key in NEEDS},
            "install": source.get("install", ""),
            "build_directory": build,
            "build": [split(command, build) for command in source.get("build", [])],
            "version": split(source["version"], build) if source.get("version") else None,
        }))
    return entries


def split(command, build):
    """Like a shell does, without a shell."""
    return [word.replace("{build}", build) for word in shlex.split(command)]


def check(manifest):
    """What is wrong with a manifest, as sentences."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("group"), str) or not isinstance(
            manifest.get("peers"), list):
        return ["a manifest has a 'group' and a list of 'peers'"]
    problems = []
    for number, peer in enumerate(manifest["peers"]):
        if not isinstance(peer, dict) or not isinstance(peer.get("name"), str):
            problems.append(f"peer {number + 1} has no name")
            continue
        problems += [f"{peer['name']}: {problem}" for problem in check_peer(peer)]
    return problems


def check_peer(peer):
    for key, value in peer.items():
        if key in TEXTS:
            # A key that does not apply may also be null.
            if value is not None and not isinstance(value, str):
                yield f"'{key}' is a text"
        elif key == "build":
            if not is_list_of_texts(value):
                yield "'build' is a list of commands"
        elif key == "needs":
            if not isinstance(value, dict) or not all(
                    name in NEEDS and is_list_of_texts(words) for name, words in value.items()):
                yield f"'needs' has lists of {', '.join(NEEDS)}"
        else:
            yield f"there is no key '{key}'"
    kinds = [kind for kind in KINDS if isinstance(peer.get(kind), str)]
    if not kinds:
        yield f"has none of {', '.join(KINDS)}"
    for kind in kinds:
        if "{" + KINDS[kind] + "}" not in peer[kind]:
            yield f"'{kind}' has no {{{KINDS[kind]}}}"


def is_list_of_texts(value):
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
