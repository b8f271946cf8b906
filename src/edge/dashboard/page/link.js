// The way to the gateway: what it tells each second, and what it is asked. The token goes into a header, never into an address.

/** Nothing heard for so long means that the line is dead. */
const SILENCE_MS = 6000;
const PAUSES_MS = [300, 1000, 2000, 5000];

export class Refused extends Error {
  /** `keep`: the token may be good, and is of use later. */
  constructor(message, keep = false) {
    super(message);
    this.keep = keep;
  }
}

export class Link {
  #token;
  #on;
  #stop = null;
  #pauses = 0;
  #live = false;

  /** `on`: `event(name, value)`, `state(word)`, `refused(message, keep)`. */
  constructor(token, on) {
    this.#token = token;
    this.#on = on;
  }

  /** Listens until it is closed or refused, over and over. */
  async open() {
    this.#stop = new AbortController();
    const stop = this.#stop;
    while (!stop.signal.aborted) {
      try {
        await this.#listen(stop.signal);
      } catch (error) {
        if (error instanceof Refused) {
          this.#on.refused(error.message, error.keep);
          return;
        }
      }
      if (stop.signal.aborted) return;
      this.#on.state("lost");
      const pause = PAUSES_MS[Math.min(this.#pauses, PAUSES_MS.length - 1)];
      this.#pauses += 1;
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  close() {
    this.#stop?.abort();
  }

  /** The answer to a question, as JSON. */
  async ask(path, method = "GET") {
    const answer = await fetch(path, { method, headers: this.#headers(), cache: "no-store" });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(body.error?.message ?? `The gateway answered ${answer.status}.`);
    return body;
  }

  #headers() {
    return this.#token ? { authorization: `Bearer ${this.#token}` } : {};
  }

  async #listen(signal) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    try {
      const answer = await fetch("admin/live", {
        headers: this.#headers(),
        cache: "no-store",
        signal: AbortSignal.any([signal, silence.signal]),
      });
      if (answer.status === 401 || answer.status === 429) {
        const body = await answer.json().catch(() => ({}));
        throw new Refused(
          answer.status === 429
            ? `Too many wrong tokens came from here. Try again in ${answer.headers.get("retry-after") ?? "some"} s.`
            : this.#token
              ? "That is not the admin token of this gateway."
              : (body.error?.message ?? "This gateway does not let you in."),
          answer.status === 429,
        );
      }
      // With nothing to show there would be a blank page.
      if (answer.status === 503 && !this.#live) {
        const body = await answer.json().catch(() => ({}));
        throw new Refused(body.error?.message ?? "This gateway has no room for you now.", true);
      }
      if (!answer.ok) return;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        heard();
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) this.#tell(event);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #tell(event) {
    const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
    const text = field("data");
    if (text === undefined) return;
    this.#pauses = 0;
    this.#live = true;
    this.#on.state("live");
    this.#on.event(field("event"), JSON.parse(text));
  }
}
