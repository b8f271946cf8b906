// How things are said: numbers, times, money, reasons. Everything becomes text, never markup.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A count: 12,431. */
export const count = (n) => whole.format(n);

/** A rate: 0, 0.4, 12.4, 1,204. */
export const rate = (n) => (n >= 100 ? whole.format(n) : n === 0 ? "0" : n.toFixed(1));

/** A time in milliseconds: 0.4 ms, 420 ms, 1.24 s, 2 min. */
export function ms(value) {
  if (value == null) return "–";
  if (value < 1) return `${value.toFixed(1)} ms`;
  if (value < 999.5) return `${Math.round(value)} ms`;
  if (value < 9995) return `${(value / 1000).toFixed(2)} s`;
  if (value < 99_950) return `${(value / 1000).toFixed(1)} s`;
  return `${Math.round(value / 60_000)} min`;
}

/** Dollars, with as many digits as say something. */
export function usd(value) {
  const amount = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (amount === 0) return "$0";
  if (amount < 0.000_05) return `${sign}<$0.0001`;
  if (amount < 0.01) return `${sign}$${amount.toFixed(4)}`;
  if (amount < 1) return `${sign}$${amount.toFixed(3)}`;
  if (amount < 1000) return `${sign}$${amount.toFixed(2)}`;
  return `${sign}$${whole.format(amount)}`;
}

/** Dollars at an axis. */
export const usdShort = (value) => `${value < 0 ? "−" : ""}$${Number(Math.abs(value).toPrecision(2))}`;

/** A rate at an axis. */
export const rateShort = (n) => String(Number(n.toPrecision(3)));

/** A time at an axis. */
export const msShort = (value) => (value < 1000 ? `${Number(value.toPrecision(3))} ms` : `${Number((value / 1000).toPrecision(3))} s`);

/** A share, 0 to 1, in whole per cent, rounded down. */
export const roughly = (share) => (share > 0 && share < 0.01 ? "<1 %" : `${Math.floor(share * 100)} %`);

/** A share, 0 to 1, in per cent; 100 % is all and nothing less. */
export function percent(share) {
  if (share == null) return "–";
  const value = share * 100;
  if (value === 100 || value === 0) return `${value} %`;
  // Rounded down: 99.996 % is not all.
  const digits = value >= 99 ? 2 : value >= 10 ? 1 : 2;
  const scale = 10 ** digits;
  return `${(Math.floor(value * scale) / scale).toFixed(digits)} %`;
}

/** The time of day, with seconds. */
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** The time of day, without. */
export const hour = (at) => new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** How long: 12 s, 4 min, 3 h 20 min, 5 days. */
export function span(value) {
  const seconds = Math.max(0, Math.round(value / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** `one thing`, `2 things`. */
export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

const reasons = {
  server_error: "server error",
  connect_error: "no connection",
  connection_reset: "connection broke",
  timeout: "timed out",
  idle_timeout: "fell silent",
  truncated: "cut off",
  error_event: "error in its stream",
  invalid_answer: "unreadable answer",
  rate_limited: "rate limited",
  quota_exhausted: "out of quota",
  credential_rejected: "key refused",
  forbidden: "not allowed",
  model_unknown: "model unknown",
  rejected: "request refused",
  context_too_long: "prompt too long for it",
  unsupported: "cannot take the request",
  client_left: "client left",
  overtaken: "another was faster",
  skipped: "passed over",
  open: "breaker open",
  resting: "resting after failures",
  slow_start: "easing back in",
  out: "taken out by hand",
  off: "provider is off",
  budget: "its budget is spent",
  unpriced: "price unknown",
  unfit: "cannot do what is asked",
};

/** Why a target did not answer. */
export const reason = (word) => reasons[word] ?? String(word).replaceAll("_", " ");

const lights = {
  "-": "not seen",
  0: "well",
  1: "rate limited",
  2: "probed",
  3: "breaker open",
  4: "taken out",
};

/** How a target stood. */
export const light = (sign) => lights[sign] ?? "not seen";

/** An element with attributes and children; text stays text. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
