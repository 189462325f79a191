"""What the Python forms share: what counts came to."""

import pathlib
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))

import common  # noqa: E402


class Counts:
    """Counts as they are put out; to verify, the newest of each user."""

    def __init__(self, verify):
        self.emitted, self.newest = 0, {} if verify else None

    def put(self, user, n):
        self.emitted += 1
        if self.newest is not None:
            self.newest[user] = n

    def finish(self, job):
        check = None
        if self.newest is not None:
            check = sum(zlib.crc32(f"{user}:{n}".encode()) for user, n in self.newest.items())
        job.finish(self.emitted, None, check=check)


arguments = common.arguments
Job = common.Job
