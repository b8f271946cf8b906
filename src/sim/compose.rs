//! What a simulated model says to a conversation, in no protocol's words.

use serde_json::{Value, json};

use super::{
    dice::Dice,
    fault::Ending,
    schema, text,
    tokens::{self, Piece},
};

/// A conversation and what is wanted of the answer.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    /// The seed of the provider, and the one of the request.
    pub(crate) seed: (u64, u64),
    /// The text of the last turn.
    pub(crate) last: String,
    /// Whether that is a tool's result.
    pub(crate) is_result: bool,
    /// The text of the last user turn.
    pub(crate) asked: String,
    /// The tools at hand.
    pub(crate) tools: Vec<Tool>,
    /// Which of them is to be called.
    pub(crate) choice: ToolChoice,
    /// Whether several may be called at once.
    pub(crate) parallel: bool,
    /// The form of a text.
    pub(crate) shape: Shape,
    /// Texts at which the answer stops.
    pub(crate) stop: Vec<String>,
    /// The most tokens of an answer.
    pub(crate) max_tokens: Option<u32>,
    /// The tokens that a text has to have.
    pub(crate) length: Option<u32>,
    /// How the answer is to go wrong.
    pub(crate) ending: Option<Ending>,
}

/// A tool.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// The JSON Schema of its arguments.
    pub(crate) parameters: Value,
}

/// Which tool is to be called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

/// The form of a text.
#[derive(Clone, Debug, Default)]
pub(crate) enum Shape {
    #[default]
    Text,
    /// Some JSON object.
    Json,
    /// JSON that fits a schema.
    Schema(Value),
}

/// What the model says.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: Vec<Piece>,
    /// Said in the place of a text.
    pub(crate) refusal: Vec<Piece>,
    pub(crate) calls: Vec<Call>,
    pub(crate) finish: Finish,
    /// The text at which it stopped, where it was told to.
    pub(crate) stopped_at: Option<String>,
}

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Its arguments as JSON text.
    pub(crate) arguments: Vec<Piece>,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Finish {
    #[default]
    Stop,
    Length,
    ToolCalls,
}

impl Answer {
    /// Its tokens, with those that a call costs beside its arguments.
    pub(crate) fn tokens(&self) -> u64 {
        let calls: u64 = self.calls.iter().map(Call::tokens).sum();
        u64::from(tokens::total(&self.text) + tokens::total(&self.refusal)) + calls
    }
}

impl Call {
    /// The tokens of the name and of what frames a call.
    pub(crate) fn overhead(&self) -> u32 {
        u32::try_from(tokens::count(&self.name)).unwrap_or(u32::MAX).saturating_add(4)
    }

    fn tokens(&self) -> u64 {
        u64::from(self.overhead()) + u64::from(tokens::total(&self.arguments))
    }
}

/// The answer number `index` to a prompt; the same each time.
pub(crate) fn compose(prompt: &Prompt, index: u32) -> Answer {
    let (own, asked) = prompt.seed;
    let parts: [&[u8]; 4] =
        [&asked.to_le_bytes(), prompt.last.as_bytes(), prompt.asked.as_bytes(), &index.to_le_bytes()];
    let dice = &mut Dice::of(own, &parts);
    let words = text::keywords(if prompt.asked.is_empty() { &prompt.last } else { &prompt.asked });
    match prompt.ending {
        Some(Ending::Empty) => return Answer::default(),
        Some(Ending::Refusal) => {
            let refusal = tokens::pieces("I'm sorry, but I can't help with that request.");
            return Answer { refusal, ..Answer::default() };
        }
        _ => {}
    }
    let calls = calls(prompt, dice, &words);
    if calls.is_empty() { say(prompt, dice, &words) } else { call(prompt, calls) }
}

fn call(prompt: &Prompt, mut calls: Vec<Call>) -> Answer {
    let mut finish = Finish::ToolCalls;
    if let Some(limit) = prompt.max_tokens {
        let mut room = limit;
        for call in &mut calls {
            room = room.saturating_sub(call.overhead());
            if tokens::cut(&mut call.arguments, room) {
                finish = Finish::Length;
            }
            room -= tokens::total(&call.arguments);
        }
    }
    Answer { calls, finish, ..Answer::default() }
}

/// The calls that the prompt leads to: in `auto` a user's words lead to calls, a tool's result to an answer.
fn calls(prompt: &Prompt, dice: &mut Dice, words: &[String]) -> Vec<Call> {
    let named;
    let pool: &[Tool] = match &prompt.choice {
        ToolChoice::None => return Vec::new(),
        ToolChoice::Auto if prompt.is_result => return Vec::new(),
        ToolChoice::Auto | ToolChoice::Required => &prompt.tools,
        ToolChoice::Named(name) => {
            named = prompt.tools.iter().filter(|tool| tool.name == *name).cloned().collect::<Vec<_>>();
            &named
        }
    };
    let asked = prompt.asked.to_lowercase();
    let is_meant = |tool: &&Tool| {
        tool.name.split(['_', '-']).any(|part| part.len() > 3 && asked.contains(&part.to_lowercase()))
    };
    let mut chosen: Vec<&Tool> = pool.iter().filter(is_meant).take(8).collect();
    if chosen.is_empty() {
        chosen.extend(dice.pick(pool));
    }
    // Asked for both or in parallel, a lone tool is called twice.
    if let [only] = chosen[..]
        && asked
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| matches!(word, "both" | "parallel" | "twice"))
    {
        chosen.push(only);
    }
    if !prompt.parallel {
        chosen.truncate(1);
    }
    let broken = prompt.ending == Some(Ending::BrokenJson);
    let call = |tool: &Tool| {
        let arguments = match schema::instance(&tool.parameters, dice, words) {
            object @ Value::Object(_) => object.to_string(),
            _ => "{}".to_owned(),
        };
        let arguments = if broken { broken_json(&arguments) } else { arguments };
        Call { name: tool.name.clone(), arguments: tokens::pieces(&arguments) }
    };
    chosen.into_iter().map(call).collect()
}

fn say(prompt: &Prompt, dice: &mut Dice, words: &[String]) -> Answer {
    let plain = |dice: &mut Dice| match prompt.is_result {
        true => text::quote(dice, &prompt.last, words),
        false => text::answer(dice, words),
    };
    let mut said = match &prompt.shape {
        Shape::Text => plain(dice),
        Shape::Json => json!({ "answer": plain(dice), "topics": &words[..words.len().min(3)] }).to_string(),
        Shape::Schema(schema) => schema::instance(schema, dice, words).to_string(),
    };
    if prompt.ending == Some(Ending::BrokenJson) {
        said = broken_json(&said);
    }
    let mut pieces = match (prompt.length, &prompt.shape) {
        (Some(length), Shape::Text) => long(said, length, dice, words),
        _ => tokens::pieces(&said),
    };
    let text = tokens::join(&pieces);
    let stops = prompt.stop.iter().filter(|stop| !stop.is_empty());
    let stop = stops.filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min_by_key(|(at, _)| *at);
    if let Some((at, _)) = stop {
        pieces = tokens::pieces(&text[..at]);
    }
    let cut = prompt.max_tokens.is_some_and(|limit| tokens::cut(&mut pieces, limit));
    let stopped_at = stop.filter(|_| !cut).map(|(_, stop)| stop.clone());
    let finish = if cut { Finish::Length } else { Finish::Stop };
    Answer { text: pieces, finish, stopped_at, ..Answer::default() }
}

/// `said` and more, to just so many tokens.
fn long(said: String, length: u32, dice: &mut Dice, words: &[String]) -> Vec<Piece> {
    let mut pieces = tokens::pieces(&said);
    let mut have = tokens::total(&pieces);
    while have < length {
        let more = tokens::pieces(&format!(" {}", text::more(dice, words)));
        have = have.saturating_add(tokens::total(&more).max(1));
        pieces.extend(more);
    }
    tokens::cut(&mut pieces, length);
    pieces
}

fn broken_json(text: &str) -> String {
    let kept = text::head(text, text.len() * 2 / 3);
    format!("{{\"answer\": {kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(asked: &str) -> Prompt {
        Prompt {
            seed: (1, 0),
            last: asked.to_owned(),
            asked: asked.to_owned(),
            parallel: true,
            ..Prompt::default()
        }
    }

    fn tool(name: &str) -> Tool {
        let parameters =
            json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
        Tool { name: name.to_owned(), parameters }
    }

    #[test]
    fn a_text_repeats_and_differs_by_index() {
        let prompt = prompt("Compare borrowing with ownership in Rust");
        let text = |index| tokens::join(&compose(&prompt, index).text);
        assert_eq!(text(0), text(0));
        assert!((1..10).any(|index| text(index) != text(0)));
    }

    #[test]
    fn limits_and_stops_cut_a_text() {
        let mut prompt = prompt("Tell me of Paris");
        prompt.max_tokens = Some(3);
        let answer = compose(&prompt, 0);
        assert_eq!((answer.finish, answer.tokens()), (Finish::Length, 3));
        prompt.max_tokens = None;
        prompt.stop = vec![" ".to_owned()];
        let answer = compose(&prompt, 0);
        assert_eq!(answer.finish, Finish::Stop);
        assert_eq!(answer.stopped_at.as_deref(), Some(" "));
        assert!(!tokens::join(&answer.text).contains(' '));
        prompt.stop.clear();
        prompt.length = Some(500);
        assert_eq!(compose(&prompt, 0).tokens(), 500);
    }

    #[test]
    fn tools_are_called_as_chosen() {
        let mut prompt = prompt("What is the weather, and what is the traffic like?");
        prompt.tools = vec![tool("get_weather"), tool("get_traffic"), tool("send_mail")];
        let names =
            |prompt: &Prompt| compose(prompt, 0).calls.into_iter().map(|call| call.name).collect::<Vec<_>>();
        assert_eq!(names(&prompt), ["get_weather", "get_traffic"]);
        prompt.parallel = false;
        assert_eq!(names(&prompt), ["get_weather"]);
        prompt.choice = ToolChoice::Named("send_mail".to_owned());
        assert_eq!(names(&prompt), ["send_mail"]);
        prompt.choice = ToolChoice::None;
        assert!(names(&prompt).is_empty());
        prompt.choice = ToolChoice::Auto;
        prompt.is_result = true;
        prompt.last = "18 degrees".to_owned();
        let answer = compose(&prompt, 0);
        assert!(tokens::join(&answer.text).contains("18 degrees"));
        assert_eq!(answer.finish, Finish::Stop);
    }

    #[test]
    fn json_is_json_unless_it_is_to_be_broken() {
        let mut prompt = prompt("Give me json about Paris");
        prompt.shape = Shape::Json;
        let parse = |prompt: &Prompt| serde_json::from_str::<Value>(&tokens::join(&compose(prompt, 0).text));
        assert!(parse(&prompt).unwrap().is_object());
        prompt.ending = Some(Ending::BrokenJson);
        assert!(parse(&prompt).is_err());
    }
}
