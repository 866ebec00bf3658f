"""What is measured when: interleaved rounds in a rotating order, as many as fit."""
import dataclasses
import time

from .figures import QUIET
from .processes import Failure
from .subject import NotOffered


# Seconds; what takes longer is not repeated within a round.
LONG = 5


@dataclasses.dataclass
class Group:
    """A subject under one load. All of its peers are measured equally often: the least of more rounds is less."""

    subject: object
    load: str
    peers: list
    # Seconds that a round takes, once it is known.
    cost: float | None = None
    rounds: int = 0
    samples: dict = dataclasses.field(default_factory=dict)
    once: dict = dataclasses.field(default_factory=dict)
    faults: dict = dataclasses.field(default_factory=dict)


class Progress:
    """One line that is overwritten on a terminal; elsewhere a line for each step."""

    def __init__(self, stream):
        self.stream, self.is_terminal = stream, stream.isatty()

    def show(self, text):
        if self.is_terminal:
            self.stream.write(f"\r\033[K{text}")
            self.stream.flush()

    def step(self, text):
        if self.is_terminal:
            self.show(text)
        else:
            self.tell(text)

    def clear(self):
        self.show("")

    def tell(self, text):
        self.clear()
        print(f"bench: {text}", file=self.stream, flush=True)


class Sampling:
    """- rounds: how often everything is measured, at most.
    - FAULTS: who fails so often in a row is left out.
    - minutes: what all of it may take: after the first round the others are as many as fit. None: all of them."""

    FAULTS = 2

    def __init__(self, groups, rounds, minutes, progress, repeats=2):
        self.groups, self.rounds, self.progress, self.repeats = groups, rounds, progress, repeats
        self.began = time.monotonic()
        self.seconds = minutes * 60 if minutes else None
        self.faults = []
        self.is_interrupted = False

    def run(self):
        try:
            self.first_round()
            self.share_time()
            for number in range(1, self.rounds):
                for group in self.groups:
                    if number < group.rounds:
                        left = self.seconds_left(number, group)
                        self.measure(group, number, f"round {number + 1} of {self.rounds}", left)
        except KeyboardInterrupt:
            # What there is by now is worth a report.
            self.is_interrupted = True
        self.progress.clear()

    def first_round(self):
        total = sum(len(group.peers) for group in self.groups)
        done = 0
        for group in self.groups:
            elapsed = time.monotonic() - self.began
            left = None
            if self.seconds:
                left = max(1, self.seconds - elapsed)
            elif done:
                left = elapsed / done * (total * self.rounds - done)
            began = time.monotonic()
            once = self.measure(group, 0, "first round", left)
            group.cost = time.monotonic() - began - once
            done += len(group.peers)

    def share_time(self):
        most = [min(self.rounds, group.subject.most_rounds or self.rounds) - 1 for group in self.groups]
        if self.seconds:
            left = self.seconds - (time.monotonic() - self.began)
            more = rounds_within([group.cost for group in self.groups], most, left)
        else:
            more = most
        for group, count in zip(self.groups, more):
            group.rounds = 1 + count

    def seconds_left(self, number, current):
        """Of what is planned, from this group of this round on."""
        later = self.groups.index(current)
        return sum(
            group.cost * max(0, group.rounds - number - (index < later)) for index, group in enumerate(self.groups))

    def measure(self, group, number, what, left):
        """Measures a group once. Returns how many seconds of that were for what is measured only once."""
        start, once = number % max(1, len(group.peers)), 0
        peers = group.peers[start:] + group.peers[:start]
        text = f"{what}: {group.subject.name}, {group.load}" + (f"; {duration(left)} left" if left else "")
        self.progress.step(text)
        for peer in peers:
            self.progress.show(f"{text}; {peer.name}")
            if group.faults.get(peer.name, 0) >= self.FAULTS:
                continue
            try:
                figures = undisturbed(lambda: group.subject.measure(peer, group.load), self.repeats)
                group.samples.setdefault(peer.name, []).append(figures)
                group.faults[peer.name] = 0
                if number == 0:
                    began = time.monotonic()
                    group.once[peer.name] = group.subject.measure_once(peer, group.load)
                    once += time.monotonic() - began
            except NotOffered as reason:
                group.peers = [other for other in group.peers if other is not peer]
                if str(reason):
                    self.progress.tell(f"{group.subject.name}: left out {peer.name}: {reason}")
            except (Failure, OSError) as failure:
                group.faults[peer.name] = group.faults.get(peer.name, 0) + 1
                fault = f"{group.subject.name}, {group.load}, {peer.name}: {failure}"
                self.faults.append(fault)
                again = "; it is left out from now on" if group.faults[peer.name] == self.FAULTS else ""
                self.progress.tell(f"{fault}{again}")
        return once


def undisturbed(measure, repeats):
    """The measurement that the rest of the machine disturbed least: it is repeated while that is more than QUIET, unless it
    takes long."""
    best = None
    for repeat in range(repeats + 1):
        began = time.monotonic()
        figures = measure()
        if best is None or figures.get("other_cpu", 0) < best.get("other_cpu", 0):
            best = figures
        best["repeats"] = repeat
        if best.get("other_cpu", 0) <= QUIET or time.monotonic() - began > LONG:
            break
    return best


def rounds_within(costs, most, seconds):
    """How many more rounds each group gets, so that all together take no longer: the dear ones get fewer."""
    def with_allowance(allowance):
        return [min(limit, int(allowance / max(cost, 0.001))) for cost, limit in zip(costs, most)]

    def total(counts):
        return sum(count * cost for count, cost in zip(counts, costs))

    if total(most) <= seconds:
        return most
    low, high = 0.0, max(0.0, seconds)
    for _ in range(40):
        middle = (low + high) / 2
        if total(with_allowance(middle)) <= seconds:
            low = middle
        else:
            high = middle
    return with_allowance(low)


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
