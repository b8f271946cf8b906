//! `POST /chat/completions`.

use serde_json::{Value, json};

use super::{
    Call,
    ask::{self, Ask},
    envelope::{Envelope, now, quoted},
    field::Object,
    logprobs,
    refusal::{Refusal, failure_event},
    usage::usage,
};
use crate::sim::{
    compose::{Answer, Finish, compose},
    dice::Dice,
    fault::UsageLie,
    reply::{Event, Reply},
    tokens,
};

/// Answers a chat request.
///
/// # Errors
/// As OpenAI refuses it.
pub(crate) fn answer(request: &Object, call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut ask = ask::read(request)?;
    ask.prompt.seed.0 = call.seed;
    ask.prompt.length = call.chosen.pace.tokens;
    ask.prompt.ending = call.chosen.fault.ending;
    let ids = &mut Dice::of(call.seed, &[b"chat", &call.seq.to_le_bytes()]);
    let answers: Vec<Said> = (0..ask.n).map(|index| Said::new(compose(&ask.prompt, index), ids)).collect();
    let total = answers.iter().map(|said| said.answer.tokens()).sum();
    let id = ids.id("chatcmpl-", 29);
    let lie = call.chosen.fault.usage;
    if ask.stream {
        let envelope = Envelope::new(&id, "chat.completion.chunk", call.model, ask.include_usage);
        let mut events = stream(&envelope, &answers, &ask);
        events.extend(envelope.close(usage(ask.prompt_tokens, total, lie)));
        return Ok(Reply::stream(events, failure_event().into(), ask.prompt_tokens));
    }
    Ok(whole(&id, call.model, &answers, &ask, lie))
}

/// An answer with the ids of its calls.
struct Said {
    answer: Answer,
    call_ids: Vec<String>,
}

impl Said {
    fn new(answer: Answer, ids: &mut Dice) -> Self {
        let call_ids = answer.calls.iter().map(|_| ids.id("call_", 24)).collect();
        Self { answer, call_ids }
    }

    fn finish(&self) -> &'static str {
        match self.answer.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
        }
    }
}

fn whole(id: &str, model: &str, answers: &[Said], ask: &Ask, lie: Option<UsageLie>) -> Reply {
    let choice = |(index, said): (usize, &Said)| {
        let logs = ask.logprobs.map(|top| logprobs::chat(&said.answer.text, top));
        json!({ "index": index, "message": message(said), "logprobs": logs, "finish_reason": said.finish() })
    };
    let choices: Vec<Value> = answers.iter().enumerate().map(choice).collect();
    let total = answers.iter().map(|said| said.answer.tokens()).sum();
    let mut body = json!({ "id": id, "object": "chat.completion", "created": now(), "model": model, "choices": choices,
        "service_tier": "default", "system_fingerprint": "fp_sim" });
    if let Some(usage) = usage(ask.prompt_tokens, total, lie) {
        body["usage"] = usage;
    }
    Reply::whole(body.to_string(), ask.prompt_tokens, total)
}

fn message(said: &Said) -> Value {
    let answer = &said.answer;
    let refusal = (!answer.refusal.is_empty()).then(|| tokens::join(&answer.refusal));
    let silent = refusal.is_some() || !answer.calls.is_empty();
    let content = (!silent).then(|| tokens::join(&answer.text));
    let mut message =
        json!({ "role": "assistant", "content": content, "refusal": refusal, "annotations": [] });
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().zip(&said.call_ids).map(|(call, id)| {
            let function = json!({ "name": call.name, "arguments": tokens::join(&call.arguments) });
            json!({ "id": id, "type": "function", "function": function })
        });
        message["tool_calls"] = calls.collect();
    }
    message
}

/// All chunks of all answers: those of several answers take turns, as a model that makes them side by side.
fn stream(envelope: &Envelope, answers: &[Said], ask: &Ask) -> Vec<Event> {
    let chunk = |index: usize, delta: &str, logs: Option<Value>, finish: Option<&str>| {
        let logs = logs.map_or_else(|| "null".to_owned(), |logs| logs.to_string());
        let finish = finish.map_or_else(|| "null".to_owned(), quoted);
        let choice =
            format!(r#"{{"index":{index},"delta":{delta},"logprobs":{logs},"finish_reason":{finish}}}"#);
        envelope.chunk(&choice)
    };
    let mut events = Vec::new();
    let mut turns = Vec::new();
    for (index, said) in answers.iter().enumerate() {
        let content = if said.answer.calls.is_empty() { "\"\"" } else { "null" };
        let role = format!(r#"{{"role":"assistant","content":{content},"refusal":null}}"#);
        events.push(Event::open(chunk(index, &role, None, None)));
        turns.push(deltas(said, ask.logprobs).into_iter());
    }
    let mut open = true;
    while open {
        open = false;
        for (index, turn) in turns.iter_mut().enumerate() {
            if let Some((delta, logs, tokens)) = turn.next() {
                open = true;
                events.push(Event::content(chunk(index, &delta, logs, None), tokens));
            }
        }
    }
    for (index, said) in answers.iter().enumerate() {
        events.push(Event::close(chunk(index, "{}", None, Some(said.finish()))));
    }
    events
}

type Delta = (String, Option<Value>, u32);

/// The content of each chunk of an answer, with its log probabilities and tokens.
fn deltas(said: &Said, top: Option<u32>) -> Vec<Delta> {
    let answer = &said.answer;
    let mut deltas: Vec<Delta> = Vec::new();
    for piece in &answer.refusal {
        deltas.push((format!(r#"{{"refusal":{}}}"#, quoted(&piece.text)), None, piece.tokens));
    }
    for piece in &answer.text {
        let logs = top.map(|top| logprobs::chat(std::slice::from_ref(piece), top));
        deltas.push((format!(r#"{{"content":{}}}"#, quoted(&piece.text)), logs, piece.tokens));
    }
    for (index, (call, id)) in answer.calls.iter().zip(&said.call_ids).enumerate() {
        let (id, name) = (quoted(id), quoted(&call.name));
        let function = format!(r#"{{"name":{name},"arguments":""}}"#);
        let begin = format!(
            r#"{{"tool_calls":[{{"index":{index},"id":{id},"type":"function","function":{function}}}]}}"#
        );
        deltas.push((begin, None, call.overhead()));
        for piece in &call.arguments {
            let text = quoted(&piece.text);
            let more = format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":{text}}}}}]}}"#);
            deltas.push((more, None, piece.tokens));
        }
    }
    deltas
}
