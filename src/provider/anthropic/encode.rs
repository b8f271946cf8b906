//! A chat request as a request to Anthropic's Messages API.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, value::RawValue};

use super::{
    super::Encoded,
    fields::{self, Fields},
    gap::{Gaps, bad},
    model::Abilities,
    request::{Metadata, OutputConfig, Request, Thinking},
    thinking::{self, Plan, Wish},
    tools, turns,
};
use crate::openai::{Ask, BadField, Endpoint, Rewrite, chat::Chat};

/// The version of the API that this codec speaks.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// What every request says.
pub(super) fn headers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("anthropic-version"), VERSION)])
}

/// Encodes a request.
///
/// # Errors
/// The field that cannot be translated.
pub fn encode(ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
    if ask.endpoint() != Endpoint::Chat {
        let message = "The provider of this model serves chat completions only: Anthropic's API has neither \
                       completions nor embeddings.";
        return Err(bad("model", message));
    }
    // What a budget affords is for the plan below: an absent limit is none of many tokens here.
    let body = ask.rewrite(&Rewrite { max_output: None, ..*rewrite });
    let fields: Fields<'_> = serde_json::from_slice(&body).map_err(|error| BadField {
        param: None,
        message: format!("The body is not a valid JSON request: {error}."),
    })?;
    let chat = Chat::parse(&body)?;
    let mut gaps = Gaps::of(ask, rewrite);
    fields::check(&fields, &mut gaps)?;
    let abilities = Abilities::of(rewrite.model);
    let mut conversation = turns::translate(&chat.messages, &mut gaps)?;
    let tooling = tools::translate(&chat, conversation.called(), abilities, &mut gaps)?;
    let theirs = sent(&fields, "thinking");
    if theirs.is_some() && chat.reasoning_effort.is_some() {
        gaps.meet("reasoning_effort", "`thinking` says already how the model thinks")?;
    }
    let wish = Wish {
        effort: chat.reasoning_effort.as_deref().filter(|_| theirs.is_none()),
        limit: chat.output_limit(),
        max_output: rewrite.max_output_tokens,
        affords: rewrite.max_output,
        forced_tool: tooling.forces_a_call(),
        lost_thoughts: conversation.lost_thoughts(),
    };
    let plan = thinking::plan(wish, abilities, &mut gaps)?;
    let theirs = theirs.and_then(|raw| fitted(raw, &plan, &mut gaps));
    let thinks = plan.thinks() || theirs.as_ref().is_some_and(is_on);
    let sampling = Sampling::of(&chat, &fields, abilities, thinks, &mut gaps)?;
    conversation.system.extend(tooling.instruction);
    let request = Request {
        model: rewrite.model,
        max_tokens: plan.max_tokens,
        system: conversation.system,
        messages: conversation.turns,
        tools: tooling.tools,
        tool_choice: tooling.choice,
        thinking: theirs.or(plan.mode.map(Thinking::Ours)),
        output_config: OutputConfig { effort: plan.effort, format: tooling.format },
        stop_sequences: stops(&chat, &mut gaps)?,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        metadata: user(&chat, &fields).map(|user_id| Metadata { user_id }),
        service_tier: tier(&fields, &mut gaps)?,
        cache_control: sent(&fields, "cache_control"),
        stream: ask.stream(),
    };
    let body = serde_json::to_vec(&request).expect("texts, numbers and JSON always serialize");
    Ok(Encoded {
        path: Cow::Borrowed("/messages"),
        body: body.into(),
        headers: headers(),
        dropped: gaps.dropped,
        answer_tool: tooling.answer_tool,
        base64: false,
    })
}

/// A field's JSON, unless it is null.
fn sent<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied().filter(|value| value.get() != "null")
}

fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    serde_json::from_str(sent(fields, name)?.get()).ok()
}

/// The client's own `thinking`, within the limit where a budget lowered that.
fn fitted<'a>(raw: &'a RawValue, plan: &Plan, gaps: &mut Gaps<'_>) -> Option<Thinking<'a>> {
    let Some(own) = serde_json::from_str::<Value>(raw.get()).ok().filter(|_| plan.lowered) else {
        return Some(Thinking::Theirs(raw));
    };
    let fitting = thinking::within(&own, plan.max_tokens);
    if fitting.is_none() {
        gaps.leave_out("thinking");
    }
    fitting.map(Thinking::Fitted)
}

/// Whether the client's own `thinking` switches it on.
fn is_on(thinking: &Thinking<'_>) -> bool {
    serde_json::to_value(thinking).is_ok_and(|thinking| thinking["type"] != "disabled")
}

/// How the tokens are drawn.
#[derive(Debug, Default)]
struct Sampling {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
}

impl Sampling {
    fn of(
        chat: &Chat,
        fields: &Fields<'_>,
        abilities: Abilities,
        thinks: bool,
        gaps: &mut Gaps<'_>,
    ) -> Result<Self, BadField> {
        let top_k = match sent(fields, "top_k") {
            None => None,
            Some(raw) => Some(
                serde_json::from_str(raw.get())
                    .map_err(|_| bad("top_k", "`top_k` must be a whole number."))?,
            ),
        };
        // The defaults, which are those of OpenAI's API too, need not be said, and some models do not take even them.
        let mut sampling = Self {
            temperature: chat.temperature.filter(|temperature| *temperature != 1.0),
            top_p: chat.top_p.filter(|share| *share != 1.0),
            top_k,
        };
        if sampling.temperature.is_some_and(|temperature| temperature > 1.0) {
            gaps.meet("temperature", "Anthropic's temperatures lie between 0 and 1")?;
            sampling.temperature = None;
        }
        let refusal = match () {
            () if !abilities.sampling => Some("This model draws its tokens by rules of its own"),
            () if thinks => Some("A model that thinks draws its tokens by rules of its own"),
            () => None,
        };
        if let Some(reason) = refusal {
            sampling.clear(reason, abilities.sampling, gaps)?;
        }
        if abilities.one_of_sampling && sampling.temperature.is_some() && sampling.top_p.is_some() {
            gaps.meet("top_p", "This model takes a temperature or `top_p`, not both")?;
            sampling.top_p = None;
        }
        Ok(sampling)
    }

    /// Meets what is set. A model that thinks still takes the widest shares.
    fn clear(&mut self, reason: &str, wide_share: bool, gaps: &mut Gaps<'_>) -> Result<(), BadField> {
        if self.temperature.take().is_some() {
            gaps.meet("temperature", reason)?;
        }
        if self.top_p.is_some_and(|share| !wide_share || share < 0.95) {
            self.top_p = None;
            gaps.meet("top_p", reason)?;
        }
        if self.top_k.take().is_some() {
            gaps.meet("top_k", reason)?;
        }
        Ok(())
    }
}

/// The texts that end the answer. The API takes none that are only blanks.
fn stops(chat: &Chat, gaps: &mut Gaps<'_>) -> Result<Vec<String>, BadField> {
    let texts = match &chat.stop {
        None => return Ok(Vec::new()),
        Some(stop) => stop.texts(),
    };
    let mut stops = Vec::new();
    for text in texts {
        if text.trim().is_empty() {
            gaps.meet("stop", "Anthropic's API takes no stop text of blanks only")?;
        } else {
            stops.push(text.clone());
        }
    }
    Ok(stops)
}

/// Who asks.
fn user<'a>(chat: &'a Chat, fields: &Fields<'_>) -> Option<Cow<'a, str>> {
    let named = chat.safety_identifier.as_deref().or(chat.user.as_deref());
    named.map(Cow::Borrowed).or_else(|| {
        let metadata: Value = serde_json::from_str(sent(fields, "metadata")?.get()).ok()?;
        Some(Cow::Owned(metadata.get("user_id")?.as_str()?.to_owned()))
    })
}

fn tier(fields: &Fields<'_>, gaps: &mut Gaps<'_>) -> Result<Option<&'static str>, BadField> {
    match text(fields, "service_tier").as_deref() {
        Some("default" | "standard_only") => Ok(Some("standard_only")),
        Some("auto") => Ok(None),
        None if sent(fields, "service_tier").is_none() => Ok(None),
        _ => {
            gaps.meet("service_tier", "Anthropic's API has no counterpart to this tier")?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(model: &str, mut ask: Value, drop: bool) -> Result<(Value, Vec<String>), Option<String>> {
        ask["model"] = "route".into();
        if ask["messages"].is_null() {
            ask["messages"] = json!([{"role": "user", "content": "hi"}]);
        }
        let ask = Ask::parse(Endpoint::Chat, ask.to_string().into()).unwrap();
        let rewrite = Rewrite { model, drop_unsupported: drop, ..Rewrite::default() };
        let encoded = encode(&ask, &rewrite).map_err(|bad| bad.param)?;
        Ok((serde_json::from_slice(&encoded.body.whole()).unwrap(), encoded.dropped))
    }

    fn body(model: &str, ask: Value) -> Value {
        encoded(model, ask, false).unwrap().0
    }

    const MODEL: &str = "claude-sonnet-4-5";

    #[test]
    fn a_budget_lowers_limit_with_the_clients_own_thinking() {
        let encoded = |max_output: Option<u64>, thinking: Value| {
            let ask = json!({"model": "route", "messages": [{"role": "user", "content": "hi"}],
                "max_tokens": 9000, "thinking": thinking});
            let ask = Ask::parse(Endpoint::Chat, ask.to_string().into()).unwrap();
            let encoded = encode(&ask, &Rewrite { model: MODEL, max_output, ..Rewrite::default() }).unwrap();
            let body: Value = serde_json::from_slice(&encoded.body.whole()).unwrap();
            (body["max_tokens"].as_u64().unwrap(), body["thinking"].clone(), encoded.dropped)
        };
        let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
        assert_eq!(encoded(None, budget(8000)), (9000, budget(8000), vec![]));
        assert_eq!(encoded(Some(9001), budget(8000)), (9000, budget(8000), vec![]));
        assert_eq!(encoded(Some(4000), budget(8000)), (4000, budget(2000), vec![]));
        assert_eq!(encoded(Some(4000), budget(1024)), (4000, budget(1024), vec![]));
        assert_eq!(encoded(Some(300), budget(8000)), (300, Value::Null, vec!["thinking".to_owned()]));
        let off = json!({"type": "disabled"});
        assert_eq!(encoded(Some(300), off.clone()), (300, off, vec![]));
    }

    #[test]
    fn the_least_request_is_whole() {
        let ask = json!({"model": "route", "messages": [{"role": "user", "content": "hi"}], "stream": true});
        let ask = Ask::parse(Endpoint::Chat, ask.to_string().into()).unwrap();
        let encoded = encode(&ask, &Rewrite { model: MODEL, ..Rewrite::default() }).unwrap();
        assert_eq!(encoded.path, "/messages");
        assert_eq!(encoded.headers["anthropic-version"], "2023-06-01");
        assert_eq!(
            encoded.body.whole(),
            r#"{"model":"claude-sonnet-4-5","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true}"#
        );
    }

    #[test]
    fn defaults_and_the_prefix_apply() {
        let ask = json!({"model": "route", "messages": [{"role": "user", "content": "hi"}]});
        let ask = Ask::parse(Endpoint::Chat, ask.to_string().into()).unwrap();
        let defaults = [("max_tokens", "5"), ("seed", "1"), ("temperature", "1.5")]
            .map(|(name, json)| (name.to_owned(), json.to_owned()));
        let rewrite = Rewrite {
            model: MODEL,
            defaults: &defaults,
            system_prefix: Some("Be kind."),
            max_output_tokens: Some(99),
            max_output: None,
            drop_unsupported: false,
        };
        let encoded = encode(&ask, &rewrite).unwrap();
        let body: Value = serde_json::from_slice(&encoded.body.whole()).unwrap();
        assert_eq!((&body["max_tokens"], &body["system"][0]["text"]), (&json!(5), &json!("Be kind.")));
        // What the gateway wished itself is left out without a word.
        assert_eq!(encoded.dropped, [""; 0]);
        assert_eq!((body.get("seed"), body.get("temperature")), (None, None));
    }

    #[test]
    fn sampling_is_taken_as_far_as_the_model_does() {
        let sampled = |model: &str, ask: Value, drop: bool| {
            let (body, dropped) = encoded(model, ask, drop)?;
            Ok::<_, Option<String>>((body["temperature"].clone(), body["top_p"].clone(), dropped))
        };
        let old = "claude-sonnet-4-0";
        let none = Value::Null;
        let both = json!({"temperature": 0.5, "top_p": 0.9});
        assert_eq!(sampled(old, both.clone(), false), Ok((json!(0.5), json!(0.9), vec![])));
        assert_eq!(sampled(MODEL, both.clone(), false), Err(Some("top_p".into())));
        assert_eq!(sampled(MODEL, both.clone(), true), Ok((json!(0.5), none.clone(), vec!["top_p".into()])));
        assert_eq!(sampled("claude-opus-4-8", both, false), Err(Some("temperature".into())));
        let neutral = json!({"temperature": 1, "top_p": 1});
        assert_eq!(sampled("claude-opus-4-8", neutral, false), Ok((none.clone(), none.clone(), vec![])));
        let hot = json!({"temperature": 1.5});
        assert_eq!(sampled(MODEL, hot.clone(), false), Err(Some("temperature".into())));
        assert_eq!(sampled(MODEL, hot, true), Ok((none.clone(), none.clone(), vec!["temperature".into()])));
        let thinking = json!({"temperature": 0.5, "top_p": 0.97, "top_k": 3, "reasoning_effort": "low"});
        assert_eq!(sampled(MODEL, thinking.clone(), false), Err(Some("temperature".into())));
        assert_eq!(
            sampled(MODEL, thinking, true),
            Ok((none, json!(0.97), vec!["temperature".into(), "top_k".into()]))
        );
        assert_eq!(body(MODEL, json!({"top_k": 3}))["top_k"], 3);
    }

    #[test]
    fn small_fields_are_translated() {
        let ask = json!({
            "stop": ["a", "b"], "user": "u", "metadata": {"user_id": "m"}, "service_tier": "default",
            "cache_control": {"type": "ephemeral"}, "max_completion_tokens": 9,
        });
        let sent = body(MODEL, ask);
        assert_eq!(sent["stop_sequences"], json!(["a", "b"]));
        assert_eq!(sent["metadata"], json!({"user_id": "u"}));
        assert_eq!(sent["service_tier"], "standard_only");
        assert_eq!(sent["cache_control"], json!({"type": "ephemeral"}));
        assert_eq!(sent["max_tokens"], 9);
        assert_eq!(body(MODEL, json!({"metadata": {"user_id": "m"}}))["metadata"]["user_id"], "m");
        assert_eq!(body(MODEL, json!({"service_tier": "auto"})).get("service_tier"), None);
        for (ask, param) in
            [(json!({"stop": "\n"}), "stop"), (json!({"service_tier": "flex"}), "service_tier")]
        {
            assert_eq!(encoded(MODEL, ask.clone(), false), Err(Some(param.into())));
            assert_eq!(encoded(MODEL, ask, true).unwrap().1, [param]);
        }
    }

    #[test]
    fn thinking_passes_as_anthropics_own_field() {
        let thinking = json!({"type": "enabled", "budget_tokens": 2000});
        let sent = body(MODEL, json!({"thinking": thinking, "temperature": 1, "max_tokens": 3000}));
        assert_eq!(sent["thinking"], thinking);
        let both = json!({"thinking": thinking, "reasoning_effort": "low"});
        assert_eq!(encoded(MODEL, both, false), Err(Some("reasoning_effort".into())));
        let sent = body("claude-opus-4-6", json!({"reasoning_effort": "high"}));
        assert_eq!(sent["thinking"], json!({"type": "adaptive"}));
        assert_eq!(sent["output_config"], json!({"effort": "high"}));
    }

    #[test]
    fn other_endpoints_are_refused() {
        for (endpoint, field) in [(Endpoint::Embeddings, "input"), (Endpoint::Completions, "prompt")] {
            let ask = Ask::parse(endpoint, json!({"model": "a", field: "x"}).to_string().into()).unwrap();
            assert_eq!(encode(&ask, &Rewrite::default()).unwrap_err().param.as_deref(), Some("model"));
        }
    }
}
