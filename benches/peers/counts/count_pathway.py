#!/usr/bin/env python3
"""Counts in Pathway: grouped by user, the file read once (`mode="static"`)."""

import os

import tally

args = tally.arguments(["batch"])
# Read when the library is loaded.
os.environ["PATHWAY_THREADS"] = str(args.threads)

import pathway as pw  # noqa: E402


class Event(pw.Schema):
    user: str


def main():
    job = tally.Job(pw.__version__)
    counts = tally.Counts(args.verify)
    events = pw.io.jsonlines.read(args.input, schema=Event, mode="static")
    users = events.groupby(events.user).reduce(events.user, n=pw.reducers.count())

    def put(key, row, time, is_addition):
        if is_addition:
            counts.put(row["user"], row["n"])

    pw.io.subscribe(users, on_change=put)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    counts.finish(job)


main()
