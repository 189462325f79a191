#!/usr/bin/env python3
"""Fusion in Bytewax: one worker, the input read by `DirSource`.

  bucket       spread over buckets, keyed by asset and bucket, folded to the end of the input, documents rendered whole
  asset        keyed by asset, folded, then swept in plain Python, children rendered once
  asset-lists  as `asset`: lists of annotations, formed and not rendered
"""

import common

args = common.arguments(["bucket", "asset", "asset-lists"])

from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402

import bytewax.operators as op  # noqa: E402
import orjson  # noqa: E402
from bytewax.connectors.files import DirSource  # noqa: E402
from bytewax.dataflow import Dataflow  # noqa: E402
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # noqa: E402
from bytewax.run import cli_main  # noqa: E402

import sweep  # noqa: E402


class Counting(DynamicSink):
    """A sink that counts (children, document) and forgets them."""

    def __init__(self, tally):
        self.tally = tally

    def build(self, step_id, worker_index, worker_count):
        return CountingPartition(self.tally)


class CountingPartition(StatelessSinkPartition):
    def __init__(self, tally):
        self.tally = tally

    def write_batch(self, items):
        for children, document in items:
            self.tally.add(document, children)


def append(found, item):
    found.append(item)
    return found


def by_asset(lines):
    """(children, document) for each moment."""
    annotations = op.map("parse", lines, orjson.loads)
    keyed = op.key_on("by asset", annotations, lambda annotation: annotation["associated_ids"]["ASSET_ID"])
    return op.flat_map("sweep", op.fold_final("gather", keyed, list, append), lambda asset: documents(asset[1]))


def documents(annotations):
    """Those of one asset; as lists of annotations, if they are not to be rendered."""
    rendered = args.variant == "asset" or args.verify
    annotations.sort(key=sweep.order)
    entries = []
    for annotation in annotations:
        covers = annotation["time_range"]
        child = orjson.dumps(sweep.child_of(annotation)).decode() if rendered else annotation
        entries.append((annotation["type"], covers["start_time_ns"], covers["end_time_ns"], child))
    if rendered:
        return sweep.documents_of(orjson.dumps(annotations[0]["associated_ids"]).decode(), entries)
    return ((len(children), children) for _, children in sweep.lists_of(entries))


def by_bucket(lines):
    """(children, document) for each moment."""

    def spread(line):
        annotation = orjson.loads(line)
        asset, covers = annotation["associated_ids"]["ASSET_ID"], annotation["time_range"]
        return [(f"{asset}/{n}", annotation) for n in sweep.buckets(covers["start_time_ns"], covers["end_time_ns"])]

    def document(item):
        key, annotations = item
        return sweep.document_of_annotations(annotations, int(key.rpartition("/")[2]))

    buckets = op.fold_final("gather", op.flat_map("spread", lines, spread), list, append)
    return op.filter_map("render", buckets, document)


def main():
    job = common.Job(version("bytewax"))
    tally = common.Tally(args)
    flow = Dataflow("fusion")
    lines = op.input("annotations", flow, DirSource(Path(args.input), glob_pat="*.ndjson"))
    op.output("count", (by_bucket if args.variant == "bucket" else by_asset)(lines), Counting(tally))
    cli_main(flow)
    job.finish_tally(tally)


main()
