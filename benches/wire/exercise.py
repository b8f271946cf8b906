"""Takes a binary that counts its own branches through what it is mostly asked, see tools/ship.sh.

    exercise.py WEIR WIRE FOLDER

Its counters are left in FOLDER as weir-*.profraw.
"""

import os
import sys
from pathlib import Path

import measure
import rows
import subjects

# Enough to tell a hot branch from a cold one.
SECONDS = "4"


class Silent:
    """A table that nobody reads."""

    def __getattr__(self, _):
        return lambda *_, **__: None


def ask(bench, subject, body):
    told = measure.wire(
        bench.wire, "bodies", subject.port, subject.path(), body, "64", SECONDS, headers=subject.headers,
        seconds=int(SECONDS),
    )
    return told["latency"]["count"]


def listen(bench, subject, kind):
    words, _ = subjects.PACES["first"]
    told = measure.wire(
        bench.wire, "streams", subject.port, subject.path(kind), subject.body(kind), "200", SECONDS, str(words),
        headers=subject.headers, seconds=20,
    )
    rows.check(subject.name, told)
    return told["events"]


def exercise(bench):
    """Each configuration that the bench measures, whole answers and streams, passed through and translated."""
    for name in ("off", "async", "durable", "hit"):
        subject = bench.up(name)[name]
        if name == "hit":
            asked, heard = ask(bench, subject, subject.body().replace("########", "the same")), 0
        else:
            asked = sum(ask(bench, subject, subject.body(**more)) for more in ({}, {"model": "claude"}, {"model": "gem"}))
            heard = sum(listen(bench, subject, kind) for kind in ("first", "anthropicfirst", "geminifirst"))
        print(f"{name}: {asked} answers, {heard} events", flush=True)
        bench.end()


def main(weir, wire, folder):
    os.environ["LLVM_PROFILE_FILE"] = f"{Path(folder).resolve()}/weir-%p.profraw"
    measure.FOLDER.mkdir(parents=True, exist_ok=True)
    bench = rows.Bench(Path(weir).resolve(), Path(wire).resolve(), Silent())
    try:
        exercise(bench)
    finally:
        bench.end()
        measure.stop_all()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
