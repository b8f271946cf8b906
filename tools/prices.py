#!/usr/bin/env python3
"""Writes config/prices.toml from a table of models in JSON: tools/prices.py TABLE.json > config/prices.toml

The table holds USD per million tokens, windows in tokens, capabilities as booleans. Only facts are taken over, into
a layout of our own; what was shut down long ago, and dated names that say the same as the name without its date, are
left out.
"""

import json
import re
import sys
from decimal import Decimal

TAKEN = "2026-11-20"
# What was shut down before this is left out. Younger names are still asked for, and some still answer.
OLDEST = "2026-05-20"
HEAD = f"""\
# What models cost, and what is known of them besides, by family of providers (the `catalogue` of a provider).
#
# Source: LiteLLM 1.109.1 model table (MIT), facts only, taken {TAKEN}; written by tools/prices.py.
# A price in the configuration ([models.NAME] price = ...) goes before the one here. USD per million tokens:
# input, output, cached_input (read from the prompt cache), cache_write, cache_write_1h, reasoning, audio_input, audio_output.
# A tier holds for the whole request once its prompt has more tokens than `above`. context: tokens of question and
# answer; max_output: tokens of an answer. A model whose `can` is given lacks what it does not name.
"""
FAMILIES = ["openai", "anthropic", "gemini", "deepseek", "moonshot", "mistral", "groq", "xai"]
MODALITIES = ["chat", "completion", "embedding"]
KINDS = {
    "input": "input",
    "cache_read": "cached_input",
    "cache_write": "cache_write",
    "cache_write_1h": "cache_write_1h",
    "input_audio": "audio_input",
    "output": "output",
    "output_audio": "audio_output",
    "reasoning_output": "reasoning",
}
SKILLS = {
    "tools": "tools",
    "parallel_tools": "parallel_tools",
    "vision": "vision",
    "audio_in": "audio",
    "pdf": "files",
    "json_schema": "json_schema",
    "reasoning": "reasoning",
}
# Things that are no models for conversations, completions or vectors.
OTHER = re.compile(r"^(lyria|container$|.*-tts$|.*robotics|.*computer-use|.*-live-|deep-research|learnlm|.*-exp-\d)")
DATED = re.compile(r"-(\d{4}-\d\d-\d\d|\d{8}|\d{4})$")


def number(value):
    """A float's shortest decimal text, without an exponent."""
    text = format(Decimal(repr(value)).normalize(), "f")
    return text if value else "0"


def whole(value):
    return f"{value:_}"


def prices(facts):
    """The prices of a model or a tier; kinds that cost what they default to are left out."""
    taken = {ours: facts[theirs] for theirs, ours in KINDS.items() if facts.get(theirs) is not None}
    # A cache write that costs nothing means that writing is not charged apart from reading.
    for kind, default in [("cache_write", "input"), ("reasoning", "output"), ("audio_input", "input")]:
        if taken.get(kind) in (taken.get(default), 0, 0.0):
            taken.pop(kind, None)
    return ", ".join(f"{kind} = {number(value)}" for kind, value in taken.items())


def tiers(model):
    found = []
    for name, facts in model.get("tiers", {}).items():
        above = re.fullmatch(r"above_(\d+)k_tokens", name)
        if above and facts.get("input") is not None and facts.get("output") is not None:
            found.append((int(above[1]) * 1000, facts))
    return [f"{{ above = {whole(above)}, {prices(facts)} }}" for above, facts in sorted(found, key=lambda t: t[0])]


def skills(model):
    """What the model can do; nothing where the table knows nothing."""
    named = [ours for theirs, ours in SKILLS.items() if model.get(theirs)]
    known = model["mode"] == "chat" and (named != [] or model.get("context_window") is not None)
    if not known or named == ["reasoning"]:
        return None
    return named


def line(model):
    parts = [prices(model)] if model.get("input") is not None and model.get("output") is not None else []
    if found := tiers(model):
        parts.append(f"tiers = [{', '.join(found)}]")
    if model.get("context_window"):
        parts.append(f"context = {whole(model['context_window'])}")
    if model.get("max_output") and model["mode"] != "embedding":
        parts.append(f"max_output = {whole(model['max_output'])}")
    if model["mode"] != "chat":
        parts.append(f'modality = "{model["mode"]}"')
    if (named := skills(model)) is not None:
        parts.append(f"can = [{', '.join(json.dumps(skill) for skill in named)}]")
    return f"{json.dumps(model['model'])} = {{ {', '.join(parts)} }}"


def stem(name):
    return DATED.sub("", name.removesuffix("-latest"))


def wanted(model, by_name):
    name = model["model"]
    if model["mode"] not in MODALITIES or OTHER.match(name) or model.get("input") is None:
        return False
    endpoints = model.get("endpoints")
    if model["mode"] == "chat" and endpoints and "/v1/chat/completions" not in endpoints:
        return False
    if "beta" in name or "experimental" in name:
        return False
    twin = by_name.get(stem(name)) if stem(name) != name else None
    if twin is not None:
        # The look-up finds the name without its date itself, so a twin counts only where it differs.
        return line({**model, "model": twin["model"]}) != line(twin)
    return model.get("deprecation_date", "9999") > OLDEST


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        table = json.load(file)["models"]
    print(HEAD, end="")
    for family in FAMILIES:
        models = [model for model in table if model["provider"] == family]
        by_name = {model["model"]: model for model in models}
        print(f"\n[{family}]")
        for model in sorted(models, key=lambda model: (MODALITIES.index(model["mode"]) if model["mode"] in MODALITIES else 9, model["model"])):
            if wanted(model, by_name):
                print(line(model))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
