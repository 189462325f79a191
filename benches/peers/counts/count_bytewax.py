#!/usr/bin/env python3
"""Counts in Bytewax: one worker, keyed by user; each event puts out its user's new count."""

import tally

args = tally.arguments(["stream"])

from importlib.metadata import version  # noqa: E402

import bytewax.operators as op  # noqa: E402
import orjson  # noqa: E402
from bytewax.connectors.files import FileSource  # noqa: E402
from bytewax.dataflow import Dataflow  # noqa: E402
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # noqa: E402
from bytewax.run import cli_main  # noqa: E402


class Putting(DynamicSink):
    """A sink that takes counts and forgets them."""

    def __init__(self, counts):
        self.counts = counts

    def build(self, step_id, worker_index, worker_count):
        return PuttingPartition(self.counts)


class PuttingPartition(StatelessSinkPartition):
    def __init__(self, counts):
        self.counts = counts

    def write_batch(self, items):
        for user, n in items:
            self.counts.put(user, n)


def one_more(count, _event):
    count = (count or 0) + 1
    return count, count


def main():
    job = tally.Job(version("bytewax"))
    counts = tally.Counts(args.verify)
    flow = Dataflow("counts")
    lines = op.input("events", flow, FileSource(args.input, batch_size=1_000))
    events = op.key_on("by user", op.map("parse", lines, orjson.loads), lambda event: event["user"])
    op.output("put", op.stateful_map("count", events, one_more), Putting(counts))
    cli_main(flow)
    counts.finish(job)


main()
