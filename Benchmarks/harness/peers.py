"""Who is measured: Eddy's own programs, the peers of the manifests, and what --extra names."""
import dataclasses
import os
import shlex

from . import processes

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(HERE)
EXAMPLES = os.path.join(ROOT, ".build", "release")
PROGRAMS = os.path.join(HERE, ".build", "release")
LOAD = os.path.join(PROGRAMS, "eddy-load")
BENCH = os.path.join(PROGRAMS, "eddy-bench")

# What a command can be, and the placeholder that it needs.
KINDS = {"echo": "port", "http": "port", "udp": "port", "proxy": "target", "resp": "keys", "loops": "loops",
         "micro": "bench"}


@dataclasses.dataclass(frozen=True)
class Command:
    """How a program is started: words with {port}, {target}, {bench}, {keys}, {loops} in them."""

    words: tuple
    directory: str | None = None
    # Writes what the program needs, and returns more words: prepare(directory, port, target).
    prepare: object = None

    def filled(self, **values):
        words = []
        for word in self.words:
            for name, value in values.items():
                word = word.replace("{" + name + "}", str(value))
            words.append(word)
        return words

    def start(self, session, name, port, target=0, waits_for_port=True):
        """Starts a server, and waits until it listens."""
        words = self.filled(port=port, target=target)
        if self.prepare:
            words += self.prepare(session.directory, port, target)
        server = session.start(words, name, self.directory)
        try:
            if waits_for_port:
                processes.wait_for_port(server, port)
            else:
                processes.wait_for_line(server)
        except BaseException:
            session.end(server)
            raise
        return server


@dataclasses.dataclass
class Peer:
    """A program, or a few that belong together, with a name.

    - role: "own"; "limit", which is C by hand; "control", the same program as the limit's once more; or "peer".
    - missing: why it can't be measured here; None when it can."""

    name: str
    about: str = ""
    group: str = ""
    role: str = "peer"
    commands: dict = dataclasses.field(default_factory=dict)
    version: str = ""
    missing: str | None = None


def own():
    """Eddy, as a host and as a guest."""
    def entry(name, about, *options):
        at_port = ("--port", "{port}", *options)
        return Peer(name, about, "eddy", "own", {
            "echo": Command((os.path.join(EXAMPLES, "echo-server"), "--host", "127.0.0.1", *at_port)),
            "http": Command((os.path.join(EXAMPLES, "http-hello"), *at_port)),
            "loops": Command((os.path.join(EXAMPLES, "echo-server"), *at_port, "--loops", "{loops}")),
            "micro": Command((BENCH, "{bench}", *options)),
        })

    host = entry("eddy", "the loop hosts the process")
    host.commands["udp"] = Command((os.path.join(EXAMPLES, "udp-echo"), "--port", "{port}"))
    host.commands["proxy"] = Command(
        (os.path.join(EXAMPLES, "tcp-proxy"), "--listen", "127.0.0.1:{port}", "--to", "127.0.0.1:{target}"))
    host.commands["resp"] = Command(
        (os.path.join(EXAMPLES, "redis-ping"), "--port", "{port}", "--keys", "{keys}", "--pipeline", "100"))
    batch = Peer("eddy-batch", "datagrams in batches of 32", "eddy", "own", {
        "udp": Command((os.path.join(EXAMPLES, "udp-echo"), "--port", "{port}", "--batch", "32"))})
    return [host, entry("eddy-guest", "the loop is a guest on the process's thread", "--guest"), batch]


def datagrams_by_hand():
    """The limit of UDP: eddy-load has it built in."""
    def entry(name, about, *options):
        return Peer(name, about, "c", "limit", {"udp": Command((LOAD, "c-udp-echo", "{port}", *options))})

    return [entry("c-udp", "C by hand"), entry("c-udp-batch", "C by hand, batches of 32", "--batch", "32")]


def role_of(name):
    """C by hand is the limit of what epoll or io_uring can do, not a rival. Its name is c, or begins so."""
    return "limit" if name == "c" or name.startswith("c-") else "peer"


def with_control(peers):
    """Adds the A/A control: the C loop once more, under another name. What differs between the two is noise."""
    for peer in peers:
        if peer.name == "c-epoll":
            servers = {kind: command for kind, command in peer.commands.items() if kind in ("echo", "http")}
            again = Peer("c-epoll-again", "c-epoll once more: what differs is noise", peer.group, "control", servers,
                         missing=peer.missing)
            place = peers.index(peer) + 1
            return peers[:place] + [again] + peers[place:]
    return peers


def extra(text, kinds):
    """NAME='COMMAND {port}' or NAME='COMMAND {bench}', perhaps with echo: or http: in front.

    - kinds: those of the chosen subjects: what a command with {port} is for."""
    head, separator, command = text.partition("=")
    kind, colon, name = head.rpartition(":")
    words = tuple(shlex.split(command)) if separator else ()
    if not name or not words or ("{port}" in command) == ("{bench}" in command):
        raise ValueError(f"--extra is NAME='COMMAND {{port}}' or NAME='COMMAND {{bench}}', not {text!r}")
    if colon and KINDS.get(kind) not in ("port", "bench"):
        raise ValueError(f"--extra: there is no kind {kind!r}: echo:, http:, udp: and micro: can stand before the name")
    if not colon:
        kind = "micro" if "{bench}" in command else "http" if "http" in kinds and "echo" not in kinds else "echo"
    if "{" + KINDS[kind] + "}" not in command:
        raise ValueError(f"--extra: a command of kind {kind} has {{{KINDS[kind]}}} in it: {text!r}")
    return Peer(name, command, "extra", "peer", {kind: Command(words)})


def chosen(peers, words):
    """Those that --peers names, by name, by the beginning of a name, or by group; Eddy's own are always among them.

    Raises ValueError for a word that means nobody."""
    def is_meant(peer, word):
        return word in (peer.name, peer.group) or peer.name.startswith(word + "-")

    for word in words:
        if word not in ("all", "none") and not any(is_meant(peer, word) for peer in peers):
            raise ValueError(f"there is no peer {word!r}: there are {', '.join(peer.name for peer in peers)}")
    if not words or "all" in words:
        return peers
    return [peer for peer in peers if peer.role == "own" or any(is_meant(peer, word) for word in words)]
