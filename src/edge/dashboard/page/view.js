// The parts of the page that are text: sentences, figures, tables.

import { clock, count, el, hour, light, many, ms, percent, rate, reason, roughly, span, usd } from "./words.js";

const by = (id) => document.getElementById(id);

/** Sets a text, and touches nothing where it stands already. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const sum = (numbers) => numbers.reduce((all, n) => all + n, 0);

/** Answered requests and all that should have been. */
function answered([ok, moved, cached, stood, , failed]) {
  const good = ok + moved + cached;
  const all = good + stood + failed;
  return { good, all, share: all ? good / all : null };
}

/** The sentence that one glance has to be enough for. */
export function story(now) {
  const connections = new Map(now.providers.map(({ provider, connections }) => [provider, connections]));
  const known = shownOf(now);
  const down = known.filter((target) => ["bad", "out"].includes(state(target, connections)[1]));
  const [ok, moved, cached, stood, refused, failed] = now.hour.requests;
  const { good, all } = answered(now.hour.requests);
  let [verdict, tone] = ["All is well", "calm"];
  if (now.draining) [verdict, tone] = ["Shutting down", "warn"];
  else if (now.minute.requests[5] > 0) [verdict, tone] = ["Some requests fail", "bad"];
  else if (now.degraded.length) [verdict, tone] = [`${many(now.degraded.length, "route")} cannot be answered`, "bad"];
  else if (down.length) {
    const names = down.length < 3 ? down.map(targetName).join(" and ") : many(down.length, "target");
    const out = down.every(({ breaker }) => breaker === "out");
    [verdict, tone] = [`${names} ${down.length === 1 ? "is" : "are"} ${out ? "taken out" : "down"}, the rest answers`, "warn"];
    if (down.length === known.length) [verdict, tone] = ["Every target is down", "bad"];
  } else if (now.minute.requests[4] > sum(now.minute.requests) / 20) {
    const spent = now.budgets.find((budget) => used(budget) >= 0.95);
    [verdict, tone] = [spent ? `The budget ${spent.budget} is spent, requests are refused` : "Some requests are refused", "warn"];
  } else if (ok + moved + cached + stood + refused + failed === 0) verdict = "Ready";
  say(by("verdict"), verdict);
  by("verdict").dataset.tone = tone;
  document.title = tone === "calm" ? "Weir" : `${verdict} · Weir`;

  const parts = [];
  const since = now.at - now.started < 3_600_000 ? `Since its start ${span(now.at - now.started)} ago` : "In the last hour";
  if (all + refused === 0) {
    parts.push(`${since} nobody has asked anything. Point an OpenAI client at this gateway and watch.`);
  } else {
    parts.push(`${since} Weir answered `, el("b", {}, count(good)), ` of ${many(all, "request")}.`);
    if (moved) parts.push(" ", el("b", { class: "moved" }, count(moved)), ` ${moved === 1 ? "was" : "were"} saved by a fallback.`);
    if (cached) parts.push(" ", el("b", { class: "cached" }, count(cached)), " came from the cache.");
    if (stood) parts.push(" ", el("b", { class: "stood" }, count(stood)), " got an answer that stands in.");
    if (failed) parts.push(" ", el("b", { class: "failed" }, count(failed)), " failed.");
    if (refused) parts.push(` ${many(refused, "request was", "requests were")} refused or given up by the caller.`);
  }
  if (now.simulated) parts.push(" The answers are made up: no provider has its keys, so the simulated one stands in.");
  const text = parts.map((part) => part.textContent ?? part).join("");
  if (by("story").textContent !== text) by("story").replaceChildren(...parts);
}

function figure(id, value, note, rest) {
  const card = by(id);
  const [main, unit] = value;
  const place = card.querySelector(".value");
  if (place.textContent !== main + unit) place.replaceChildren(main, el("small", {}, unit));
  say(card.querySelector(".note"), note);
  card.dataset.tone = rest ?? "";
}

/** The five figures; `sums`: what the ledger says of today and of this month. */
export function figures(now, sums) {
  const minute = answered(now.minute.requests);
  const whole = answered(now.hour.requests);
  figure("figure-requests", [rate(now.per_second), " /s"], `${count(now.in_flight)} under way now`);
  figure(
    "figure-success",
    [percent(whole.share), ""],
    whole.share == null ? "no requests yet" : `last hour · last minute ${minute.share == null ? "none" : percent(minute.share)}`,
    whole.share != null && whole.share < 0.995 ? "bad" : "",
  );
  const speed = now.minute.p50 == null ? now.hour : now.minute;
  figure(
    "figure-speed",
    [ms(speed.p50), speed.p50 == null ? "" : " median"],
    speed.p50 == null ? "nothing to measure yet" : `95 % under ${ms(speed.p95)}${speed === now.hour ? " · last hour" : ""}`,
  );
  const tightest = now.budgets
    .filter((budget) => Number(budget.limit_usd) > 0)
    .map((budget) => ({ budget, share: used(budget) }))
    .sort((a, b) => b.share - a.share)[0];
  figure(
    "figure-spend",
    [sums ? usd(sums.today) : "…", " today"],
    `month ${sums ? usd(sums.month) : "…"}${tightest ? ` · ${tightest.budget.budget} ${roughly(tightest.share)}` : ""}`,
    tightest && tightest.share >= 0.8 ? (tightest.share >= 1 ? "bad" : "warn") : "",
  );
  let kept = sums ? `routing ${usd(sums.routing)} · cache ${usd(sums.cache)}` : "…";
  if (sums && !now.has_baseline && !now.has_cache) kept = "needs a cache, or classifier.baseline";
  figure("figure-saved", [sums ? usd(sums.routing + sums.cache) : "…", " this month"], kept);
}

const used = (budget) => (Number(budget.spent_usd) + Number(budget.held_usd)) / Number(budget.limit_usd);

const targetName = ({ model, provider }) => (model === `${provider}/` ? `${provider}/…` : model);

const STATES = {
  closed: ["well", "ok"],
  half_open: ["probed", "warn"],
  open: ["open", "bad"],
  out: ["taken out", "out"],
};

function state(target, connections) {
  if (target.breaker === "closed" && connections.get(target.provider) === "open") return ["unreachable", "bad", ""];
  const [word, tone] = STATES[target.breaker] ?? [target.breaker, "warn"];
  if (target.breaker === "closed" && target.rate_limited_ms > 0) {
    return ["rate limited", "warn", `for ${span(target.rate_limited_ms)} more`];
  }
  if (target.breaker === "open" && target.free_in_ms != null) return [word, tone, `probe in ${span(target.free_in_ms)}`];
  if (target.breaker === "closed" && target.admitted_share < 1) {
    return ["easing in", "warn", `${roughly(target.admitted_share)} let in`];
  }
  if (target.breaker === "closed" && target.status === "degraded") return ["weak", "warn", "often fails"];
  if (target.breaker === "closed" && target.health.room < 1) return [word, tone, "little left of its limit"];
  return [word, tone, ""];
}

/** The targets that are shown, in order; what only clients name shows once somebody did. */
const shownOf = (now) =>
  now.targets
    .filter((target) => target.model !== `${target.provider}/` || target.calls > 0)
    .sort((a, b) => a.provider.localeCompare(b.provider) || a.model.localeCompare(b.model));

const rows = new Map();

/** The table of targets. `act(model, action)`: what a button does. */
export function targets(now, past, range, act) {
  const connections = new Map(now.providers.map(({ provider, connections }) => [provider, connections]));
  const shown = shownOf(now);
  const names = new Set(shown.map(({ model }) => model));
  for (const [name, row] of rows) if (!names.has(name)) rows.delete(name) && row.line.remove();
  shown.forEach((target, at) => {
    let row = rows.get(target.model);
    if (!row) rows.set(target.model, (row = makeRow(target, act)));
    const place = by("targets").children[at];
    if (place !== row.line) by("targets").insertBefore(row.line, place ?? null);
    fillRow(row, target, state(target, connections), past, range);
  });
  by("targets-empty").hidden = shown.length > 0;
  by("targets-title").closest(".panel").classList.toggle("none", shown.length === 0);
  const out = shown.filter((target) => ["bad", "out"].includes(state(target, connections)[1])).length;
  const words = out ? `${count(shown.length - out)} of ${count(shown.length)} take requests` : `${shown.length === 1 ? "it takes" : `all ${count(shown.length)} take`} requests`;
  say(by("targets-note"), words + (now.targets_left_out ? ` · ${count(now.targets_left_out)} more are not shown` : ""));
  say(by("track-from"), range[1] - range[0] >= 3590 ? "An hour ago" : hour(range[0] * 1000));
}

function makeRow(target, act) {
  const cell = (name, label) => el("td", { class: name, "data-label": label });
  const button = (action, title) => {
    const made = el("button", { type: "button", title }, action[0].toUpperCase() + action.slice(1));
    made.addEventListener("click", async () => {
      made.disabled = true;
      await act(target.model, action);
      made.disabled = false;
    });
    return made;
  };
  const parts = {
    line: el("tr", { "data-target": target.model }),
    name: cell("name", "Target"),
    state: cell("state", "State"),
    track: cell("track wide", "Last hour"),
    health: cell("health number", "Health"),
    speed: cell("number", "First token"),
    flight: cell("number", "In flight"),
    error: cell("error", "Last error"),
    hands: cell("hands", ""),
  };
  parts.name.append(el("b", {}, targetName(target)), el("small", {}, target.provider));
  parts.pill = el("span", { class: "pill" });
  parts.more = el("small");
  parts.state.append(parts.pill, parts.more);
  parts.strip = el("div", { class: "strip" });
  parts.track.append(parts.strip);
  parts.meter = el("span", { class: "meter" }, el("i"));
  parts.score = el("b");
  parts.health.append(parts.meter, parts.score);
  parts.open = button("open", "Take it out: no request goes there until it is closed or reset");
  parts.close = button("close", "Let everything through now");
  parts.reset = button("reset", "As if it were new: forget failures and limits");
  parts.hands.append(el("span", { class: "group" }, parts.open, parts.close, parts.reset));
  parts.flying = el("b");
  parts.calls = el("small");
  parts.flight.append(parts.flying, parts.calls);
  const { line, name, state, track, health, speed, flight, error, hands } = parts;
  line.append(name, state, track, health, speed, flight, error, hands);
  return parts;
}

function fillRow(row, target, [word, tone, more], past, range) {
  row.line.dataset.breaker = target.breaker;
  say(row.pill, word);
  row.pill.dataset.tone = tone;
  say(row.more, more);
  const score = target.health.score;
  say(row.score, score.toFixed(2));
  row.meter.firstChild.style.width = `${Math.round(score * 100)}%`;
  // What gets no requests has a score of before.
  row.meter.dataset.tone = tone === "bad" || tone === "out" ? "off" : score >= 0.8 ? "ok" : score >= 0.4 ? "warn" : "bad";
  const { success, speed, room } = target.health;
  row.health.title = `success ${success.toFixed(2)} × speed ${speed.toFixed(2)} × room ${room.toFixed(2)}`;
  const { p50, p95 } = target.first_token_ms.p50 == null ? target.answer_ms : target.first_token_ms;
  if (row.speed.dataset.told !== `${p50} ${p95}`) {
    row.speed.dataset.told = `${p50} ${p95}`;
    row.speed.replaceChildren(el("b", {}, ms(p50)), el("small", {}, p95 == null ? "" : `95 % ${ms(p95)}`));
  }
  say(row.flying, count(target.in_flight));
  say(row.calls, `${count(target.calls)} in 15 min`);
  say(row.error, target.last_error ? reason(target.last_error) : "–");
  row.error.classList.toggle("none", !target.last_error);
  row.open.hidden = target.breaker === "out";
  row.close.hidden = target.breaker === "closed";
  strip(row.strip, target.model, past, range);
}

/** The time line of a breaker: a stretch for each time that it stood the same. */
function strip(place, model, past, range) {
  const signs = past.tracks[model] ?? "";
  const stretches = [];
  const first = past.at[0];
  for (let at = range[0]; at < range[1]; at += past.step) {
    const sign = signs[Math.round((at - first) / past.step)] ?? "-";
    const last = stretches.at(-1);
    if (last?.sign === sign) last.long += 1;
    else stretches.push({ sign, at, long: 1 });
  }
  const told = stretches.map(({ sign, long }) => sign + long).join();
  if (place.dataset.told === told) return;
  place.dataset.told = told;
  place.replaceChildren(
    ...stretches.map(({ sign, at, long }) => {
      const piece = el("i", { "data-sign": sign, title: `${light(sign)}, ${hour(at * 1000)} to ${hour((at + long * past.step) * 1000)}` });
      piece.style.flexGrow = long;
      return piece;
    }),
  );
}

const FATES = {
  ok: ["answered", "ok"],
  moved: ["fallback", "moved"],
  cached: ["cache", "cached"],
  stood_in: ["stood in", "stood"],
  refused: ["refused", "refused"],
  left: ["left", "refused"],
  failed: ["failed", "failed"],
};

/** What a client is told in codes, in words. */
const code = (word) => String(word).replaceAll("_", " ");

function happened(request) {
  const steps = request.steps.map(({ model, why, ms: took }) => {
    const time = took == null ? "" : ` after ${ms(took)}`;
    return el("span", { class: "step" }, el("b", {}, model), ` ${reason(why)}${time}`);
  });
  const rest = [];
  if (request.fate === "stood_in") rest.push("nobody could answer");
  if (request.fate === "left") rest.push("the caller left");
  if (request.code) rest.push(code(request.code));
  else if (!steps.length && request.attempts > 1) rest.push(`${request.attempts} tries`);
  return el("span", { class: "steps" }, ...steps, ...rest.map((text) => el("span", { class: "step" }, text)));
}

function requestRow(request) {
  const [word, tone] = FATES[request.fate] ?? [request.fate, "refused"];
  const none = (name) => (name === "none" ? "–" : name);
  const cell = (name, label, ...parts) => el("td", { class: name, "data-label": label }, ...parts);
  const route = [el("b", {}, none(request.route))];
  const more = [request.tier, request.key].filter(Boolean).join(" · ");
  if (more) route.push(el("small", {}, more));
  const model = [el("b", {}, request.fate === "refused" ? "–" : none(request.model))];
  if (request.fate !== "refused" && request.provider !== "none") model.push(el("small", {}, request.provider));
  return el(
    "tr",
    { "data-fate": request.fate },
    cell("time", "Time", clock(request.at)),
    cell("route", "Asked for", ...route),
    cell("model", "Answered by", ...model),
    cell("what", "What happened", el("div", {}, el("span", { class: "pill", "data-tone": tone }, word), happened(request))),
    cell("number first", "First token", ms(request.first_ms)),
    cell("number whole", "Whole", ms(request.took_ms)),
  );
}

let told = "";

/** The last requests. */
export function requests(list, notable, most) {
  const stamp = `${notable} ${list[0]?.seq} ${list.length} ${most}`;
  if (told === stamp) return;
  told = stamp;
  by("requests").replaceChildren(...list.slice(0, most).map(requestRow));
  by("more").hidden = list.length <= most;
  say(by("more"), `Show all ${count(list.length)}`);
  const empty = by("requests-empty");
  empty.hidden = list.length > 0;
  by("requests-title").closest(".panel").classList.toggle("none", list.length === 0);
  say(empty, notable ? "Nothing worth a look: no fallback, no refusal, no failure." : "Requests show here as they end.");
}

/** The budgets with what is spent and held of them. */
export function budgets(now) {
  const money = now.budgets.filter((budget) => budget.limit_usd !== undefined);
  const lines = money.map((budget) => {
    const share = used(budget);
    const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "ok";
    const bar = el("span", { class: "bar", "data-tone": tone }, el("i"), el("i", { class: "held" }));
    const part = (amount) => `${Math.min(100, (100 * Number(amount)) / Number(budget.limit_usd) || 0)}%`;
    bar.children[0].style.width = part(budget.spent_usd);
    bar.children[1].style.width = part(budget.held_usd);
    const held = Number(budget.held_usd) > 0 ? ` · ${usd(Number(budget.held_usd))} held` : "";
    const anew = budget.resets_at ? ` · anew in ${span(Date.parse(budget.resets_at) - now.at)}` : "";
    return el(
      "li",
      {},
      el("p", {}, el("b", {}, budget.budget), el("small", {}, `${budget.window}${budget.scope === "each-key" ? " · the fullest key" : ""}${budget.enforce === "soft" ? " · soft" : ""}`), el("span", { class: "amount" }, `${usd(Number(budget.spent_usd))} of ${usd(Number(budget.limit_usd))}`)),
      bar,
      el("small", {}, `${roughly(share)} used${held}${anew}`),
    );
  });
  by("budgets").replaceChildren(...lines);
  by("budgets-empty").hidden = lines.length > 0;
}

/** What this is. */
export function about(now) {
  say(by("about"), `Weir ${now.version}, up for ${span(now.at - now.started)}`);
}
