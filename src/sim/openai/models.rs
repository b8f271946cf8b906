//! `GET /models` (`/{id}` too).

use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::sim::reply::Reply;

/// When the simulated models were made: the first second of 2025.
const CREATED: u64 = 1_735_689_600;

/// All models.
pub(crate) fn list(models: &[String]) -> Reply {
    let data: Vec<Value> = models.iter().map(|id| one(id)).collect();
    Reply::whole(json!({ "object": "list", "data": data }).to_string(), 0, 0)
}

/// One of them.
///
/// # Errors
/// As OpenAI does where there is no such model.
pub(crate) fn get(models: &[String], id: &str) -> Result<Reply, Refusal> {
    match models.iter().find(|model| *model == id) {
        Some(model) => Ok(Reply::whole(one(model).to_string(), 0, 0)),
        None => Err(Refusal { param: Some("model".to_owned()), ..Refusal::no_model(id) }),
    }
}

fn one(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "sim" })
}
