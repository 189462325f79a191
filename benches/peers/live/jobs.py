"""The job in each tool: started, killed, started again."""

import os
import pathlib
import shutil
import signal
import subprocess

from stores import HERE, live

from harness.flowstone import MOMENTS

PIPELINE = """\
name: live
state: ./state
epoch: 250ms
sources:
  annotations:
    kafka: {{ brokers: "{kafka}", topic: {topic} }}
""" + MOMENTS + """\
sinks:
  store: {{ from: moments, cassandra: {{ nodes: "{cassandra}", keyspace: {name}, table: moments, create: true }} }}
  search:
    from: moments
    after: store
    elasticsearch: {{ url: "{elasticsearch}", index: {name}, create: true, shards: 1, replicas: 0 }}
"""
# Flink opens classes of the JDK; its own scripts pass these.
OPENED = ["lang", "lang.invoke", "util", "util.concurrent", "net", "io", "nio", "time"]


class Job:
    """Fuses a topic into a table and an index of one name."""

    def __init__(self, place, servers, topic, name, threads):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.place, self.servers, self.topic, self.name, self.threads = place, servers, topic, name, threads
        self.process, self.cpu_s = None, 0.0

    def pipeline(self):
        return PIPELINE.format(topic=self.topic, name=self.name, **self.servers.address)

    def start(self, bounded=False):
        with open(self.place / "log", "a") as log:
            # Only what is bounded says something that is read.
            out = subprocess.PIPE if bounded else log
            self.process = subprocess.Popen(self.command(bounded), cwd=self.place, stdout=out, stderr=log, text=True)

    def kill(self):
        self.cpu_s += live.cpu_s(self.process.pid)
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.cpu_s += live.cpu_s(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def finish(self):
        """Waits for the end of a bounded job; gives processor time, memory, and what it has said."""
        said = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise SystemExit(f"error: {type(self).__name__} ended with {self.process.returncode}; see {self.place / 'log'}")
        return {"cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024, "said": said}


class Flowstone(Job):
    def __init__(self, binaries, *given):
        super().__init__(*given)
        self.binary = binaries["flowstone"]
        (self.place / "pipeline.yaml").write_text(self.pipeline())

    def command(self, bounded):
        return [self.binary, "backfill" if bounded else "run", "pipeline.yaml", "--json", "--workers", str(self.threads)]


class Flink(Job):
    def __init__(self, binaries, *given):
        super().__init__(*given)
        self.out, self.heap, self.bulks = binaries["flink"], binaries["heap"], binaries["bulks"]
        self.prepare(binaries["flowstone"])

    def prepare(self, flowstone):
        """Table and index as Flowstone makes them: by a run that has nothing to write."""
        text = self.pipeline()
        kafka = text[text.index("    kafka:") : text.index("    key:")]
        live.backfill(flowstone, self.place / "empty", text.replace(kafka, f"    {live.nothing(self.place)}\n"))

    def command(self, bounded):
        opens = [flag for name in OPENED for flag in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        checkpoints = self.place / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        options = {
            "brokers": self.servers["kafka"], "topic": self.topic, "cassandra": self.servers["cassandra"], "keyspace": self.name,
            "url": self.servers["elasticsearch"], "index": self.name, "checkpoints": checkpoints, "threads": self.threads,
            "bounded": str(bounded).lower(), "bulks": self.bulks,
        }
        if newest := self.newest(checkpoints):
            options["restore"] = newest
        java = ["java", f"-Xmx{self.heap}", *opens, "-cp", f"{self.out}/classes:{self.out}/lib/*", "fusion.LiveJob"]
        return java + [f"{name}={value}" for name, value in options.items()]

    @staticmethod
    def newest(checkpoints):
        """The newest checkpoint that is whole, of any run."""
        found = sorted(checkpoints.glob("*/chk-*/_metadata"), key=lambda path: path.stat().st_mtime)
        return found[-1].parent if found else None


def build_flink(out):
    build = ["mvn", "-B", "-q", "-f", str(HERE / "pom.xml"), f"-Dout={out}", "compile"]
    subprocess.run(build, check=True)
    return pathlib.Path(out)
