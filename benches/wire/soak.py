"""Mixed traffic, clients that leave, upstreams that fail, reloads, for SOAK_SECONDS (600): does anything grow?

    soak.py WEIR WIRE

Prints memory, descriptors and what is under way over time. Fails where they do not end where they began, or where a
request fails that no fault was meant for.
"""

import os
import random
import re
import signal
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path

import measure
import subjects
from subjects import Weir

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
# What memory may grow by between two quiet moments: a share, and what allocators keep by chance.
SHARE, MIB = 0.10, 6

# Some of its answers fail in every way that the simulated provider knows; another model answers then.
FAULTY = """
[providers.faulty]
protocol = "sim"
sim = {{ fault = "{fault}", fault_rate = 0.4 }}
[models.faulty]
provider = "faulty"
[routes.shaky]
targets = ["faulty", "m"]
[breaker]
enabled = false
"""
FAULTS = ["status=500", "status=429", "reset-after=2", "truncated", "garbage"]
QUIET = "idle_connection_timeout = \"2s\"\n"


def settings(text, fault):
    text = text.replace("[providers.mock]\n", f"[providers.mock]\n{QUIET}")
    # Small, so that it is full soon: what is kept on purpose is no leak.
    text = text.replace('max_bytes = "16MiB"', 'max_bytes = "4MiB"')
    return text + FAULTY.format(fault=fault)


class Soak:
    def __init__(self, weir, wire):
        self.wire = wire
        self.mock = subjects.mock(wire)
        self.weir = Weir(weir, "soak", self.mock.port)
        self.plain = (self.weir.folder / "weir.toml").read_text()
        self.reload(FAULTS[0])
        self.over = threading.Event()
        self.counts = {"left": 0, "faults": 0, "reloads": 0, "asked": 0, "failed": 0}
        self.problems = []

    def seen(self):
        pid = self.weir.pid
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.weir.port}/metrics", timeout=10).read().decode()
        gauge = lambda name: sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.M))
        return {
            "MiB": measure.memory(pid),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "under way": int(gauge("weir_in_flight")),
        }

    def show(self, what):
        seen = self.seen()
        figures = "  ".join(f"{name} {value:.1f}" if name == "MiB" else f"{name} {value:4}" for name, value in seen.items())
        done = "  ".join(f"{name} {value}" for name, value in self.counts.items())
        print(f"{time.monotonic() - self.begun:6.0f} s  {what:<8} {figures}   {done}", flush=True)
        return seen

    def quiet(self):
        """Waits until nothing is under way and kept connections have closed."""
        time.sleep(4)

    def background(self, work):
        def run():
            while not self.over.is_set():
                try:
                    work()
                except Exception as problem:  # noqa: BLE001 - whatever it is, the run has failed
                    if not self.over.is_set():
                        self.problems.append(repr(problem))
                        return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def asks(self):
        told = measure.wire(
            self.wire, "open", self.weir.port, self.weir.path(), self.weir.body(), "300", "3",
            headers=self.weir.headers, seconds=3,
        )
        self.counts["asked"] += told["latency"]["count"]
        self.counts["failed"] += told["failed"]

    def streams(self):
        words, _ = subjects.PACES["first"]
        told = measure.wire(
            self.wire, "streams", self.weir.port, self.weir.path("first"), self.weir.body("first"), "100", "3",
            str(words), headers=self.weir.headers, seconds=8,
        )
        self.counts["asked"] += told["streams"]
        self.counts["failed"] += told["broken"] + told["lost"]

    def leaves(self):
        """Goes away in the middle of a request, of waiting, or of a stream."""
        text = self.weir.body("crowd").replace("########", f"{random.randrange(10**8):08}").encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.weir.headers.items())
        head = f"POST {self.weir.path()} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(text)}\r\n{lines}\r\n".encode()
        whole = head + text
        with socket.create_connection(("127.0.0.1", self.weir.port), timeout=10) as client:
            client.sendall(whole[: random.choice([10, len(head), len(head) + 100, len(whole), len(whole)])])
            time.sleep(random.choice([0, 0.01, 0.3]))
        self.counts["left"] += 1
        time.sleep(0.01)

    def fails(self):
        """Asks for what fails half of the time; the second model answers, or a stream breaks."""
        text = self.weir.body(model="shaky", **random.choice([{}, {"stream": True}]))
        text = text.replace("########", f"{random.randrange(10**8):08}").encode()
        headers = {**self.weir.headers, "content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.weir.port}{self.weir.path()}", text, headers)
        try:
            urllib.request.urlopen(request, timeout=20).read()
        except (OSError, ValueError):
            pass
        self.counts["faults"] += 1
        time.sleep(0.02)

    def reloads(self):
        self.reload(random.choice(FAULTS))
        self.counts["reloads"] += 1
        self.over.wait(2)

    def reload(self, fault):
        text = settings(self.plain, fault)
        file = self.weir.folder / "weir.toml"
        fresh = file.with_suffix(".new")
        fresh.write_text(text + (f"[routes.extra{random.randrange(3)}]\ntargets = [\"m\"]\n"))
        fresh.replace(file)
        os.kill(self.weir.pid, signal.SIGHUP)

    def mixed(self, seconds, lines):
        self.over.clear()
        work = [self.asks, self.streams, self.leaves, self.fails, self.reloads]
        threads = [self.background(each) for each in work]
        for _ in range(lines):
            time.sleep(seconds / lines)
            self.show("mixed")
            if self.weir.process.poll() is not None:
                raise RuntimeError("the gateway has ended")
        self.over.set()
        for thread in threads:
            thread.join(60)
        self.quiet()

    def run(self):
        self.begun = time.monotonic()
        self.show("start")
        # What is made once, pools and caches, is there after this.
        self.mixed(max(SECONDS * 0.2, 10), 3)
        before = self.show("quiet")
        self.mixed(SECONDS * 0.8, 12)
        after = self.show("quiet")
        self.problems += [f"{self.counts['failed']} requests failed"] if self.counts["failed"] else []
        if after["MiB"] > before["MiB"] * (1 + SHARE) + MIB:
            self.problems.append(f"memory grew from {before['MiB']:.1f} to {after['MiB']:.1f} MiB")
        for name, leeway in (("descriptors", 8), ("threads", 2), ("under way", 0)):
            if after[name] > before[name] + leeway:
                self.problems.append(f"{name} grew from {before[name]} to {after[name]}")
        for problem in self.problems:
            print(f"FAILED: {problem}")
        print("flat" if not self.problems else "not flat")
        return 1 if self.problems else 0


def main(weir, wire):
    subjects.install()
    measure.FOLDER.mkdir(parents=True, exist_ok=True)
    soak = Soak(Path(weir).resolve(), Path(wire).resolve())
    try:
        return soak.run()
    finally:
        soak.weir.end()
        measure.stop_all()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
