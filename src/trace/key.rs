//! The names of attributes, by OpenTelemetry's semantic conventions.
//!
//! Those of generative AI: <https://github.com/open-telemetry/semantic-conventions-genai>. Those that begin with `weir.`
//! are Weir's own.

#![allow(missing_docs, reason = "each is its own meaning")]

pub const OPERATION: &str = "gen_ai.operation.name";
pub const PROVIDER: &str = "gen_ai.provider.name";
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
pub const RESPONSE_ID: &str = "gen_ai.response.id";
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
pub const CACHE_WRITE: &str = "gen_ai.usage.cache_write.input_tokens";
pub const REASONING: &str = "gen_ai.usage.reasoning.output_tokens";
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";

pub const ERROR: &str = "error.type";
pub const METHOD: &str = "http.request.method";
pub const ROUTE: &str = "http.route";
pub const STATUS: &str = "http.response.status_code";
pub const SERVER: &str = "server.address";
pub const PORT: &str = "server.port";

pub const WEIR_REQUEST: &str = "weir.request_id";
pub const WEIR_KEY: &str = "weir.key";
pub const WEIR_ROUTE: &str = "weir.route";
pub const WEIR_MODEL: &str = "weir.model";
pub const WEIR_PROVIDER: &str = "weir.provider";
pub const WEIR_TIER: &str = "weir.tier";
pub const WEIR_TASK: &str = "weir.task";
pub const WEIR_COMPLEXITY: &str = "weir.complexity";
pub const WEIR_ATTEMPTS: &str = "weir.attempts";
pub const WEIR_FALLBACKS: &str = "weir.fallbacks";
pub const WEIR_SKIPPED: &str = "weir.skipped";
pub const WEIR_CACHE: &str = "weir.cache";
pub const WEIR_DEGRADED: &str = "weir.degraded";
pub const WEIR_ESCALATED: &str = "weir.escalated";
pub const WEIR_COST: &str = "weir.cost_usd";
pub const WEIR_OVERHEAD: &str = "weir.overhead_ms";
pub const WEIR_ATTEMPT: &str = "weir.attempt";
pub const WEIR_REASON: &str = "weir.attempt.reason";
pub const WEIR_AFTER: &str = "weir.attempt.after";
pub const WEIR_OUTCOME: &str = "weir.outcome";
pub const WEIR_ESTIMATED: &str = "weir.usage.estimated";
