//! `POST /completions`, the older form.

use serde_json::{Value, json};

use super::{
    Call,
    envelope::{Envelope, now, quoted},
    field::{self, Object, boolean, count, decimal, integer},
    input::{self, Input},
    logprobs,
    refusal::{Refusal, failure_event},
    usage::usage,
};
use crate::sim::{
    compose::{Answer, Finish, Prompt, ToolChoice, compose},
    dice::Dice,
    reply::{Event, Reply},
    tokens::{self, Piece},
};

/// What OpenAI allows a completion where `max_tokens` is absent.
const MAX_TOKENS: u32 = 16;

/// A continuation.
struct Choice {
    text: Vec<Piece>,
    finish: &'static str,
    tokens: u64,
    /// Where the text begins in what came before, in characters.
    offset: usize,
}

/// Answers a completion request.
///
/// # Errors
/// As OpenAI refuses it.
pub(crate) fn answer(request: &Object, call: &Call<'_>) -> Result<Reply, Refusal> {
    let prompts = input::read(request, "prompt")?;
    decimal(request, "temperature", 0.0, 2.0)?;
    decimal(request, "top_p", 0.0, 1.0)?;
    let top = integer(request, "logprobs", 0, 5)?.and_then(|top| u32::try_from(top).ok());
    let (stream, include_usage) = field::stream(request)?;
    integer(request, "n", 1, 128)?;
    let choices = choices(request, &prompts, call)?;
    let total: u64 = choices.iter().map(|choice| choice.tokens).sum();
    let prompt_tokens: u64 = prompts.iter().map(|prompt| prompt.tokens).sum();
    let usage = usage(prompt_tokens, total, call.chosen.fault.usage);
    let id = Dice::of(call.seed, &[b"completion", &call.seq.to_le_bytes()]).id("cmpl-", 29);
    if stream {
        let envelope = Envelope::new(&id, "text_completion", call.model, include_usage);
        let mut events = events(&envelope, &choices, top);
        events.extend(envelope.close(usage));
        return Ok(Reply::stream(events, failure_event().into(), prompt_tokens));
    }
    let shown = choices.iter().enumerate().map(|(index, choice)| {
        let logs = top.map(|top| logprobs::completion(&choice.text, top, choice.offset));
        json!({ "text": tokens::join(&choice.text), "index": index, "logprobs": logs, "finish_reason": choice.finish })
    });
    let mut body = json!({ "id": id, "object": "text_completion", "created": now(), "model": call.model,
        "choices": shown.collect::<Vec<_>>() });
    if let Some(usage) = usage {
        body["usage"] = usage;
    }
    Ok(Reply::whole(body.to_string(), prompt_tokens, total))
}

fn choices(request: &Object, prompts: &[Input], call: &Call<'_>) -> Result<Vec<Choice>, Refusal> {
    let n = count(request, "n", 1)?.unwrap_or(1);
    let echo = boolean(request, "echo")?.unwrap_or(false);
    let seed = integer(request, "seed", i64::MIN, i64::MAX)?.unwrap_or_default() as u64;
    let max_tokens = count(request, "max_tokens", 0)?;
    let stop = field::stop(request)?;
    let mut choices = Vec::new();
    for input in prompts {
        let prompt = Prompt {
            seed: (call.seed, seed),
            last: input.text.clone(),
            asked: input.text.clone(),
            choice: ToolChoice::None,
            stop: stop.clone(),
            // A length that the simulator was told counts where the request is silent.
            max_tokens: max_tokens.or(call.chosen.pace.tokens.is_none().then_some(MAX_TOKENS)),
            length: call.chosen.pace.tokens,
            ending: call.chosen.fault.ending,
            ..Prompt::default()
        };
        for index in 0..n {
            choices.push(choice(compose(&prompt, index), input, echo));
        }
    }
    Ok(choices)
}

fn choice(answer: Answer, input: &Input, echo: bool) -> Choice {
    let finish = if answer.finish == Finish::Length { "length" } else { "stop" };
    let tokens = answer.tokens();
    let mut text = if echo { tokens::pieces(&input.text) } else { Vec::new() };
    // There is no place for a refusal but the text.
    text.extend(answer.refusal);
    text.extend(answer.text);
    Choice { text, finish, tokens, offset: if echo { 0 } else { input.text.chars().count() } }
}

fn events(envelope: &Envelope, choices: &[Choice], top: Option<u32>) -> Vec<Event> {
    let chunk = |index: usize, text: &str, logs: Option<Value>, finish: Option<&str>| {
        let logs = logs.map_or_else(|| "null".to_owned(), |logs| logs.to_string());
        let finish = finish.map_or_else(|| "null".to_owned(), quoted);
        let text = quoted(text);
        envelope.chunk(&format!(
            r#"{{"text":{text},"index":{index},"logprobs":{logs},"finish_reason":{finish}}}"#
        ))
    };
    let mut events = Vec::new();
    for (index, choice) in choices.iter().enumerate() {
        let mut offset = choice.offset;
        for piece in &choice.text {
            let logs = top.map(|top| logprobs::completion(std::slice::from_ref(piece), top, offset));
            offset += piece.text.chars().count();
            events.push(Event::content(chunk(index, &piece.text, logs, None), piece.tokens));
        }
    }
    for (index, choice) in choices.iter().enumerate() {
        events.push(Event::close(chunk(index, "", None, Some(choice.finish))));
    }
    events
}
