"""Size, idle memory and time to the first answer of a built gateway: python3 tests/figures.py BINARY."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 10
MIB = 1024 * 1024
BODY = b'{"model":"standard","messages":[{"role":"user","content":"Hello"}]}'
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
QUESTION = f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# The stand-in for providers without keys takes its time between words, as a model would. This one does not.
INSTANT = """
providers.instant.protocol = "sim"
models.instant.provider = "instant"
routes.standard.targets = ["instant"]
"""


class Gateway:
    """The gateway with its default configuration, but for a simulated provider that answers at once."""

    def __init__(self, binary):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        environment = {"WEIR_SERVER__LISTEN": f"127.0.0.1:{self.port}"}
        instant = Path(self.folder.name) / "instant.toml"
        instant.write_text(INSTANT)
        command = [binary, "serve", "--config", ROOT / "config/weir.toml", "--config", instant]
        with open(os.devnull, "w") as nowhere:
            self.spawned = time.monotonic()
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.folder.name, stderr=nowhere, close_fds=False
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.folder.cleanup()

    def connect(self):
        """Waits until it listens."""
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=10)
            except ConnectionRefusedError:
                time.sleep(0.0002)
        raise RuntimeError("the gateway does not listen")

    def ask(self):
        with self.connect() as stream:
            stream.sendall(QUESTION)
            answer = b"".join(iter(lambda: stream.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"no answer: {answer[:200]!r}")

    def first_answer(self):
        """Milliseconds from its start to its first answer."""
        self.ask()
        return (time.monotonic() - self.spawned) * 1000

    def memory(self):
        """Resident MiB once it has come to rest, in all and without the pages of the binary."""
        time.sleep(1)
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))


def main(binary):
    failed = False

    def row(name, value, unit, target=None, note=""):
        nonlocal failed
        missed = target is not None and value > target
        failed |= missed
        limit = f"(target {target} {unit}{', MISSED' if missed else ''})" if target else ""
        print(f"{name:34}{value:8.1f} {unit:4}{limit}{note}")

    row("stripped binary", binary.stat().st_size / MIB, "MiB", 20)
    with Gateway(binary) as gateway:
        gateway.connect().close()
        memory, anonymous = gateway.memory()
        row("idle memory after the start", memory, "MiB", 15, f", {anonymous:.1f} of it anonymous")
        for _ in range(100):
            gateway.ask()
        memory, anonymous = gateway.memory()
        row("idle memory after 100 answers", memory, "MiB", None, f", {anonymous:.1f} of it anonymous")
    times = []
    for _ in range(ROUNDS):
        with Gateway(binary) as gateway:
            times.append(gateway.first_answer())
    spread = f", {min(times):.1f} to {max(times):.1f}"
    row("start to first answer, median", statistics.median(times), "ms", 50, spread)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
