#!/usr/bin/env python3
"""Fusion in DuckDB: annotations spread over their buckets, grouped, ordered, rendered.

  plain   as one would write it: a list of structs ordered in the aggregate, the document rendered by `to_json`
  ranked  ordered once, before the spreading: each annotation has a rank, and lists are sorted by it; children are
          rendered once; documents are strings put together
  lists   lists of structs, ordered by rank, formed and not rendered
"""

import os

import common

args = common.arguments(["plain", "ranked", "lists"])

import duckdb  # noqa: E402

W = common.BUCKET_NS
ANNOTATIONS = """
    SELECT *, associated_ids.ASSET_ID AS asset, time_range.start_time_ns AS start_ns, time_range.end_time_ns AS end_ns
    FROM read_json($input, format = 'newline_delimited', columns = {
        annotation_id: 'VARCHAR', type: 'VARCHAR', label: 'VARCHAR', confidence_score: 'DOUBLE',
        associated_ids: 'STRUCT(MOVIE_ID VARCHAR, ASSET_ID VARCHAR)',
        time_range: 'STRUCT(start_time_ns BIGINT, end_time_ns BIGINT)'
    })"""
FIELDS = """'annotation_id': annotation_id, 'annotation_type': type, 'label': label,
            'confidence_score': confidence_score, 'time_range': time_range"""
ORDER = "type, start_ns, end_ns, annotation_id"
RANK = f"row_number() OVER (ORDER BY {ORDER}) AS rank"
BUCKETS = f"unnest(range(start_ns // {W}, (end_ns - 1) // {W} + 1)) AS bucket"
GROUPS = "GROUP BY asset, bucket HAVING min(type) <> max(type)"
DOCUMENT = f"""to_json({{'associated_ids': context, 'time_bucket_start_ns': bucket * {W},
            'time_bucket_end_ns': (bucket + 1) * {W}, 'source_annotations': found}})::VARCHAR"""

PLAIN = f"""
    SELECT len(found) AS children, {DOCUMENT} AS document
    FROM (
        SELECT any_value(associated_ids) AS context, bucket, list({{{FIELDS}}} ORDER BY {ORDER}) AS found
        FROM (SELECT *, {BUCKETS} FROM ({ANNOTATIONS})) {GROUPS}
    )"""
RANKED = f"""
    SELECT len(found) AS children, concat(
        '{{"associated_ids":', context, ',"time_bucket_start_ns":', bucket * {W}, ',"time_bucket_end_ns":',
        (bucket + 1) * {W}, ',"source_annotations":[',
        array_to_string(list_transform(list_sort(found), lambda entry: entry.child), ','), ']}}') AS document
    FROM (
        SELECT any_value(context) AS context, bucket, list({{'rank': rank, 'child': child}}) AS found
        FROM (
            SELECT asset, type, context, rank, child, {BUCKETS}
            FROM (
                SELECT *, to_json(associated_ids)::VARCHAR AS context, to_json({{{FIELDS}}})::VARCHAR AS child, {RANK}
                FROM ({ANNOTATIONS})
            )
        ) {GROUPS}
    )"""
LISTS = f"""
    SELECT context, bucket, list_sort(found) AS found
    FROM (
        SELECT any_value(associated_ids) AS context, bucket, list({{'rank': rank, {FIELDS}}}) AS found
        FROM (SELECT *, {BUCKETS} FROM (SELECT *, {RANK} FROM ({ANNOTATIONS}))) {GROUPS}
    )"""
UNRANKED = FIELDS.replace(": ", ": entry.").replace("entry.type", "entry.annotation_type")
LISTS_RENDERED = f"""
    SELECT len(found) AS children, {DOCUMENT} AS document
    FROM (SELECT context, bucket, list_transform(found, lambda entry: {{{UNRANKED}}}) AS found FROM ({LISTS}))"""


def main():
    job = common.Job(duckdb.__version__)
    # Beyond that it goes on with files. A little less than what it takes by itself: other things need memory, too.
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 7 // 10
    settings = {"threads": args.threads, "temp_directory": args.scratch, "memory_limit": f"{memory_bytes // 2**20}MiB"}
    connection = duckdb.connect(config=settings)
    query = {"plain": PLAIN, "ranked": RANKED, "lists": LISTS}[args.variant]
    inputs = {"input": common.files(args)}
    if args.verify:
        tally = common.Tally(args)
        found = connection.execute(LISTS_RENDERED if args.variant == "lists" else query, inputs)
        while rows := found.fetchmany(10_000):
            for children, document in rows:
                tally.add(document, children)
        job.finish_tally(tally)
    elif args.variant == "lists":
        job.finish(*map(int, connection.execute(f"SELECT count(*), sum(len(found)) FROM ({query})", inputs).fetchone()))
    else:
        totals = f"SELECT count(*), sum(children), sum(strlen(document)) FROM ({query})"
        job.finish(*map(int, connection.execute(totals, inputs).fetchone()))


main()
