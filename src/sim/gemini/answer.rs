//! What the model says, as candidates of parts.

use serde_json::{Value, json};

use super::{ask::Ask, contents};
use crate::sim::{
    compose::{self, Answer, Finish, Prompt, compose},
    dice::Dice,
    fault::{Ending, UsageLie},
    protocol::Call,
    seal, text,
    tokens::{self, Piece},
};

/// How many tokens a thought has, at most.
const LENGTH: u32 = 50;
/// The fewest tokens of a prompt whose beginning is cached.
const LEAST_CACHED: u64 = 1024;

/// All that a model says to one request.
pub(crate) struct Response {
    pub(crate) id: String,
    model: String,
    pub(crate) candidates: Vec<Candidate>,
    /// Whether the prompt did not pass the filter.
    pub(crate) blocked: bool,
    pub(crate) prompt_tokens: u64,
    cached: u64,
    lie: Option<UsageLie>,
}

/// One answer.
pub(crate) struct Candidate {
    pub(crate) thought: Vec<Piece>,
    shows_thought: bool,
    pub(crate) answer: Answer,
    pub(crate) finish: &'static str,
    /// What comes back with the text, in models that want it.
    pub(crate) signature: Option<String>,
    logprobs: Option<u32>,
}

/// Answers a good request.
pub(crate) fn response(ask: Ask, call: &Call<'_>) -> Response {
    let fault = &call.chosen.fault;
    let blocked = fault.ending == Some(Ending::Blocked);
    let mut ids = Dice::of(call.seed, &[b"response", &call.seq.to_le_bytes()]);
    let mut prompt = ask.prompt;
    prompt.seed.0 = call.seed;
    prompt.length = call.chosen.pace.tokens;
    prompt.ending = fault.ending;
    let candidate = |index| {
        let thought = match ask.thoughts {
            Some(most) => think(&prompt, index, most),
            None => Vec::new(),
        };
        candidate(&prompt, index, thought, ask.shows_thoughts, call.model, ask.logprobs)
    };
    let candidates = if blocked { Vec::new() } else { (0..ask.candidates).map(candidate).collect() };
    let before = tokens::count(&ask.before);
    let cached = match before >= LEAST_CACHED && call.prefixes.seen(call.model, &ask.before) {
        true => before.min(ask.prompt_tokens),
        false => 0,
    };
    Response {
        id: ids.id("", 22),
        model: call.model.to_owned(),
        candidates,
        blocked,
        prompt_tokens: ask.prompt_tokens,
        cached,
        lie: fault.usage,
    }
}

fn think(prompt: &Prompt, index: u32, most: u32) -> Vec<Piece> {
    if matches!(prompt.ending, Some(Ending::Empty | Ending::Refusal)) {
        return Vec::new();
    }
    let asked = text::head(&prompt.asked, 1024);
    let dice = &mut Dice::of(prompt.seed.0, &[b"thought", asked.as_bytes(), &index.to_le_bytes()]);
    let words = text::keywords(asked);
    let said =
        format!("**Considering the question**\n\n{} {}", text::more(dice, &words), text::more(dice, &words));
    let mut pieces = tokens::pieces(&said);
    tokens::cut(&mut pieces, LENGTH.min(most).min(prompt.max_tokens.unwrap_or(u32::MAX)));
    pieces
}

fn candidate(
    prompt: &Prompt,
    index: u32,
    thought: Vec<Piece>,
    shows_thought: bool,
    model: &str,
    logprobs: Option<u32>,
) -> Candidate {
    let mut answer = match prompt.max_tokens {
        // What a thought used up is no longer there for the answer.
        Some(most) => {
            let room = most.saturating_sub(tokens::total(&thought));
            compose_within(prompt, index, room)
        }
        None => compose(prompt, index),
    };
    let finish = match (prompt.ending, answer.finish) {
        (Some(Ending::Refusal), _) => "SAFETY",
        (Some(Ending::BrokenJson), Finish::ToolCalls) => "MALFORMED_FUNCTION_CALL",
        (_, Finish::Length) => "MAX_TOKENS",
        (_, Finish::Stop | Finish::ToolCalls) => "STOP",
    };
    // Neither a refusal nor a call that is no JSON has a word of the answer.
    if finish == "SAFETY" || finish == "MALFORMED_FUNCTION_CALL" {
        answer = Answer { finish: answer.finish, ..Answer::default() };
    }
    // A call that was cut is not told.
    if answer.finish == Finish::Length {
        answer.calls.retain(|call| serde_json::from_str::<Value>(&tokens::join(&call.arguments)).is_ok());
    }
    let signed = contents::is_sealed(model) && answer.calls.is_empty() && !answer.text.is_empty();
    let signature = signed.then(|| seal::of("text", &tokens::join(&answer.text)));
    Candidate { thought, shows_thought, answer, finish, signature, logprobs }
}

fn compose_within(prompt: &Prompt, index: u32, room: u32) -> Answer {
    let prompt = Prompt {
        last: prompt.last.clone(),
        asked: prompt.asked.clone(),
        tools: prompt.tools.clone(),
        choice: prompt.choice.clone(),
        shape: prompt.shape.clone(),
        stop: prompt.stop.clone(),
        max_tokens: Some(room),
        ..*prompt
    };
    compose(&prompt, index)
}

impl Candidate {
    fn tokens(&self) -> u64 {
        self.answer.tokens()
    }

    /// The parts of a thought that is to be seen.
    pub(crate) fn shown_thought(&self) -> &[Piece] {
        if self.shows_thought { &self.thought } else { &[] }
    }

    /// The parts of its calls; only the first is signed.
    pub(crate) fn call_parts(&self) -> Vec<Value> {
        let part = |(index, call): (usize, &compose::Call)| {
            let mut function = json!({ "name": call.name });
            let arguments = serde_json::from_str(&tokens::join(&call.arguments)).unwrap_or(Value::Null);
            // No arguments are none, not an empty object.
            if arguments.as_object().is_some_and(|arguments| !arguments.is_empty()) {
                function["args"] = arguments;
            }
            let mut part = json!({ "functionCall": function });
            if index == 0 {
                part["thoughtSignature"] = json!(seal::of("call", &call.name));
            }
            part
        };
        self.answer.calls.iter().enumerate().map(part).collect()
    }

    /// The candidate in a chunk or a whole answer.
    pub(crate) fn json(&self, index: usize, parts: Vec<Value>, ends: bool) -> Value {
        let content = match (parts.is_empty(), self.finish) {
            (true, "SAFETY" | "MALFORMED_FUNCTION_CALL") => json!({}),
            (true, _) => json!({ "role": "model" }),
            (false, _) => json!({ "parts": parts, "role": "model" }),
        };
        let mut candidate = json!({ "content": content, "index": index });
        if !ends {
            return candidate;
        }
        candidate["finishReason"] = json!(self.finish);
        match self.finish {
            "SAFETY" => {
                candidate["safetyRatings"] = json!([{ "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                    "probability": "HIGH", "blocked": true }]);
            }
            "MALFORMED_FUNCTION_CALL" => {
                candidate["finishMessage"] = json!("Malformed function call: print(default_api.f(");
            }
            _ if !self.answer.calls.is_empty() => {
                candidate["finishMessage"] = json!("Model generated function call(s).");
            }
            _ => {}
        }
        if let Some(top) = self.logprobs {
            candidate["logprobsResult"] = logprobs(&self.answer.text, top);
            candidate["avgLogprobs"] = json!(-0.1);
        }
        candidate
    }

    fn whole(&self, index: usize) -> Value {
        let mut parts = Vec::new();
        if !self.shown_thought().is_empty() {
            parts.push(json!({ "text": tokens::join(&self.thought), "thought": true }));
        }
        if !self.answer.text.is_empty() {
            let mut part = json!({ "text": tokens::join(&self.answer.text) });
            if let Some(signature) = &self.signature {
                part["thoughtSignature"] = json!(signature);
            }
            parts.push(part);
        }
        parts.extend(self.call_parts());
        self.json(index, parts, true)
    }
}

fn logprobs(pieces: &[Piece], top: u32) -> Value {
    let one = |piece: &Piece, rank: u32| json!({ "token": piece.text, "logProbability": -0.1 - f64::from(rank), "tokenId": 1000 + rank });
    let chosen: Vec<Value> = pieces.iter().map(|piece| one(piece, 0)).collect();
    let tops = pieces.iter().map(|piece| {
        let candidates: Vec<Value> = (0..top.max(1)).map(|rank| one(piece, rank)).collect();
        json!({ "candidates": candidates })
    });
    json!({ "topCandidates": tops.collect::<Vec<_>>(), "chosenCandidates": chosen })
}

impl Response {
    /// The tokens of all candidates, and those of their thoughts.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        let said = self.candidates.iter().map(Candidate::tokens).sum();
        let thought =
            self.candidates.iter().map(|candidate| u64::from(tokens::total(&candidate.thought))).sum();
        (said, thought)
    }

    /// The whole answer.
    pub(crate) fn json(&self) -> Value {
        let whole = self.candidates.iter().enumerate().map(|(index, candidate)| candidate.whole(index));
        let (said, thought) = self.tokens();
        self.frame(whole.collect(), said, thought)
    }

    /// An answer, or a chunk of one, after so many tokens.
    pub(crate) fn frame(&self, candidates: Vec<Value>, said: u64, thought: u64) -> Value {
        let mut body = json!({ "modelVersion": self.model, "responseId": self.id });
        if self.blocked {
            body["promptFeedback"] = json!({ "blockReason": "PROHIBITED_CONTENT" });
        } else {
            body["candidates"] = Value::from(candidates);
        }
        if let Some(usage) = self.usage(said, thought) {
            body["usageMetadata"] = usage;
        }
        body
    }

    fn usage(&self, said: u64, thought: u64) -> Option<Value> {
        let times = match self.lie {
            None => 1,
            Some(UsageLie::Absent) => return None,
            Some(UsageLie::Zero) => 0,
            Some(UsageLie::Times(times)) => u64::from(times),
        };
        let of = |tokens: u64| tokens.saturating_mul(times);
        let total = of(self.prompt_tokens).saturating_add(of(said)).saturating_add(of(thought));
        let mut usage = json!({ "promptTokenCount": of(self.prompt_tokens), "totalTokenCount": total,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": of(self.prompt_tokens) }],
            "serviceTier": "standard" });
        for (name, tokens) in [
            ("candidatesTokenCount", said),
            ("thoughtsTokenCount", thought),
            ("cachedContentTokenCount", self.cached),
        ] {
            // What there is none of is left out.
            if tokens > 0 {
                usage[name] = json!(of(tokens));
            }
        }
        Some(usage)
    }
}
