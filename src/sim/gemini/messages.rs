//! The messages that Gemini's requests are made of.

use super::proto::{
    Kind::{self, Any, Bool, Bytes, Enum, Integer, List, Map, Number, Struct, Text},
    Message,
};

const TEXTS: Kind = List(&Text);

/// `GenerateContentRequest`.
pub(crate) static GENERATE: Message = Message(&[
    ("model", Text),
    ("contents", List(&Kind::Message(&CONTENT))),
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("tools", List(&Kind::Message(&TOOL))),
    ("toolConfig", Kind::Message(&TOOL_CONFIG)),
    ("safetySettings", List(&Kind::Message(&SAFETY))),
    ("generationConfig", Kind::Message(&CONFIG)),
    ("cachedContent", Text),
    ("labels", Struct),
    ("serviceTier", Text),
    ("store", Bool),
]);

/// `CountTokensRequest`.
pub(crate) static COUNT: Message = Message(&[
    ("model", Text),
    ("contents", List(&Kind::Message(&CONTENT))),
    ("generateContentRequest", Kind::Message(&GENERATE)),
    // Vertex counts these here.
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("tools", List(&Kind::Message(&TOOL))),
    ("generationConfig", Kind::Message(&CONFIG)),
]);

/// `EmbedContentRequest`.
pub(crate) static EMBED: Message = Message(&[
    ("model", Text),
    ("content", Kind::Message(&CONTENT)),
    ("taskType", Enum("TaskType", TASKS)),
    ("title", Text),
    ("outputDimensionality", Integer),
]);

/// `BatchEmbedContentsRequest`.
pub(crate) static BATCH: Message = Message(&[("requests", List(&Kind::Message(&EMBED)))]);

static CONTENT: Message = Message(&[("role", Text), ("parts", List(&Kind::Message(&PART)))]);

static PART: Message = Message(&[
    ("text", Text),
    ("inlineData", Kind::Message(&BLOB)),
    ("fileData", Kind::Message(&FILE)),
    ("functionCall", Kind::Message(&CALL)),
    ("functionResponse", Kind::Message(&RESPONSE)),
    ("executableCode", Kind::Message(&CODE)),
    ("codeExecutionResult", Kind::Message(&CODE_RESULT)),
    ("toolCall", Kind::Message(&TOOL_CALL)),
    ("toolResponse", Kind::Message(&TOOL_RESPONSE)),
    ("thought", Bool),
    ("thoughtSignature", Bytes),
    ("videoMetadata", Struct),
    ("partMetadata", Struct),
    ("mediaResolution", Struct),
]);

static BLOB: Message = Message(&[("mimeType", Text), ("data", Bytes), ("displayName", Text)]);
static FILE: Message = Message(&[("mimeType", Text), ("fileUri", Text), ("displayName", Text)]);
static CALL: Message = Message(&[("id", Text), ("name", Text), ("args", Struct)]);
static RESPONSE: Message = Message(&[
    ("id", Text),
    ("name", Text),
    ("response", Struct),
    ("parts", List(&Any)),
    ("willContinue", Bool),
    ("scheduling", Text),
]);
static CODE: Message = Message(&[("id", Text), ("language", Text), ("code", Text)]);
static CODE_RESULT: Message = Message(&[("id", Text), ("outcome", Text), ("output", Text)]);
static TOOL_CALL: Message = Message(&[("id", Text), ("toolType", Text), ("args", Struct)]);
static TOOL_RESPONSE: Message = Message(&[("id", Text), ("toolType", Text), ("response", Struct)]);

static TOOL: Message = Message(&[
    ("functionDeclarations", List(&Kind::Message(&DECLARATION))),
    ("googleSearch", Struct),
    ("googleSearchRetrieval", Struct),
    ("codeExecution", Struct),
    ("urlContext", Struct),
    ("fileSearch", Struct),
    ("googleMaps", Struct),
    ("computerUse", Struct),
    ("mcpServers", Any),
]);

static DECLARATION: Message = Message(&[
    ("name", Text),
    ("description", Text),
    ("parameters", Kind::Message(&SCHEMA)),
    ("parametersJsonSchema", Any),
    ("response", Kind::Message(&SCHEMA)),
    ("responseJsonSchema", Any),
    ("behavior", Text),
]);

/// The part of OpenAPI's schemas that Gemini knows.
static SCHEMA: Message = Message(&[
    ("type", Enum("Type", TYPES)),
    ("format", Text),
    ("title", Text),
    ("description", Text),
    ("nullable", Bool),
    ("enum", TEXTS),
    ("items", Kind::Message(&SCHEMA)),
    ("maxItems", Integer),
    ("minItems", Integer),
    ("properties", Map(&SCHEMA)),
    ("required", TEXTS),
    ("minProperties", Integer),
    ("maxProperties", Integer),
    ("minLength", Integer),
    ("maxLength", Integer),
    ("pattern", Text),
    ("example", Any),
    ("anyOf", List(&Kind::Message(&SCHEMA))),
    ("propertyOrdering", TEXTS),
    ("default", Any),
    ("minimum", Number),
    ("maximum", Number),
]);

static TOOL_CONFIG: Message = Message(&[
    ("functionCallingConfig", Kind::Message(&CALLING)),
    ("retrievalConfig", Struct),
    ("includeServerSideToolInvocations", Bool),
]);
static CALLING: Message =
    Message(&[("mode", Enum("FunctionCallingConfig.Mode", MODES)), ("allowedFunctionNames", TEXTS)]);

static SAFETY: Message = Message(&[
    ("category", Enum("HarmCategory", CATEGORIES)),
    ("threshold", Enum("SafetySetting.HarmBlockThreshold", THRESHOLDS)),
    ("method", Text),
]);

static CONFIG: Message = Message(&[
    ("temperature", Number),
    ("topP", Number),
    ("topK", Number),
    ("candidateCount", Integer),
    ("maxOutputTokens", Integer),
    ("stopSequences", TEXTS),
    ("presencePenalty", Number),
    ("frequencyPenalty", Number),
    ("seed", Integer),
    ("responseLogprobs", Bool),
    ("logprobs", Integer),
    ("responseMimeType", Text),
    ("responseSchema", Kind::Message(&SCHEMA)),
    ("responseJsonSchema", Any),
    ("responseModalities", TEXTS),
    ("thinkingConfig", Kind::Message(&THINKING)),
    ("speechConfig", Struct),
    ("imageConfig", Struct),
    ("mediaResolution", Text),
    ("audioTimestamp", Bool),
    ("enableEnhancedCivicAnswers", Bool),
    ("routingConfig", Struct),
]);
static THINKING: Message = Message(&[
    ("includeThoughts", Bool),
    ("thinkingBudget", Integer),
    ("thinkingLevel", Enum("ThinkingConfig.ThinkingLevel", LEVELS)),
]);

const TYPES: &[&str] =
    &["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];
const MODES: &[&str] = &["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"];
const LEVELS: &[&str] = &["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"];
const CATEGORIES: &[&str] = &[
    "HARM_CATEGORY_UNSPECIFIED",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
    "HARM_CATEGORY_JAILBREAK",
];
const THRESHOLDS: &[&str] = &[
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
];
const TASKS: &[&str] = &[
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
];
