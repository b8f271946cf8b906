// The Vercel AI SDK: its chats, streams, tools, structured answers from upstreams that speak other formats.
// The address of a gateway with providers `anthropic` and `gemini` comes in WEIR_URL.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const models = { anthropic: "anthropic/claude-sonnet-4-5", gemini: "gemini/gemini-3.8-flash" };
const weir = createOpenAICompatible({
  name: "weir",
  baseURL: `${process.env.WEIR_URL}/v1`,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const prompt = "What is a weir in a river good for?";
const City = z.object({ name: z.string(), population: z.number().int(), sights: z.array(z.string()) });
const tools = {
  get_weather: tool({
    description: "The weather in a city",
    inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    execute: async ({ city, days }) => {
      assert.ok(Number.isInteger(days));
      return { sky: "clear", city };
    },
  }),
  get_traffic: tool({
    description: "The traffic in a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `quiet in ${city}`,
  }),
};

const ask = (model, more) => ({ model: weir.chatModel(model), maxRetries: 0, prompt, ...more });
const both = { prompt: "What are the weather and the traffic in Lyon?", tools, stopWhen: stepCountIs(3) };

// A stream's errors are no rejections of their own: they have to be asked for.
function streamed(options) {
  return streamText({ ...options, onError: ({ error }) => console.log(error) });
}

function assertTools(steps, text) {
  assert.deepEqual(steps[0].toolCalls.map((call) => call.toolName), ["get_weather", "get_traffic"]);
  assert.equal(steps[0].toolResults.length, 2);
  assert.equal(steps[0].finishReason, "tool-calls");
  assert.match(text, /quiet in/);
}

const checks = {
  async chat(model) {
    const answer = await generateText(ask(model, { system: "Answer briefly." }));
    assert.ok(answer.text.trim());
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
  },

  async stream(model) {
    const answer = streamed(ask(model));
    const pieces = [];
    for await (const piece of answer.textStream) pieces.push(piece);
    assert.ok(pieces.length > 3);
    assert.equal(pieces.join(""), (await generateText(ask(model))).text);
    assert.equal(await answer.finishReason, "stop");
    assert.ok((await answer.usage).outputTokens > 0);
  },

  async reasoning(model) {
    const answer = streamed(ask(model, { providerOptions: { weir: { reasoningEffort: "low" } } }));
    assert.ok((await answer.reasoningText).trim());
    assert.ok((await answer.text).trim());
  },

  async tools(model) {
    const answer = await generateText(ask(model, both));
    assertTools(answer.steps, answer.text);
  },

  async toolsInAStream(model) {
    const answer = streamed(ask(model, both));
    assertTools(await answer.steps, await answer.text);
  },

  async structured(model) {
    const wanted = { prompt: "Describe the city of Lyon.", output: Output.object({ schema: City }) };
    City.parse((await generateText(ask(model, wanted))).output);
    const answer = streamed(ask(model, wanted));
    let last;
    for await (const partial of answer.partialOutputStream) last = partial;
    City.parse(last);
  },
};

let failed = 0;
for (const [protocol, model] of Object.entries(models)) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(model);
      console.log(`ok    ${protocol} ai-sdk ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${protocol} ai-sdk ${name}\n${error.stack}`);
    }
  }
}
const count = Object.keys(models).length * Object.keys(checks).length;
console.log(`${count - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
