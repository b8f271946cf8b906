//! The path of a request below the provider's base URL.

use std::fmt::Write as _;

/// `/models/{model}:{method}`. A name like `tunedModels/x` is a path of its own.
pub fn path(model: &str, method: &str) -> String {
    format!("/{}:{method}", resource(model))
}

/// The model's name as Gemini's bodies and paths write it, like `models/gemini-2.5-flash`.
pub fn resource(model: &str) -> String {
    match model.split_once('/') {
        Some((kind @ ("models" | "tunedModels"), name)) => format!("{kind}/{}", escaped(name)),
        _ => format!("models/{}", escaped(model)),
    }
}

/// A path segment that no character can leave.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@') {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_stays_one_segment() {
        assert_eq!(path("gemini-2.5-flash", "generateContent"), "/models/gemini-2.5-flash:generateContent");
        assert_eq!(path("models/x", "m"), "/models/x:m");
        assert_eq!(path("tunedModels/x", "m"), "/tunedModels/x:m");
        assert_eq!(path("../a?b#c d", "m"), "/models/..%2Fa%3Fb%23c%20d:m");
        assert_eq!(path("models/../x", "m"), "/models/..%2Fx:m");
    }
}
