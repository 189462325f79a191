#!/usr/bin/env python3
"""Counts in DuckDB: one query over the file."""

import tally

args = tally.arguments(["batch"])

import duckdb  # noqa: E402

QUERY = """
    SELECT user, count(*) AS n
    FROM read_json($input, format = 'newline_delimited', columns = {user: 'VARCHAR'})
    GROUP BY user"""


def main():
    job = tally.Job(duckdb.__version__)
    connection = duckdb.connect(config={"threads": args.threads, "temp_directory": args.scratch})
    counts = tally.Counts(args.verify)
    if args.verify:
        for user, n in connection.execute(QUERY, {"input": args.input}).fetchall():
            counts.put(user, n)
    else:
        # Found, and not brought to Python.
        counts.emitted = connection.execute(f"SELECT count(*), sum(n) FROM ({QUERY})", {"input": args.input}).fetchone()[0]
    counts.finish(job)


main()
