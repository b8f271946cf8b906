// A gateway as the openai package for Node sees it. The address comes in WEIR_URL.

import assert from "node:assert/strict";
import OpenAI, { NotFoundError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({
  baseURL: `${process.env.WEIR_URL}/v1`,
  apiKey: process.env.WEIR_KEY ?? "none",
  maxRetries: 0, // a failure has to show
  timeout: 30_000,
});

const question = {
  model: "standard",
  messages: [
    { role: "system", content: "You answer briefly." },
    { role: "user", content: "What is a weir in a river good for?" },
  ],
};
const weather = {
  model: "standard",
  messages: [{ role: "user", content: "What is the weather in Paris for the next 3 days?" }],
  tool_choice: "required",
  tools: [
    {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather in a city",
        parameters: {
          type: "object",
          properties: { city: { type: "string" }, days: { type: "integer" } },
          required: ["city", "days"],
          additionalProperties: false,
        },
      },
    },
  ],
};
const City = z.object({ name: z.string(), population: z.number().int(), sights: z.array(z.string()) });
const city = {
  model: "standard",
  messages: [{ role: "user", content: "Describe the city of Lyon." }],
  response_format: zodResponseFormat(City, "city"),
};

function assertUsage(usage) {
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

function assertWeatherCall(choice) {
  assert.equal(choice.finish_reason, "tool_calls");
  const call = choice.message.tool_calls[0];
  assert.ok(call.id);
  assert.equal(call.function.name, "get_weather");
  const given = JSON.parse(call.function.arguments);
  assert.equal(typeof given.city, "string");
  assert.ok(Number.isInteger(given.days));
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const checks = {
  async plainAnswer() {
    const answer = await client.chat.completions.create(question);
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.choices[0].message.content.trim());
    assert.equal(answer.choices[0].finish_reason, "stop");
    assertUsage(answer.usage);
  },

  async answerHeaders() {
    const { response, request_id } = await client.chat.completions.create(question).withResponse();
    assert.equal(response.headers.get("x-weir-route"), "standard");
    assert.ok(request_id);
  },

  async stream() {
    const chunks = await all(await client.chat.completions.create({ ...question, stream: true }));
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    assert.ok(text.trim());
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    assert.ok(chunks.every((chunk) => !chunk.usage), "a usage chunk that nobody asked for");
  },

  async streamWithUsage() {
    const options = { stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await client.chat.completions.create({ ...question, ...options }));
    assert.deepEqual(chunks.at(-1).choices, []);
    assertUsage(chunks.at(-1).usage);
  },

  async streamLeftEarly() {
    const stream = await client.chat.completions.create({ ...question, stream: true });
    for await (const _ of stream) break;
    await checks.plainAnswer();
  },

  async streamOfTheHelper() {
    let text = "";
    const stream = client.chat.completions.stream(question).on("content", (delta) => (text += delta));
    assert.equal(await stream.finalContent(), text);
    assert.ok(text.trim());
  },

  async toolCall() {
    assertWeatherCall((await client.chat.completions.create(weather)).choices[0]);
  },

  async toolCallInAStream() {
    const final = await client.chat.completions.stream(weather).finalChatCompletion();
    assertWeatherCall(final.choices[0]);
  },

  async jsonSchemaAnswer() {
    const answer = await client.chat.completions.create(city);
    City.parse(JSON.parse(answer.choices[0].message.content));
  },

  async parsedAnswer() {
    const answer = await client.chat.completions.parse(city);
    assert.equal(typeof answer.choices[0].message.parsed.population, "number");
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: "embeddings", input: ["a weir", "a dam"] });
    assert.deepEqual(answer.data.map((item) => item.index), [0, 1]);
    assert.ok(answer.data[0].embedding.length > 0);
    assert.ok(answer.data[0].embedding.every(Number.isFinite));
    assert.equal(answer.data[0].embedding.length, answer.data[1].embedding.length);
  },

  async oldCompletions() {
    const answer = await client.completions.create({ model: "standard", prompt: "A weir is" });
    assert.ok(answer.choices[0].text.trim());
    const options = { model: "standard", prompt: "A weir is", stream: true };
    const chunks = await all(await client.completions.create(options));
    assert.ok(chunks.map((chunk) => chunk.choices[0].text).join("").trim());
  },

  async modelList() {
    const models = (await all(await client.models.list())).map((model) => model.id);
    assert.ok(models.includes("standard") && models.includes("embeddings"), models.join());
    assert.equal((await client.models.retrieve("standard")).id, "standard");
  },

  async unknownModel() {
    const unknown = { ...question, model: "no-such-model" };
    for (const call of [
      () => client.chat.completions.create(unknown),
      () => client.chat.completions.create({ ...unknown, stream: true }),
      () => client.models.retrieve("no-such-model"),
    ]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof NotFoundError);
        assert.equal(error.code, "model_not_found");
        return true;
      });
    }
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    node ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  node ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
