"""What the measurements share: the binary, made-up input, runs with their time and memory, tables, raw results."""

import argparse
import atexit
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FUSE = (
    "moments: { fuse: { from: annotations, by: /associated_ids/ASSET_ID, type: /type, "
    "range: { start: /time_range/start_time_ns, end: /time_range/end_time_ns }"
)


def arguments(description, **options):
    """The options of a script: those it names (with their defaults) and those that all have."""
    parser = argparse.ArgumentParser(description=description)
    for name, (default, text) in options.items():
        kind = type(default) if default is not None else str
        parser.add_argument("--" + name.replace("_", "-"), default=default, type=kind, help=f"{text} (default: {default})")
    parser.add_argument("--raw", help="append each result as a line of JSON to this file")
    parser.add_argument("--dir", default=str(HERE / "out"), help="where input, state and stores go")
    parser.add_argument("--flowstone", help="the binary; by default it is built for speed")
    return parser.parse_args()


def binary(args):
    if args.flowstone:
        return str(pathlib.Path(args.flowstone).resolve())
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--bin", "flowstone"]
    subprocess.run(build + ["--manifest-path", str(ROOT / "Cargo.toml")], check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str((target if target.is_absolute() else pathlib.Path.cwd() / target) / "release" / "flowstone")


def empty(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def pipeline(source, sinks, fuse="", epoch="250ms", state="state", memory=""):
    fuse = f", {fuse}" if fuse else ""
    memory = f"memory: {memory}\n" if memory else ""
    return (
        f"name: measured\nstate: {state}\nepoch: {epoch}\n{memory}sources:\n"
        f"  annotations: {{ {source}, key: /annotation_id, delete: /deleted }}\n"
        f"operators:\n  {FUSE}{fuse} }} }}\nsinks:\n{sinks}"
    )


STORES = (
    "  store: { from: moments, sqlite: { path: moments.sqlite, table: moments } }\n"
    "  search: { from: moments, after: store, tantivy: { path: index } }\n"
)
DISCARD = "  nothing: { from: moments, discard: {} }\n"
SQLITE = "  store: { from: moments, sqlite: { path: moments.sqlite, table: moments } }\n"


def generate(flowstone, out, annotations):
    """An archive of so many uniform annotations of mean 3 s in 200 assets; made once."""
    if not out.exists():
        command = [flowstone, "generate", str(out), "--style", "uniform", "--annotations", str(annotations)]
        subprocess.run(command + ["--mean-length", "3s"], check=True, stdout=subprocess.DEVNULL)
    return out


def run(command, directory):
    """Runs to the end; wall and CPU seconds, peak RSS in MB, and the summary."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out = process.stdout.read()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}\n{err}")
    return {
        "wall_s": time.monotonic() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss / 1024,
        "summary": json.loads(out),
    }


def bytes_below(path):
    total = 0
    for file in files_below(path):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            pass
    return total


def files_below(path):
    """Files may go while they are looked at."""
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            found.append(pathlib.Path(folder) / name)
    return found


class Following:
    """A run that goes on until it is stopped."""

    def __init__(self, flowstone, directory, workers=1):
        command = [flowstone, "run", "pipeline.yaml", "--json", "--workers", str(workers)]
        self.errors = open(directory / "stderr", "w")
        self.process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        # Whatever becomes of the script.
        atexit.register(lambda: self.is_running() and self.process.kill())

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=600)
        if self.process.returncode != 0:
            sys.exit(f"error: the run ended with {self.process.returncode}; see {self.errors.name}")
        return json.loads(out)


def annotation(key, asset, kind, start_s, length_s, **fields):
    document = {
        "annotation_id": key,
        "type": kind,
        "label": "measured",
        "confidence_score": 0.5,
        "associated_ids": {"MOVIE_ID": "81686010", "ASSET_ID": asset},
        "time_range": {"start_time_ns": start_s * 10**9, "end_time_ns": (start_s + length_s) * 10**9},
        **fields,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def reader(path):
    """A read-only connection to a store, once its table is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30, isolation_level=None)
            connection.execute("SELECT count(*) FROM moments").fetchone()
            return connection
        except sqlite3.OperationalError:
            time.sleep(0.05)
    sys.exit(f"error: no table appears in {path}")


class Table:
    """Prints aligned rows as they come; keeps raw results."""

    def __init__(self, args, *columns):
        self.raw = open(args.raw, "a") if args.raw else None
        self.columns = columns
        self.widths = [max(len(column), 9) for column in columns]
        print("  ".join(column.rjust(width) for column, width in zip(columns, self.widths)), flush=True)

    def row(self, *cells, **raw):
        texts = [f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells]
        print("  ".join(text.rjust(width) for text, width in zip(texts, self.widths)), flush=True)
        if self.raw:
            self.raw.write(json.dumps(dict(zip(self.columns, cells)) | raw) + "\n")
            self.raw.flush()


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]
