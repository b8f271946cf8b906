//! What a classifier looks at: the last question, the shape of the request around it.

use std::borrow::Cow;

use crate::openai::{Ask, question::Question};

/// What a classifier looks at.
#[derive(Clone, Debug, Default)]
pub struct Prompt<'a> {
    /// The last user message.
    pub text: Cow<'a, str>,
    /// What stands around it.
    pub shape: Shape,
}

/// The shape of a whole request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Messages of the user.
    pub turns: u32,
    /// Bytes of the system prompt.
    pub system_bytes: u32,
    /// Tokens of everything, about.
    pub context_tokens: u32,
    /// Functions that the model may call.
    pub tools: u32,
    /// Pictures.
    pub images: u32,
    /// An answer in a JSON schema is asked for.
    pub schema: bool,
    /// The most tokens of the answer, where the client said it.
    pub max_tokens: Option<u64>,
}

impl<'a> Prompt<'a> {
    /// A text that stands alone.
    pub fn text(text: &'a str) -> Self {
        let context_tokens = u32::try_from(text.len() / BYTES_A_TOKEN).unwrap_or(u32::MAX);
        Self { text: Cow::Borrowed(text), shape: Shape { turns: 1, context_tokens, ..Shape::default() } }
    }

    /// What is asked in a request.
    pub fn of(ask: &'a Ask) -> Self {
        let Question { text, turns, system_bytes, bytes, tools, images, schema, max_tokens } = ask.question();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let shape = Shape {
            turns: small(turns),
            system_bytes: small(system_bytes),
            context_tokens: small(bytes / BYTES_A_TOKEN),
            tools: small(tools),
            images: small(images),
            schema,
            max_tokens,
        };
        Self { text, shape }
    }
}

/// How many bytes make a token, about.
const BYTES_A_TOKEN: usize = 4;
