"""From the command line to the report."""
import os
import sys

from . import arguments, builds, gate, manifests, others, peers, report, system
from .processes import Failure, Session
from .rounds import Group, Progress, Sampling
from .subject import Settings


def main(words):
    progress = Progress(sys.stderr)
    try:
        if words[:1] == ["gate"]:
            return gate.main(words[1:], progress)
        chosen = arguments.parse(words)
        return list_all(chosen) if chosen.list else bench(chosen, progress)
    except Failure as failure:
        progress.tell(failure)
        return 1


def everybody(chosen):
    """All peers, and what the manifests say about building theirs."""
    entries = manifests.read_all(chosen.peers_directory, os.path.join(peers.HERE, ".build-peers"))
    found = [*peers.own(), *(peer for peer, _ in entries), *peers.datagrams_by_hand(), *others.all_of_them()]
    names = {peer.name for peer in found}
    for extra in chosen.extras:
        if extra.name in names:
            raise Failure(f"--extra: there is a peer {extra.name!r} already")
    try:
        meant = peers.chosen(found, chosen.peers)
    except ValueError as error:
        chosen.parser.error(str(error))
    return meant, entries


def list_all(chosen):
    print("Subjects, those with * by default:")
    for subject in arguments.SUBJECTS:
        print(f"  {'*' if subject.is_default else ' '} {subject.name:14} {subject.title}")
    print("\nPeers:")
    found, entries = everybody(chosen)
    needs = {peer.name: source for peer, source in entries}
    for peer in found:
        if peer.name in needs and (lacking := builds.what_is_missing(needs[peer.name]["needs"])):
            peer.missing = f"{' and '.join(lacking)} missing ({needs[peer.name]['install']})"
        kinds = ", ".join(peer.commands)
        print(f"    {peer.name:20} {kinds:18} {peer.about}{'; LEFT OUT: ' + peer.missing if peer.missing else ''}")
    return 0


def bench(chosen, progress):
    kinds = {subject.kind for subject in chosen.subjects}
    meant, entries = everybody(chosen)
    useful = [peer for peer in meant if kinds & peer.commands.keys()]
    # An echo server stands behind the proxies: C, where it can be built.
    behind = [peer for peer, _ in entries if peer.name == "c-epoll"] if "proxy" in kinds else []
    builds.build_own(sorted(kinds | {"echo"} if "proxy" in kinds else kinds), progress.step)
    builds.build_peers([entry for entry in entries if entry[0] in useful + behind], progress.step)
    behind = [peer for peer in [*behind, *peers.own()] if not peer.missing]
    useful = peers.with_control(useful) + chosen.extras
    for peer in useful:
        if peer.missing and peer.role != "control":
            progress.tell(f"left out {peer.name}: {peer.missing}")
    warn(progress)
    with Session() as session:
        groups = plan(chosen, session, useful, behind[0].commands["echo"], progress)
        if not groups:
            raise Failure("there is nothing to measure")
        about = {**system.describe(), "pinning": session.processors.description, "rounds": chosen.rounds,
                 "seconds": chosen.seconds, "quick": chosen.quick}
        sampling = Sampling(groups, chosen.rounds, chosen.minutes, progress, repeats=0 if chosen.quick else 2)
        sampling.run()
    subjects = report.blocks_of(groups)
    report.print_tables(subjects, sys.stdout)
    path = report.write(chosen.output, about, useful, subjects, sampling.faults)
    print(f"\n{path}, with {len(subjects)} subjects; results.json and charts are beside it")
    return 130 if sampling.is_interrupted else 1 if sampling.faults else 0


def warn(progress):
    load_average = os.getloadavg()[0]
    if load_average > 0.5:
        progress.tell(f"the machine is busy (load average {load_average:.1f}): times will not be worth much")


def plan(chosen, session, useful, echo_server, progress):
    """What is measured: the subjects' loads, each with its peers.

    - echo_server: the one behind proxies."""
    if session.descriptors < 10_000 + 64:
        progress.tell(f"no loads of 10,000 connections: the hard limit of open descriptors is {session.descriptors}; "
                      "as root, 'ulimit -Hn 20000' raises it")
    backlog = system.network_backlog()
    if backlog is not None and backlog < 10_000 and any(subject.name == "echo" for subject in chosen.subjects):
        progress.tell("with 10,000 connections packets may get lost, and connections wait for seconds: as root, "
                      f"'sysctl -w net.core.netdev_max_backlog=20000' changes that; it is {backlog}")
    settings = Settings(chosen.seconds, chosen.quick, chosen.instructions)
    groups = []
    for subject_type in chosen.subjects:
        subject = subject_type(session, settings)
        if missing := subject.missing():
            progress.tell(f"left out {subject.name}: {missing}")
            continue
        subject.echo_server = echo_server
        able = [peer for peer in useful if subject.kind in peer.commands and not peer.missing]
        for load in subject.loads():
            if able and (not chosen.loads or any(word in load for word in chosen.loads)):
                groups.append(Group(subject, load, able))
    return groups
