"""The results file: a header, then a record for each thing that was done, a line of JSON each. It can be gone on with."""

import json
import pathlib


class Mismatch(Exception):
    """A results file of something else."""


class Results:
    """Appends records; knows those that are there."""

    def __init__(self, path, header):
        """Opens the file, or begins it with `header`.

        Raises Mismatch if it is of another workload, or of other versions.
        """
        self.path = pathlib.Path(path)
        self.records = read(self.path) if self.path.exists() else []
        if self.records:
            self.compare(self.records[0], header)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.append({"record": "header"} | header)

    def compare(self, there, header):
        for name in ["workload", "versions"]:
            if there.get(name) != header[name]:
                raise Mismatch(f"{self.path} has other {name}: {there.get(name)}, not {header[name]}; choose another file")

    def append(self, record):
        self.records.append(record)
        # A line that was cut by a crash is not to be continued.
        with open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")

    def of(self, kind, tool, variant, threads=None, length=None):
        """The records of a kind and variant."""
        wanted = {"record": kind, "tool": tool, "variant": variant, "threads": threads, "length": length}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        return [record for record in self.records if wanted.items() <= record.items()]


def read(path):
    """All records; a last line that is cut counts for nothing and is removed."""
    path = pathlib.Path(path)
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]
