"""Runs a command with WEIR_URL naming a gateway whose providers are one simulated provider in four protocols.

    behind.py COMMAND [ARGUMENT...]
"""

import os
import subprocess
import sys

from gateway import gateway, sim

# Below the simulated provider's address.
PATHS = {"openai": "/v1", "azure": "", "anthropic": "/v1", "gemini": "/v1beta"}


def provider(protocol, url, prefix="", more=""):
    return f"""[providers.{prefix}{protocol}]
protocol = "{protocol}"
base_url = "{url}{PATHS[protocol]}"
api_keys = ["env:SIM_KEY"]
{more}
"""


def providers(url):
    """One for each protocol, and one again that leaves out what its protocol has no counterpart for."""
    for protocol in PATHS:
        yield provider(protocol, url)
        yield provider(protocol, url, prefix="lenient-", more="drop_unsupported = true")


# A comment wherever a stream is quiet for a moment, which the slow pace below makes common: nobody may stumble over it.
PINGS = 'stream_ping = "1ms"'
PACE = ["--tokens-per-second", "600"]


def main():
    with sim(*PACE) as upstream, gateway([PINGS, *providers(upstream.url)]) as weir:
        environment = os.environ | {"WEIR_URL": weir.url}
        with subprocess.Popen(sys.argv[1:], env=environment, stdout=subprocess.PIPE, text=True) as command:
            closing = ""
            for line in command.stdout:
                print(closing, end="", flush=True)
                closing = line
        if command.returncode != 0:
            print(f"the gateway's log:\n{weir.log.read_text()[-4000:]}")
        # What was counted stays the last line.
        print(closing, end="")
        return command.returncode


if __name__ == "__main__":
    sys.exit(main())
