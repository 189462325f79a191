"""What is done, in order: install, verify each variant, then time all of them in turns."""

import json
import shutil
import subprocess
import sys
import time

from harness import flowstone, machine, measure, verdict, workload
from harness.environment import Unavailable

# So many runs of what is over in less than SLOW_S; fewer of what takes longer.
SLOW_S, VERY_SLOW_S = 60, 240


class Session:
    """One session: its environment, its results, and the input at each length."""

    def __init__(self, environment, results, options):
        self.environment, self.results, self.options = environment, results, options
        self.memory_bytes = int(options.memory * 2**30) if options.memory else machine.memory_bytes() * 17 // 20
        self.scratch = environment.place / "scratch"
        self.documents = environment.place / "documents.ndjson"
        self.unavailable = {}
        # When it began, and how long each round of runs took.
        self.began, self.rounds_s = time.monotonic(), []

    def run(self, variants):
        """Everything that is not done yet."""
        for tool in dict.fromkeys(variant.tool for variant in variants):
            self.install(tool)
        variants = [variant for variant in variants if variant.tool not in self.unavailable]
        for length in self.options.lengths:
            for variant in variants:
                self.compare(variant, length)
        inputs = {length: self.input(self.options.size, length) for length in self.options.lengths}
        if not self.options.verify_last:
            self.verify_all(variants, inputs)
        self.time_all(variants, inputs)
        if self.options.verify_last:
            self.verify_all(variants, inputs)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def verify_all(self, variants, inputs):
        """Each variant once at each length; those of the quick archives were compared byte by byte."""
        if self.options.size == workload.QUICK:
            return
        for length in self.options.lengths:
            for variant in variants:
                self.verify(variant, length, inputs[length])

    def time_all(self, variants, inputs):
        """Rounds of runs, in turns."""
        for number in range(1, self.options.runs + 1):
            if not self.has_time(number):
                break
            began = time.monotonic()
            for length in self.options.lengths:
                # Another one begins each round, so that nobody always comes after the same one.
                turn = number % len(variants) if variants else 0
                for variant in variants[turn:] + variants[:turn]:
                    for threads in variant.threads:
                        if threads in self.options.threads:
                            self.time(variant, threads, length, number, inputs[length])
            self.rounds_s.append(time.monotonic() - began)

    def has_time(self, number):
        """Whether to begin another round: one after the other of the same length as the last one. All or none of the forms get
        another run, so that none is measured better than others."""
        if self.options.minutes is None or not self.rounds_s:
            return True
        left_s = self.options.minutes * 60 - (time.monotonic() - self.began)
        if left_s >= self.rounds_s[-1]:
            return True
        say(f"no time for round {number}: the last one took {self.rounds_s[-1] / 60:.0f} minutes, and {max(0, left_s) / 60:.0f} are left")
        return False

    def input(self, size, length, corrected=False, with_documents=False):
        place = self.environment.place / "data"
        return workload.prepare(self.environment.flowstone, place, size, length, corrected, with_documents)

    def install(self, tool):
        say(f"{tool}: installing")
        try:
            self.environment.prepare(tool)
        except Unavailable as reason:
            self.unavailable[tool] = str(reason)
            say(f"{tool}: {reason}")
            if not self.results.of("unavailable", tool, None):
                self.results.append({"record": "unavailable", "tool": tool, "reason": str(reason)})

    def compare(self, variant, length):
        """All documents of a small archive, byte by byte; with corrections and deletions where that is claimed."""
        if self.results.of("compared", variant.tool, variant.name, length=length):
            return
        given = self.input(workload.QUICK, length, variant.corrections, with_documents=True)
        threads = max(variant.threads)
        found = self.verified(variant, length, given, threads, self.documents)
        if found is None:
            return
        verdict.check(variant, found, given.truth, whole=True)
        verdict.check_documents(variant, self.documents, given.documents)
        self.results.append(record("compared", variant, length, threads) | {"corrected": variant.corrections} | found)
        self.documents.unlink()

    def verify(self, variant, length, given):
        """The checksum of all documents of the whole archive."""
        if self.results.of("verified", variant.tool, variant.name, length=length) or self.failures(variant, None, length):
            return
        threads = max(threads for threads in variant.threads)
        found = self.verified(variant, length, given, threads)
        if found is not None:
            verdict.check(variant, found, given.truth, whole=True)
            self.results.append(record("verified", variant, length, threads) | found)

    def verified(self, variant, length, given, threads, documents=None):
        """What a run finds that sums up its documents; None if it fails."""
        say(f"{variant.label}, {length}: verifying {given.truth['documents']:,} documents")
        options = {"verify": True, "documents": documents}
        command, directory = self.environment.command(variant, given, threads, self.scratch, **options)
        try:
            ran = measure.run(command, self.options.limit, self.memory_bytes, directory)
        except measure.Failed as failed:
            self.failed(variant, threads, length, f"to verify it: {failed}")
            return None
        if variant.tool != "flowstone":
            return json.loads(ran.out)
        flowstone.found(ran.out)
        path = [str(documents)] if documents else []
        command = [sys.executable, flowstone.__file__, str(self.scratch / "documents"), *path]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def time(self, variant, threads, length, number, given):
        """One timed run, unless there are enough."""
        done = self.results.of("run", variant.tool, variant.name, threads, length)
        if len(done) >= min(number, self.wanted(done)) or self.failures(variant, threads, length):
            return
        say(f"{variant.label}, {length}, {threads} thread{'s' * (threads > 1)}: run {number}")
        command, directory = self.environment.command(variant, given, threads, self.scratch)
        load = machine.load()
        try:
            ran = measure.run(command, self.options.limit, self.memory_bytes, directory)
        except measure.Failed as failed:
            self.failed(variant, threads, length, str(failed))
            return
        if variant.tool == "flowstone":
            # Its start is a part of it.
            took = {"job_s": ran.wall_s, "job_cpu_s": ran.cpu_s, "startup_s": 0.0}
            found = flowstone.found(ran.out) | took
        else:
            found = json.loads(ran.out)
        verdict.check(variant, found, given.truth, whole=False)
        process = {"wall_s": ran.wall_s, "cpu_s": ran.cpu_s, "rss_mib": ran.rss_mib, "load_1m": load}
        self.results.append(record("run", variant, length, threads) | {"number": number} | process | found)

    def wanted(self, done):
        """How many runs there should be, from how long the first ones took."""
        longest = max((record["wall_s"] for record in done), default=0)
        if longest > VERY_SLOW_S:
            return 1
        return min(self.options.runs, self.options.slow_runs) if longest > SLOW_S else self.options.runs

    def failed(self, variant, threads, length, reason):
        say(f"{variant.label}, {length}: {reason}")
        self.results.append(record("failed", variant, length, threads) | {"reason": reason})

    def failures(self, variant, threads, length):
        """What failed before; it would again. What fails to be verified with all threads is not timed with fewer."""
        failures = self.results.of("failed", variant.tool, variant.name, length=length)
        return [failure for failure in failures if threads is None or failure["threads"] >= threads]


def record(kind, variant, length, threads):
    return {
        "record": kind, "tool": variant.tool, "variant": variant.name, "form": variant.form, "threads": threads,
        "length": length, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def say(text):
    print(text, file=sys.stderr, flush=True)
