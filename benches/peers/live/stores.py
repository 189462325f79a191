"""What the stores hold, beside what they should."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent.parent / "examples" / "live-speed")]
import live  # noqa: E402
from harness import truth  # noqa: E402


def key(document):
    return document["associated_ids"]["ASSET_ID"], document["time_bucket_start_ns"]


def expected(directory):
    """The documents of an archive by (asset, start), as text."""
    found = (document for _, document in truth.documents(truth.newest(directory)))
    return {key(json.loads(document)): document for document in found}


def table(bare, node, keyspace):
    lines = subprocess.run([bare, "contents", node, keyspace], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    rows = map(json.loads, lines)
    return {tuple(row["key"]): row["document"] for row in rows}


def index(url, name):
    """All documents, page by page in the order of the index."""
    live.ask("POST", f"{url}/{name}/_refresh")
    pit = live.ask("POST", f"{url}/{name}/_pit?keep_alive=1m")["id"]
    found, after = {}, None
    while True:
        search = {"size": 5_000, "pit": {"id": pit, "keep_alive": "1m"}, "sort": ["_shard_doc"], "track_total_hits": False}
        hits = live.ask("POST", f"{url}/_search", search | ({"search_after": after} if after else {}))["hits"]["hits"]
        if not hits:
            break
        found |= {key(hit["_source"]): hit["_source"] for hit in hits}
        after = hits[-1]["sort"]
    live.ask("DELETE", f"{url}/_pit", {"id": pit})
    return found


def compare(wanted, found):
    """How many documents are missing, should not be there any more, or are not those that they should be."""
    same = lambda one, other: one == other or json.loads(one) == (other if isinstance(other, dict) else json.loads(other))
    return {
        "missing": len(wanted.keys() - found.keys()),
        "left_over": len(found.keys() - wanted.keys()),
        "wrong": sum(not same(wanted[name], found[name]) for name in wanted.keys() & found.keys()),
    }


def is_right(counts):
    return not any(counts.values())
