"""Weir's binary as a child process: the gateway, or its simulated provider, on a free port of this machine."""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("WEIR_BIN") or ROOT / "target/debug/weir"


class Weir:
    """One process, which listens once this is made. `url` is its address, `log` the file with what it says."""

    def __init__(self, *arguments, config=None):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        command = [BINARY, *arguments]
        if config is not None:
            (folder / "weir.toml").write_text(config)
            command += ["--config", folder / "weir.toml"]
        self.log = folder / "log"
        with self.log.open("w") as log:
            # A clean environment: no real provider's key, no WEIR_ setting.
            environment = {"PATH": os.environ["PATH"], "SIM_KEY": "any"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            self.url = self.listening()
        except RuntimeError:
            self.__exit__()
            raise

    def listening(self):
        for _ in range(400):
            found = re.search(r"listen\w* on (http://[0-9.:]+)", self.log.read_text())
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.025)
        raise RuntimeError(f"it does not listen:\n{self.log.read_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.folder.cleanup()


def gateway(providers):
    """A gateway with these tables of providers, whose models clients pin as PROVIDER/MODEL. Lines before the first table
    are settings of the server."""
    return Weir("serve", config="\n".join(['[server]\nlisten = "127.0.0.1:0"', *providers]))


def sim(*arguments):
    """A simulated provider, which tells the protocol by the path."""
    return Weir("sim", "--listen", "127.0.0.1:0", *arguments)
