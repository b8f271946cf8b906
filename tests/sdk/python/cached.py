"""What is kept is the same answer again, as the openai package reads it: a recorded stream, its replay, the object.

Some recordings stand here; those beside the project are replayed too, where they are present.
"""

import itertools
import json
import sys
import traceback

import httpx
import openai
import recordings
from corpus import RECORDINGS, arguments
from gateway import gateway
from replay import Replay

CACHE = "[cache]\nenabled = true"


def event(choices, **more):
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "theirs"}
    return head | {"system_fingerprint": "fp", "choices": choices} | more


def delta(finish=None, index=0, logprobs=None, **said):
    return event([{"index": index, "delta": said, "logprobs": logprobs, "finish_reason": finish}], usage=None)


def call(index, arguments, **more):
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return delta(tool_calls=[{"index": index, "function": function} | more])


def token(text):
    return {"content": [{"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}]}


USAGE = event([], usage={"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16,
                         "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0}})
ROLE = delta(role="assistant", content="", refusal=None)

STREAMS = {
    "text": [ROLE, delta(content="Ulm, "), delta(content="im \"Süden\".\n"), delta("stop"), USAGE],
    "tools": [
        ROLE,
        delta(content="Let me see."),
        call(0, "", id="call_1", type="function", name="get_weather"),
        call(0, '{"city":'),
        call(0, '"Ulm"}'),
        call(1, "", id="call_2", type="function", name="get_time"),
        call(1, "{}"),
        delta("tool_calls"),
        USAGE,
    ],
    "choices": [
        ROLE,
        delta(index=1, role="assistant", content=""),
        delta(index=1, content="B", logprobs=token("B")),
        delta(content="A", logprobs=token("A")),
        delta(index=1, content="b", logprobs=token("b")),
        delta("stop"),
        delta("stop", index=1),
        USAGE,
    ],
}


def streamed(name, chunks):
    lines = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return recordings.Case(name, "chat", 200, {}, body, is_stream=True, asked=None)


def object_of(name, chunks):
    """The whole answer that a provider gives for the same."""
    choices = {}
    for chunk in chunks:
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"], "logprobs": None})
            message = choice.setdefault("message", {"role": "assistant", "content": None, "refusal": None})
            if part["logprobs"]:
                choice["logprobs"] = choice["logprobs"] or {"content": []}
                choice["logprobs"]["content"] += part["logprobs"]["content"]
            if part["delta"].get("content"):
                message["content"] = (message["content"] or "") + part["delta"]["content"]
            for piece in part["delta"].get("tool_calls") or []:
                calls = message.setdefault("tool_calls", [])
                if piece["index"] == len(calls):
                    empty = {"name": piece["function"]["name"], "arguments": ""}
                    calls.append({"id": piece["id"], "type": "function", "function": empty})
                calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
            choice["finish_reason"] = part["finish_reason"] or choice.get("finish_reason")
    whole = event([choices[at] for at in sorted(choices)], object="chat.completion", usage=USAGE["usage"])
    return recordings.Case(f"{name}-whole", "chat", 200, {}, json.dumps(whole).encode(), is_stream=False, asked=None)


class Asker:
    """The package, with what the gateway said of the cache in its last answer."""

    def __init__(self, url):
        self.word = None
        hooks = {"response": [self.heard]}
        http = httpx.Client(event_hooks=hooks, trust_env=False)
        options = {"api_key": "none", "max_retries": 0, "timeout": 30, "http_client": http}
        self.client = openai.OpenAI(base_url=f"{url}/v1", **options)

    def heard(self, response):
        self.word = response.headers.get("x-weir-cache")

    def helper(self, call):
        """The final object of the package's stream helper, usage included; or the error that it ends with."""
        call = {key: value for key, value in call.items() if key != "stream"}
        call["stream_options"] = {"include_usage": True}
        try:
            with self.client.chat.completions.stream(**call) as events:
                for _ in events:
                    pass
                return plain(events.get_final_completion())
        except Exception as error:
            # It stops at an end by length, at lists without numbers, and so on, Weir or no Weir.
            return type(error).__name__, str(error)

    def whole(self, call):
        call = {key: value for key, value in call.items() if key not in ("stream", "stream_options")}
        return plain(self.client.chat.completions.create(**call))


def plain(completion):
    """The object without what the helper adds, and without what says nothing."""
    return said(completion.model_dump(mode="json"))


def said(value):
    if isinstance(value, dict):
        kept = {key: said(inner) for key, inner in value.items() if key not in ("parsed", "parsed_arguments")}
        # A list that a stream never mentioned is an empty one or none at all.
        return {key: inner for key, inner in kept.items() if inner is not None and inner != []}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def bare(answer):
    """The object without the numbers that the helper leaves on tool calls: in a whole list the place says it."""
    answer = json.loads(json.dumps(answer))
    for choice in answer["choices"]:
        for made in choice["message"].get("tool_calls") or []:
            made.pop("index", None)
    return answer


def same(found, expected, what):
    assert found == expected, f"{what}:\n{json.dumps(found, indent=1)}\ninstead of\n{json.dumps(expected, indent=1)}"


def recorded_stream(ask, case):
    """A stream; its replay; the object out of the same."""
    call = arguments(case)
    first = ask.helper(call)
    same(ask.word, "miss", "the first answer")
    again = ask.helper(call)
    same(ask.word, "hit", "the second answer")
    same(again, first, "the replay")
    same(first["usage"]["total_tokens"], 16, "usage")
    whole = ask.whole(call)
    same(ask.word, "hit", "the object")
    same(whole, bare(first), "the object")
    return whole


def recorded_object(ask, case):
    """An object; the stream out of it; the object again."""
    call = arguments(case)
    first = ask.whole(call)
    same(ask.word, "miss", "the first answer")
    streamed = ask.helper(call)
    same(ask.word, "hit", "the stream")
    same(bare(streamed), first, "the stream")
    same((ask.whole(call), ask.word), (first, "hit"), "the second answer")
    return first


def of_the_corpus(ask, case):
    """Whatever is kept of real traffic is the same again; gives whether it was kept."""
    call = arguments(case)
    first = ask.helper(call) if case.is_stream else ask.whole(call)
    same(ask.word, "miss", "the first answer")
    again = ask.helper(call) if case.is_stream else ask.whole(call)
    if ask.word != "hit":
        return False
    same(again, first, "the second answer")
    found = ask.whole(call) if case.is_stream else ask.helper(call)
    same(ask.word, "hit", "the other form")
    if isinstance(found, dict) and isinstance(first, dict):
        same(spoken(found), spoken(first), "the other form")
        # The helper believes the last chunk alone, which may say nothing of usage.
        totals = {answer["usage"]["total_tokens"] for answer in (found, first) if "usage" in answer}
        assert len(totals) <= 1, totals
    return True


def spoken(answer):
    """What a user reads, what a program calls with. The helper adds up names that a provider sends twice."""
    told = []
    for choice in answer["choices"]:
        calls = [made["function"].get("arguments") or "" for made in choice["message"].get("tool_calls") or []]
        told.append((choice["index"], choice["finish_reason"], choice["message"].get("content") or "", calls))
    return told


def main():
    streams = [streamed(name, chunks) for name, chunks in STREAMS.items()]
    objects = [object_of(name, chunks) for name, chunks in STREAMS.items()]
    found = recordings.cases(RECORDINGS) if RECORDINGS.is_dir() else []
    corpus = [case for case in found if case.endpoint == "chat" and case.status < 400]
    replay = Replay([*streams, *objects, *corpus]).start()
    base = f"http://127.0.0.1:{replay.port}"
    providers = [f'[providers."{name}"]\nbase_url = "{base}/{name}"' for name in replay.cases]
    passed = failed = kept = 0
    with gateway([*providers, CACHE]) as weir:
        ask = Asker(weir.url)
        checks = itertools.chain(
            ((recorded_stream, case) for case in streams),
            ((recorded_object, case) for case in objects),
            ((of_the_corpus, case) for case in corpus),
        )
        answers = {}
        for check, case in checks:
            try:
                result = check(ask, case)
                answers[case.name] = result
                kept += result is True
                passed += 1
            except Exception:
                failed += 1
                print(f"FAIL  cached {case.name}\n{traceback.format_exc()}")
        for name in STREAMS:
            if answers.get(name) != answers.get(f"{name}-whole"):
                failed += 1
                print(f"FAIL  cached {name}: the stream and the object tell different answers")
        if failed:
            print(f"the gateway's log:\n{weir.log.read_text()[-4000:]}")
    print(f"ok    cached: {kept} of {len(corpus)} recordings of real traffic are kept")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
