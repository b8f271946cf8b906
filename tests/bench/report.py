"""Fills a ledger with made-up rows, then times `weir report` on it.

    python3 tests/bench/report.py BINARY [ROWS]

The tables are those of the file's own schema, so that the figures are about the real layout. The rows are of the last
30 days: several models, keys, sets of tags; a tenth of the requests fell back, a twentieth came from the cache.
"""

import json
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid

SQLITE = pathlib.Path(__file__).parents[2] / "src/ledger/store/sqlite"
VERSIONS = ["schema.sql", "version_2.sql", "version_3.sql", "version_4.sql"]
DAYS = 30
RUNS = 5


def fill(path, rows):
    """Writes `rows` rows; gives the bytes of the file."""
    chance = random.Random(1)
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
    database.executescript((SQLITE / VERSIONS[0]).read_text())
    names = {}

    def name(text):
        if text not in names:
            names[text] = len(names) + 1
            database.execute("INSERT INTO names VALUES (?, ?)", (names[text], text))
        return names[text]

    sets = [json.dumps({"app": f"app-{n % 10}", "team": f"team-{n}"}, separators=(",", ":")) for n in range(50)]
    database.executemany("INSERT INTO tag_sets VALUES (?, ?)", list(enumerate(sets, 1)))
    models = [(name(f"model-{n}"), name(f"provider-{n % 5}")) for n in range(20)]
    keys = [name(f"key-{n}") for n in range(200)]
    routes = [name(route) for route in ("premium", "standard", "budget", "code")]
    tiers = [name(tier) for tier in ("premium", "standard", "budget")]
    auto, miss, hit, ok, failed = map(name, ("auto", "miss", "hit", "ok", "timeout"))
    end = int(time.time() * 1000)
    step = DAYS * 86_400_000 / rows

    def row(at, request, attempt, outcome, cache):
        model, provider = models[int(chance.random() ** 2 * 20)] if attempt else (None, None)
        cost = chance.randrange(1, 50_000_000) if attempt else 0
        return (
            at, uuid.UUID(int=(at << 80) | (7 << 76) | chance.getrandbits(76)).bytes, request, attempt,
            chance.choice(keys), chance.randrange(1, 51), chance.choice(routes), chance.choice(tiers), None,
            chance.randrange(1, 11), auto, chance.random() < 0.7, cache, model, provider, attempt,
            int(outcome == failed), outcome, chance.randrange(1, 8000), chance.randrange(0, 2000), 0, 0, 0,
            chance.randrange(1, 2000), chance.randrange(0, 500), 0, cost, 1, cost * 2, cost * 9 // 10, 350, 2400, 410,
            None, None, None,
        )

    def all_rows():
        made = 0
        while made < rows:
            at, request = end - int((rows - made) * step), chance.randbytes(16)
            lot = chance.random()
            if lot < 0.05:
                parts = [row(at, request, 0, ok, hit)]
            elif lot < 0.15:
                parts = [row(at, request, 1, failed, miss), row(at, request, 2, ok, miss)]
            else:
                parts = [row(at, request, 1, ok, miss)]
            made += len(parts)
            yield from parts

    database.executemany(f"INSERT INTO entries VALUES ({','.join('?' * 36)})", all_rows())
    database.commit()
    for version in VERSIONS[1:]:
        database.executescript((SQLITE / version).read_text())
    database.executescript(f"PRAGMA application_id = 0x57656972; PRAGMA user_version = {len(VERSIONS)}; VACUUM;")
    count = database.execute("SELECT count(*) FROM entries").fetchone()[0]
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return count, os.path.getsize(path)


def main():
    if sys.argv[1] == "--fill":
        # For whoever needs a ledger of so many rows: --fill FILE ROWS.
        print("%d rows, %d bytes" % fill(pathlib.Path(sys.argv[2]), int(sys.argv[3])))
        return
    binary = pathlib.Path(sys.argv[1]).resolve()
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weir.db"
        rows, size = fill(path, rows)
        config = pathlib.Path(folder) / "weir.toml"
        config.write_text(f'[ledger]\nurl = "sqlite:{path}"\n')
        print(f"rows                {rows:>12,}")
        print(f"bytes a row         {size / rows:>12.1f}")
        for by in ("model", "tag", "day"):
            command = [binary, "report", "--config", config, "--since", f"{DAYS}d", "--by", by, "--json"]
            times = []
            for _ in range(RUNS):
                began = time.perf_counter()
                answer = subprocess.run(command, check=True, capture_output=True, cwd=folder)
                times.append(time.perf_counter() - began)
            totals = json.loads(answer.stdout)["totals"]
            seen = totals["attempts"] + totals["answered"]
            assert totals["asked"] > 0 and seen > 0, totals
            print(f"seconds by {by:<8} {min(times):>12.3f} best, {sorted(times)[RUNS // 2]:.3f} median of {RUNS}")


main()
