#!/usr/bin/env python3
"""Fusion in Pathway: a table of annotations, read once (`mode="static"`), children rendered once by a Python function.

The input is one file: each file of a directory would be a change of its own, and documents would be put out twice.

  bucket        spread over buckets by `flatten`, grouped by asset and bucket, ordered by `sorted_tuple`; documents are
                put together by a Python function
  asset         grouped by asset; a Python function makes all documents of an asset
  bucket-lists  as `bucket`: lists of annotations, formed and not rendered
"""

import os

import common

args = common.arguments(["bucket", "asset", "bucket-lists"])
# Read when the library is loaded.
os.environ["PATHWAY_THREADS"] = str(args.threads)

import orjson  # noqa: E402
import pathway as pw  # noqa: E402

import sweep  # noqa: E402

W = common.BUCKET_NS


class Line(pw.Schema):
    annotation_id: str
    type: str
    label: str
    associated_ids: pw.Json
    confidence_score: float
    time_range: pw.Json


@pw.udf(deterministic=True)
def buckets_of(start: int, end: int) -> list[int]:
    return list(range(start // W, (end - 1) // W + 1))


@pw.udf(deterministic=True)
def child_of(annotation_id: str, kind: str, label: str, score: float, start: int, end: int) -> str:
    found = {"annotation_id": annotation_id, "annotation_type": kind, "label": label, "confidence_score": score}
    return orjson.dumps(found | {"time_range": {"start_time_ns": start, "end_time_ns": end}}).decode()


@pw.udf(deterministic=True)
def document_of(context: str, bucket: int, found: tuple) -> str:
    return sweep.document_of(context, bucket, [entry[-1] for entry in found])


@pw.udf(deterministic=True)
def documents_of(context: str, found: tuple) -> list[tuple[int, str]]:
    entries = sorted(found)
    return list(sweep.documents_of(context, [(kind, start, end, child) for kind, start, end, _, child in entries]))


def annotations():
    lines = pw.io.jsonlines.read(args.input, schema=Line, mode="static")
    ids, covers = pw.this.associated_ids, pw.this.time_range
    return lines.select(
        pw.this.annotation_id,
        pw.this.type,
        pw.this.label,
        pw.this.confidence_score,
        asset=pw.unwrap(ids["ASSET_ID"].as_str()),
        context=pw.apply_with_type(lambda ids: orjson.dumps(ids.value).decode(), str, ids),
        start=pw.unwrap(covers["start_time_ns"].as_int()),
        end=pw.unwrap(covers["end_time_ns"].as_int()),
    )


def with_children(table):
    child = child_of(table.annotation_id, table.type, table.label, table.confidence_score, table.start, table.end)
    return table.with_columns(child=child)


def by_asset():
    table = with_children(annotations())
    entry = pw.make_tuple(table.type, table.start, table.end, table.annotation_id, table.child)
    assets = table.groupby(table.asset).reduce(context=pw.reducers.any(table.context), found=pw.reducers.tuple(entry))
    found = assets.select(found=documents_of(assets.context, assets.found))
    documents = found.flatten(found.found)
    return documents.select(children=documents.found[0], document=documents.found[1])


def by_bucket(rendered):
    table = with_children(annotations()) if rendered else annotations()
    table = table.with_columns(bucket=buckets_of(table.start, table.end))
    spread = table.flatten(table.bucket)
    rest = [spread.child] if rendered else [spread.label, spread.confidence_score]
    entry = pw.make_tuple(spread.type, spread.start, spread.end, spread.annotation_id, *rest)
    groups = spread.groupby(spread.asset, spread.bucket).reduce(
        spread.bucket,
        children=pw.reducers.count(),
        context=pw.reducers.any(spread.context),
        first=pw.reducers.min(spread.type),
        last=pw.reducers.max(spread.type),
        found=pw.reducers.sorted_tuple(entry),
    )
    return groups.filter(groups.first != groups.last)


def main():
    job = common.Job(pw.__version__)
    tally = common.Tally(args)
    rendered = args.variant != "bucket-lists"
    if args.variant == "asset":
        documents = by_asset()
    else:
        groups = by_bucket(rendered)
        document = document_of(groups.context, groups.bucket, groups.found) if rendered else groups.found
        documents = groups.select(groups.context, groups.bucket, groups.children, document=document)

    def count(key, row, time, is_addition):
        document = row["document"]
        if args.verify and not rendered:
            children = [child_of.func(*entry[3:4], entry[0], *entry[4:], *entry[1:3]) for entry in document]
            document = sweep.document_of(row["context"], row["bucket"], children)
        tally.add(document, row["children"], 1 if is_addition else -1)

    pw.io.subscribe(documents, on_change=count)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    job.finish_tally(tally)


main()
