"""Reads what a process has cost, runs loads, keeps processes from outliving the bench."""

import atexit
import ctypes
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# The gateway has one core of its own; the load and the mock upstream share the other.
LOAD_CORE, GATEWAY_CORE = ([str(core) for core in sorted(os.sched_getaffinity(0))] * 2)[:2]
FOLDER = Path(__file__).resolve().parents[2] / "target" / "bench"

_running = []
_numbers = itertools.count()


def _die_with_parent():
    # PR_SET_PDEATHSIG: even if this script is killed, nothing of it goes on.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(command, core, **more):
    """Starts a process on a core; it ends with this script at the latest."""
    more.setdefault("stdout", subprocess.DEVNULL)
    more.setdefault("stderr", subprocess.DEVNULL)
    command = ["taskset", "-c", core, *map(str, command)]
    process = subprocess.Popen(command, preexec_fn=_die_with_parent, **more)
    _running.append(process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in _running:
        _running.remove(process)


def stop_all():
    for process in list(_running):
        stop(process)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, lambda *_: exit(143))
signal.signal(signal.SIGHUP, lambda *_: exit(129))


def output(command, core, seconds, env=None):
    """What a load printed; it is killed if it takes much longer than it should."""
    more = {"env": {**os.environ, **env}} if env else {}
    process = start(command, core, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    try:
        out, err = process.communicate(timeout=seconds + 60)
    finally:
        stop(process)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {err.strip() or out.strip()}")
    return out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, seconds=60):
    """Waits until something listens."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"nothing listens on {port}")


def family(pid):
    """A process with its children."""
    pids = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pids += family(int(child))
    return pids


def cpu(pid):
    """The seconds of the processor's time that a process and its children took, in user and in system mode."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory(pid):
    """Resident MiB of a process and its children, less what forked children share with it."""
    pids = family(pid)
    total = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in pids)
    shared = sum(int(Path(f"/proc/{each}/statm").read_text().split()[2]) for each in pids[1:])
    return (total - shared) * PAGE / 1024 / 1024


def steal():
    """Seconds that the machine below took from this one."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / TICKS


# Bodies are the same each time but for a number, so that no gateway knows the answer already.
SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
%(headers)s
local before, after = %(before)s, %(after)s
local number = %(number)d
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, before .. string.format("%%08d", number %% 100000000) .. after)
end
"""
# One body all the time: a kept answer is asked for again.
SAME = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
%(headers)s
wrk.body = %(before)s .. "00000000" .. %(after)s
"""


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def wrk(port, path, body, headers=None, seconds=4, connections=64, same=False, number=[0]):
    """A closed loop. Gives the requests that were answered, and quantiles in microseconds."""
    before, _, after = body.partition("########")
    lines = [f"wrk.headers[{quoted(name)}] = {quoted(value)}" for name, value in (headers or {}).items()]
    number[0] += 3_000_000
    script = FOLDER / "load.lua"
    script.write_text(
        (SAME if same else SCRIPT)
        % {"headers": "\n".join(lines), "before": quoted(before), "after": quoted(after), "number": number[0]}
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script]
    text = output([*command, f"http://127.0.0.1:{port}{path}"], LOAD_CORE, seconds)
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    if bad or errors or not requests:
        raise RuntimeError(f"not all was answered: {text}")
    return {"requests": requests, "p50": quantile(text, 50), "p99": quantile(text, 99)}


def quantile(text, share):
    value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 1, "ms": 1000, "s": 1e6}[unit]


def wire(binary, kind, port, path, body, *words, headers=None, seconds):
    """A load of our own; gives what it told. Each run asks other questions: the load counts from 0 each time."""
    run = next(_numbers)
    file = FOLDER / f"body-{run}.json"
    file.write_text(body.replace("########", f"{run}.########"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    command = [binary, kind, f"127.0.0.1:{port}", path, file, *words]
    try:
        return json.loads(output(command, LOAD_CORE, seconds, {"WIRE_HEADERS": lines}))
    finally:
        file.unlink()


class Figures:
    """The figures of one row and one subject, one a round."""

    def __init__(self):
        self.all = []

    def add(self, figure):
        self.all.append(figure)

    @property
    def median(self):
        return statistics.median(self.all)

    @property
    def spread(self):
        """How far apart they are, beside the median."""
        return (max(self.all) - min(self.all)) / self.median if self.median else 0.0
