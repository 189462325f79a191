"""What the measurements share: programs built for speed, servers, pipelines, processor time, medians."""

import atexit
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "journal"))
import common  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def arguments(description, **options):
    args = common.arguments(description, runs=(3, "how often each side is run, by turns; medians count"), **options)
    if args.dir == str(common.HERE / "out"):
        args.dir = str(HERE / "out")
    return args


def programs(args):
    """flowstone and the bare clients, built for speed."""
    if args.flowstone:
        flowstone = pathlib.Path(args.flowstone).resolve()
        return str(flowstone), str(flowstone.with_name("bare"))
    build = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "flowstone", "-p", "flowstone-bare", "--bin", "flowstone", "--bin", "bare"]
    subprocess.run(build + ["--manifest-path", str(common.ROOT / "Cargo.toml")], check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", common.ROOT / "target"))
    target = target if target.is_absolute() else pathlib.Path.cwd() / target
    return str(target / "release" / "flowstone"), str(target / "release" / "bare")


class Servers:
    """Servers by their names, from `flowstone dev up`; or those that KAFKA_BROKERS, CASSANDRA and ES_URL name."""

    VARIABLES = {"kafka": "KAFKA_BROKERS", "cassandra": "CASSANDRA", "elasticsearch": "ES_URL"}

    def __init__(self, flowstone, *names):
        self.process = None
        self.address = {name: os.environ.get(self.VARIABLES[name]) for name in names}
        missing = [name for name in names if not self.address[name]]
        if missing:
            self.process = subprocess.Popen([flowstone, "dev", "up", "--json", *missing], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            # They end with the script, whatever becomes of it.
            atexit.register(self.stop)
            line = self.process.stdout.readline() or sys.exit("error: the servers did not start: try `flowstone dev up`")
            found = json.loads(line)
            self.address |= {name: found[self.VARIABLES[name]] for name in missing}

    def __getitem__(self, name):
        return self.address[name]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def cpu_s(self):
        """Processor time of those that were started here, by name."""
        if not self.process:
            return {}
        words = {"kafka": "kafka.Kafka", "cassandra": "CassandraDaemon", "elasticsearch": "classes-Main"}
        found = {}
        for process in descendants(self.process.pid):
            command = read(f"/proc/{process}/cmdline").replace("\0", " ")
            if "java" not in command.split(" ")[0]:
                continue
            name = next((name for name, word in words.items() if word in command), "other")
            found[name] = found.get(name, 0.0) + cpu_s(process)
        return found


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def descendants(root):
    children = {}
    for entry in os.listdir("/proc"):
        fields = read(f"/proc/{entry}/stat").rsplit(")", 1)[-1].split() if entry.isdigit() else []
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def cpu_s(process):
    fields = read(f"/proc/{process}/stat").rsplit(")", 1)[-1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def ask(method, url, body=None):
    """JSON of an HTTP server; none if there is nothing."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
    try:
        return json.loads(OPENER.open(request, timeout=60).read() or b"null")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def index_like(url, index):
    """A new index of the same mapping, set as for a fill."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
    mappings = ask("GET", f"{url}/{index}/_mapping")[index]["mappings"]
    mappings.pop("_meta", None)
    name = unique("bare")
    ask("PUT", f"{url}/{name}", {"settings": {"index": settings}, "mappings": mappings})
    return name


def bare(program, *words):
    """What a bare client has measured."""
    done = subprocess.run([program, *[str(word) for word in words]], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join([program, *map(str, words)])} ended with {done.returncode}")
    return json.loads(done.stdout)


class Hole:
    """A server that swallows what is written, in front of a real one."""

    def __init__(self, program, kind, upstream):
        self.process = subprocess.Popen([program, kind, upstream], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.address = f"127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"


def topic(flowstone, brokers, name, annotations, *options):
    """A topic of six partitions with uniform annotations of mean 3 s; made once for as long as the broker lives."""
    command = [flowstone, "generate", "--json", "--kafka", brokers, "--topic", name, "--partitions", "6", "--style", "uniform"]
    done = subprocess.run([*command, "--annotations", str(annotations), *options], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def backfill(flowstone, place, text, workers=1):
    """A pipeline from nothing to its end."""
    common.empty(place)
    (place / "pipeline.yaml").write_text(text)
    return common.run([flowstone, "backfill", "pipeline.yaml", "--json", "--workers", str(workers)], place)


def nothing(place):
    """A source that has nothing, for runs that only make table and index."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "nothing.ndjson").write_text("")
    return f'file: {{ paths: ["{place}/nothing.ndjson"] }}'


def unique(name):
    unique.count += 1
    return f"{name}_{os.getpid()}_{unique.count}"


unique.count = 0


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def documents(flowstone, place, annotations, assets=50):
    """Moments as Flowstone renders them, in files; made once. Their directory, that of the annotations, and how many there are."""
    said = place / "said.json"
    source, wanted = f'file: {{ paths: ["{place}/in/*"] }}', {"annotations": annotations, "assets": assets}
    if not said.exists() or json.loads(said.read_text())["wanted"] != wanted:
        common.empty(place)
        generate = [flowstone, "generate", str(place / "in"), "--style", "uniform", "--mean-length", "3s", "--assets", str(assets)]
        subprocess.run([*generate, "--annotations", str(annotations)], check=True, stdout=subprocess.DEVNULL)
        sinks = f"  files: {{ from: moments, file: {{ path: {place}/moments }} }}\n"
        text = common.pipeline(source, sinks, state="none")
        done = backfill(flowstone, place / "run", text)
        count = done["summary"]["sinks"]["files"]["upserts"]
        said.write_text(json.dumps({"wanted": wanted, "count": count}))
    return place / "moments", source, json.loads(said.read_text())["count"]


def load():
    return f"{os.getloadavg()[0]:.1f}"
