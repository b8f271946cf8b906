"""LangChain, Pydantic AI: their chats, streams, tools, structured answers from upstreams that speak other formats.

The address of a gateway with providers `anthropic` and `gemini` comes in WEIR_URL.
"""

import asyncio
import functools
import operator
import os
import sys
import traceback

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.messages import ToolCallPart, ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

URL = os.environ["WEIR_URL"] + "/v1"
MODELS = {"anthropic": "anthropic/claude-sonnet-4-5", "gemini": "gemini/gemini-3.8-flash"}
QUESTION = "What is a weir in a river good for?"
ASK_BOTH = "What are the weather and the traffic in Lyon?"
ASK_CITY = "Describe the city of Lyon."


class City(BaseModel):
    """A city."""

    name: str
    population: int
    sights: list[str]


def get_weather(city: str, days: int) -> str:
    """The weather in a city."""
    assert isinstance(days, int)
    return f"clear in {city}"


def get_traffic(city: str) -> str:
    """The traffic in a city."""
    return f"quiet in {city}"


TOOLS = [get_weather, get_traffic]


def chain(model):
    return ChatOpenAI(model=model, base_url=URL, api_key="none", max_retries=0, timeout=30, stream_usage=True)


def together(chunks):
    return functools.reduce(operator.add, chunks)


def langchain_chat(model):
    answer = chain(model).invoke([("system", "Answer briefly."), ("user", QUESTION)])
    assert answer.content.strip() and answer.response_metadata["finish_reason"] == "stop", answer
    usage = answer.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0, usage


def langchain_stream(model):
    chunks = list(chain(model).stream(QUESTION))
    whole = together(chunks)
    assert len(chunks) > 3 and whole.content == chain(model).invoke(QUESTION).content
    assert whole.usage_metadata["output_tokens"] > 0, whole.usage_metadata


def langchain_tools(model):
    tools = {function.__name__: tool(function) for function in TOOLS}
    bound = chain(model).bind_tools(list(tools.values()))
    for ask in (bound.invoke, lambda turns: together(bound.stream(turns))):
        turns = [HumanMessage(ASK_BOTH)]
        turns.append(ask(turns))
        calls = turns[-1].tool_calls
        assert [call["name"] for call in calls] == list(tools), turns[-1]
        turns += [ToolMessage(tools[call["name"]].invoke(call["args"]), tool_call_id=call["id"]) for call in calls]
        assert "quiet in" in ask(turns).content


def langchain_structured(model):
    # By a tool it asks for one call at most, which Gemini cannot promise.
    for method, model in (("json_schema", model), ("function_calling", f"lenient-{model}")):
        city = chain(model).with_structured_output(City, method=method, strict=True).invoke(ASK_CITY)
        assert isinstance(city, City), city


def agent(model, **more):
    provider = OpenAIProvider(base_url=URL, api_key="none")
    return Agent(OpenAIChatModel(model, provider=provider), **more)


def pydantic_chat(model):
    result = agent(model, instructions="Answer briefly.").run_sync(QUESTION)
    assert result.output.strip() and result.response.finish_reason == "stop", result
    assert result.usage.input_tokens > 0 and result.usage.output_tokens > 0, result.usage


def pydantic_stream(model):
    async def read():
        async with agent(model).run_stream(QUESTION) as result:
            texts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
        return texts, result.usage

    texts, usage = asyncio.run(read())
    assert len(texts) > 3 and usage.output_tokens > 0, (texts, usage)
    assert "".join(texts) == agent(model).run_sync(QUESTION).output


def pydantic_tools(model):
    result = agent(model, tools=TOOLS).run_sync(ASK_BOTH)
    parts = [part for message in result.all_messages() for part in message.parts]
    for kind in (ToolCallPart, ToolReturnPart):
        found = [part.tool_name for part in parts if isinstance(part, kind)]
        assert sorted(found) == ["get_traffic", "get_weather"], found
    assert "quiet in" in result.output, result.output


def pydantic_structured(model):
    for form in (NativeOutput(City), ToolOutput(City)):
        output = agent(model, output_type=form).run_sync(ASK_CITY).output
        assert isinstance(output, City), output


CHECKS = [
    langchain_chat,
    langchain_stream,
    langchain_tools,
    langchain_structured,
    pydantic_chat,
    pydantic_stream,
    pydantic_tools,
    pydantic_structured,
]


def main():
    failed = 0
    for protocol, model in MODELS.items():
        for check in CHECKS:
            try:
                check(model)
                print(f"ok    {protocol} {check.__name__}")
            except Exception:
                failed += 1
                print(f"FAIL  {protocol} {check.__name__}\n{traceback.format_exc()}")
    print(f"{len(MODELS) * len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
