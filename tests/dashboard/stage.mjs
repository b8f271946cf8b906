// A stage for the dashboard: simulated providers, a gateway before them, traffic.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BINARY = process.env.WEIR_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/weir");

export const TOKEN = "the-admin-token-of-the-check";
/** Names that would do harm, were they taken for markup. */
export const HARMFUL = "<img src=x onerror=document.title=1>";
export const ALICE = "sk-alice-of-the-check";
export const MALLORY = "sk-mallory-of-the-check";

/** A process of the binary that listens. */
class Process {
  constructor(name, child, url, log) {
    Object.assign(this, { name, child, url, log });
  }

  static async start(name, args, environment = {}) {
    const child = spawn(BINARY, args, {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    const found = new Promise((done, fail) => {
      const read = (chunk) => {
        log += chunk;
        const address = /listen\w* on (http:\/\/[0-9.:]+)/.exec(log);
        if (address) done(address[1]);
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.on("error", fail);
      child.on("exit", () => fail(new Error(`${name} ended:\n${log}`)));
    });
    return new Process(name, child, await found, () => log);
  }

  async end(signal = "SIGTERM") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await gone;
  }
}

const sim = (listen, pace, more = []) =>
  Process.start("a simulated provider", ["sim", "--listen", listen, "--first-token", pace[0], "--tokens-per-second", pace[1], ...more]);

/** What each simulated provider is like: its first token, its tokens a second. */
const PACES = { openai: ["140ms", "900"], anthropic: ["230ms", "700"], groq: ["45ms", "2500"] };

const harmful = `
[models."${HARMFUL}"]
provider = "groq"
price = { input = "0.1", output = "0.1" }
[routes."to ${HARMFUL}"]
targets = ["${HARMFUL}"]
`;

function config(sims, { token = TOKEN, harmful: withHarm = true } = {}) {
  return `
[server]
listen = "127.0.0.1:0"
${token ? `admin_token = "${token}"` : ""}
shutdown_grace = "20s"
[[keys]]
name = "support-bot"
secret = "${ALICE}"
[[keys]]
name = "mallory"
secret = "${MALLORY}"
[providers.openai]
base_url = "${sims.openai.url}/v1"
connect_timeout = "500ms"
[providers.anthropic]
protocol = "anthropic"
api_keys = ["any"]
base_url = "${sims.anthropic.url}/v1"
[providers.groq]
base_url = "${sims.groq.url}/v1"
[models."gpt-4.1"]
provider = "openai"
price = { input = 2, output = 8 }
[models."gpt-4.1-mini"]
provider = "openai"
price = { input = "0.4", output = "1.6" }
[models.claude-sonnet]
provider = "anthropic"
price = { input = 3, output = 15 }
[models.llama-70b]
provider = "groq"
price = { input = "0.59", output = "0.79" }
${withHarm ? harmful : ""}
[routes.standard]
targets = ["gpt-4.1", "claude-sonnet", "llama-70b"]
[routes.fast]
targets = ["llama-70b", "gpt-4.1-mini"]
[routes.cheap]
targets = ["gpt-4.1-mini", "llama-70b"]
[breaker]
failures_in_a_row_when_busy = 5
degraded_below = 0.2
open_min = "4s"
open_max = "8s"
slow_start = "5s"
[classifier]
baseline = "gpt-4.1"
[cache]
enabled = true
[[budgets]]
name = "all-teams"
monthly = "25"
[[budgets]]
name = "support"
scope = "key:support-bot"
daily = "2.8"
[[budgets]]
name = "each-user"
scope = "each-key"
daily = "10"
[ledger]
url = "sqlite:weir.db"
`;
}

/** Everything that a check needs, up until `end`. */
export class Stage {
  sims = {};
  #folder = mkdtempSync(join(tmpdir(), "weir-dashboard-"));
  #traffic = new Map();
  #paces = {};

  static async set(options = {}) {
    const stage = new Stage();
    try {
      await stage.#begin(options);
      return stage;
    } catch (error) {
      await stage.end();
      throw error;
    }
  }

  async #begin(options) {
    for (const [name, pace] of Object.entries(PACES)) {
      this.#paces[name] = pace;
      this.sims[name] = await sim("127.0.0.1:0", pace);
    }
    const text = config(this.sims, options).replace("sqlite:weir.db", `sqlite:${join(this.#folder, "weir.db")}`);
    writeFileSync(join(this.#folder, "weir.toml"), text);
    await this.open();
  }

  /** Starts the gateway, at the address that it had. */
  async open() {
    const at = this.url ? { WEIR_SERVER__LISTEN: this.url.slice("http://".length) } : {};
    this.gateway = await Process.start("the gateway", ["serve", "--config", join(this.#folder, "weir.toml")], at);
    this.url = this.gateway.url;
  }

  /** How long the gateway takes to end when it is told to. */
  async close() {
    const begun = Date.now();
    await this.gateway.end();
    return Date.now() - begun;
  }

  /** Ends a provider as a crash does. */
  kill(name) {
    return this.sims[name].end("SIGKILL");
  }

  async revive(name) {
    this.sims[name] = await sim(this.sims[name].url.slice("http://".length), this.#paces[name]);
  }

  /** Has a provider show a fault from now on. */
  fault(name, fault, rate = 1) {
    const order = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ fault, rate }) };
    return fetch(`${this.sims[name].url}/sim/control`, order);
  }

  /** One request; the status. */
  async ask(model, { key = ALICE, text = `Why do rivers meander? (${Math.random()})`, stream = true } = {}) {
    const answer = await fetch(`${this.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ model, stream, max_tokens: 160, messages: [{ role: "user", content: text }] }),
    });
    await answer.text();
    return answer.status;
  }

  /** So many requests a second, until `quiet`. */
  traffic(name, perSecond, ask) {
    clearInterval(this.#traffic.get(name));
    const send = () => void Promise.resolve(ask()).catch(() => {});
    this.#traffic.set(name, setInterval(send, 1000 / perSecond));
  }

  quiet(name) {
    for (const [known, timer] of this.#traffic) if (!name || known === name) clearInterval(timer);
  }

  async end() {
    this.quiet();
    await sleep(50);
    await this.gateway?.end("SIGKILL");
    await Promise.all(Object.values(this.sims).map((sim) => sim.end("SIGKILL")));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
