"""What the Python peers share: arguments, counting, and the one line that each prints at its end."""

import argparse
import collections
import json
import os
import resource
import time
import zlib

BUCKET_NS = 1_000_000_000


def arguments(variants):
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True, help="a directory of NDJSON files, or a file")
    parser.add_argument("--variant", required=True, choices=variants)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", default=".", help="a directory for temporary files")
    parser.add_argument("--verify", action="store_true", help="sum up the CRC-32 of all documents, too")
    parser.add_argument("--documents", help="write the documents to this file, a line each (with --verify)")
    return parser.parse_args()


def files(args):
    """A pattern of the files of the input."""
    return f"{args.input}/*.ndjson"


class Tally:
    """Documents counted; with `verify` also summed up, byte by byte, and kept if they are to be written."""

    def __init__(self, args):
        self.documents = self.children = self.bytes = self.check = self.emitted = 0
        self.verify = args.verify
        self.path = args.documents
        self.kept = collections.Counter()

    def add(self, document, children, sign=1):
        """One document with so many children: as text, or as anything else if it is not rendered. -1 takes it back."""
        self.documents += sign
        self.children += sign * children
        self.emitted += sign > 0
        if not isinstance(document, str):
            return
        data = document.encode()
        self.bytes += sign * len(data)
        if self.verify:
            self.check += sign * zlib.crc32(data)
            if self.path:
                self.kept[data] += sign

    def write(self):
        with open(self.path, "wb") as file:
            file.writelines(data + b"\n" for data in self.kept.elements())


class Job:
    """The part of a process that is timed: all of it but the start of the interpreter and the imports."""

    def __init__(self, version):
        self.version = version
        # The runner's clock is this one: CLOCK_MONOTONIC.
        self.startup_s = time.monotonic() - float(os.environ.get("PEER_STARTED_S", time.monotonic()))
        self.cpu_s = cpu_s()
        self.began = time.monotonic()

    def finish(self, documents, children, size=None, check=None, emitted=None):
        """Prints what was found. `size`: the bytes of all documents, if they were rendered."""
        found = {"documents": documents, "children": children, "bytes": size, "emitted": emitted or documents}
        took = {"job_s": time.monotonic() - self.began, "job_cpu_s": cpu_s() - self.cpu_s, "startup_s": self.startup_s}
        check = None if check is None else f"{check % 2**64:016x}"
        print(json.dumps(found | {"check": check, "version": self.version} | took), flush=True)

    def finish_tally(self, tally):
        """The same from a tally."""
        if tally.path:
            tally.write()
        check = tally.check if tally.verify else None
        self.finish(tally.documents, tally.children, tally.bytes or None, check, tally.emitted)


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
