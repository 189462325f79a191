"""The peers: how each is built, and the command of a run."""

import hashlib
import pathlib
import shutil

from harness import environment

HERE = pathlib.Path(__file__).resolve().parent


class Missing(Exception):
    """A query that is not written for a tool."""


class Flink:
    """Flink SQL in a local cluster."""

    name = "flink"

    def __init__(self, made):
        self.made, self.out = made, made.place / "nexmark-flink"

    def build(self):
        for program, package in [("java", "a JDK of version 17 or later"), ("mvn", "Maven")]:
            if not shutil.which(program):
                raise environment.Unavailable(f"there is no {program}: install {package}")
        digest = hashlib.sha256()
        for path in sorted(path for path in (HERE / "flink").rglob("*") if path.suffix in [".java", ".xml", ".properties"]):
            digest.update(path.read_bytes())
        stamp = self.out / "built"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        shutil.rmtree(self.out, ignore_errors=True)
        pom = str(HERE / "flink" / "pom.xml")
        environment.must(["mvn", "-B", "-q", "-f", pom, f"-Dout={self.out}", "compile"], "could not be built")
        stamp.write_text(digest.hexdigest())

    def command(self, query, events, scratch, given, verify=None):
        sql = HERE / "flink" / "queries" / f"{query}.sql"
        if not sql.exists():
            raise Missing("not written for Flink")
        opens = [flag for name in environment.OPENED for flag in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        command = ["java", f"-Xmx{self.made.heap}", *opens, "-cp", f"{self.out}/classes:{self.out}/lib/*", "nexmark.NexmarkJob"]
        values = {"input": events, "sql": sql, "threads": given.threads, "scratch": scratch}
        values |= {"verify": verify} if verify else {"runs": given.warm}
        return [*command, *(f"{name}={value}" for name, value in values.items())]


class Dbsp:
    """Circuits of the dbsp crate."""

    name = "dbsp"
    # Those that are written in dbsp/src.
    QUERIES = ["q2", "q4", "q5", "q15", "q16", "q17"]

    def __init__(self, made):
        self.made, self.out = made, made.place / "nexmark-dbsp"

    def build(self):
        manifest = str(HERE / "dbsp" / "Cargo.toml")
        command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--target-dir", str(self.out)]
        environment.must(command, "could not be built")

    def command(self, query, events, scratch, given, verify=None):
        if query not in self.QUERIES:
            raise Missing("not written for dbsp")
        command = [str(self.out / "release" / "nexmark-dbsp"), "--query", query, "--input", str(events), "--threads", str(given.threads)]
        return command + (["--verify", str(verify)] if verify else [])
