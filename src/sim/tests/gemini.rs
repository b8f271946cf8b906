//! Gemini's protocol, seen through the service.

use super::*;

fn body(extra: Value) -> Value {
    let mut body =
        json!({ "contents": [{ "role": "user", "parts": [{ "text": "Explain ownership in Rust" }] }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn send(sim: &Sim, model: &str, verb: &str, body: Value) -> Response<SimBody> {
    let model = model.replace('?', "%3F");
    let mut request = post(&format!("/v1beta/models/{model}:{verb}"), &body);
    request.headers_mut().insert("x-goog-api-key", "AIza1".parse().unwrap());
    sim.clone().oneshot(request).await.unwrap()
}

async fn ask(sim: &Sim, model: &str, extra: Value) -> (u16, Value) {
    json_of(send(sim, model, "generateContent", body(extra)).await).await
}

async fn streamed(sim: &Sim, model: &str, extra: Value) -> (String, bool) {
    stream_text(send(sim, model, "streamGenerateContent?alt=sse", body(extra)).await).await
}

fn chunks(text: &str) -> Vec<Value> {
    let data = text.split("\r\n\r\n").filter(|event| !event.is_empty());
    data.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

/// The text, the thought and the calls in some answers.
fn said(answers: &[Value]) -> (String, String, Vec<Value>) {
    let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
    let parts = answers.iter().filter_map(|answer| answer.pointer("/candidates/0/content/parts")?.as_array());
    for part in parts.flatten() {
        match (part["text"].as_str(), part["thought"] == true) {
            (Some(bit), true) => thought.push_str(bit),
            (Some(bit), false) => text.push_str(bit),
            (None, _) => calls.push(part.clone()),
        }
    }
    (text, thought, calls)
}

fn tools() -> Value {
    let city =
        json!({ "type": "OBJECT", "properties": { "city": { "type": "STRING" } }, "required": ["city"] });
    json!([{ "functionDeclarations": [{ "name": "get_weather", "parameters": city },
        { "name": "get_time", "parametersJsonSchema": { "type": "object" } }] }])
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_what_the_whole_answer_says() {
    let sim = sim();
    let asks = json!([{ "role": "user", "parts": [{ "text": "The weather and the time in Paris?" }] }]);
    let config = |config: Value| json!({ "generationConfig": config });
    for (model, extra, finish) in [
        ("m", json!({}), "STOP"),
        ("gemini-3-pro-preview", json!({}), "STOP"),
        ("m", config(json!({ "maxOutputTokens": 4 })), "MAX_TOKENS"),
        ("m", config(json!({ "thinkingConfig": { "includeThoughts": true } })), "STOP"),
        (
            "m",
            config(json!({ "thinkingConfig": { "thinkingBudget": 500 }, "maxOutputTokens": 3 })),
            "MAX_TOKENS",
        ),
        ("m", json!({ "contents": asks, "tools": tools() }), "STOP"),
        ("m?refusal", json!({}), "SAFETY"),
        ("m?broken-json", json!({ "contents": asks, "tools": tools() }), "MALFORMED_FUNCTION_CALL"),
    ] {
        let (status, whole) = ask(&sim, model, extra.clone()).await;
        assert_eq!(
            (status, &whole["candidates"][0]["finishReason"]),
            (200, &json!(finish)),
            "{extra}\n{whole}"
        );
        let (text, clean) = streamed(&sim, model, extra.clone()).await;
        let chunks = chunks(&text);
        assert!(clean && text.ends_with("}\r\n\r\n") && !text.contains("event:"));
        assert_eq!(said(&chunks), said(std::slice::from_ref(&whole)), "{extra}");
        let (last, rest) = chunks.split_last().unwrap();
        assert_eq!(
            (&last["usageMetadata"], &last["candidates"][0]["finishReason"]),
            (&whole["usageMetadata"], &json!(finish))
        );
        assert!(rest.iter().all(|chunk| chunk["candidates"][0].get("finishReason").is_none()));
        assert!(chunks.iter().all(|chunk| chunk["usageMetadata"]["promptTokenCount"].is_u64()));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_have_no_id_and_their_first_is_signed() {
    let sim = sim();
    let asked = json!({ "role": "user", "parts": [{ "text": "The weather and the time in Paris?" }] });
    let extra = json!({ "contents": [asked], "tools": tools() });
    let (_, answer) = ask(&sim, "gemini-3-pro-preview", extra).await;
    let (_, _, calls) = said(std::slice::from_ref(&answer));
    assert_eq!(calls.len(), 2);
    assert!(
        calls[0]["functionCall"]["args"]["city"].is_string()
            && calls[1]["functionCall"].get("args").is_none()
    );
    assert!(calls[0]["thoughtSignature"].is_string() && calls[1].get("thoughtSignature").is_none());
    assert!(calls.iter().all(|call| call["functionCall"].get("id").is_none()));
    let result =
        |name: &str| json!({ "functionResponse": { "name": name, "response": { "result": "18 degrees" } } });
    let results = json!({ "role": "user", "parts": [result("get_weather"), result("get_time")] });
    let turns = json!([asked, answer["candidates"][0]["content"], results]);
    let (status, answer) =
        ask(&sim, "gemini-3-pro-preview", json!({ "contents": turns, "tools": tools() })).await;
    assert_eq!(status, 200, "{answer}");
    assert!(said(std::slice::from_ref(&answer)).0.contains("18 degrees"));
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_counted_beside_the_candidates() {
    let sim = sim();
    let thinking = json!({ "generationConfig": { "thinkingConfig": { "includeThoughts": true } } });
    let (text, _) = streamed(&sim, "m", thinking).await;
    let chunks = chunks(&text);
    assert!(chunks[0]["usageMetadata"].get("candidatesTokenCount").is_none());
    let usage = &chunks.last().unwrap()["usageMetadata"];
    let of = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(of("candidatesTokenCount"), tokens::count(&said(&chunks).0));
    assert!(of("thoughtsTokenCount") > 0);
    let total = of("promptTokenCount") + of("candidatesTokenCount") + of("thoughtsTokenCount");
    assert_eq!(of("totalTokenCount"), total);
    let entry = sim.log().pop().unwrap();
    assert_eq!(entry.completion_tokens, of("candidatesTokenCount") + of("thoughtsTokenCount"));
}

#[tokio::test(start_paused = true)]
async fn errors_are_googles_own() {
    let sim = sim();
    for (fault, status, word) in [
        ("status=503", 503, "UNAVAILABLE"),
        ("status=429,retry-after=7,retry-after-ms=34400", 429, "RESOURCE_EXHAUSTED"),
        ("insufficient-quota", 429, "RESOURCE_EXHAUSTED"),
        ("bad-key", 400, "INVALID_ARGUMENT"),
        ("context-length", 400, "INVALID_ARGUMENT"),
        ("unknown-model", 404, "NOT_FOUND"),
        ("error-after=1", 503, "UNAVAILABLE"),
        ("bogus", 400, "INVALID_ARGUMENT"),
    ] {
        let response = send(&sim, &format!("m?{fault}"), "generateContent", body(json!({}))).await;
        assert!(!response.headers().contains_key("retry-after"));
        let (got, body) = json_of(response).await;
        assert_eq!((got, &body["error"]["status"]), (status, &json!(word)), "{fault}");
        assert_eq!(body.to_string().contains(r#""retryDelay":"34.4s""#), fault.contains("retry"), "{body}");
        assert_eq!(body.to_string().contains("API_KEY_INVALID"), fault == "bad-key");
    }
    let path = "/v1beta/models/m:generateContent";
    let (status, _) = json_of(super::ask(&sim, path, body(json!({}))).await).await;
    assert_eq!(status, 403);
    let (status, _) = json_of(super::ask(&sim, &format!("{path}?key=AIza2"), body(json!({}))).await).await;
    assert_eq!((status, sim.log().pop().unwrap().key), (200, Some(key_mark("AIza2"))));
}

#[tokio::test(start_paused = true)]
async fn streams_break_as_the_fault_says() {
    let sim = sim();
    let (text, clean) = streamed(&sim, "m?end-after=2", json!({})).await;
    assert!(clean && chunks(&text).len() == 2 && !text.contains("finishReason"));
    let (text, clean) = streamed(&sim, "m?reset-after=1", json!({})).await;
    assert!(!clean && chunks(&text).len() == 1);
    let (text, clean) = streamed(&sim, "m?error-after=1", json!({})).await;
    assert!(clean && chunks(&text)[1]["error"]["code"] == 503);
    let (text, _) = streamed(&sim, "m?blocked", json!({})).await;
    assert_eq!(chunks(&text)[0]["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT");
    assert!(!text.contains("candidates\""));
    let (text, _) = streamed(&sim, "m?no-usage", json!({})).await;
    assert!(!text.contains("usageMetadata"));
    let (_, refusal) = ask(&sim, "m?refusal", json!({})).await;
    assert_eq!(refusal["candidates"][0]["content"], json!({}));
    let list = json_of(send(&sim, "m", "streamGenerateContent", body(json!({}))).await).await.1;
    assert!(list.as_array().unwrap().len() > 1);
}

#[tokio::test(start_paused = true)]
async fn schemas_embeddings_counts_and_models_are_answered() {
    let sim = sim();
    let schema = json!({ "type": "OBJECT", "properties": { "city": { "type": "STRING", "nullable": true },
        "days": { "type": "ARRAY", "items": { "type": "INTEGER" }, "minItems": "2" } }, "required": ["city", "days"] });
    let config = json!({ "responseMimeType": "application/json", "responseSchema": schema });
    let (status, answer) = ask(&sim, "m", json!({ "generationConfig": config })).await;
    assert_eq!(status, 200, "{answer}");
    let object: Value = serde_json::from_str(&said(&[answer]).0).unwrap();
    assert!(object["days"].as_array().unwrap().len() >= 2);
    let content = json!({ "parts": [{ "text": "hello" }] });
    let request = json!({ "model": "models/e", "content": content, "outputDimensionality": 8 });
    let one = json_of(send(&sim, "e", "embedContent", request.clone()).await).await.1;
    let batch =
        json_of(send(&sim, "e", "batchEmbedContents", json!({ "requests": [request] })).await).await.1;
    assert_eq!(
        (&batch["embeddings"][0], one["embedding"]["values"].as_array().unwrap().len()),
        (&one["embedding"], 8)
    );
    let (status, count) = json_of(send(&sim, "m", "countTokens", body(json!({}))).await).await;
    assert!(status == 200 && count["totalTokens"].as_u64().unwrap() > 2);
    let request = Request::get("/v1beta/models?key=k").body(Full::<Bytes>::default()).unwrap();
    let (status, list) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
    assert_eq!((status, &list["models"][0]["name"]), (200, &json!("models/sim-large")));
}
