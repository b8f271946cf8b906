//! Providers that take a little less than OpenAI, or say it otherwise.

use serde_json::{Value, json};

use crate::support::{raw::RawUpstream, script::Script, weir::Weir};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

async fn upstream() -> RawUpstream {
    RawUpstream::start(vec![Script::json(200, ANSWER)]).await
}

fn ask(fields: Value) -> Value {
    let mut body = json!({ "model": "r", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn sent(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_preset_knows_the_words_of_its_provider() {
    let up = upstream().await;
    let toml = |more: &str| {
        format!(
            "[providers.p]\npreset = \"mistral\"\nbase_url = \"{}\"\n{more}\n[models.m]\nprovider = \"p\"\n\
             [routes.r]\ntargets = [\"m\"]\n",
            up.base_url()
        )
    };
    let body = ask(json!({ "max_completion_tokens": 7, "seed": 5, "logprobs": true }));
    let strict = Weir::start(&toml("")).await;
    let refused = strict.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "unsupported_parameter"));
    assert_eq!(refused.json()["error"]["param"], "logprobs");
    assert_eq!(up.requests().len(), 0);

    let lenient = Weir::start(&toml("drop_unsupported = true")).await;
    let answer = lenient.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-dropped")), (200, "logprobs"));
    let got = sent(&up.request(0).await.body);
    assert_eq!((&got["max_tokens"], &got["random_seed"]), (&json!(7), &json!(5)));
    for gone in ["max_completion_tokens", "seed", "logprobs"] {
        assert!(got.get(gone).is_none(), "{got}");
    }
}

#[tokio::test]
async fn azure_has_its_own_address_with_its_own_key_header() {
    let up = upstream().await;
    let weir = Weir::start(&format!(
        "[providers.az]\npreset = \"azure\"\nbase_url = \"http://{}\"\napi_keys = [\"canary\"]\n\
         [models.gpt-4o]\nprovider = \"az\"\nupstream_model = \"my deployment\"\n[routes.r]\ntargets = [\"gpt-4o\"]\n",
        up.address()
    ))
    .await;
    let answer = weir.client().post_json("/v1/chat/completions", &ask(json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ANSWER.to_owned()));
    let request = up.request(0).await;
    let line = "POST /openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21 HTTP/1.1";
    assert!(request.head.starts_with(line), "{}", request.head);
    let head = request.head.to_lowercase();
    assert!(head.contains("api-key: canary") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_target_that_lacks_what_is_needed_is_passed_over() {
    let (blind, seeing) = (upstream().await, upstream().await);
    let weir = Weir::start(&format!(
        "[providers.blind]\nbase_url = \"{}\"\n[providers.seeing]\nbase_url = \"{}\"\n\
         [models.a]\nprovider = \"blind\"\ncapabilities = {{ vision = false, tools = false }}\n\
         [models.b]\nprovider = \"seeing\"\ncapabilities = {{ tools = false }}\ncontext_window = 1000\n\
         [routes.r]\ntargets = [\"a\", \"b\"]\n",
        blind.base_url(),
        seeing.base_url()
    ))
    .await;
    let picture = json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let body = ask(json!({ "messages": [{ "role": "user", "content": picture }] }));
    let answer = weir.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "b"));
    assert_eq!((answer.header("x-weir-skipped"), answer.header("x-weir-attempts")), ("a=vision", "1"));
    assert_eq!((blind.requests().len(), seeing.requests().len()), (0, 1));

    let tools = json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] });
    let refused = weir.client().post_json("/v1/chat/completions", &ask(tools)).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "unsupported_parameter"));
    let error = &refused.json()["error"];
    assert_eq!(error["param"], "tools");
    assert!(error["message"].as_str().unwrap().contains("b lacks tools"), "{error}");
    let lacks: Vec<&Value> =
        error["attempts"].as_array().unwrap().iter().map(|note| &note["lacks"]).collect();
    assert_eq!(lacks, ["tools", "tools"]);
    assert_eq!(error["attempts"][0]["outcome"], "skipped");

    // What is sure to be too long for one model goes to another.
    let long = json!({ "messages": [{ "role": "user", "content": "x".repeat(20_000) }] });
    let answer = weir.client().post_json("/v1/chat/completions", &ask(long)).await;
    assert_eq!((answer.header("x-weir-model"), answer.header("x-weir-skipped")), ("a", "b=context_window"));
    assert_eq!((blind.requests().len(), seeing.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_field_that_a_provider_does_not_take_leads_to_the_next_target() {
    let claude = json!({ "id": "msg", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "yes" }], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let first = RawUpstream::start(vec![Script::json(200, &claude.to_string())]).await;
    let second = upstream().await;
    let toml = |more: &str| {
        format!(
            "[providers.claude]\nprotocol = \"anthropic\"\nbase_url = \"{}\"\n{more}\n[providers.other]\nbase_url = \"{}\"\n\
             [models.a]\nprovider = \"claude\"\nmax_output_tokens = 100\n[models.b]\nprovider = \"other\"\n\
             [routes.r]\ntargets = [\"a\", \"b\"]\n",
            first.base_url(),
            second.base_url()
        )
    };
    let mut body = ask(json!({ "seed": 5 }));
    let strict = Weir::start(&toml("")).await;
    let answer = strict.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "b"), "{}", answer.text());
    assert_eq!((answer.header("x-weir-skipped"), answer.header("x-weir-attempts")), ("a=seed", "1"));
    assert_eq!((first.requests().len(), second.requests().len()), (0, 1));
    let metrics = strict.client().get("/metrics").await.text();
    let line = "weir_upstream_attempts_total{model=\"a\",outcome=\"unsupported\",provider=\"claude\"} 1";
    assert!(metrics.contains(line), "{metrics}");

    body["model"] = "a".into();
    let refused = strict.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "unsupported_parameter"));
    let error = &refused.json()["error"];
    assert_eq!((&error["param"], &error["attempts"][0]["lacks"]), (&json!("seed"), &json!("seed")));
    assert_eq!(refused.header("x-weir-attempts"), "0");

    body["model"] = "r".into();
    let lenient = Weir::start(&toml("drop_unsupported = true")).await;
    let answer = lenient.client().post_json("/v1/chat/completions", &body).await;
    assert_eq!((answer.header("x-weir-model"), answer.header("x-weir-dropped")), ("a", "seed"));
    assert!(sent(&first.request(0).await.body).get("seed").is_none());
}
