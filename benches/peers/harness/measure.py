"""One process, and what it took: wall and CPU seconds, peak memory; ended when it takes too long or too much."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

# How often the memory of a process is looked at.
LOOK_S = 0.2
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Failed(Exception):
    """A process that did not end well; says why."""


@dataclass
class Ran:
    """What a process took."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    out: str


def run(command, limit_s, memory_bytes, directory=None, env=None):
    """Runs the command to its end.

    Raises Failed if it ends with an error, after `limit_s`, or once it and its children hold `memory_bytes`.
    """
    began = time.monotonic()
    env = dict(os.environ if env is None else env) | {"PEER_STARTED_S": repr(began)}
    # A session of its own: its children end with it.
    process = subprocess.Popen(
        command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    watch = Watch(process, began + limit_s, memory_bytes)
    out, err = drain(process)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    watch.stop()
    if watch.reason:
        raise Failed(watch.reason)
    if process.returncode != 0:
        raise Failed(f"ended with {process.returncode}: {why(err.decode(errors='replace'))[:300]}")
    return Ran(wall_s, usage.ru_utime + usage.ru_stime, max(usage.ru_maxrss / 1024, watch.most_bytes / 2**20), out.decode())


def why(said):
    """The line that tells most: the last cause of a Java exception, or else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip(" ^~\t")]
    causes = [line for line in lines if line.startswith("Caused by:")]
    return (causes or lines or ["it said nothing"])[-1]


def drain(process):
    """Everything that it prints, on both streams. Does not wait for its end."""
    parts = {}
    read = lambda name, stream: parts.update({name: stream.read()})
    thread = threading.Thread(target=read, args=("err", process.stderr))
    thread.start()
    read("out", process.stdout)
    thread.join()
    return parts["out"], parts["err"]


class Watch:
    """Looks at a process now and then; ends its session when a limit is passed."""

    def __init__(self, process, deadline, memory_bytes):
        self.process, self.deadline, self.memory_bytes = process, deadline, memory_bytes
        self.began = time.monotonic()
        self.reason, self.most_bytes = None, 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def stop(self):
        self.done.set()
        self.thread.join()

    def look(self):
        while not self.done.wait(LOOK_S):
            self.most_bytes = max(self.most_bytes, held_bytes(self.process.pid))
            if time.monotonic() > self.deadline:
                self.end(f"stopped after {self.deadline - self.began:.0f} s, its limit")
            elif self.most_bytes > self.memory_bytes:
                self.end(f"stopped when it held {self.most_bytes / 2**30:.1f} GiB, more than its limit")
            if self.reason:
                return

    def end(self, reason):
        self.reason = reason
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def held_bytes(pid):
    """The resident memory of a process and its children."""
    total, todo = 0, [pid]
    while todo:
        pid = todo.pop()
        try:
            with open(f"/proc/{pid}/statm") as statm:
                total += int(statm.read().split()[1]) * PAGE_BYTES
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    todo += map(int, children.read().split())
        except (OSError, IndexError):
            pass
    return total
