"""What recorded provider traffic says, read without any of Weir's code."""

import base64
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

ENDPOINTS = {"chat": "chat/completions", "completions": "completions", "embeddings": "embeddings"}


@dataclass
class Case:
    """One recorded call in OpenAI's format."""

    name: str
    endpoint: str
    status: int
    headers: dict
    body: bytes
    is_stream: bool
    # What was asked; None where it was not recorded.
    asked: dict | None

    def answer(self):
        """The recorded answer as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def chunks(self):
        """The payloads of a recorded stream, in order; comments, event names, and field lines aside."""
        lines = (line for line in self.body.decode().splitlines() if line.startswith("data:"))
        payloads = (line.removeprefix("data:").strip() for line in lines)
        return [json.loads(payload) for payload in payloads if payload and payload != "[DONE]"]


def cases(root: Path):
    """The cases under a folder with a folder for each provider. Those in a provider's own format are left out."""
    found = (read(path) for path in sorted(root.glob("*/*.json")))
    return [case for case in found if case]


def read(path: Path):
    recorded = json.loads(path.read_text())
    request = recorded["request"] or {}
    foreign = path.name.startswith("native-") or ":batchEmbedContents" in (request.get("path") or "")
    if recorded["endpoint"] not in ENDPOINTS or foreign:
        return None
    response = recorded["response"]
    text = response.get("sse") or response.get("raw")
    body = text if isinstance(text, str) else json.dumps(response["body"])
    asked = request.get("body")
    return Case(
        name=f"{path.parent.name}-{path.stem}",
        endpoint=recorded["endpoint"],
        status=response.get("status") or 200,
        headers=response.get("headers") or {},
        body=body.encode(),
        is_stream=isinstance(response.get("sse"), str),
        asked=asked if isinstance(asked, dict) else None,
    )


@dataclass
class Choice:
    """One choice of a stream, put together."""

    text: str = ""
    reasoning: str = ""
    # Other providers' name for reasoning; it passes as it came.
    reasoning_alias: str = ""
    refusal: str = ""
    # [id, name, arguments] in the order in which the calls began
    calls: list = field(default_factory=list)
    finish: str | None = None


@dataclass
class Said:
    """What a stream brought."""

    choices: dict = field(default_factory=dict)
    usage: tuple | None = None
    error: bool = False


def said(case, *, usage_chunks: bool):
    """Puts a recorded stream together. `usage_chunks`: those that hold only usage count too."""
    told = Said()
    places = {}
    for chunk in case.chunks():
        choices = chunk.get("choices") or []
        if chunk.get("error"):
            told.error = True
            break
        if choices or usage_chunks:
            told.usage = count(chunk.get("usage")) or told.usage
        for recorded in choices:
            at = recorded.get("index", 0)
            choice = told.choices.setdefault(at, Choice())
            choice.finish = recorded.get("finish_reason") or choice.finish
            if case.endpoint == "completions":
                choice.text += recorded.get("text") or ""
                continue
            delta = recorded.get("delta") or {}
            add_content(choice, delta.get("content"))
            choice.reasoning += delta.get("reasoning_content") or ""
            choice.reasoning_alias += delta.get("reasoning") or ""
            choice.refusal += delta.get("refusal") or ""
            for call in delta.get("tool_calls") or []:
                add_call(choice, places.setdefault(at, {}), call)
    return told


def add_content(choice, content):
    """A text, or a list of texts and thoughts; parts of other kinds have no place in OpenAI's format."""
    if isinstance(content, str):
        choice.text += content
    for part in content if isinstance(content, list) else []:
        if part["type"] == "text":
            choice.text += part["text"]
        elif part["type"] == "thinking":
            choice.reasoning += "".join(inner["text"] for inner in part["thinking"])


def add_call(choice, places, call):
    """A part of the tool call with its index; without one, of a new call where an id comes, else of the last."""
    known = places.get(call.get("index"))
    if known is None:
        known = len(choice.calls) - 1 if call.get("index") is None and not call.get("id") else len(choice.calls)
    if known == len(choice.calls):
        choice.calls.append(["", "", ""])
    if call.get("index") is not None:
        places[call["index"]] = known
    parts, function = choice.calls[known], call.get("function") or {}
    parts[0] = parts[0] or call.get("id") or ""
    parts[1] += function.get("name") or ""
    parts[2] += function.get("arguments") or ""


def count(usage):
    """The figures of a usage object; None where there are none."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        return None
    return tuple(usage.get(kind) for kind in ("prompt_tokens", "completion_tokens", "total_tokens"))


def vector(packed):
    """An embedding, which may be packed as base64 of 32-bit floats."""
    if isinstance(packed, list):
        return packed
    raw = base64.b64decode(packed)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))
