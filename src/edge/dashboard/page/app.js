// The page as a whole: who is let in, what is known, when it is shown.

import * as charts from "./charts.js";
import { Link } from "./link.js";
import * as view from "./view.js";

const by = (id) => document.getElementById(id);
const TOKEN = "weir.token";
/** How much of the past is shown at least, in seconds, so that a young gateway does not show one dot. */
const LEAST_S = 300;
const HOUR_S = 3600;
/** How often the ledger is asked what today and the month come to; in between what is live is added. */
const SUMS_MS = 300_000;
/** The least time between two questions, also where they fail. */
const ASK_MS = 60_000;

/** Whether this gateway lets nobody in without a token. */
const needed = document.documentElement.dataset.token !== "none";

let link = null;
let past = null;
let now = null;
let sums = null;
let drawn = null;
let shown = "recent";
/** How many requests are shown, until somebody wants all. */
let most = matchMedia("(max-width: 820px)").matches ? 8 : 14;
const kept = { recent: [], notable: [] };

// --- who is let in

function knock(token) {
  link?.close();
  link = new Link(token, {
    event: take,
    state,
    refused: (message, keep) => ask(token || !needed || keep ? message : "", keep),
  });
  state("off");
  link.open();
}

function ask(message, keep = false) {
  if (!keep) sessionStorage.removeItem(TOKEN);
  link?.close();
  [past, now, sums] = [null, null, null];
  last = { about: "", at: 0 };
  by("view").hidden = true;
  by("leave").hidden = true;
  by("gate").hidden = false;
  by("wrong").hidden = !message;
  by("wrong").textContent = message;
  state("off");
  by("token").value = sessionStorage.getItem(TOKEN) ?? "";
  by("token").focus();
}

by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = by("token").value.trim();
  // No header can hold any other.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    ask("That cannot be a token: one is made of letters, digits and signs of ASCII, without a space.");
    return;
  }
  sessionStorage.setItem(TOKEN, token);
  knock(token);
});

by("leave").addEventListener("click", () => ask(""));

// --- what is known

function take(name, told) {
  if (name === "hour") {
    past = { ...told, at: told.p50.map((_, step) => told.first + step * told.step) };
    kept.recent = told.recent;
    kept.notable = told.notable;
  } else if (name === "moment" && past) {
    now = told;
    told.tail.forEach(put);
    lengthen(told.targets);
    for (const list of ["recent", "notable"]) {
      const known = kept[list][0]?.seq ?? 0;
      const fresh = told[list].filter(({ seq }) => seq > known);
      kept[list] = [...fresh, ...kept[list]].slice(0, 100);
    }
    show();
  }
}

/** Puts a step where it belongs: it is the last one again, or a new one. */
function put(step) {
  const columns = [past.p50, past.p95, past.cost, past.routing, past.cache, ...past.requests];
  const values = [step.p50, step.p95, step.cost, step.routing, step.cache, ...step.requests];
  const ahead = step.at - past.at.at(-1);
  if (ahead > HOUR_S || ahead < -60) {
    // The gateway's clock was set, and its history began anew.
    past.at = [step.at];
    past.tracks = {};
    columns.forEach((column) => column.splice(0, column.length, null));
  }
  while (past.at.at(-1) < step.at) {
    past.at.push(past.at.at(-1) + past.step);
    columns.forEach((column, at) => column.push(at < 2 ? null : 0));
  }
  const place = Math.round((step.at - past.at[0]) / past.step);
  if (place >= 0) columns.forEach((column, at) => (column[place] = values[at]));
  const over = past.at.length - HOUR_S / past.step;
  if (over > 0) {
    past.at.splice(0, over);
    columns.forEach((column) => column.splice(0, over));
    for (const name in past.tracks) past.tracks[name] = past.tracks[name].slice(over);
  }
}

/** The time lines of the targets up to now. */
function lengthen(targets) {
  const length = past.at.length;
  const tracks = {};
  for (const { model, lights } of targets) {
    const before = (past.tracks[model] ?? "").padEnd(length, "-").slice(0, length - 2);
    tracks[model] = before + lights.slice(-Math.min(2, length));
  }
  past.tracks = tracks;
}

/** Today and the month: what the ledger says, and what came on top since it was asked. */
async function askSums(day) {
  const asked = link;
  try {
    const report = await asked.ask(`admin/report?since=${day.slice(0, 8)}01&by=day`);
    if (asked !== link || !now) return;
    const base = live();
    const of = (figures) => ({
      cost: Number(figures?.cost_usd ?? 0),
      routing: Number(figures?.saved_by_routing_usd ?? 0),
      cache: Number(figures?.saved_by_cache_usd ?? 0),
    });
    const today = report.groups.find(({ name }) => name === day);
    sums = { day, base, today: of(today).cost, month: of(report.totals), started: now.started };
  } catch {
    // The page goes on without, until the next try.
  }
}

const live = () => ({
  cost: Number(now.cost_usd),
  routing: Number(now.saved_by_routing_usd),
  cache: Number(now.saved_by_cache_usd),
});

let asking = null;
/** What was asked for last, and when. */
let last = { about: "", at: 0 };

function spent() {
  const day = new Date(now.at).toISOString().slice(0, 10);
  const stale = !sums || sums.day !== day || sums.started !== now.started;
  const [about, at] = [`${day} ${now.started}`, performance.now()];
  if (!asking && (last.about !== about || at - last.at > (stale ? ASK_MS : SUMS_MS))) {
    last = { about, at };
    asking = askSums(day).finally(() => (asking = null));
  }
  if (!sums || sums.started !== now.started) return null;
  const since = Object.fromEntries(Object.entries(live()).map(([name, sum]) => [name, sum - sums.base[name]]));
  return {
    today: sums.today + since.cost,
    month: sums.month.cost + since.cost,
    routing: sums.month.routing + since.routing,
    cache: sums.month.cache + since.cache,
  };
}

// --- when it is shown

function show() {
  by("gate").hidden = true;
  by("view").hidden = false;
  by("leave").hidden = !sessionStorage.getItem(TOKEN);
  const end = past.at.at(-1) + past.step;
  const began = Math.max(end - HOUR_S, Math.min(past.at[0], end - LEAST_S));
  const range = [began, end];
  drawn ??= [charts.requests(), charts.speed(), charts.money()];
  // The step that runs is not over: it would look like a fall.
  const whole = { ...past, at: past.at.slice(0, -1), requests: past.requests.map((column) => column.slice(0, -1)) };
  for (const name of ["p50", "p95", "cost", "routing", "cache"]) whole[name] = past[name].slice(0, -1);
  drawn.forEach((chart) => chart.show([range[0], range[1] - past.step], whole));
  view.story(now);
  view.figures(now, spent());
  view.targets(now, past, range, act);
  view.requests(kept[shown], shown === "notable", most);
  view.budgets(now);
  view.about(now);
}

async function act(model, action) {
  try {
    await link.ask(`admin/targets/${encodeURIComponent(model)}/${action}`, "POST");
    const done = { open: "is taken out", close: "takes requests again", reset: "begins anew" };
    toast(`${model} ${done[action]}.`, "ok");
  } catch (error) {
    toast(error.message, "bad");
  }
}

let toasting = 0;

function toast(text, tone) {
  const place = by("toast");
  place.textContent = text;
  place.dataset.tone = tone;
  place.hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => (place.hidden = true), 4000);
}

function state(word) {
  const words = { live: "Live", lost: "Connection lost, trying again", off: "Not connected" };
  by("link").dataset.state = word;
  by("link").querySelector("span").textContent = words[word];
}

for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    shown = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", other === button);
    if (now) view.requests(kept[shown], shown === "notable", most);
  });
}

by("more").addEventListener("click", () => {
  most = 100;
  view.requests(kept[shown], shown === "notable", most);
});

// --- the theme

const THEMES = ["", "light", "dark"];

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  by("theme").title = `Theme: ${theme || "as the system"}`;
  drawn?.forEach((chart) => chart.repaint());
}

by("theme").addEventListener("click", () => {
  const current = THEMES.indexOf(document.documentElement.dataset.theme ?? "");
  const next = THEMES[(current + 1) % THEMES.length];
  localStorage.setItem("weir.theme", next);
  paint(next);
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn?.forEach((chart) => chart.repaint()));
paint(document.documentElement.dataset.theme ?? "");

const token = sessionStorage.getItem(TOKEN) ?? "";
if (needed && !token) ask("");
else knock(token);
