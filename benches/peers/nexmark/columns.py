"""What a row of each query is, whoever found it: the columns of the published SQL, from our documents and from what peers write.

Where ours say more or less (docs/benchmarks.md, "Nexmark"), both are brought to what they have in common.
"""

import json

MS = 1_000_000
RANKS = ["total", "rank1", "rank2", "rank3"]
BIDS = [f"{rank}_bids" for rank in RANKS]
REPORT = BIDS + [f"{rank}_{of}" for of in ["bidders", "auctions"] for rank in RANKS]


def day(row):
    return row["window_start_ns"] // MS // 86_400_000


def fields(*names):
    return lambda row: [row[name] for name in names]


def whole(row, *names):
    """SQL's mean of integers is one."""
    return [int(row[name]) for name in names]


def auction(row):
    names = ["item_name", "description", "initial_bid", "reserve", "date_time", "expires", "seller", "category", "extra"]
    return [row["item"][name] for name in names]


BID = ["auction", "bidder", "price", "channel", "url", "date_time", "extra"]
OURS = {
    "q1": lambda row: [row["auction"], row["bidder"], f"{row['price']:.3f}", row["date_time"], row["extra"]],
    "q2": fields("auction", "price"),
    "q3": fields("name", "city", "state", "id"),
    "q4": lambda row: [row["category"], *whole(row, "final")],
    "q5": fields("auction", "num"),
    "q7": fields("auction", "bidder", "price", "date_time", "extra"),
    "q8": fields("id", "name", "start_ms"),
    "q11": lambda row: [row["bidder"], row["bid_count"], row["window_start_ns"] // MS, row["window_end_ns"] // MS],
    "q15": lambda row: [day(row), *(row[name] for name in REPORT)],
    "q16": lambda row: [row["channel"], day(row), row["last_ms"] // 60_000 % 1_440, *(row[name] for name in REPORT)],
    "q17": lambda row: [row["auction"], day(row), *(row[name] for name in BIDS), row["min_price"], row["max_price"], *whole(row, "avg_price"), row["sum_price"]],
    "q18": fields(*BID),
    "q20": lambda row: [row[name] for name in BID] + auction(row),
}


def day_of(text):
    import datetime

    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


def minute_of(text):
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


# Where SQL has texts, and we have numbers: the place of the column, and what it says.
TEXTS = {"q15": {0: day_of}, "q16": {1: day_of, 2: minute_of}, "q17": {1: day_of}}


def joined(sessions):
    """Sessions of which one ends when the next one starts are one in Flink, and two in Flowstone."""
    rows = []
    for bidder, bids, start, end in sorted(sessions, key=lambda row: (row[0], row[2])):
        if rows and rows[-1][0] == bidder and rows[-1][3] == start:
            rows[-1][1] += bids
            rows[-1][3] = end
        else:
            rows.append([bidder, bids, start, end])
    return rows


def ours(query, documents):
    """The rows of our documents, in an order of their own."""
    rows = [OURS[query](json.loads(document)) for document in documents]
    return sorted(json.dumps(row) for row in (joined(rows) if query == "q11" else rows))


def theirs(query, path):
    """The rows that a peer has written, a list of columns a line; in an order of their own."""
    rows = []
    with open(path) as lines:
        for line in lines:
            row = json.loads(line)
            for at, number in TEXTS.get(query, {}).items():
                row[at] = number(row[at]) if isinstance(row[at], str) else row[at]
            rows.append(json.dumps(row))
    return sorted(rows)
