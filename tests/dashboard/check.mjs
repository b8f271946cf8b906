// Looks at the dashboard as a user would: in a browser, while providers come and go.
//
//   node check.mjs            the checks; pictures go to target/dashboard
//   WEIR_BLESS=1 node ...     also takes new pictures for docs/pictures, after nine minutes of traffic (WEIR_PICTURE_S)

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { HARMFUL, MALLORY, Stage, TOKEN } from "./stage.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BROWSER = process.env.WEIR_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const BLESS = process.env.WEIR_BLESS === "1";
const PICTURES = BLESS ? join(ROOT, "docs/pictures") : join(ROOT, "target/dashboard");
const PATIENCE = 20_000;

/** A page with everything that it did wrong. */
async function visit(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const seen = { wrong: [], asked: [] };
  page.on("console", (message) => message.type() === "error" && seen.wrong.push(message.text()));
  page.on("pageerror", (error) => seen.wrong.push(String(error)));
  page.on("request", (request) => seen.asked.push(request.url()));
  page.on("dialog", (dialog) => (seen.wrong.push(`a dialog: ${dialog.message()}`), dialog.dismiss()));
  await page.goto(`${url}/dashboard`);
  return { page, context, seen };
}

async function enter(page, token = TOKEN) {
  await page.fill("#token", token);
  await page.click("#ask [type=submit]");
}

const live = (page) => page.waitForSelector("#link[data-state=live]");
const row = (name) => `tr[data-target="${name}"]`;
const pill = async (page, name) => (await page.textContent(`${row(name)} .state .pill`)).trim();

/** Waits until something that the page says is so. */
async function until(what, look) {
  const end = Date.now() + PATIENCE;
  let last;
  while (Date.now() < end) {
    last = await look();
    if (last === true) return;
    await sleep(100);
  }
  assert.fail(`${what}: ${JSON.stringify(last)}`);
}

const state = (page, name, wanted) =>
  until(`${name} is ${wanted.join(" or ")}`, async () => {
    const found = await pill(page, name);
    return wanted.includes(found) || found;
  });

/** Nothing was asked of anybody else, and no address held the token. */
function assertKept(seen, url) {
  assert.deepEqual(seen.asked.filter((asked) => !asked.startsWith(`${url}/`)), [], "requests to others");
  assert.deepEqual(seen.asked.filter((asked) => asked.includes(TOKEN)), [], "the token in an address");
}

const checks = {
  async "a wrong token is refused and asked for again"({ browser, stage }) {
    const { page, context, seen } = await visit(browser, stage.url);
    await page.waitForSelector("#gate:not([hidden])");
    assert.equal(await page.isVisible("#view"), false);
    assert.deepEqual(seen.asked.filter((asked) => asked.includes("/admin/")), [], "nothing is asked without a token");
    await enter(page, "not-the-token");
    await page.waitForSelector("#wrong:not([hidden])");
    assert.match(await page.textContent("#wrong"), /not the admin token/);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("weir.token")), null);
    // The browser itself tells of a refused request; nothing else may be wrong.
    assert.deepEqual(seen.wrong.filter((text) => !text.includes("401")), []);
    await enter(page);
    await live(page);
    assert.equal(await page.isVisible("#gate"), false);
    assertKept(seen, stage.url);
    assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie), "{}");
    // Forgotten is forgotten, also after a reload.
    await page.click("#leave");
    await page.waitForSelector("#gate:not([hidden])");
    await page.reload();
    await page.waitForSelector("#gate:not([hidden])");
    await context.close();
  },

  async "an outage shows: the breaker opens, the fallback answers"({ page, stage }) {
    // Whole answers: a stream that is under way at the kill breaks, and is rightly told as failed.
    stage.traffic("users", 12, () => stage.ask("standard", { stream: false }));
    await until("requests show", async () => (await page.$$("#requests tr")).length > 3);
    await until("the rate shows", async () => parseFloat(await page.textContent("#figure-requests .value")) > 1);
    await state(page, "gpt-4.1", ["well"]);
    await stage.kill("openai");
    await state(page, "gpt-4.1", ["open", "unreachable"]);
    await until("a fallback shows with its reason", async () => {
      const rows = await page.$$eval('#requests tr[data-fate="moved"]', (rows) => rows.map((row) => row.textContent));
      return rows.some((text) => /claude-sonnet.*fallback.*gpt-4\.1 .*(no connection|breaker open)/s.test(text)) || rows;
    });
    assert.ok(await page.$(`${row("gpt-4.1")} .strip i[data-sign="3"]`), "the time line shows it");
    assert.match(await page.textContent("#story"), /saved by a fallback/);
    assert.match(await page.textContent("#verdict"), /down/);
    await page.click('[data-show="notable"]');
    await until("what is worth a look", async () => {
      const fates = await page.$$eval("#requests tr", (rows) => rows.map((row) => row.dataset.fate));
      return (fates.length > 0 && !fates.includes("ok")) || fates;
    });
    await page.click('[data-show="recent"]');
    assert.match(await page.textContent("#figure-success .value"), /^(100|99\.\d+) %$/, "nobody noticed");
    await stage.revive("openai");
    await state(page, "gpt-4.1", ["well", "easing in"]);
  },

  async "open, close and reset do what they say"({ page, stage }) {
    const press = (action) => page.click(`${row("claude-sonnet")} .group button:text-is("${action}")`);
    await press("Open");
    await state(page, "claude-sonnet", ["taken out"]);
    assert.match(await page.textContent("#toast"), /claude-sonnet is taken out/);
    const told = await fetch(`${stage.url}/admin/status`, { headers: { authorization: `Bearer ${TOKEN}` } });
    const { data } = await told.json();
    assert.equal(data.find(({ model }) => model === "claude-sonnet").breaker, "out");
    await until("the time line shows it", async () => (await page.$(`${row("claude-sonnet")} .strip i[data-sign="4"]`)) !== null);
    await press("Close");
    await state(page, "claude-sonnet", ["well", "easing in"]);
    await press("Open");
    await state(page, "claude-sonnet", ["taken out"]);
    await press("Reset");
    await state(page, "claude-sonnet", ["well"]);
  },

  async "money shows: spent, saved, budgets"({ page, stage }) {
    for (let i = 0; i < 3; i++) await stage.ask("cheap", { text: "The same question again.", stream: false });
    await until("a kept answer shows", async () => (await page.$('#requests tr[data-fate="cached"]')) !== null);
    await until("what is spent today", async () => /\$0\.\d+ today/.test(await page.textContent("#figure-spend .value")));
    await until("what is saved", async () => {
      const note = await page.textContent("#figure-saved .note");
      return /routing −?\$\d.* cache \$0\.0/.test(note) || note;
    });
    const budgets = await page.textContent("#budgets");
    assert.match(budgets, /all-teams.*of \$25\.00/s);
    assert.match(budgets, /support.*of \$2\.80/s);
  },

  async "names stay text"({ page, stage, seen }) {
    assert.equal(await stage.ask(`to ${HARMFUL}`, { key: MALLORY }), 200);
    await until("they show", async () => {
      const text = await page.textContent("#requests");
      return text.split(HARMFUL).length > 2 || text.slice(0, 200);
    });
    await page.waitForSelector(`xpath=//tr[@data-target="${HARMFUL}"]`);
    assert.equal(await page.$$eval("main img", (all) => all.length), 0);
    assert.match(await page.title(), /Weir$/);
    assert.deepEqual(seen.wrong, []);
  },

  async "a page that is opened later knows the hour"({ browser, stage }) {
    const { page, context, seen } = await visit(browser, stage.url);
    await enter(page);
    await live(page);
    await page.waitForSelector(`${row("gpt-4.1")} .strip i[data-sign="3"]`);
    await page.waitForSelector("#chart-requests canvas");
    assert.match(await page.textContent("#story"), /saved by a fallback/);
    assert.deepEqual(seen.wrong, []);
    await context.close();
  },

  async "it is readable in both themes, at a desk and on a phone"({ browser, stage }) {
    mkdirSync(PICTURES, { recursive: true });
    for (const colorScheme of ["light", "dark"]) {
      for (const [name, options] of Object.entries({
        desktop: { viewport: { width: 1280, height: 800 } },
        phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
      })) {
        const { page, context, seen } = await visit(browser, stage.url, { colorScheme, ...options });
        await enter(page);
        await live(page);
        await page.waitForSelector("#requests tr");
        await until("the money is there", async () => !(await page.textContent("#figure-spend .value")).includes("…"));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= options.viewport.width, `${name}: ${wide} px wide`);
        await page.screenshot({ path: join(PICTURES, `dashboard-${name}-${colorScheme}.png`) });
        if (!BLESS) await page.screenshot({ path: join(PICTURES, `whole-${name}-${colorScheme}.png`), fullPage: true });
        assert.deepEqual(seen.wrong, []);
        assertKept(seen, stage.url);
        await context.close();
      }
    }
    // The switch wins over the system.
    const { page, context } = await visit(browser, stage.url);
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await page.click("#theme");
    assert.equal(await paper(), light, "light, as the system is");
    await page.click("#theme");
    assert.notEqual(await paper(), light);
    await page.reload();
    assert.notEqual(await paper(), light, "it is remembered");
    await context.close();
  },

  async "a restart of the gateway does not hang on the page, nor the page on it"({ page, stage, seen }) {
    stage.quiet();
    await sleep(1500);
    const wrong = seen.wrong.length;
    const took = await stage.close();
    assert.ok(took < 5000, `ending took ${took} ms with a dashboard open`);
    await page.waitForSelector("#link[data-state=lost]");
    await stage.open();
    await live(page);
    await stage.ask("standard");
    await until("it shows what comes", async () => (await page.$$("#requests tr")).length === 1);
    assert.match(await page.textContent("#figure-spend .value"), /\$0\.\d+ today/, "the ledger remembers");
    // While it is away the browser says so; nothing else is wrong.
    assert.deepEqual(seen.wrong.slice(wrong).filter((text) => !text.includes("ERR_CONNECTION_REFUSED")), []);
  },

  async "without a token it opens at once, on this machine"({ browser }) {
    const stage = await Stage.set({ token: "" });
    try {
      const { page, context, seen } = await visit(browser, stage.url);
      await live(page);
      assert.match(await page.textContent("#story"), /nobody has asked anything/);
      await page.click(`${row("llama-70b")} .group button:text-is("Open")`);
      await state(page, "llama-70b", ["taken out"]);
      await page.click(`${row("llama-70b")} .group button:text-is("Reset")`);
      await state(page, "llama-70b", ["well"]);
      if (!BLESS) await page.screenshot({ path: join(PICTURES, "empty-desktop-light.png"), fullPage: true });
      assert.deepEqual(seen.wrong, []);
      const other = await fetch(`${stage.url}/dashboard`, { headers: { "x-forwarded-for": "192.0.2.1" } });
      assert.equal(other.status, 401, "others are not let in");
      await context.close();
    } finally {
      await stage.end();
    }
  },
};

/** Some minutes in the life of a gateway, for pictures that show something. */
async function traffic(stage, seconds) {
  const begun = Date.now();
  const wave = () => 9 + 5 * Math.sin((Date.now() - begun) / 70_000) + 2 * Math.random();
  let due = 0;
  stage.traffic("users", 10, () => {
    for (due += wave() / 10; due >= 1; due--) {
      const dice = Math.random();
      const text = dice < 0.25 ? `A common question, number ${Math.floor(dice * 240)}` : undefined;
      const model = dice < 0.55 ? "standard" : dice < 0.7 ? "claude-sonnet" : dice < 0.85 ? "fast" : "cheap";
      stage.ask(model, { text }).catch(() => {});
    }
  });
  const at = async (share, act) => {
    await sleep(Math.max(0, begun + share * seconds * 1000 - Date.now()));
    await act();
  };
  await at(0.15, () => stage.fault("groq", "status=429,retry-after=9", 0.1));
  await at(0.2, () => stage.fault("groq", ""));
  await at(0.32, () => stage.kill("openai"));
  await at(0.42, () => stage.revive("openai"));
  await at(0.7, () => stage.fault("groq", "status=429,retry-after=9", 0.1));
  await at(0.74, () => stage.fault("groq", ""));
  await at(1, () => stage.kill("openai"));
  await sleep(25_000);
}

const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const stage = await Stage.set({ harmful: !BLESS });
let [passed, failed] = [0, 0];
try {
  if (BLESS) {
    await traffic(stage, Number(process.env.WEIR_PICTURE_S ?? 540));
    await checks["it is readable in both themes, at a desk and on a phone"]({ browser, stage });
    passed += 1;
  } else {
    const { page, seen } = await visit(browser, stage.url);
    await enter(page);
    await live(page);
    for (const [name, check] of Object.entries(checks)) {
      try {
        await check({ browser, stage, page, seen });
        console.log(`ok    ${name}`);
        passed += 1;
      } catch (error) {
        console.log(`FAIL  ${name}\n${error.stack}`);
        failed += 1;
      }
    }
    assertKept(seen, stage.url);
  }
} finally {
  if (failed) console.log(`the gateway's log ends:\n${stage.gateway.log().slice(-3000)}`);
  await stage.end();
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
