//! The bodies of `GET /v1/models` (`/{id}` too).

use serde::Serialize;

/// One model, route or alias that a client may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelObject {
    /// The name.
    pub id: String,
    object: &'static str,
    /// When it came to be, in seconds since 1970.
    pub created: u64,
    /// Who serves it.
    pub owned_by: String,
}

impl ModelObject {
    /// A model.
    pub fn new(id: impl Into<String>, created: u64, owned_by: impl Into<String>) -> Self {
        Self { id: id.into(), object: "model", created, owned_by: owned_by.into() }
    }
}

/// A list of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelList {
    object: &'static str,
    /// The models.
    pub data: Vec<ModelObject>,
}

impl ModelList {
    /// A list of these models, in this order.
    pub fn new(data: Vec<ModelObject>) -> Self {
        Self { object: "list", data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_that_clients_read() {
        let list = ModelList::new(vec![ModelObject::new("auto", 7, "weir")]);
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"{"object":"list","data":[{"id":"auto","object":"model","created":7,"owned_by":"weir"}]}"#
        );
    }
}
