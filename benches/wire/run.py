"""Measures Weir beside nginx, a minimal proxy and the upstream itself: `make bench`, `make bench BENCH=all`.

    run.py WEIR WIRE [PART...]

Parts are functions of `rows.py`. It prints one table of medians, ranges and ratios to nginx, and writes
target/bench/results.json. Everything is pinned: the gateway on one core, load and upstream on another.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import measure
import rows
import subjects
from table import Table

CORE = ["requests", "latency", "events", "first", "memory", "start", "calls"]
MORE = ["crowd", "translation", "bodies", "growth", "long"]
GROUPS = {"core": CORE, "all": CORE + MORE, "stream": ["events", "first", "crowd"]}


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "?")
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "nginx": nginx,
        "commit": commit,
        "began": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def parts(words):
    chosen = []
    for word in words or ["core"]:
        for part in GROUPS.get(word, [word]):
            if not hasattr(rows, part):
                raise SystemExit(f"There is no part `{part}`. Parts: {', '.join(CORE + MORE)}; groups: {', '.join(GROUPS)}, pieces.")
            if part not in chosen:
                chosen.append(part)
    return chosen


def main(weir, wire, *words):
    chosen = parts([part for word in words for part in word.split(",") if part])
    if os.cpu_count() < 2:
        raise SystemExit("Two cores are needed: one for the gateway, one for its load and its upstream.")
    subjects.install()
    measure.FOLDER.mkdir(parents=True, exist_ok=True)
    about = machine()
    table = Table()
    begun, stolen = time.monotonic(), measure.steal()
    load = os.getloadavg()[0]
    if load > 0.5:
        table.note(f"The machine was not idle before: load {load:.1f}.")
    bench = rows.Bench(Path(weir).resolve(), Path(wire).resolve(), table)
    try:
        for part in chosen:
            print(f"... {part}", file=sys.stderr, flush=True)
            try:
                getattr(rows, part)(bench)
            except Exception as failure:  # noqa: BLE001 - what was measured before is still to be shown
                table.failed(part, str(failure))
            bench.end()
    finally:
        bench.end()
        measure.stop_all()
    about["seconds"] = round(time.monotonic() - begun)
    about["stolen_seconds"] = round(measure.steal() - stolen, 1)
    print(table.text(about))
    file = measure.FOLDER / "results.json"
    file.write_text(json.dumps({"machine": about, **table.told()}, indent=1) + "\n")
    print(f"written to {file}")
    return 1 if table.has_failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
