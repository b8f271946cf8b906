"""The parts of the bench: each measures what one or more rows of the table say."""

import os
import re
import signal
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import measure
import subjects
from measure import Figures
from subjects import Weir

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
# Seconds of one measurement.
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))


class Bench:
    """The binaries, the table, and what runs."""

    def __init__(self, weir, wire, table):
        self.weir, self.wire, self.table = weir, wire, table
        self.running = []

    def up(self, *names):
        """Starts the upstream and what is named; gives the subjects, the upstream as `direct`."""
        mock = subjects.mock(self.wire)
        self.running.append(mock)
        found = {"direct": mock}
        for name in names:
            found[name] = self.one(name, mock.port)
        return found

    def one(self, name, upstream):
        make = {
            "nginx": lambda: subjects.nginx(upstream),
            "floor": lambda: subjects.floor(self.wire, upstream),
            "off": lambda: Weir(self.weir, "off", upstream, on=False),
            "async": lambda: Weir(self.weir, "async", upstream),
            "durable": lambda: Weir(self.weir, "durable", upstream, ack="durable"),
            "hit": lambda: Weir(self.weir, "hit", upstream, same=True),
        }
        subject = make[name]()
        self.running.append(subject)
        return subject

    def end(self):
        # The gateways before their upstream.
        for subject in reversed(self.running):
            subject.end()
        self.running.clear()

    def closed(self, subject, seconds=SECONDS, **more):
        """A closed loop; gives microseconds of processor a request, and what the load said."""
        before = measure.cpu(subject.pid)
        told = measure.wrk(
            subject.port, subject.path(), subject.body(**more), subject.headers, seconds, same=subject.same
        )
        return (measure.cpu(subject.pid) - before) * 1e6 / told["requests"], told


NAMES = {
    "direct": "the upstream itself",
    "nginx": "nginx",
    "floor": "minimal hyper proxy",
    "off": "weir, features off",
    "async": "weir, everything on, ack async",
    "durable": "weir, everything on, durable",
    "hit": "weir, cache hit",
}


def each_round(found, names, measurement):
    """Measures all in turn, round after round; gives figures by name and by what is measured."""
    figures = defaultdict(lambda: defaultdict(Figures))
    for _ in range(ROUNDS):
        for name in names:
            for what, figure in measurement(found[name]).items():
                figures[what][name].add(figure)
    return figures


def requests(bench):
    """What a request costs, and how many of them a core answers."""
    names = ["direct", "nginx", "floor", "off", "async", "durable", "hit"]
    found = bench.up(*names[1:])
    idle = {name: measure.memory(found[name].pid) for name in names[1:]}
    # Each once beforehand: connections are opened, what is kept is kept, tables grow.
    for name in names:
        bench.closed(found[name], 1)

    def measurement(subject):
        cpu, told = bench.closed(subject)
        return {"cpu": cpu, "rate": told["requests"] / SECONDS}

    figures = each_round(found, names, measurement)
    cpu, table = figures["cpu"], bench.table
    nginx = cpu["nginx"]
    table.title("CPU per request, 64 connections, 1 KB asked, 600 bytes answered", "us")
    targets = {"off": (1.35, 1.15), "async": (2.0, 1.5), "durable": (2.5, 1.9), "hit": (0.8, 0.6)}
    for name in names[1:]:
        ratio, best = targets.get(name, (None, None))
        table.row("CPU per request", NAMES[name], cpu[name], nginx, ratio=ratio, best=best)
    table.title("requests a second of one core", "1/s")
    for name in names:
        table.row("requests a second", NAMES[name], figures["rate"][name], digits=0)
    if figures["rate"]["direct"].median < 1.2 * max(figures["rate"][name].median for name in names[1:]):
        table.note("The load's core was the bottleneck for the fastest: compare processor time, not requests a second.")
    table.title("memory after 64 connections", "MiB")
    for name in names[1:]:
        loaded = Figures()
        loaded.add(measure.memory(found[name].pid))
        limit = 40 if name == "async" else None
        table.row("memory loaded", NAMES[name], loaded, absolute=limit, best=25 if limit else None)
    table.note("Memory before the load: " + ", ".join(f"{NAMES[name]} {idle[name]:.1f}" for name in idle) + " MiB.")


def latency(bench):
    """What is added at 500 requests a second, whatever is under way."""
    names = ["direct", "nginx", "floor", "async"]
    found = bench.up(*names[1:])
    for name in names:
        bench.closed(found[name], 1)

    def measurement(subject):
        told = measure.wire(
            bench.wire, "open", subject.port, subject.path(), subject.body(), "500", str(2 * SECONDS),
            headers=subject.headers, seconds=2 * SECONDS,
        )
        if told["failed"]:
            raise RuntimeError(f"{subject.name}: {told['failed']} requests failed")
        return {share: told["latency"][share] for share in ("p50", "p99")}

    figures = each_round(found, names, measurement)
    for share, target, best in (("p50", 60, 30), ("p99", 250, 100)):
        added(bench.table, f"added {share} at 500 requests/s, open loop", figures[share], names, "async", target, best)


def added(table, what, figures, names, weir, target, best):
    """Rows of what each adds to the time of the upstream itself; Weir may add so much more than nginx."""
    table.title(what, "us")
    more = {name: Figures() for name in names if name != "direct"}
    for name in more:
        for mine, direct in zip(figures[name].all, figures["direct"].all):
            more[name].add(mine - direct)
    table.row(what, "the upstream itself takes", figures["direct"], digits=0)
    for name in more:
        limits = {"absolute": more["nginx"].median + target, "best": more["nginx"].median + best} if name == weir else {}
        table.row(what, NAMES[name], more[name], digits=0, **limits)


def events(bench):
    """What an event of a stream costs that passes through."""
    stream_events(bench, "CPU per SSE event passed through, 200 streams of 50 a second", {
        "nginx": (NAMES["nginx"], None), "floor": (NAMES["floor"], None), "off": (NAMES["off"], None),
        "async": (NAMES["async"], (1.3, 1.1)),
    })


def stream_events(bench, title, names, models=None):
    found = bench.up(*{name.split("-")[0] for name in names})
    words, each = subjects.PACES["events"]
    seconds = words * each / 1000

    def measurement(name):
        subject = found[name.split("-")[0]]
        model = (models or {}).get(name)
        body = subject.body("events", **({"model": model} if model else {}))
        before = measure.cpu(subject.pid)
        told = measure.wire(
            bench.wire, "streams", subject.port, subject.path("events"), body, "200", "1.5", str(words),
            headers=subject.headers, seconds=seconds + 5,
        )
        check(subject.name, told)
        return (measure.cpu(subject.pid) - before) * 1e6 / told["events"]

    figures = {name: Figures() for name in names}
    for _ in range(ROUNDS):
        for name in names:
            figures[name].add(measurement(name))
    bench.table.title(title, "us")
    base = "nginx" if "nginx" in names else next(iter(names))
    for name, (label, targets) in names.items():
        ratio, best = targets or (None, None)
        bench.table.row(title, label, figures[name], figures[base], ratio=ratio, best=best)
    return figures


def check(name, told):
    if told["broken"] or told["lost"] or not told["streams"]:
        raise RuntimeError(f"{name}: of {told['streams']} streams {told['broken']} broke, {told['lost']} events were lost")


def first(bench):
    """What is added to the first word of 500 streams."""
    names = ["direct", "nginx", "floor", "async"]
    found = bench.up(*names[1:])
    words, _ = subjects.PACES["first"]

    def measurement(subject):
        told = measure.wire(
            bench.wire, "streams", subject.port, subject.path("first"), subject.body("first"), "500",
            str(SECONDS + 1), str(words), headers=subject.headers, seconds=SECONDS + 5,
        )
        check(subject.name, told)
        return {share: told["first"][share] for share in ("p50", "p99")}

    figures = each_round(found, names, measurement)
    added(bench.table, "added to the first token, 500 streams, p50", figures["p50"], names, "async", 150, 60)
    added(bench.table, "added to the first token, 500 streams, p99", figures["p99"], names, None, 0, 0)


def crowd(bench):
    """2,000 streams at once: no event lost, none late."""
    names = ["direct", "nginx", "async"]
    found = bench.up(*names[1:])
    words, _ = subjects.PACES["crowd"]
    lost = defaultdict(Figures)

    def measurement(subject):
        told = measure.wire(
            bench.wire, "streams", subject.port, subject.path("crowd"), subject.body("crowd"), "2000",
            "1.5", str(words), headers=subject.headers, seconds=20,
        )
        lost[subject.name].add(told["lost"] + told["broken"])
        return {share: told["late"][share] for share in ("p50", "p99", "max")}

    figures = each_round(found, names, measurement)
    table = bench.table
    for share in ("p99", "max"):
        table.title(f"lateness of events, 2,000 streams of 10 a second, {share}", "us")
        for name in names:
            limits = {"absolute": figures[share]["direct"].median + 50_000} if name == "async" else {}
            table.row(f"lateness {share}", NAMES[name], figures[share][name], digits=0, **limits)
    table.title("events lost, streams broken", "count")
    for name in names:
        table.row("lost", NAMES[name], lost[name], digits=0, **({"absolute": 0} if name == "async" else {}))


def translation(bench):
    """What translating costs beside passing through, for requests and for events."""
    found = bench.up("nginx", "async")
    weir, table = found["async"], bench.table
    models = {"passed through": None, "Anthropic": "claude", "Gemini": "gem"}
    figures = {name: Figures() for name in models}
    for at in range(ROUNDS + 1):
        for name, model in models.items():
            cpu, _ = bench.closed(weir, 1 if at == 0 else SECONDS, model=model or "m")
            if at:
                figures[name].add(cpu)
    table.title("CPU per request, translated, everything on; ratios are to what is passed through", "us")
    compared(table, "translated request", figures)
    bench.end()
    names = {
        "async": ("weir, passed through", None),
        "async-anthropic": ("weir, Anthropic", (3, 2)),
        "async-gemini": ("weir, Gemini", (3, 2)),
    }
    chosen = {"async-anthropic": "anthropicevents", "async-gemini": "geminievents"}
    stream_events(bench, "CPU per event, translated; ratios are to what is passed through", names, chosen)


def compared(table, what, figures):
    base = figures["passed through"]
    for name, each in figures.items():
        limits = {} if each is base else {"ratio": 3, "best": 2}
        table.row(what, f"weir, {name}", each, base, **limits)


def bodies(bench):
    """What a body of 512 KiB costs: a picture in a message."""
    names = ["direct", "nginx", "floor", "off", "async"]
    found = bench.up(*names[1:])
    picture = "iVBORw0KGgo" + "QUJD" * (512 * 1024 // 4)

    def measurement(subject):
        name = subject.body().split('"model": "')[1].split('"')[0]
        text = (
            f'{{"model": "{name}", "messages": [{{"role": "user", "content": [{{"type": "text", "text": "Case ########"}},'
            f'{{"type": "image_url", "image_url": {{"url": "data:image/png;base64,{picture}"}}}}]}}]}}'
        )
        before = measure.cpu(subject.pid)
        told = measure.wire(
            bench.wire, "bodies", subject.port, subject.path(), text, "16", str(SECONDS),
            headers=subject.headers, seconds=SECONDS,
        )
        return {"cpu": (measure.cpu(subject.pid) - before) * 1e6 / told["latency"]["count"]}

    cpu = each_round(found, names, measurement)["cpu"]
    bench.table.title("CPU per request with a body of 512 KiB, 16 connections", "us")
    for name in names[1:]:
        limits = {"ratio": 2.5, "best": 1.5} if name in ("off", "async") else {}
        bench.table.row("512 KiB", NAMES[name], cpu[name], cpu["nginx"], **limits)


def memory(bench):
    """Memory at rest and for each idle stream."""
    found = bench.up("nginx", "floor", "async")
    table = bench.table
    time.sleep(1)
    table.title("memory at rest", "MiB")
    for name in ("nginx", "floor", "async"):
        limits = {"absolute": 15, "best": 8} if name == "async" else {}
        table.row("memory idle", NAMES[name], one(measure.memory(found[name].pid)), **limits)
    count = 2000
    rows = {}
    for name in ("nginx", "floor", "async"):
        subject = found[name]
        # What a first few cost once is not what each costs.
        with idle_streams(subject, 50):
            before = measure.memory(subject.pid)
            with idle_streams(subject, count):
                rows[name] = one((measure.memory(subject.pid) - before) * 1024 / count)
    table.title("memory of an idle stream (of 2,000)", "KiB")
    for name, figures in rows.items():
        limits = {"absolute": 40, "best": 20} if name == "async" else {}
        table.row("memory per idle stream", NAMES[name], figures, **limits)


def one(figure):
    figures = Figures()
    figures.add(figure)
    return figures


class idle_streams:
    """Streams that have had their first word, and wait for their second one."""

    def __init__(self, subject, count):
        self.subject, self.count, self.sockets = subject, count, []

    def __enter__(self):
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.subject.headers.items())
        for number in range(self.count):
            text = self.subject.body("idle").replace("########", f"{self.count * 10000 + number:08}").encode()
            head = f"POST {self.subject.path('idle')} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(text)}\r\n{lines}\r\n"
            each = socket.create_connection(("127.0.0.1", self.subject.port), timeout=10)
            each.sendall(head.encode() + text)
            self.sockets.append(each)
        for each in self.sockets:
            seen = b""
            while b"@" not in seen:
                part = each.recv(4096)
                if not part:
                    raise RuntimeError(f"{self.subject.name}: no stream: {seen[:300]!r}")
                seen += part
        time.sleep(0.5)

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()
        time.sleep(0.5)


def start(bench):
    """From the start to the first answer; the size of what ships."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from figures import ROUNDS as TIMES, Gateway

    times = Figures()
    for _ in range(TIMES):
        with Gateway(bench.weir) as gateway:
            times.add(gateway.first_answer())
    bench.table.title("start to first answer", "ms")
    bench.table.row("start", "weir", times, absolute=50, best=20)
    bench.table.title("the binary, stripped", "MiB")
    with_symbols = subprocess.run(["file", bench.weir], capture_output=True, text=True) if shutil.which("file") else None
    bench.table.row("binary", "weir", one(bench.weir.stat().st_size / 1024 / 1024), absolute=20, best=12)
    if with_symbols and "not stripped" in with_symbols.stdout:
        bench.table.note("This binary is not stripped: its size is not what ships.")
    bench.table.note("The image's size: `make image-check`, `make figures`.")


def traced(subject, file, tries=3):
    """What a load said while the system calls were counted into a file."""
    pids = [word for pid in measure.family(subject.pid) for word in ("-p", str(pid))]
    counting = measure.start(["strace", "-c", "-f", "-o", file, *pids], measure.GATEWAY_CORE)
    time.sleep(1)
    try:
        # Few at a time: what is traced is so slow that waiting for it would be what is counted.
        return measure.wrk(
            subject.port, subject.path(), subject.body(), subject.headers, 3, connections=8, same=subject.same
        )
    except RuntimeError:
        # A commit whose every call is traced may take so long that the ledger believes that its disk hangs.
        if tries == 1:
            raise
    finally:
        counting.send_signal(signal.SIGINT)
        counting.wait(20)
        measure.stop(counting)
    time.sleep(2)
    return traced(subject, file, tries - 1)


def calls(bench):
    """System calls a request."""
    if not shutil.which("strace"):
        bench.table.note("System calls were not counted: strace is not installed.")
        return
    names = ["nginx", "floor", "off", "async", "durable", "hit"]
    found = bench.up(*names)
    bench.table.title("system calls per request", "count")
    for name in names:
        subject = found[name]
        bench.closed(subject, 1)
        file = measure.FOLDER / "calls"
        told = traced(subject, file)
        found_calls = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", file.read_text(), re.M)
        counts = {call: int(count) / told["requests"] for count, call in found_calls if call != "total"}
        bench.table.row("system calls", NAMES[name], one(sum(counts.values())), digits=2)
        most = sorted(counts.items(), key=lambda pair: -pair[1])[:6]
        bench.table.note(f"{NAMES[name]}: " + ", ".join(f"{call} {count:.2f}" for call, count in most))


def growth(bench):
    """The cost of a request as configuration and ledger grow."""
    found = bench.up("nginx", "async")
    upstream = found["direct"].port
    routes = "".join(f'[routes.r{n}]\ntargets = ["m"]\n' for n in range(1000))
    keys = "".join(f'[[keys]]\nname = "k{n}"\nhash = "sha256:{n:064x}"\n' for n in range(1, 10_001))
    found["big"] = Weir(bench.weir, "big", upstream, more=routes + keys, prepare=fill_ledger)
    bench.running.append(found["big"])
    figures = {"async": Figures(), "big": Figures()}
    for at in range(2 * ROUNDS + 1):
        for name in figures:
            cpu, _ = bench.closed(found[name], 1 if at == 0 else SECONDS)
            if at:
                figures[name].add(cpu)
    bench.table.title("CPU per request as work grows; the ratio is to the first line", "us")
    bench.table.row("growth", "1 route, 1 key, a new ledger", figures["async"], figures["async"])
    label = "1,000 routes, 10,000 keys, 1,000,000 rows"
    bench.table.row("growth", label, figures["big"], figures["async"], ratio=1.1, best=1.02)


def fill_ledger(folder):
    script = Path(__file__).resolve().parents[2] / "tests" / "bench" / "report.py"
    rows = os.environ.get("BENCH_LEDGER_ROWS", "1000000")
    subprocess.run([sys.executable, script, "--fill", folder / "weir.db", rows], check=True, stdout=subprocess.DEVNULL)


def long(bench):
    """Memory after 100,000 and after 1,000,000 requests of mixed kinds."""
    found = bench.up("async")
    weir, marks, done = found["async"], {}, 0
    limit = int(os.environ.get("BENCH_LONG", "1000000"))
    kinds = [{}, {"model": "m"}, {"model": "claude"}, {"model": "gem"}, {"temperature": 0}]
    while done < limit:
        for kind in kinds:
            _, told = bench.closed(weir, 1, **kind)
            done += told["requests"]
        weir.same = True
        _, told = bench.closed(weir, 1)
        weir.same, done = False, done + told["requests"]
        measure.wire(
            bench.wire, "streams", weir.port, weir.path("first"), weir.body("first"), "200", "1.5", "20",
            headers=weir.headers, seconds=6,
        )
        if done >= limit // 10 and "early" not in marks:
            marks["early"] = measure.memory(weir.pid)
            bench.table.note(f"Memory after {done:,} requests: {marks['early']:.1f} MiB.")
    marks["late"] = measure.memory(weir.pid)
    bench.table.note(f"Memory after {done:,} requests: {marks['late']:.1f} MiB.")
    bench.table.title("memory after 1,000,000 mixed requests beside that after 100,000", "ratio")
    bench.table.row("long", "weir", one(marks["late"] / marks["early"]), absolute=1.1, digits=2)
