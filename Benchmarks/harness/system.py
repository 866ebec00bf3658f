"""What the kernel knows of processes and of the machine: proc(5)."""
import os
import platform
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat_fields(pid):
    with open(f"/proc/{pid}/stat") as file:
        # The name, in parentheses, may have spaces. Field 3 of the manual page comes first here.
        return file.read().rpartition(")")[2].split()


def processor_time(pid):
    """Seconds that a process, its children and theirs have used, user and kernel, with the children that have ended.

    None when there is no such process."""
    children, ended = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = stat_fields(int(name))
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        ended[int(name)] = (int(fields[13]) + int(fields[14])) / TICKS
    if pid not in ended:
        return None
    total, pending = 0, [pid]
    while pending:
        one = pending.pop()
        try:
            # utime + stime, without their rounding to hundredths of a second: the clock of clock_getcpuclockid(3).
            total += time.clock_gettime((~one << 3) | 2) + ended[one]
        except OSError:
            continue
        pending += children.get(one, [])
    return total


def memory(pid):
    """The resident and the proportional size of a process in bytes; None for what the kernel does not tell."""
    with open(f"/proc/{pid}/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return resident, int(line.split()[1]) * 1024
    except OSError:
        pass
    return resident, None


def busy_time():
    """Seconds that all processors have been busy, or taken away by the host."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, interrupt, soft_interrupt, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft_interrupt + stolen) / TICKS


def others(busy, ours, elapsed):
    """Processors that others have used: of a time that all were busy, what is not ours. It is counted in ticks, and the
    sum over kinds of time and processors may be a few of them off."""
    return max(0, busy - ours - 2 / TICKS) / elapsed


BACKLOG = "/proc/sys/net/core/netdev_max_backlog"


def network_backlog():
    """How many packets wait for a processor at most; more are dropped, also on the loopback interface."""
    try:
        with open(BACKLOG) as file:
            return int(file.read())
    except OSError:
        return None


def dropped_packets():
    """So many packets the kernel has dropped because they were too many at once: the second column, in hexadecimal."""
    try:
        with open("/proc/net/softnet_stat") as file:
            return sum(int(line.split()[1], 16) for line in file)
    except OSError:
        return 0


def describe():
    """What a reader of figures asks about the machine."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": output_of("git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty"),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "processor": first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "swift": (re.search(r"Swift version (\S+)", output_of("swift", "--version")) or ["", "unknown"])[1],
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def first_match(file, pattern):
    try:
        with open(file) as text:
            match = re.search(pattern, text.read())
            return match[1] if match else "unknown"
    except OSError:
        return "unknown"
