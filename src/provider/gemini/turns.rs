//! Messages as turns of user or model.

use std::collections::HashMap;

use serde_json::{Map, Value, value::RawValue};

use super::{
    losses::{Losses, is_neutral, wrong},
    media,
    request::{Content, FileData, FunctionCall, FunctionResponse, Part},
    signature,
    thinking::Family,
};
use crate::openai::{
    BadField,
    chat::{Content as Said, Message, Part as Piece, ToolCall},
};

/// A conversation in Gemini's form.
#[derive(Debug, Default)]
pub struct Conversation {
    /// What the model is told beforehand.
    pub system: Vec<Part>,
    /// The turns.
    pub contents: Vec<Content>,
}

/// Fields of an assistant's message that answers bear and clients echo. They change nothing when they come back.
const ECHOED: &[&str] = &["annotations", "reasoning", "reasoning_details", "provider_specific_fields"];

/// Translates a conversation.
///
/// # Errors
/// The field that Gemini cannot take.
pub fn read(messages: Vec<Message>, family: Family, losses: &mut Losses) -> Result<Conversation, BadField> {
    let mut turns =
        Turns { family, losses, said: Conversation::default(), last: None, calls: HashMap::new() };
    for (i, message) in messages.into_iter().enumerate() {
        turns.message(i, message)?;
    }
    let mut said = turns.said;
    if said.contents.is_empty() && !said.system.is_empty() {
        // Gemini wants a turn; OpenAI answers to a system message alone.
        said.contents.push(Content { role: Some("user"), parts: std::mem::take(&mut said.system) });
    }
    Ok(said)
}

impl Conversation {
    /// Leaves the ids of calls out: responses then belong to the calls by their order.
    pub fn forget_ids(&mut self) {
        for part in self.contents.iter_mut().flat_map(|content| &mut content.parts) {
            part.function_call.iter_mut().for_each(|call| call.id.clear());
            part.function_response.iter_mut().for_each(|response| response.id.clear());
        }
    }
}

/// Who had the last turn. Results are a user's turn of their own: Gemini wants them right after the calls, alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    User,
    Model,
    Results,
}

struct Turns<'a, 'w> {
    family: Family,
    losses: &'a mut Losses<'w>,
    said: Conversation,
    last: Option<Turn>,
    /// The functions by the ids of their calls.
    calls: HashMap<String, String>,
}

impl Turns<'_, '_> {
    fn message(&mut self, i: usize, message: Message) -> Result<(), BadField> {
        let at = format!("messages[{i}]");
        match message.role.as_str() {
            "system" | "developer" => {
                self.only(&at, &message, &[])?;
                let parts = self.system(&at, message.content)?;
                self.said.system.extend(parts);
                Ok(())
            }
            "user" => {
                self.only(&at, &message, &[])?;
                let parts = self.parts(&at, message.content)?;
                self.turn(Turn::User, parts);
                Ok(())
            }
            "assistant" => self.assistant(&at, message),
            "tool" => self.result(&at, message),
            _ => {
                let message = format!("`{at}.role` has to be system, developer, user, assistant or tool.");
                Err(wrong(format!("{at}.role"), message))
            }
        }
    }

    /// Adds to the last turn if it is the same one's.
    fn turn(&mut self, turn: Turn, parts: Vec<Part>) {
        if parts.is_empty() {
            return;
        }
        match self.said.contents.last_mut() {
            Some(content) if self.last == Some(turn) => content.parts.extend(parts),
            _ => {
                let role = if turn == Turn::Model { "model" } else { "user" };
                self.said.contents.push(Content { role: Some(role), parts });
            }
        }
        self.last = Some(turn);
    }

    /// Refuses what a message bears besides its content.
    fn only(&mut self, at: &str, message: &Message, known: &[&str]) -> Result<(), BadField> {
        if message.name.is_some() && !known.contains(&"name") {
            self.losses.field(format!("{at}.name"))?;
        }
        self.extra(at, &message.extra, known)
    }

    fn extra(&mut self, at: &str, extra: &Map<String, Value>, known: &[&str]) -> Result<(), BadField> {
        for (name, value) in extra {
            if !is_neutral(value) && !known.contains(&name.as_str()) {
                self.losses.field(format!("{at}.{name}"))?;
            }
        }
        Ok(())
    }

    fn system(&mut self, at: &str, content: Option<Said>) -> Result<Vec<Part>, BadField> {
        let parts = self.parts(at, content)?;
        if parts.iter().any(|part| part.text.is_none()) {
            let param = format!("{at}.content");
            let message = format!("A system message holds text only: see `{param}`.");
            self.losses.lose(param, message)?;
        }
        Ok(parts.into_iter().filter(|part| part.text.is_some()).collect())
    }

    fn parts(&mut self, at: &str, content: Option<Said>) -> Result<Vec<Part>, BadField> {
        match content {
            None => Ok(vec![]),
            Some(Said::Text(text)) => Ok(vec![Part::text(text)]),
            Some(Said::Parts(pieces)) => {
                let mut parts = Vec::with_capacity(pieces.len());
                for (j, piece) in pieces.into_iter().enumerate() {
                    parts.extend(self.part(&format!("{at}.content[{j}]"), piece)?);
                }
                Ok(parts)
            }
        }
    }

    fn part(&mut self, at: &str, piece: Piece) -> Result<Option<Part>, BadField> {
        self.extra(at, &piece.extra, &[])?;
        let missing = |name: &str| wrong(format!("{at}.{name}"), format!("`{at}.{name}` is missing."));
        let part = match piece.kind.as_str() {
            "text" => Part::text(piece.text.ok_or_else(|| missing("text"))?),
            "refusal" => Part::text(piece.refusal.ok_or_else(|| missing("refusal"))?),
            "image_url" => {
                let image = piece.image_url.ok_or_else(|| missing("image_url"))?;
                media::at(&image.url, &format!("{at}.image_url.url"))?
            }
            "input_audio" => {
                let audio = piece.input_audio.ok_or_else(|| missing("input_audio"))?;
                let param = format!("{at}.input_audio.format");
                let kind = media::sound(&audio.format).ok_or_else(|| {
                    wrong(param.clone(), format!("Gemini does not know the sound in `{param}`."))
                })?;
                media::data(kind, &audio.data)
            }
            "file" => {
                let file = piece.file.ok_or_else(|| missing("file"))?;
                match (file.file_data, file.file_id) {
                    (Some(data), _) => media::at(&data, &format!("{at}.file.file_data"))?,
                    // The address of a file that was uploaded to Gemini.
                    (None, Some(uri)) if uri.contains("://") => Part {
                        file_data: Some(FileData { mime_type: None, file_uri: uri }),
                        ..Part::default()
                    },
                    (None, Some(_)) => {
                        let param = format!("{at}.file.file_id");
                        return Err(wrong(
                            param.clone(),
                            format!("`{param}` has to be the address of a file that was uploaded to Gemini."),
                        ));
                    }
                    (None, None) => return Err(missing("file.file_data")),
                }
            }
            _ => {
                let param = format!("{at}.type");
                let message = format!("Gemini takes no part of the type `{}`: see `{param}`.", piece.kind);
                self.losses.lose(param, message)?;
                return Ok(None);
            }
        };
        Ok(Some(part))
    }

    fn assistant(&mut self, at: &str, message: Message) -> Result<(), BadField> {
        let known = ["extra_content", "thought_signature", "images"];
        self.only(at, &message, &[&known, ECHOED].concat())?;
        let mut parts = own_parts(&message.extra);
        parts.extend(self.parts(at, message.content)?);
        parts.extend(message.refusal.filter(|text| !text.is_empty()).map(Part::text));
        // An empty text beside calls says nothing, and Gemini may refuse it.
        parts.retain(|part| part.text.as_deref() != Some(""));
        let images = message.extra.get("images").and_then(Value::as_array);
        for (j, image) in images.into_iter().flatten().enumerate() {
            parts.push(own_image(image, &format!("{at}.images[{j}]"))?);
        }
        if let Some(signature) = own_signature(&message.extra) {
            match parts.iter_mut().rev().find(|part| part.text.is_some()) {
                Some(part) => part.thought_signature = Some(signature),
                None => parts.push(Part { thought_signature: Some(signature), ..Part::text("") }),
            }
        }
        for (j, call) in message.tool_calls.into_iter().flatten().enumerate() {
            let part = self.call(&format!("{at}.tool_calls[{j}]"), call, j == 0)?;
            parts.push(part);
        }
        self.turn(Turn::Model, parts);
        Ok(())
    }

    fn call(&mut self, at: &str, call: ToolCall, first: bool) -> Result<Part, BadField> {
        // `index` stands in what some clients keep of a stream.
        self.extra(at, &call.extra, &["extra_content", "thought_signature", "index"])?;
        if call.kind.as_deref().is_some_and(|kind| kind != "function") {
            let message = format!("Gemini takes calls of functions only: see `{at}.type`.");
            return Err(wrong(format!("{at}.type"), message));
        }
        let arguments = call.function.arguments.trim();
        let args = if arguments.is_empty() { "{}" } else { arguments };
        let args = object(args).ok_or_else(|| {
            let param = format!("{at}.function.arguments");
            wrong(param.clone(), format!("`{param}` has to be a JSON object, written as a text."))
        })?;
        let (id, carried) = signature::split(&call.id);
        let signature = carried.or_else(|| own_signature(&call.extra));
        let foreign = (self.family == Family::Level && first).then(|| signature::FOREIGN.to_owned());
        let id = id.to_owned();
        self.calls.insert(call.id, call.function.name.clone());
        Ok(Part {
            function_call: Some(FunctionCall { id, name: call.function.name, args }),
            thought_signature: signature.or(foreign),
            ..Part::default()
        })
    }

    fn result(&mut self, at: &str, message: Message) -> Result<(), BadField> {
        self.only(at, &message, &["name"])?;
        let param = format!("{at}.tool_call_id");
        let Some(id) = message.tool_call_id else {
            return Err(wrong(param.clone(), format!("`{param}` is missing.")));
        };
        let Some(name) = self.calls.get(&id).cloned().or(message.name) else {
            let message = format!("No message before it makes the call that `{param}` answers.");
            return Err(wrong(param, message));
        };
        let parts = self.parts(at, message.content)?;
        if parts.iter().any(|part| part.text.is_none()) {
            let param = format!("{at}.content");
            let message = format!("Gemini takes text as the result of a call: see `{param}`.");
            self.losses.lose(param, message)?;
        }
        let text: String = parts.into_iter().filter_map(|part| part.text).collect();
        let response = object(&text).unwrap_or_else(|| {
            let wrapped = format!("{{\"result\":{}}}", crate::openai::ask::json_string(&text));
            RawValue::from_string(wrapped).expect("an object around a JSON text")
        });
        let (own, _) = signature::split(&id);
        let response = FunctionResponse { id: own.to_owned(), name, response };
        self.turn(Turn::Results, vec![Part { function_response: Some(response), ..Part::default() }]);
        Ok(())
    }
}

/// A text that is a JSON object, as it stands.
fn object(text: &str) -> Option<Box<RawValue>> {
    let text = text.trim();
    let raw: Box<RawValue> = serde_json::from_str(text).ok()?;
    text.starts_with('{').then_some(raw)
}

/// The thought signature of a message or a call, as Google's own OpenAI format has it.
fn own_signature(extra: &Map<String, Value>) -> Option<String> {
    let nested = extra.get("extra_content").map(|extra| &extra["google"]["thought_signature"]);
    let flat = extra.get("thought_signature");
    [nested, flat].into_iter().flatten().find_map(Value::as_str).map(str::to_owned)
}

/// Parts that have no counterpart in OpenAI's format, like code that Gemini ran, as the answer told them.
fn own_parts(extra: &Map<String, Value>) -> Vec<Part> {
    let parts = extra.get("extra_content").and_then(|extra| extra["google"]["parts"].as_array());
    let own = parts.into_iter().flatten().filter_map(Value::as_object).map(|part| {
        let mut own = part.clone();
        own.remove("index");
        Part { own, ..Part::default() }
    });
    own.collect()
}

/// A picture that Gemini drew.
fn own_image(image: &Value, at: &str) -> Result<Part, BadField> {
    let param = format!("{at}.image_url.url");
    let url = image["image_url"]["url"].as_str();
    let url = url.ok_or_else(|| wrong(param.clone(), format!("`{param}` is missing.")))?;
    let signature = image["thought_signature"].as_str().map(str::to_owned);
    Ok(Part { thought_signature: signature, ..media::at(url, &param)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn translated(
        messages: Value,
        family: Family,
        drop: bool,
    ) -> Result<(Value, Value, Vec<String>), String> {
        let mut losses = Losses::new(drop);
        let messages = serde_json::from_value(messages).unwrap();
        let said = read(messages, family, &mut losses).map_err(|bad| bad.param.unwrap())?;
        Ok((json(&said.system), json(&said.contents), losses.into_dropped()))
    }

    /// Raw values cannot become a tree but by way of text.
    fn json(value: &impl serde::Serialize) -> Value {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    fn contents(messages: Value) -> Value {
        translated(messages, Family::Budget, false).unwrap().1
    }

    fn refused(messages: Value) -> String {
        translated(messages, Family::Budget, false).unwrap_err()
    }

    fn call(id: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
    }

    #[test]
    fn same_turns_are_merged() {
        let (system, contents, _) = translated(
            json!([
                {"role": "system", "content": "S"},
                {"role": "user", "content": "a"},
                {"role": "user", "content": [{"type": "text", "text": "b"}]},
                {"role": "developer", "content": "D"},
                {"role": "assistant", "content": "c", "reasoning_content": "t"},
                {"role": "assistant", "refusal": "d"},
            ]),
            Family::Budget,
            false,
        )
        .unwrap();
        assert_eq!(system, json!([{"text": "S"}, {"text": "D"}]));
        assert_eq!(
            contents,
            json!([
                {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
                {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
            ])
        );
    }

    #[test]
    fn a_system_message_alone_is_asked() {
        let contents = contents(json!([{"role": "system", "content": "S"}]));
        assert_eq!(contents, json!([{"role": "user", "parts": [{"text": "S"}]}]));
    }

    #[test]
    fn calls_and_results_stand_in_turns_of_their_own() {
        let contents = contents(json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "tool_calls": [call("1", "{\"z\":1, \"a\":2}"), call("2", " ")]},
            {"role": "tool", "tool_call_id": "1", "content": "plain"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "{\"x\":"}, {"type": "text", "text": "1}"}]},
            {"role": "user", "content": "more"},
        ]));
        assert_eq!(
            contents,
            json!([
                {"role": "user", "parts": [{"text": "q"}]},
                {"role": "model", "parts": [
                    {"functionCall": {"id": "1", "name": "f", "args": {"z": 1, "a": 2}}},
                    {"functionCall": {"id": "2", "name": "f", "args": {}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "1", "name": "f", "response": {"result": "plain"}}},
                    {"functionResponse": {"id": "2", "name": "f", "response": {"x": 1}}},
                ]},
                {"role": "user", "parts": [{"text": "more"}]},
            ])
        );
    }

    #[test]
    fn signatures_come_back_from_wherever_they_are() {
        let id = signature::carry("w7", "AAAA").unwrap();
        let mut second = call("w8", "{}");
        second["extra_content"] = json!({"google": {"thought_signature": "BBBB"}});
        let contents = contents(json!([
            {"role": "assistant", "content": "t", "tool_calls": [call(&id, "{}"), second],
                "extra_content": {"google": {"thought_signature": "CCCC", "parts": [{"index": 0, "executableCode": {}}]}}},
            {"role": "tool", "tool_call_id": id, "content": "r"},
        ]));
        assert_eq!(
            contents[0]["parts"],
            json!([
                {"executableCode": {}},
                {"text": "t", "thoughtSignature": "CCCC"},
                {"functionCall": {"id": "w7", "name": "f", "args": {}}, "thoughtSignature": "AAAA"},
                {"functionCall": {"id": "w8", "name": "f", "args": {}}, "thoughtSignature": "BBBB"},
            ])
        );
        assert_eq!(contents[1]["parts"][0]["functionResponse"]["id"], "w7");
    }

    #[test]
    fn calls_of_other_models_are_marked_for_gemini_3() {
        let messages = json!([{"role": "assistant", "tool_calls": [call("1", "{}"), call("2", "{}")]}]);
        let (_, contents, _) = translated(messages, Family::Level, false).unwrap();
        assert_eq!(contents[0]["parts"][0]["thoughtSignature"], signature::FOREIGN);
        assert!(contents[0]["parts"][1].get("thoughtSignature").is_none());
    }

    #[test]
    fn media_are_translated() {
        let contents = contents(json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "https://h/x.webp"}},
            {"type": "input_audio", "input_audio": {"data": "BB==", "format": "mp3"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,CC==", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_id": "https://h/v1beta/files/x"}},
        ]}]));
        assert_eq!(
            contents[0]["parts"],
            json!([
                {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                {"fileData": {"mimeType": "image/webp", "fileUri": "https://h/x.webp"}},
                {"inlineData": {"mimeType": "audio/mp3", "data": "BB=="}},
                {"inlineData": {"mimeType": "application/pdf", "data": "CC=="}},
                {"fileData": {"fileUri": "https://h/v1beta/files/x"}},
            ])
        );
    }

    #[test]
    fn pictures_that_gemini_drew_come_back() {
        let image = json!({"type": "image_url", "index": 0, "thought_signature": "S",
            "image_url": {"url": "data:image/png;base64,AA=="}});
        let contents = contents(json!([{"role": "assistant", "content": "", "images": [image]}]));
        assert_eq!(
            contents[0]["parts"],
            json!([{"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "S"}])
        );
    }

    #[test]
    fn faults_are_named() {
        let user = |part: Value| json!([{"role": "user", "content": [{"type": "text", "text": "t"}, part]}]);
        let cases = [
            (json!([{"role": "robot", "content": "x"}]), "messages[0].role"),
            (json!([{"role": "user", "content": "x", "name": "bob"}]), "messages[0].name"),
            (json!([{"role": "user", "content": "x", "mood": "bad"}]), "messages[0].mood"),
            (
                json!([{"role": "assistant", "tool_calls": [call("1", "{")]}]),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (
                json!([{"role": "assistant", "tool_calls": [call("1", "[]")]}]),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (json!([{"role": "tool", "tool_call_id": "x", "content": "r"}]), "messages[0].tool_call_id"),
            (json!([{"role": "tool", "content": "r"}]), "messages[0].tool_call_id"),
            (user(json!({"type": "video_url"})), "messages[0].content[1].type"),
            (user(json!({"type": "text"})), "messages[0].content[1].text"),
            (user(json!({"type": "text", "text": "x", "tone": "soft"})), "messages[0].content[1].tone"),
            (
                user(json!({"type": "image_url", "image_url": {"url": "data:x"}})),
                "messages[0].content[1].image_url.url",
            ),
            (
                user(json!({"type": "input_audio", "input_audio": {"data": "", "format": "x"}})),
                "messages[0].content[1].input_audio.format",
            ),
            (
                user(json!({"type": "file", "file": {"file_id": "file-1"}})),
                "messages[0].content[1].file.file_id",
            ),
            (user(json!({"type": "file", "file": {}})), "messages[0].content[1].file.file_data"),
        ];
        for (messages, param) in cases {
            assert_eq!(refused(messages), param);
        }
        // What SDKs echo of an answer says nothing.
        let echo = json!([{"role": "assistant", "content": "x", "annotations": [], "audio": null, "function_call": null}]);
        assert!(translated(echo, Family::Budget, false).is_ok());
    }

    #[test]
    fn losses_can_be_allowed() {
        let messages = json!([{"role": "user", "name": "bob", "content": [{"type": "text", "text": "t", "tone": 1}, {"type": "video_url"}]}]);
        let (_, contents, dropped) = translated(messages, Family::Budget, true).unwrap();
        assert_eq!(contents, json!([{"role": "user", "parts": [{"text": "t"}]}]));
        assert_eq!(
            dropped,
            ["messages[0].name", "messages[0].content[0].tone", "messages[0].content[1].type"]
        );
    }
}
