"""Recorded traffic of real providers, replayed as upstreams and read by the openai package through Weir.

The recordings lie beside the project; without them there is nothing to check.
"""

import sys
import traceback

import openai
import recordings
from gateway import ROOT, gateway
from recordings import Choice, Said, count
from replay import Replay

RECORDINGS = ROOT.parent / "shared/data/corpus/dev"
QUESTION = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "completions": {"prompt": "Hello"},
    "embeddings": {"input": "Hello"},
}
UNNAMED = "unnamed"

# What the contract makes of a refusal: the package's class, the code that is put where the provider names none.
REFUSALS = {
    400: (openai.BadRequestError, "invalid_request"),
    401: (openai.InternalServerError, "upstream_credentials_rejected"),
    404: (openai.NotFoundError, "model_not_found"),
    429: (openai.RateLimitError, "upstream_rate_limited"),
}
STATUS = {400: 400, 401: 502, 404: 404, 429: 429}


def arguments(case, **more):
    """The call of the package that asks what was recorded."""
    asked = dict(case.asked or QUESTION[case.endpoint])
    model = f"{case.name}/{asked.pop('model', UNNAMED)}"
    content = next(iter(QUESTION[case.endpoint]))
    asked.pop("stream", None)
    call = {"model": model, content: asked.pop(content), "extra_body": asked | more}
    if "encoding_format" in asked:
        # Else the package asks for a format of its own.
        call["encoding_format"] = asked.pop("encoding_format")
    return call | ({"stream": True} if case.is_stream else {})


def method(client, case):
    return {
        "chat": client.chat.completions,
        "completions": client.completions,
        "embeddings": client.embeddings,
    }[case.endpoint].create


def same(found, expected, what):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def asked_the_same(case, replay):
    """The provider was asked what the client asked, its own name for the model in it, and always for usage."""
    if not case.asked:
        return
    # Azure names the model in the path.
    ours, theirs = dict(replay.asked[case.name]), {"model": UNNAMED} | case.asked
    if case.is_stream:
        same(ours.pop("stream_options")["include_usage"], True, "include_usage")
        theirs.pop("stream_options", None)
    if case.endpoint == "embeddings":
        ours.pop("encoding_format", None), theirs.pop("encoding_format", None)
    ours.pop("stream", None), theirs.pop("stream", None)
    same(ours, theirs, "the request")


def whole(client, case, replay):
    """An answer that is no stream."""
    answer = method(client, case)(**arguments(case))
    asked_the_same(case, replay)
    recorded = case.answer()
    same(answer.model, recorded.get("model"), "model")
    usage = answer.usage.model_dump() if answer.usage else None
    same(count({"completion_tokens": None} | (usage or {})), count(recorded.get("usage")), "usage")
    if case.endpoint == "embeddings":
        vectors = [recordings.vector(item["embedding"]) for item in recorded["data"]]
        same([recordings.vector(item.embedding) for item in answer.data], vectors, "vectors")
        return
    same(len(answer.choices), len(recorded["choices"]), "choices")
    for found, expected in zip(answer.choices, recorded["choices"], strict=True):
        same(found.finish_reason, expected.get("finish_reason"), "finish reason")
        if case.endpoint == "completions":
            same(found.text, expected["text"], "text")
            continue
        message, wanted = found.message, expected["message"]
        same(message.content, wanted.get("content"), "text")
        same((message.model_extra or {}).get("reasoning_content"), wanted.get("reasoning_content"), "reasoning")
        calls = [[call.id, call.function.name, call.function.arguments] for call in message.tool_calls or []]
        wanted = wanted.get("tool_calls") or []
        functions = [[call["id"], call["function"]["name"], call["function"]["arguments"]] for call in wanted]
        same(calls, functions, "tool calls")


def refused(client, case, replay):
    """A recorded error."""
    wanted, code = REFUSALS[case.status]
    try:
        method(client, case)(**arguments(case))
    except openai.APIStatusError as error:
        asked_the_same(case, replay)
        same(type(error), wanted, "class")
        same(error.status_code, STATUS[case.status], "status")
        recorded = (case.answer() or {}).get("error") or {}
        if case.status == 400:
            # The request was at fault: the provider's own words, which the client can act on.
            same(error.body["message"], recorded["message"], "message")
            same(error.param, recorded.get("param"), "param")
            code = str(recorded.get("code") or code)
        same(error.code, code, "code")
        if case.status == 401:
            same(recorded.get("message", "Invalid API Key") in str(error), False, "the provider's words on the key")
        if case.status == 429:
            assert int(error.response.headers["retry-after"]) >= 1, dict(error.response.headers)
        same([tried["provider"] for tried in error.body["attempts"]], [case.name], "attempts")
    else:
        raise AssertionError("a recorded error was answered")


def stream(client, case, replay):
    """A stream, once as it was asked and once with usage wanted."""
    options = ((case.asked or {}).get("stream_options") or {}).get("include_usage") is True
    streamed(client, case, usage_chunks=options)
    asked_the_same(case, replay)
    streamed(client, case, usage_chunks=True, stream_options={"include_usage": True})
    if case.endpoint == "chat":
        provider = client.with_options(base_url=f"http://127.0.0.1:{replay.port}/{case.name}")
        helped(client, provider, case)


def streamed(client, case, *, usage_chunks, **more):
    expected = recordings.said(case, usage_chunks=usage_chunks)
    found = Said()
    try:
        for chunk in method(client, case)(**arguments(case, **more)):
            found.usage = count(chunk.usage.model_dump() if chunk.usage else None) or found.usage
            for choice in chunk.choices:
                add(found.choices.setdefault(choice.index, Choice()), choice, case)
    except openai.APIError as error:
        assert not isinstance(error, (openai.APIStatusError, openai.APIConnectionError)), repr(error)
        same(error.code, "upstream_stream_broken", "code")
        found.error = True
    same(found.error, expected.error, "an error event")
    same(found.usage, expected.usage, "usage")
    same(found.choices, expected.choices, "choices")


def add(told, choice, case):
    told.finish = choice.finish_reason or told.finish
    if case.endpoint == "completions":
        told.text += choice.text or ""
        return
    delta = choice.delta
    extra = delta.model_extra or {}
    told.text += delta.content or ""
    told.refusal += delta.refusal or ""
    told.reasoning += extra.get("reasoning_content") or ""
    told.reasoning_alias += extra.get("reasoning") or ""
    for call in delta.tool_calls or []:
        # As the package's users do it: the index alone says which call a part belongs to.
        while len(told.calls) <= call.index:
            told.calls.append(["", "", ""])
        parts = told.calls[call.index]
        parts[0] = parts[0] or call.id or ""
        if call.function:
            parts[1] += call.function.name or ""
            parts[2] += call.function.arguments or ""


def helped(client, provider, case):
    """The package's own way of putting a stream together: what was recorded, or else what it makes of it alone."""
    expected = recordings.said(case, usage_chunks=True)
    wanted = {at: (choice.text, choice.finish, choice.calls) for at, choice in expected.choices.items()}
    through = helper(client, case)
    if through == wanted and not expected.error:
        return
    # It stops at an end by length, adds up names that are sent twice, and so on, Weir or no Weir.
    straight = helper(provider, case)
    if isinstance(straight, Exception):
        same(type(through), type(straight), "the helper's error")
    else:
        same(through, straight, "what the helper put together")


def helper(client, case):
    """What it put together, by choice, or why it could not."""
    call = arguments(case, stream_options={"include_usage": True})
    call.pop("stream", None)
    try:
        with client.chat.completions.stream(**call) as events:
            for _ in events:
                pass
            final = events.get_final_completion()
    except Exception as error:
        return error
    told = {}
    for choice in final.choices:
        calls = [[call.id, call.function.name, call.function.arguments] for call in choice.message.tool_calls or []]
        told[choice.index] = (choice.message.content or "", choice.finish_reason, calls)
    return told


def main():
    if not RECORDINGS.is_dir():
        print(f"no recordings at {RECORDINGS}: nothing to replay\n0 passed, 0 failed")
        return 0
    cases = recordings.cases(RECORDINGS)
    replay = Replay(cases).start()
    failed = 0
    base = f"http://127.0.0.1:{replay.port}"
    with gateway([f'[providers."{case.name}"]\nbase_url = "{base}/{case.name}"' for case in cases]) as weir:
        client = openai.OpenAI(base_url=f"{weir.url}/v1", api_key="none", max_retries=0, timeout=30)
        for case in cases:
            check = refused if case.status >= 400 else stream if case.is_stream else whole
            try:
                check(client, case, replay)
            except Exception:
                failed += 1
                print(f"FAIL  corpus {case.name}\n{traceback.format_exc()}")
        if failed:
            print(f"the gateway's log:\n{weir.log.read_text()[-4000:]}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
