#!/usr/bin/env python3
"""Fusion in Polars: annotations sorted, spread over their buckets, grouped, rendered.

  structs         lists of structs, the document rendered by `struct.json_encode`, on the in-memory engine
  strings         children rendered once, before they are spread; documents are strings put together
  lists           lists of structs, formed and not rendered
  *-streaming     the same on the streaming engine
"""

import os

import common

args = common.arguments([form + engine for form in ["structs", "strings", "lists"] for engine in ["", "-streaming"]])
# Read when the library is loaded.
os.environ["POLARS_MAX_THREADS"] = str(args.threads)
os.environ.setdefault("POLARS_TEMP_DIR", args.scratch)

import polars as pl  # noqa: E402

W = common.BUCKET_NS
SCHEMA = {
    "annotation_id": pl.String,
    "type": pl.String,
    "label": pl.String,
    "associated_ids": pl.Struct({"MOVIE_ID": pl.String, "ASSET_ID": pl.String}),
    "confidence_score": pl.Float64,
    "time_range": pl.Struct({"start_time_ns": pl.Int64, "end_time_ns": pl.Int64}),
}
START = pl.col("time_range").struct.field("start_time_ns")
END = pl.col("time_range").struct.field("end_time_ns")
ASSET = pl.col("associated_ids").struct.field("ASSET_ID").alias("asset")
CHILD = pl.struct("annotation_id", pl.col("type").alias("annotation_type"), "label", "confidence_score", "time_range")
BUCKET_START, BUCKET_END = pl.col("bucket") * W, (pl.col("bucket") + 1) * W


def lists(path, context, child):
    """Per asset and bucket: the context, and the list of children. Groups keep the order of the rows before them."""
    annotations = pl.scan_ndjson(path, schema=SCHEMA).sort("type", START, END, "annotation_id")
    buckets = pl.int_ranges(START // W, (END - 1) // W + 1)
    spread = annotations.select(ASSET, "type", context.alias("context"), child.alias("child"), buckets.alias("bucket"))
    groups = spread.explode("bucket").group_by("asset", "bucket")
    several = pl.col("type").min() != pl.col("type").max()
    return groups.agg(pl.col("context").first(), pl.col("child"), several.alias("several")).filter("several")


def structs(formed):
    """The documents of lists of structs."""
    document = pl.struct(
        pl.col("context").alias("associated_ids"),
        BUCKET_START.alias("time_bucket_start_ns"),
        BUCKET_END.alias("time_bucket_end_ns"),
        pl.col("child").alias("source_annotations"),
    )
    return formed.select(children=pl.col("child").list.len(), document=document.struct.json_encode())


def strings(formed):
    """The documents of lists of strings."""
    document = pl.concat_str(
        pl.lit('{"associated_ids":'),
        "context",
        pl.lit(',"time_bucket_start_ns":'),
        BUCKET_START,
        pl.lit(',"time_bucket_end_ns":'),
        BUCKET_END,
        pl.lit(',"source_annotations":['),
        pl.col("child").list.join(","),
        pl.lit("]}"),
    )
    return formed.select(children=pl.col("child").list.len(), document=document)


def main():
    job = common.Job(pl.__version__)
    form, _, engine = args.variant.partition("-")
    engine = engine or "in-memory"
    if form == "strings":
        rendered = pl.col("associated_ids").struct.json_encode(), CHILD.struct.json_encode()
        documents = strings(lists(common.files(args), *rendered))
    else:
        formed = lists(common.files(args), pl.col("associated_ids"), CHILD)
        documents = structs(formed)
    if args.verify:
        tally = common.Tally(args)
        for children, document in documents.collect(engine=engine).iter_rows():
            tally.add(document, children)
        job.finish_tally(tally)
    elif form == "lists":
        # Collected whole: lists that only their lengths are asked of need not be formed.
        formed = formed.collect(engine=engine)
        job.finish(formed.height, formed.select(pl.col("child").list.len().sum()).item())
    else:
        # Lengths are 32 bits wide, and their sum is not.
        size = pl.col("document").str.len_bytes().cast(pl.UInt64).sum()
        totals = documents.select(pl.len(), pl.col("children").sum(), size)
        job.finish(*totals.collect(engine=engine).row(0))


main()
