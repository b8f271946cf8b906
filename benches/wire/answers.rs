//! What the mock upstream says, in the format that it is asked in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whose format is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenAi,
    Anthropic,
    Gemini,
}

/// About as many words as make an answer of 600 bytes.
const WORDS: &str = "The wire is as fast as what stands on it: a gateway reads what was asked, decides who may have it and who is \
     to give it, and hands on what comes, byte for byte. What it adds is time, so it had better add little of it; these words \
     are here to be carried, and for nothing else.";

impl Format {
    /// The format that a path belongs to.
    pub fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        if path.ends_with("/messages") {
            Self::Anthropic
        } else if path.ends_with("enerateContent") {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }

    /// The bytes of a whole answer.
    pub fn whole(self) -> Vec<u8> {
        let body = match self {
            Self::OpenAi => format!(
                r#"{{"id":"chatcmpl-wire0000000000000000000000","object":"chat.completion","created":1760000000,"model":"wire-1","choices":[{{"index":0,"message":{{"role":"assistant","content":"{WORDS}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":220,"completion_tokens":60,"total_tokens":280}}}}"#
            ),
            Self::Anthropic => format!(
                r#"{{"id":"msg_wire","type":"message","role":"assistant","model":"wire-1","content":[{{"type":"text","text":"{WORDS}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":220,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":60}}}}"#
            ),
            Self::Gemini => format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{WORDS}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":220,"candidatesTokenCount":60,"totalTokenCount":280}},"modelVersion":"wire-1","responseId":"wire"}}"#
            ),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// What comes before the first word of a stream.
    pub fn opening(self) -> &'static str {
        match self {
            Self::OpenAi => {
                "data: {\"id\":\"chatcmpl-wire\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"wire-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
            }
            Self::Anthropic => {
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_wire\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"wire-1\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":220,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
            }
            Self::Gemini => "",
        }
    }

    /// One word of a stream: the time when it was said.
    pub fn word(self) -> String {
        let stamp = stamp();
        match self {
            Self::OpenAi => format!(
                "data: {{\"id\":\"chatcmpl-wire\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"wire-1\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"@{stamp}\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            Self::Anthropic => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"@{stamp}\"}}}}\n\n"
            ),
            Self::Gemini => format!(
                "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"@{stamp}\"}}],\"role\":\"model\"}},\"index\":0}}],\"usageMetadata\":{{\"promptTokenCount\":220,\"totalTokenCount\":220}},\"modelVersion\":\"wire-1\",\"responseId\":\"wire\"}}\n\n"
            ),
        }
    }

    /// What comes behind the last word.
    pub fn closing(self) -> &'static str {
        match self {
            Self::OpenAi => {
                "data: {\"id\":\"chatcmpl-wire\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"wire-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"chatcmpl-wire\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"wire-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":220,\"completion_tokens\":60,\"total_tokens\":280}}\n\ndata: [DONE]\n\n"
            }
            Self::Anthropic => {
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":60}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
            }
            Self::Gemini => {
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":220,\"candidatesTokenCount\":60,\"totalTokenCount\":280},\"modelVersion\":\"wire-1\",\"responseId\":\"wire\"}\n\n"
            }
        }
    }
}

/// Now, in microseconds since 1970: 16 digits until the year 2286.
pub fn stamp() -> u64 {
    // A clock before 1970 would make every event late, which is seen.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(u64::MAX)
}
