//! Azure's paths, seen through the service.

use super::*;

async fn send(sim: &Sim, path: &str, extra: Value) -> Response<SimBody> {
    let mut body = json!({ "messages": [{ "role": "user", "content": "Explain ownership in Rust" }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut request = post(&format!("/openai/deployments/{path}"), &body);
    request.headers_mut().insert("api-key", "azure-1".parse().unwrap());
    sim.clone().oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_answers_with_what_the_filter_says() {
    let sim = sim();
    let path = "gpt/chat/completions?api-version=2024-10-21";
    let (status, whole) = json_of(send(&sim, path, json!({})).await).await;
    assert_eq!((status, &whole["model"]), (200, &json!("gpt")));
    assert!(
        whole["prompt_filter_results"].is_array()
            && whole["choices"][0]["content_filter_results"].is_object()
    );
    let (text, _) = stream_text(send(&sim, path, json!({ "stream": true })).await).await;
    let events = events(&text);
    assert!(events[0]["choices"] == json!([]) && events[0]["prompt_filter_results"].is_array());
    assert_eq!(events[1]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(sim.log()[0].key, Some(key_mark("azure-1")));
}

#[tokio::test(start_paused = true)]
async fn errors_are_azures_own() {
    let sim = sim();
    for (path, status, code) in [
        ("gpt/chat/completions", 404, "404"),
        ("gpt%3Funknown-model/chat/completions?api-version=1", 404, "DeploymentNotFound"),
        ("gpt%3Fbad-key/chat/completions?api-version=1", 401, "401"),
        ("gpt%3Fstatus=429,retry-after=1,retry-after-ms=0/chat/completions?api-version=1", 429, "429"),
        ("gpt%3Fcontext-length/chat/completions?api-version=1", 400, "context_length_exceeded"),
        ("gpt%3Fblocked/chat/completions?api-version=1", 400, "content_filter"),
    ] {
        let response = send(&sim, path, json!({})).await;
        assert_eq!(response.headers().contains_key("retry-after-ms"), path.contains("retry"));
        let (got, body) = json_of(response).await;
        assert_eq!((got, &body["error"]["code"]), (status, &json!(code)), "{path}");
    }
    let (status, _) =
        json_of(ask(&sim, "/openai/deployments/gpt/chat/completions?api-version=1", json!({})).await).await;
    assert_eq!(status, 401);
}
