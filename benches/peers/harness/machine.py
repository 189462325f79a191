"""What a machine is, as far as results depend on it."""

import os
import platform
import subprocess


def describe():
    """Cores, CPU model, memory, system; no names."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": field("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_1m": load(),
    }


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def load():
    return round(os.getloadavg()[0], 2)


def field(path, name):
    try:
        with open(path) as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)
    except OSError:
        return None


def said(command, directory=None):
    """The first line that a command prints, on either stream; None if it can not be run."""
    try:
        ran = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip().splitlines()[0] if ran.returncode == 0 and ran.stdout.strip() else None
