//! Single values that fit a JSON Schema.

use serde_json::{Map, Number, Value, json};

use super::{dice::Dice, pattern};

/// What the leaves of a value are made of.
pub(crate) struct Leaves<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) words: &'a [String],
}

impl Leaves<'_> {
    /// A whole number in the range of `schema`.
    pub(crate) fn integer(&mut self, schema: &Map<String, Value>) -> Value {
        let (low, high) = bounds(schema, 1.0);
        let step =
            schema.get("multipleOf").and_then(Value::as_f64).filter(|step| *step >= 1.0).unwrap_or(1.0);
        let (first, last) = ((low / step).ceil(), (high / step).floor());
        let count = (last - first).clamp(0.0, 1e6) as usize + 1;
        let value = (first + self.dice.below(count) as f64) * step;
        json!(value as i64)
    }

    /// A number in the range of `schema`.
    pub(crate) fn number(&mut self, schema: &Map<String, Value>) -> Value {
        let (low, high) = bounds(schema, 0.01);
        if schema.get("multipleOf").and_then(Value::as_f64).is_some_and(|step| step >= 1.0) {
            return self.integer(schema);
        }
        let step = schema.get("multipleOf").and_then(Value::as_f64).filter(|step| *step > 0.0);
        let value = low + (high - low) * self.dice.unit();
        let value = match step {
            Some(step) => (value / step).ceil() * step,
            // Two digits are what people write, unless the range is narrower than that.
            None => {
                Some((value * 100.0).round() / 100.0).filter(|v| (low..=high).contains(v)).unwrap_or(value)
            }
        };
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }

    /// A text for the property `name`.
    pub(crate) fn string(&mut self, schema: &Map<String, Value>, name: &str) -> String {
        let least = size(schema, "minLength").unwrap_or(0).min(64 * 1024);
        let most = size(schema, "maxLength").unwrap_or(usize::MAX);
        let fits = |text: &String| (least..=most).contains(&text.chars().count());
        if let Some(Value::String(pattern)) = schema.get("pattern") {
            for _ in 0..20 {
                match pattern::sample(pattern, self.dice) {
                    Some(text) if fits(&text) => return text,
                    _ => {}
                }
            }
        }
        if let Some(text) =
            schema.get("format").and_then(Value::as_str).and_then(|format| self.format(format))
        {
            return text;
        }
        let mut text = match name {
            "unit" | "units" => "celsius".to_owned(),
            _ => self.word(),
        };
        while text.chars().count() < least {
            text.push(' ');
            text.push_str(&self.word());
        }
        text.chars().take(most).collect()
    }

    fn format(&mut self, format: &str) -> Option<String> {
        let dice = &mut *self.dice;
        let mut two = |low: usize, n: usize| format!("{:02}", low + dice.below(n));
        Some(match format {
            "date" => format!("20{}-{}-{}", two(20, 10), two(1, 12), two(1, 28)),
            "time" => format!("{}:{}:{}Z", two(0, 24), two(0, 60), two(0, 60)),
            "date-time" => format!(
                "20{}-{}-{}T{}:{}:{}Z",
                two(20, 10),
                two(1, 12),
                two(1, 28),
                two(0, 24),
                two(0, 60),
                two(0, 60)
            ),
            "duration" => format!("PT{}M", 1 + dice.below(59)),
            "email" | "idn-email" => format!("{}@example.com", dice.id("", 8).to_lowercase()),
            "hostname" | "idn-hostname" => "example.com".to_owned(),
            "ipv4" => format!("192.0.2.{}", dice.below(256)),
            "ipv6" => format!("2001:db8::{:x}", 1 + dice.below(0xffff)),
            "uri" | "uri-reference" | "iri" | "url" => format!("https://example.com/{}", dice.id("", 6)),
            "uuid" => {
                let (high, low) = (dice.bits(), dice.bits());
                let bits = (u128::from(high) << 64) | u128::from(low);
                uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
            }
            _ => return None,
        })
    }

    /// One of the words.
    pub(crate) fn word(&mut self) -> String {
        self.dice.pick(self.words).cloned().unwrap_or_else(|| "example".to_owned())
    }
}

/// A keyword that counts.
pub(crate) fn size(schema: &Map<String, Value>, key: &str) -> Option<usize> {
    schema.get(key).and_then(Value::as_f64).map(|size| size as usize)
}

/// The range that the keywords leave, around 1 to 100 where they are silent; `grain` keeps clear of
/// exclusive borders.
fn bounds(schema: &Map<String, Value>, grain: f64) -> (f64, f64) {
    let get = |key: &str| schema.get(key).and_then(Value::as_f64);
    let low = get("minimum").or(get("exclusiveMinimum").map(|low| low + grain));
    let high = get("maximum").or(get("exclusiveMaximum").map(|high| high - grain));
    match (low, high) {
        (Some(low), Some(high)) => (low, high.max(low)),
        (Some(low), None) => (low, low + 99.0),
        (None, Some(high)) => (if high >= 1.0 { 1.0 } else { high - 99.0 }, high),
        (None, None) => (1.0, 100.0),
    }
}
