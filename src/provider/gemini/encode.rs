//! A chat request as `generateContent` takes it.

use http::HeaderMap;

use super::{
    fields::{self, Fields},
    losses::{Losses, wrong},
    path,
    request::{Content, GenerationConfig, Request},
    schema, thinking, tools, turns,
};
use crate::{
    openai::{
        Ask, BadField, Rewrite,
        chat::{Chat, ResponseFormat},
    },
    provider::Encoded,
};

/// The most stop sequences that Gemini takes.
const MAX_STOPS: usize = 5;

/// Translates a chat request. `ids`: whether calls may bear theirs.
///
/// # Errors
/// The field that Gemini cannot take.
pub fn encode(ask: &Ask, rewrite: &Rewrite<'_>, ids: bool) -> Result<Encoded, BadField> {
    let body = ask.rewrite(rewrite);
    let fields = fields::read(&body)?;
    let mut losses = Losses::of(ask, rewrite);
    fields::check(&fields, &mut losses)?;
    let mut chat = Chat::parse(&body)?;
    let messages = std::mem::take(&mut chat.messages);
    let mut said = turns::read(messages, thinking::family(rewrite.model), &mut losses)?;
    if !ids {
        said.forget_ids();
    }
    let tools = tools::declare(chat.tools.take().unwrap_or_default(), &mut losses)?;
    let choice = chat.tool_choice.take().filter(|_| !tools.is_empty());
    let request = Request {
        contents: said.contents,
        system_instruction: (!said.system.is_empty()).then_some(Content { role: None, parts: said.system }),
        tools,
        tool_config: choice.map(tools::choose).transpose()?,
        generation_config: generation_config(chat, &fields, rewrite.model, &mut losses)?,
        safety_settings: fields::first(&fields, &["safety_settings", "safetySettings"]),
        cached_content: fields::first(&fields, &["cached_content", "cachedContent"]),
    };
    let path = match ask.stream() {
        true => path::path(rewrite.model, "streamGenerateContent?alt=sse"),
        false => path::path(rewrite.model, "generateContent"),
    };
    Ok(Encoded {
        path: path.into(),
        body: serde_json::to_vec(&request).expect("structs of texts and numbers always serialize").into(),
        headers: HeaderMap::new(),
        dropped: losses.into_dropped(),
        answer_tool: None,
        base64: false,
    })
}

fn generation_config(
    chat: Chat,
    fields: &Fields<'_>,
    model: &str,
    losses: &mut Losses,
) -> Result<GenerationConfig, BadField> {
    let max_output_tokens = chat.output_limit();
    let stop_sequences = chat.stop.map(|stop| stop.into_texts()).unwrap_or_default();
    if stop_sequences.len() > MAX_STOPS {
        return Err(wrong("stop", format!("Gemini takes at most {MAX_STOPS} texts in `stop`.")));
    }
    let thinking_config = match chat.reasoning_effort.as_deref() {
        Some(effort) => thinking::config(effort, model, losses)?,
        None => None,
    };
    let wants_logprobs = chat.logprobs == Some(true);
    let mut config = GenerationConfig {
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: fields::first(fields, &["top_k"]).map(ToOwned::to_owned),
        candidate_count: chat.n.filter(|n| *n > 1),
        seed: chat.seed.map(seed),
        max_output_tokens,
        stop_sequences,
        presence_penalty: chat.presence_penalty,
        frequency_penalty: chat.frequency_penalty,
        response_logprobs: wants_logprobs.then_some(true),
        logprobs: chat.top_logprobs.filter(|_| wants_logprobs),
        response_modalities: modalities(fields, losses)?,
        thinking_config,
        ..GenerationConfig::default()
    };
    if let Some(format) = chat.response_format {
        answer_format(format, &mut config)?;
    }
    Ok(config)
}

/// Gemini's seeds have 32 bits. The same larger seed always becomes the same smaller one.
fn seed(seed: i64) -> i32 {
    i32::try_from(seed).unwrap_or((seed & i64::from(i32::MAX)) as i32)
}

fn answer_format(format: ResponseFormat, config: &mut GenerationConfig) -> Result<(), BadField> {
    match format.kind.as_str() {
        "text" => {}
        "json_object" => config.response_mime_type = Some("application/json"),
        "json_schema" => {
            let Some(asked) = format.json_schema else {
                let param = "response_format.json_schema";
                return Err(wrong(param, format!("`{param}` is missing.")));
            };
            config.response_mime_type = Some("application/json");
            config.response_json_schema = asked.schema.map(|raw| schema::translate(&raw));
        }
        _ => {
            let param = "response_format.type";
            return Err(wrong(param, format!("`{param}` has to be text, json_object or json_schema.")));
        }
    }
    Ok(())
}

/// What the answer consists of; a text alone needs no mention.
fn modalities(fields: &Fields<'_>, losses: &mut Losses) -> Result<Vec<&'static str>, BadField> {
    let Some(raw) = fields::first(fields, &["modalities"]) else {
        return Ok(vec![]);
    };
    let names: Vec<String> = serde_json::from_str(raw.get())
        .map_err(|_| wrong("modalities", "`modalities` has to be a list of texts."))?;
    let mut modalities = Vec::new();
    for name in names {
        match name.as_str() {
            "text" => modalities.push("TEXT"),
            "image" => modalities.push("IMAGE"),
            _ => losses.lose(
                "modalities".into(),
                "Gemini answers with the `modalities` text and image here.".into(),
            )?,
        }
    }
    Ok(if modalities == ["TEXT"] { vec![] } else { modalities })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::Endpoint;

    fn encoded(extra: Value, drop: bool) -> Result<Encoded, BadField> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let ask = Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap();
        let rewrite = Rewrite { model: "gemini-2.5-flash", drop_unsupported: drop, ..Rewrite::default() };
        encode(&ask, &rewrite, true)
    }

    fn config(extra: Value) -> Value {
        let body: Value = serde_json::from_slice(&encoded(extra, false).unwrap().body.whole()).unwrap();
        body["generationConfig"].clone()
    }

    fn refused(extra: Value) -> String {
        encoded(extra, false).unwrap_err().param.unwrap()
    }

    #[test]
    fn the_path_tells_streams() {
        let path = |stream: bool| encoded(json!({"stream": stream}), false).unwrap().path;
        assert_eq!(path(false), "/models/gemini-2.5-flash:generateContent");
        assert_eq!(path(true), "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    }

    #[test]
    fn sampling_is_translated() {
        assert_eq!(config(json!({})), json!({}));
        assert_eq!(
            config(json!({"temperature": 0.5, "top_p": 0.9, "top_k": 40, "n": 2, "seed": 7, "max_tokens": 5,
                "stop": "x", "presence_penalty": 1.0, "frequency_penalty": -1.0, "logprobs": true, "top_logprobs": 3})),
            json!({"temperature": 0.5, "topP": 0.9, "topK": 40, "candidateCount": 2, "seed": 7,
                "maxOutputTokens": 5, "stopSequences": ["x"], "presencePenalty": 1.0, "frequencyPenalty": -1.0,
                "responseLogprobs": true, "logprobs": 3})
        );
        assert_eq!(config(json!({"n": 1, "logprobs": false, "stop": null, "temperature": null})), json!({}));
        assert_eq!(config(json!({"max_completion_tokens": 9, "max_tokens": 5}))["maxOutputTokens"], 9);
        assert_eq!(config(json!({"seed": 5_000_000_000_i64}))["seed"], 705_032_704);
        assert_eq!(refused(json!({"stop": ["1", "2", "3", "4", "5", "6"]})), "stop");
    }

    #[test]
    fn ids_of_calls_are_left_out_where_they_are_not_taken() {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "r"}]});
        let ask = Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap();
        let rewrite = Rewrite { model: "gemini-2.5-flash", ..Rewrite::default() };
        let of = |ids| {
            let body: Value =
                serde_json::from_slice(&encode(&ask, &rewrite, ids).unwrap().body.whole()).unwrap();
            let id = |at: &str| body.pointer(at).cloned();
            [id("/contents/1/parts/0/functionCall/id"), id("/contents/2/parts/0/functionResponse/id")]
        };
        assert_eq!(of(true), [Some(json!("c1")), Some(json!("c1"))]);
        assert_eq!(of(false), [None, None]);
    }

    #[test]
    fn a_budget_lowers_the_limit() {
        let limit = |max_output, extra: Value| {
            let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let ask = Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap();
            let rewrite = Rewrite { model: "gemini-2.5-flash", max_output, ..Rewrite::default() };
            let body: Value =
                serde_json::from_slice(&encode(&ask, &rewrite, true).unwrap().body.whole()).unwrap();
            body["generationConfig"]["maxOutputTokens"].clone()
        };
        assert_eq!(limit(Some(300), json!({})), 300);
        assert_eq!(limit(Some(300), json!({"max_tokens": 900})), 300);
        assert_eq!(limit(Some(300), json!({"max_tokens": 200})), 200);
        assert_eq!(limit(None, json!({})), Value::Null);
    }

    #[test]
    fn forms_of_the_answer_are_translated() {
        assert_eq!(config(json!({"response_format": {"type": "text"}})), json!({}));
        let json_mode = json!({"responseMimeType": "application/json"});
        assert_eq!(config(json!({"response_format": {"type": "json_object"}})), json_mode);
        let schema =
            json!({"name": "s", "strict": true, "schema": {"type": "object", "additionalProperties": false}});
        assert_eq!(
            config(json!({"response_format": {"type": "json_schema", "json_schema": schema}})),
            json!({"responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "additionalProperties": false}})
        );
        assert_eq!(
            refused(json!({"response_format": {"type": "json_schema"}})),
            "response_format.json_schema"
        );
        assert_eq!(refused(json!({"response_format": {"type": "grammar"}})), "response_format.type");
    }

    #[test]
    fn thought_and_modalities_are_translated() {
        assert_eq!(
            config(json!({"reasoning_effort": "low", "modalities": ["text", "image"]})),
            json!({"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": true},
                "responseModalities": ["TEXT", "IMAGE"]})
        );
        assert_eq!(config(json!({"modalities": ["text"]})), json!({}));
        assert_eq!(refused(json!({"modalities": ["audio"]})), "modalities");
    }

    #[test]
    fn gemini_s_own_settings_pass() {
        let settings = json!([{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]);
        for name in ["safety_settings", "safetySettings"] {
            let body =
                encoded(json!({name: settings, "cached_content": "cachedContents/x"}), false).unwrap().body;
            let body: Value = serde_json::from_slice(&body.whole()).unwrap();
            assert_eq!(
                (&body["safetySettings"], &body["cachedContent"]),
                (&settings, &json!("cachedContents/x"))
            );
        }
    }

    #[test]
    fn what_gemini_cannot_take_is_refused_or_dropped() {
        let asked = json!({"logit_bias": {"1": 5}, "brand_new": 1, "user": "u"});
        assert_eq!(refused(asked.clone()), "brand_new");
        assert_eq!(encoded(asked, true).unwrap().dropped, ["brand_new", "logit_bias"]);
    }

    #[test]
    fn a_choice_without_tools_is_none() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let body =
            |extra| serde_json::from_slice::<Value>(&encoded(extra, false).unwrap().body.whole()).unwrap();
        assert!(body(json!({"tool_choice": "auto"})).get("toolConfig").is_none());
        assert_eq!(
            body(json!({"tool_choice": "required", "tools": tools}))["toolConfig"],
            json!({"functionCallingConfig": {"mode": "ANY"}})
        );
    }
}
