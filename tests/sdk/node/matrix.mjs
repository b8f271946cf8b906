// Node's half of `python/matrix.py`. Each cell is a line of JSON: [conversation, protocol, mode, "node", result, said].

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI, { BadRequestError } from "openai";
import { ContentFilterFinishReasonError, LengthFinishReasonError } from "openai/error";

const data = JSON.parse(readFileSync(new URL("../conversations.json", import.meta.url)));
const client = new OpenAI({
  baseURL: `${process.env.WEIR_URL}/v1`,
  apiKey: "none",
  maxRetries: 0,
  timeout: 30_000,
});

// The arguments of a call; tools and schemas stand in the data by name.
function asked(model, messages, fields) {
  const call = { model, messages, ...fields };
  if (fields.tools) {
    call.tools = fields.tools.map((name) => ({ type: "function", function: { name, ...data.tools[name] } }));
  }
  if (fields.response_format) {
    const name = fields.response_format;
    call.response_format = { type: "json_schema", json_schema: { name, strict: true, schema: data.schemas[name] } };
  }
  return call;
}

const figures = (usage) => [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens];

// The message that comes back, its finish reason, and the usage.
async function whole(call) {
  const { choices, usage } = await client.chat.completions.create(call);
  return [choices[0].message, choices[0].finish_reason, figures(usage)];
}

// The same, from the chunks; what the package's helper puts together has to be the same again.
async function stream(call) {
  const options = { ...call, stream: true, stream_options: { include_usage: true } };
  const message = { role: "assistant" };
  let finish = null;
  let usage = null;
  for await (const chunk of await client.chat.completions.create(options)) {
    if (chunk.usage) usage = figures(chunk.usage);
    for (const choice of chunk.choices) {
      assert.equal(finish, null, "a chunk after the finish reason");
      finish = choice.finish_reason;
      add(message, choice.delta);
    }
  }
  await helped(options, message, finish);
  return [message, finish, usage];
}

function add(message, delta) {
  for (const [key, value] of Object.entries(delta)) {
    if (key === "tool_calls") {
      message.tool_calls ??= [];
      for (const { index, ...part } of value) {
        if (index === message.tool_calls.length) message.tool_calls.push(part);
        else message.tool_calls.at(-1).function.arguments += part.function.arguments;
      }
    } else if (key !== "role" && value !== null) {
      message[key] = Array.isArray(value) ? [...(message[key] ?? []), ...value] : (message[key] ?? "") + value;
    }
  }
}

async function helped(call, message, finish) {
  let choice;
  try {
    choice = (await client.chat.completions.stream(call).finalChatCompletion()).choices[0];
  } catch (error) {
    // This is how the helper tells of such an end.
    if (error instanceof LengthFinishReasonError) return assert.equal(finish, "length");
    if (error instanceof ContentFilterFinishReasonError) return assert.equal(finish, "content_filter");
    throw error;
  }
  assert.equal(choice.finish_reason, finish);
  // The helper keeps only the last piece of a field that is not OpenAI's.
  const [content, refusal, , calls] = told(message);
  const [itsContent, itsRefusal, , itsCalls] = told(choice.message);
  assert.deepEqual([itsContent, itsRefusal, itsCalls], [content, refusal, calls]);
}

// What can be compared: ids differ from answer to answer.
function told(message) {
  const calls = (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
  return [message.content ?? "", message.refusal ?? "", message.reasoning_content ?? "", calls];
}

// Whether a value is what the schema wants, as far as the schemas of the data go.
function fits(value, schema) {
  switch (schema.type) {
    case "object": {
      const names = Object.keys(schema.properties);
      const known = value !== null && typeof value === "object" && Object.keys(value).length === names.length;
      return known && names.every((name) => name in value && fits(value[name], schema.properties[name]));
    }
    case "array":
      return Array.isArray(value) && value.every((item) => fits(item, schema.items));
    case "integer":
      return Number.isInteger(value);
    case "boolean":
      return typeof value === "boolean";
    default:
      return typeof value === "string" && (schema.enum ?? [value]).includes(value);
  }
}

function check(protocol, expect, message, finish, usage) {
  const [content, refusal, reasoning, calls] = told(message);
  assert.ok(usage[0] >= (expect.prompt_tokens ?? 1), `usage ${usage}`);
  assert.equal(usage[2], usage[0] + usage[1]);
  if (expect.completion_tokens) assert.equal(usage[1], expect.completion_tokens);
  assert.equal(reasoning !== "", (expect.reasoning ?? []).includes(protocol), `reasoning ${reasoning}`);
  if (expect.refusal) {
    assert.equal(content, "");
    assert.equal(refusal !== "", expect.refusal.includes(protocol), `refusal ${refusal}`);
    assert.equal(finish, expect.filter.includes(protocol) ? "content_filter" : "stop");
    return;
  }
  assert.equal(finish, expect.finish);
  assert.equal(refusal, "");
  assert.ok(usage[1] > 0);
  assert.deepEqual(calls.map(([name]) => name), expect.calls ?? []);
  for (const [name, given] of calls) assert.ok(fits(given, data.tools[name].parameters), JSON.stringify(calls));
  assert.ok(calls.length > 0 || content.trim(), "neither text nor calls");
  for (const word of expect.words ?? []) assert.ok(content.includes(word), content);
  if (expect.schema) assert.ok(fits(JSON.parse(content), data.schemas[expect.schema]), content);
}

// Asks step after step; what came back each time.
async function converse(conversation, protocol, read) {
  const model = data.models[protocol] + (conversation.fault ? `?${conversation.fault}` : "");
  const messages = [];
  const said = [];
  for (const step of conversation.steps) {
    messages.push(...(step.messages ?? []));
    if (step.results) {
      for (const call of messages.at(-1).tool_calls) {
        messages.push({ role: "tool", tool_call_id: call.id, content: data.results[call.function.name] });
      }
    }
    const [message, finish, usage] = await read(asked(model, messages, step.fields ?? {}));
    check(protocol, step.expect, message, finish, usage);
    messages.push(message);
    // Only the first prompt's tokens can be compared: ids of calls that go back count too, and differ.
    said.push([told(message), finish, said.length > 0 ? usage[1] : usage]);
  }
  return said;
}

// `ok`, `refused: FIELD`, or what failed; and what was said.
async function cell(conversation, protocol, read) {
  const refused = conversation.refused?.[protocol];
  try {
    const said = await converse(conversation, protocol, read);
    return refused === undefined ? ["ok", said] : ["FAIL", "it was answered"];
  } catch (error) {
    const documented = error instanceof BadRequestError && error.code === "unsupported_parameter";
    if (documented && error.param === refused) return [`refused: ${refused}`, null];
    return ["FAIL", error.stack];
  }
}

for (const conversation of data.conversations) {
  for (const protocol of Object.keys(data.models)) {
    for (const read of [whole, stream]) {
      const place = [conversation.name, protocol, read.name, "node"];
      console.log(JSON.stringify([...place, ...(await cell(conversation, protocol, read))]));
    }
  }
}
