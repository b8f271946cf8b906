"""What is measured: Weir in several configurations, nginx, a minimal proxy, the mock upstream itself."""

import os
import shutil
import subprocess

from measure import FOLDER, GATEWAY_CORE, LOAD_CORE, free_port, start, stop, wait_for

KEY = "weir-bench-0123456789abcdef0123456789abcdef"

# Streams by what they are for: their words, and the milliseconds from one to the next.
PACES = {"events": (400, 20), "first": (20, 100), "crowd": (100, 100), "idle": (2, 60000)}

TEXT = (
    "Compare the two proposals below for a team that runs a busy public service. Say which of them costs less over three "
    "years, which one is easier to change later, and what you would want to know before you decide. Answer in three short "
    "paragraphs, with the figures that matter. The first proposal keeps the present system and adds a cache in front of "
    "it: it takes four weeks, needs one more machine, and answers most questions without asking the database. The second "
    "one replaces the database by another that spreads over many machines: it takes five months, needs six machines, and "
    "grows with the load. Last year the load doubled; nobody knows whether it will do so again. Two of five engineers know "
    "the present system well, one of them leaves in spring. The contract with the host ends in two years."
)


def body(model, **more):
    """A chat of 1 KB whose ######## is another number each time."""
    import json

    words = {"model": model, **more, "messages": [{"role": "system", "content": "You are a careful consultant."},
                                                  {"role": "user", "content": f"Case ########. {TEXT}"}]}
    return json.dumps(words)


class Subject:
    """Something that listens, with what a request to it looks like."""

    headers = {}
    same = False

    def __init__(self, name, port, process):
        self.name, self.port, self.process = name, port, process

    @property
    def pid(self):
        return self.process.pid

    def path(self, kind=None, suffix="/v1/chat/completions"):
        """The path; a kind is a stream of that pace."""
        return suffix if kind is None else "/pace/{}/{}".format(*PACES[kind]) + suffix

    def body(self, kind=None, **more):
        return body("wire-1", **({"stream": True} if kind else {}), **more)

    def end(self):
        stop(self.process)


def mock(wire):
    port = free_port()
    process = start([wire, "mock", f"127.0.0.1:{port}"], LOAD_CORE)
    wait_for(port, process)
    return Subject("direct", port, process)


def floor(wire, upstream):
    port = free_port()
    process = start([wire, "floor", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], GATEWAY_CORE)
    wait_for(port, process)
    return Subject("floor", port, process)


# A plain proxy as one would set it up with care: kept connections, bodies in memory, streams passed on at once.
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid {folder}/nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 1m;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 4096; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://mock; }}
    location /pace/ {{ proxy_pass http://mock; proxy_buffering off; }}
  }}
}}
"""


def nginx(upstream):
    folder = FOLDER / "nginx"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, upstream=upstream, port=port, user=user))
    process = start(["nginx", "-e", "stderr", "-p", folder, "-c", file], GATEWAY_CORE)
    wait_for(port, process)
    return Subject("nginx", port, process)


PROVIDERS = """
[server]
listen = "127.0.0.1:{port}"
max_in_flight = 16384
max_body_memory = "2GiB"
[providers.mock]
base_url = "http://127.0.0.1:{upstream}/v1"
max_concurrent = 16384
[providers.anthropic]
protocol = "anthropic"
base_url = "http://127.0.0.1:{upstream}/v1"
api_keys = ["mock"]
[providers.gemini]
protocol = "gemini"
base_url = "http://127.0.0.1:{upstream}/v1beta"
api_keys = ["mock"]
"""

OFF = """
[auth]
mode = "open"
"""

# Every number is far above what the bench reaches, so that everything is counted and nothing refused.
ON = """
[[keys]]
name = "bench"
secret = "{key}"
rpm = 400000000
tpm = 4000000000
[[budgets]]
name = "all"
monthly = "90000000"
[[budgets]]
name = "key"
scope = "key:bench"
daily = "90000000"
[classifier]
tiers = [{{ min = 1, route = "standard" }}]
# What is kept is not what is measured as memory.
[cache]
enabled = true
max_bytes = "16MiB"
"""


def model(name, provider, upstream_model="wire-1"):
    price = 'price = { input = "1", output = "4" }'
    return f'[models.{name}]\nprovider = "{provider}"\nupstream_model = "{upstream_model}"\n{price}\n'


def settings(port, upstream, on, ack, more=""):
    parts = [PROVIDERS.format(port=port, upstream=upstream), model("m", "mock")]
    parts += [model("claude", "anthropic"), model("gem", "gemini"), '[routes.standard]\ntargets = ["m"]\n']
    for kind, (words, each) in PACES.items():
        for protocol, version in (("", "v1"), ("anthropic", "v1"), ("gemini", "v1beta")):
            name = f"{protocol}{kind}"
            parts.append(f'[providers.{name}]\nbase_url = "http://127.0.0.1:{upstream}/pace/{words}/{each}/{version}"\n')
            parts.append("max_concurrent = 16384\nidle_timeout = \"10m\"\n")
            parts.append(f'protocol = "{protocol}"\napi_keys = ["mock"]\n' if protocol else "")
            parts.append(model(name, name))
    parts.append(ON.format(key=KEY) if on else OFF)
    parts.append(f'[ledger]\nurl = "sqlite:weir.db"\nack = "{ack}"\n')
    return "\n".join(parts) + more


class Weir(Subject):
    """Weir in one configuration; its ledger is a file of its own."""

    def __init__(self, binary, name, upstream, on=True, ack="async", same=False, more="", prepare=None):
        self.folder = FOLDER / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if prepare:
            prepare(self.folder)
        port = free_port()
        (self.folder / "weir.toml").write_text(settings(port, upstream, on, ack, more))
        log = open(self.folder / "log", "w")
        process = start([binary, "serve", "--config", "weir.toml"], GATEWAY_CORE, cwd=self.folder, stderr=log)
        log.close()
        super().__init__(name, port, process)
        self.on, self.same = on, same
        self.headers = {"authorization": f"Bearer {KEY}"} if on else {}
        try:
            wait_for(port, process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(self.folder / 'log').read_text()}") from error

    def path(self, kind=None, suffix="/v1/chat/completions"):
        return suffix

    def body(self, kind=None, model=None, **more):
        name = model or kind or ("auto" if self.on else "m")
        return body(name, **({"stream": True} if kind else {}), **more)

    def end(self):
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)


def install():
    """nginx and wrk, where they are missing and can be installed."""
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"Not installed: {', '.join(missing)}. Install them (Debian: nginx-light wrk), then run again.")
    names = {"nginx": "nginx-light", "wrk": "wrk"}
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update"], **quiet)
    # A service of its own is not wanted.
    policy = "/usr/sbin/policy-rc.d"
    own = not os.path.exists(policy)
    if own:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        packages = [names[name] for name in missing]
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], **quiet)
    finally:
        if own:
            os.remove(policy)
