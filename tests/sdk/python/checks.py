"""A gateway as the openai package for Python sees it. The address comes in WEIR_URL."""

import asyncio
import json
import os
import sys
import traceback

from openai import AsyncOpenAI, NotFoundError, OpenAI
from pydantic import BaseModel

URL = os.environ["WEIR_URL"] + "/v1"
# No retries: a failure has to show.
OPTIONS = {"base_url": URL, "api_key": os.environ.get("WEIR_KEY", "none"), "max_retries": 0, "timeout": 30}
client = OpenAI(**OPTIONS)

QUESTION = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": "What is a weir in a river good for?"},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
ASK_WEATHER = [{"role": "user", "content": "What is the weather in Paris for the next 3 days?"}]


class City(BaseModel):
    name: str
    population: int
    sights: list[str]


ASK_CITY = [{"role": "user", "content": "Describe the city of Lyon."}]


def assert_usage(usage):
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def plain_answer():
    answer = client.chat.completions.create(model="standard", messages=QUESTION)
    assert answer.object == "chat.completion" and answer.id and answer.model
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason == "stop", answer.choices[0].finish_reason
    assert_usage(answer.usage)


def answer_headers():
    raw = client.chat.completions.with_raw_response.create(model="standard", messages=QUESTION)
    assert raw.headers["x-weir-route"] == "standard", dict(raw.headers)
    for name in ["x-request-id", "x-weir-model", "x-weir-provider", "x-weir-attempts"]:
        assert raw.headers.get(name), f"{name} in {dict(raw.headers)}"
    assert raw.parse().choices[0].message.content


def stream():
    chunks = list(client.chat.completions.create(model="standard", messages=QUESTION, stream=True))
    assert len(chunks) > 2
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
    assert all(not chunk.usage for chunk in chunks), "a usage chunk that nobody asked for"


def stream_with_usage():
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="standard", messages=QUESTION, stream=True, stream_options=options)
    )
    assert chunks[-1].choices == []
    assert_usage(chunks[-1].usage)
    assert chunks[-2].choices[0].finish_reason == "stop"


def stream_left_early():
    with client.chat.completions.create(model="standard", messages=QUESTION, stream=True) as chunks:
        next(iter(chunks))
    plain_answer()


def stream_of_the_helper():
    with client.chat.completions.stream(model="standard", messages=QUESTION) as events:
        text = "".join(event.delta for event in events if event.type == "content.delta")
        final = events.get_final_completion()
    assert text.strip() and text == final.choices[0].message.content


def async_stream():
    async def read():
        async with AsyncOpenAI(**OPTIONS) as other:
            chunks = await other.chat.completions.create(model="standard", messages=QUESTION, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in chunks]

    assert "".join(asyncio.run(read())).strip()


def assert_weather_call(call):
    assert call.type == "function" and call.id and call.function.name == "get_weather", call
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["city"], str) and isinstance(arguments["days"], int), arguments


def tool_call():
    options = {"model": "standard", "tools": [WEATHER]}
    answer = client.chat.completions.create(messages=ASK_WEATHER, tool_choice="required", **options)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls", answer.choices[0].finish_reason
    assert_weather_call(message.tool_calls[0])
    # The conversation goes on with the tool's result.
    turns = [*ASK_WEATHER, message.model_dump(exclude_none=True)]
    for call in message.tool_calls:
        turns.append({"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear", "celsius": 21}'})
    answer = client.chat.completions.create(messages=turns, **options)
    assert answer.choices[0].message.content, answer


def tool_call_in_a_stream():
    options = {"model": "standard", "messages": ASK_WEATHER, "tools": [WEATHER], "tool_choice": "required"}
    with client.chat.completions.stream(**options) as events:
        for _ in events:
            pass
        final = events.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert_weather_call(final.choices[0].message.tool_calls[0])


def json_schema_answer():
    schema = City.model_json_schema() | {"additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": schema}}
    answer = client.chat.completions.create(model="standard", messages=ASK_CITY, response_format=wanted)
    City.model_validate_json(answer.choices[0].message.content)


def parsed_answer():
    answer = client.chat.completions.parse(model="standard", messages=ASK_CITY, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


def json_schema_stream():
    options = {"model": "standard", "messages": ASK_CITY, "response_format": City}
    with client.chat.completions.stream(**options) as events:
        final = events.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, City)


def embeddings():
    # Without a format the package asks for base64 on its own.
    packed = client.embeddings.create(model="embeddings", input=["a weir", "a dam"])
    plain = client.embeddings.create(model="embeddings", input=["a weir", "a dam"], encoding_format="float")
    for answer in (packed, plain):
        assert [item.index for item in answer.data] == [0, 1]
        assert len(answer.data[0].embedding) == len(answer.data[1].embedding) > 0
        assert answer.usage.prompt_tokens > 0
    pairs = zip(packed.data[0].embedding, plain.data[0].embedding, strict=True)
    assert all(abs(a - b) < 1e-5 for a, b in pairs)


def old_completions():
    answer = client.completions.create(model="standard", prompt="A weir is")
    assert answer.object == "text_completion" and answer.choices[0].text.strip()
    assert_usage(answer.usage)
    chunks = list(client.completions.create(model="standard", prompt="A weir is", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks).strip()


def model_list():
    models = {model.id for model in client.models.list()}
    assert {"standard", "embeddings"} <= models, models
    model = client.models.retrieve("standard")
    assert model.id == "standard" and model.object == "model"


def unknown_model():
    for call in (
        lambda: client.chat.completions.create(model="no-such-model", messages=QUESTION),
        lambda: client.chat.completions.create(model="no-such-model", messages=QUESTION, stream=True),
        lambda: client.models.retrieve("no-such-model"),
    ):
        try:
            call()
        except NotFoundError as error:
            assert error.code == "model_not_found" and error.type == "invalid_request_error", error.body
        else:
            raise AssertionError("an unknown model was answered")


CHECKS = [
    plain_answer,
    answer_headers,
    stream,
    stream_with_usage,
    stream_left_early,
    stream_of_the_helper,
    async_stream,
    tool_call,
    tool_call_in_a_stream,
    json_schema_answer,
    parsed_answer,
    json_schema_stream,
    embeddings,
    old_completions,
    model_list,
    unknown_model,
]


def main():
    failed = 0
    for check in CHECKS:
        try:
            check()
            print(f"ok    python {check.__name__}")
        except Exception:
            failed += 1
            print(f"FAIL  python {check.__name__}\n{traceback.format_exc()}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
