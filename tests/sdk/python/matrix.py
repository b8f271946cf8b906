"""The same conversations through each protocol, whole or streamed, as the openai packages read them: one matrix.

The address of a gateway with a provider for each protocol comes in WEIR_URL. Python's half is here, Node's in
`node/matrix.mjs`; the conversations are in `conversations.json`.
"""

import itertools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import openai

FOLDER = Path(__file__).resolve().parents[1]
DATA = json.loads((FOLDER / "conversations.json").read_text())
FAIL = "FAIL"
MODES = ["whole", "stream"]
ENDINGS = {openai.LengthFinishReasonError: "length", openai.ContentFilterFinishReasonError: "content_filter"}
client = openai.OpenAI(base_url=os.environ["WEIR_URL"] + "/v1", api_key="none", max_retries=0, timeout=30)


def function(name):
    return {"type": "function", "function": {"name": name, **DATA["tools"][name]}}


def asked(model, messages, fields):
    """The arguments of a call; tools and schemas stand in the data by name."""
    call = {"model": model, "messages": messages, **fields}
    if "tools" in fields:
        call["tools"] = [function(name) for name in fields["tools"]]
    if "response_format" in fields:
        name = fields["response_format"]
        schema = {"name": name, "strict": True, "schema": DATA["schemas"][name]}
        call["response_format"] = {"type": "json_schema", "json_schema": schema}
    return call


def whole(call):
    """The message that comes back, its finish reason, and the usage."""
    answer = client.chat.completions.create(**call)
    choice, usage = answer.choices[0], answer.usage
    message = choice.message.model_dump(exclude_none=True)
    return message, choice.finish_reason, [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]


def stream(call):
    """The same, from the chunks; what the package's helper puts together has to be the same again."""
    options = {"stream_options": {"include_usage": True}}
    message, finish, usage = {"role": "assistant"}, None, None
    for chunk in client.chat.completions.create(stream=True, **options, **call):
        if chunk.usage:
            usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens, chunk.usage.total_tokens]
        for choice in chunk.choices:
            assert finish is None, "a chunk after the finish reason"
            finish = choice.finish_reason
            add(message, choice.delta.model_dump(exclude_none=True))
    helped(call | options, message, finish)
    return message, finish, usage


def add(message, delta):
    for key, value in delta.items():
        if key == "tool_calls":
            calls = message.setdefault(key, [])
            for part in value:
                if part.pop("index") == len(calls):
                    calls.append(part)
                else:
                    calls[-1]["function"]["arguments"] += part["function"]["arguments"]
        elif key != "role":
            message[key] = message[key] + value if key in message else value


def helped(call, message, finish):
    with client.chat.completions.stream(**call) as events:
        for _ in events:
            pass
        try:
            choice = events.get_final_completion().choices[0]
        except tuple(ENDINGS) as error:
            # This is how the helper tells of such an end.
            assert ENDINGS[type(error)] == finish, repr(error)
            return
    assert finish not in ENDINGS.values(), f"the helper did not notice {finish}"
    final = choice.message.model_dump(exclude_none=True)
    assert choice.finish_reason == finish, choice.finish_reason
    assert told(final) == told(message), f"the helper's {told(final)} instead of {told(message)}"


def told(message):
    """What can be compared: ids differ from answer to answer."""
    calls = [[call["function"]["name"], call["function"]["arguments"]] for call in message.get("tool_calls") or []]
    texts = [message.get(key) or "" for key in ("content", "refusal", "reasoning_content")]
    return texts + [[[name, json.loads(arguments)] for name, arguments in calls]]


def fits(value, schema):
    """Whether a value is what the schema wants, as far as the schemas of the data go."""
    match schema["type"]:
        case "object":
            properties = schema["properties"]
            known = isinstance(value, dict) and list(sorted(value)) == sorted(properties)
            return known and all(fits(value[name], properties[name]) for name in properties)
        case "array":
            return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
        case "integer":
            return type(value) is int
        case "boolean":
            return type(value) is bool
    return isinstance(value, str) and value in schema.get("enum", [value])


def check(protocol, expect, message, finish, usage):
    content, refusal, reasoning, calls = told(message)
    assert usage[0] >= expect.get("prompt_tokens", 1), f"usage {usage}"
    assert usage[2] == usage[0] + usage[1], f"usage {usage}"
    assert usage[1] == expect.get("completion_tokens", usage[1]), f"usage {usage}"
    # OpenAI's chats, hence Azure's, reason without showing it.
    assert bool(reasoning) == (protocol in expect.get("reasoning", [])), f"reasoning {reasoning!r}"
    if "refusal" in expect:
        assert not content and bool(refusal) == (protocol in expect["refusal"]), (content, refusal)
        wanted = "content_filter" if protocol in expect["filter"] else "stop"
        assert finish == wanted, f"finish reason {finish}"
        return
    assert finish == expect["finish"], f"finish reason {finish}"
    assert not refusal and usage[1] > 0, (refusal, usage)
    assert [name for name, _ in calls] == expect.get("calls", []), calls
    assert all(fits(arguments, DATA["tools"][name]["parameters"]) for name, arguments in calls), calls
    assert calls or content.strip(), "neither text nor calls"
    assert all(word in content for word in expect.get("words", [])), content
    if "schema" in expect:
        assert fits(json.loads(content), DATA["schemas"][expect["schema"]]), content


def converse(conversation, protocol, read):
    """Asks step after step; what came back each time."""
    model = DATA["models"][protocol]
    if "fault" in conversation:
        model += "?" + conversation["fault"]
    messages, said = [], []
    for step in conversation["steps"]:
        messages += step.get("messages", [])
        if step.get("results"):
            for call in messages[-1]["tool_calls"]:
                content = DATA["results"][call["function"]["name"]]
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
        message, finish, usage = read(asked(model, messages, step.get("fields", {})))
        check(protocol, step["expect"], message, finish, usage)
        messages.append(message)
        # Only the first prompt's tokens can be compared: ids of calls that go back count too, and differ.
        said.append([told(message), finish, usage[1] if said else usage])
    return said


def cell(conversation, protocol, mode):
    """`ok`, `refused: FIELD`, or what failed; and what was said."""
    refused = conversation.get("refused", {}).get(protocol)
    try:
        said = converse(conversation, protocol, {"whole": whole, "stream": stream}[mode])
        return ("ok", said) if refused is None else (FAIL, "it was answered")
    except openai.BadRequestError as error:
        if refused is not None and (error.code, error.param) == ("unsupported_parameter", refused):
            return f"refused: {error.param}", None
        return FAIL, str(error)
    except Exception:
        return FAIL, traceback.format_exc()


def main():
    node = subprocess.Popen(["node", FOLDER / "node/matrix.mjs"], stdout=subprocess.PIPE, text=True)
    cells = {}
    for conversation in DATA["conversations"]:
        for protocol in DATA["models"]:
            for mode in MODES:
                cells[conversation["name"], protocol, mode, "python"] = cell(conversation, protocol, mode)
    for line in node.communicate()[0].splitlines():
        *place, result, said = json.loads(line)
        cells[tuple(place)] = (result, said)
    return show(cells)


def show(cells):
    """Prints the matrix with what failed, and counts. What was said in one protocol has to be the same in each cell."""
    columns = list(itertools.product(DATA["models"], MODES, ["python", "node"]))
    failures = []
    rows = [["", *head] for head in zip(*columns, strict=True)]
    for conversation in DATA["conversations"]:
        name = conversation["name"]
        rows.append([name])
        for column in columns:
            result, said = cells.get((name, *column), (FAIL, "no result"))
            first = cells[name, column[0], MODES[0], "python"]
            if result == "ok" and first[0] == "ok" and said != first[1]:
                result, said = FAIL, f"{said}\ninstead of, whole and in Python,\n{first[1]}"
            if result == FAIL:
                failures.append(f"{FAIL}  matrix {name}, {' '.join(column)}: {said}")
            rows[-1].append(result)
    table(rows)
    print("".join(f"{failure}\n" for failure in failures), end="")
    print(f"{len(columns) * len(DATA['conversations']) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


def table(rows):
    """Prints the rows. Reasons stand below, where there is room for them."""
    reasons = dict.fromkeys(cell for row in rows for cell in row if cell.startswith("refused: "))
    marks = {reason: f"refused ({number})" for number, reason in enumerate(reasons, 1)}
    lines = [[marks.get(cell, cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    for reason, mark in marks.items():
        print(f"{mark}: {reason.removeprefix('refused: ')}, a 400 as docs/providers.md says")


if __name__ == "__main__":
    sys.exit(main())
