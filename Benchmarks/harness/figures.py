"""What the rounds' figures come to: medians, the least, and what they are beside the limit and the best peer."""
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Column:
    """A figure of a table.

    - reduce: "median" of the rounds, or "least" of them."""

    title: str
    key: str
    digits: int = 1
    reduce: str = "median"
    unit: str = ""

    def of(self, rounds):
        values = [figures[self.key] for figures in rounds if is_number(figures.get(self.key))]
        if not values:
            return None
        return min(values) if self.reduce == "least" else statistics.median(values)


@dataclasses.dataclass
class Row:
    """A peer's figures under one load."""

    peer: object
    rounds: list
    # In the order of the subject's columns.
    values: list
    # The yardstick, and what it is in proportion.
    yardstick: float | None = None
    to_limit: float | None = None
    to_best: float | None = None


@dataclasses.dataclass
class Block:
    """A subject under one load: the best first."""

    load: str
    rows: list
    # How far the same program twice is apart, as a share; None when it was not measured.
    noise: float | None = None

    @property
    def disturbed(self):
        """The names of those of whom more than half of the rounds were disturbed by others."""
        return [row.peer.name for row in self.rows if statistics.median(
            figures.get("other_cpu") or 0 for figures in row.rounds) > QUIET]


# More of a processor than this, used by the rest of the machine, spoils a measurement.
QUIET = 0.1


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def median_figures(rounds):
    """The median of each number over the rounds."""
    names = {name for figures in rounds for name in figures}
    columns = [Column("", name) for name in sorted(names)]
    return {column.key: value for column in columns if (value := column.of(rounds)) is not None}


def block(load, measured, columns, yardstick):
    """- measured: pairs of a peer and its rounds."""
    rows = [Row(peer, rounds, [column.of(rounds) for column in columns], yardstick.of(rounds))
            for peer, rounds in measured if rounds]
    limit = first_of_role(rows, "limit")
    rivals = [row.yardstick for row in rows if row.peer.role == "peer" and row.yardstick is not None]
    for row in rows:
        row.to_limit = ratio(row.yardstick, limit.yardstick if limit else None)
        row.to_best = ratio(row.yardstick, min(rivals, default=None))
    rows.sort(key=lambda row: (row.yardstick is None, row.yardstick))
    control = first_of_role(rows, "control")
    noise = None
    if control and limit and limit.peer.name == "c-epoll" and (between := ratio(control.yardstick, limit.yardstick)):
        noise = max(between, 1 / between) - 1
    return Block(load, rows, noise)


def first_of_role(rows, role):
    """C with epoll before other ways by hand: it is what Eddy is built on."""
    found = [row for row in rows if row.peer.role == role and row.yardstick is not None]
    return next((row for row in found if row.peer.name == "c-epoll"), found[0] if found else None)


def ratio(value, base):
    # What is 0, or less than nothing where memory is compared, is no measure.
    return value / base if value is not None and base is not None and base > 0 else None


def text(value, digits=1):
    """With separators; large numbers without a fraction."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1_000 else digits
    # Without the sign of a nought.
    return f"{round(value, digits) + 0.0:,.{digits}f}"
