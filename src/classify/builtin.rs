//! The classifier that ships with Weir.

use std::sync::{Arc, LazyLock};

use super::{
    Opinion, Prompt, features, least,
    lexicon::Class,
    model::{BadModel, Model},
    scan::{Mark, Scan},
    task,
};

/// The model that ships; `make train` makes it.
static SHIPPED: &[u8] = include_bytes!("model.bin");

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    Arc::new(Model::read(SHIPPED).expect("the model that ships is whole, as its test says"))
});

/// How many reasons are told of each kind.
const REASONS: usize = 4;

/// The longest word that is repeated in a reason, in bytes.
const LONGEST_WORD: usize = 40;

/// The classifier that ships with Weir, or one made of it by `weir calibrate`.
#[derive(Clone, Debug)]
pub struct Builtin {
    model: Arc<Model>,
}

impl Default for Builtin {
    fn default() -> Self {
        Self::new()
    }
}

impl Builtin {
    /// What ships.
    pub fn new() -> Self {
        Self { model: Arc::clone(&MODEL) }
    }

    /// What `weir calibrate` wrote.
    ///
    /// # Errors
    /// The file is no model.
    pub fn read(file: &[u8]) -> Result<Self, BadModel> {
        Model::read(file).map(|model| Self { model: Arc::new(model) })
    }

    /// With a model of one's own.
    pub fn of(model: Model) -> Self {
        Self { model: Arc::new(model) }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The file of the model that ships.
    pub fn asset() -> &'static [u8] {
        SHIPPED
    }

    /// Looks at a prompt.
    pub fn classify(&self, prompt: &Prompt<'_>) -> Opinion {
        let (score, scan) = self.model.score(&prompt.text);
        let tasks = task::shares(&scan);
        Opinion {
            score,
            complexity: bounded(self.model.level(score), &scan).max(least(&prompt.shape)),
            task: task::greatest(&tasks),
            tasks,
        }
    }

    /// Why it thinks so: the words, then the counts, that moved the score most.
    pub fn why(&self, prompt: &Prompt<'_>) -> Vec<String> {
        let parts = self.model.parts(&prompt.text);
        let (score, scan) = self.model.score(&prompt.text);
        let level = self.model.level(score);
        let mut words: Vec<(f64, &str)> = prompt
            .text
            .split(|char: char| !char.is_alphanumeric())
            .filter(|word| !word.is_empty() && word.len() <= LONGEST_WORD)
            .map(|word| (self.model.word(word), word))
            .collect();
        // The same word once, by what it weighs.
        words.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(b.1)));
        words.dedup_by(|a, b| a.1 == b.1);
        let told = words.iter().filter(|(weight, _)| *weight != 0.0).take(REASONS);
        let mut reasons: Vec<String> =
            told.map(|(weight, word)| format!("the word `{word}` speaks for {}", side(*weight))).collect();
        let mut counts: Vec<(usize, f64)> = parts.into_iter().enumerate().collect();
        counts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let told = counts.iter().filter(|(_, moved)| *moved != 0.0).take(REASONS);
        match bounded(level, &scan) {
            bound if bound > level => reasons.push(format!("{DEMANDING}: at least {bound}")),
            bound if bound < level => reasons.push(format!("{SHORT}: at most {bound}")),
            _ => {}
        }
        reasons.extend(told.map(|(feature, moved)| {
            format!("{}: {moved:+.2}, for {}", features::name(*feature), side(*moved))
        }));
        reasons
    }
}

/// What a prompt that begins so cannot be below.
const DEMANDING: &str = "it asks for a proof, or for analysis of more than one kind";
/// What a prompt of so few words cannot be above.
const SHORT: &str = "a few words without code, mathematics, or analysis";
const DEMANDING_LEVEL: u8 = 6;
const SHORT_LEVEL: u8 = 3;
const FEW_WORDS: u32 = 8;
/// Text with letters beyond ASCII is short below so many bytes: Chinese, Japanese, Thai have no spaces between words, and the
/// words that tell hard prompts are English.
const FEW_BYTES: u32 = 60;

/// A level within hand-set bounds: benchmarks hold neither small talk nor large designs, so that a model that is trained
/// on them knows little of either. Scores are left as they are.
fn bounded(level: u8, scan: &Scan) -> u8 {
    let hard =
        [Class::Code, Class::Keyword, Class::Mathematics, Class::Proof, Class::Analysis, Class::Reasoning];
    if scan.early(Class::Proof) > 0 || scan.early(Class::Analysis) > 1 {
        level.max(DEMANDING_LEVEL)
    } else if scan.tokens() <= FEW_WORDS
        && (scan.mark(Mark::Foreign) == 0 || scan.length() < FEW_BYTES)
        && scan.mark(Mark::Digits) == 0
        && hard.iter().all(|class| scan.class(*class) == 0)
    {
        level.min(SHORT_LEVEL)
    } else {
        level
    }
}

fn side(moved: f64) -> &'static str {
    if moved > 0.0 { "a stronger model" } else { "a cheaper model" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::classify::{Classifier, Keywords, Shape, Task};

    fn of(text: &str) -> Opinion {
        Builtin::new().classify(&Prompt::text(text))
    }

    #[test]
    fn the_model_that_ships_is_whole_and_small() {
        assert!(SHIPPED.len() <= 100 * 1024, "{}", SHIPPED.len());
        let model = Model::read(SHIPPED).unwrap();
        assert!(model.header.contains("APGR") && model.header.contains("Apache-2.0"), "{}", model.header);
        assert_eq!(model.write(), SHIPPED);
        let mut damaged = SHIPPED.to_vec();
        damaged[5000] ^= 1;
        assert!(Model::read(&damaged).is_err());
        assert!(model.edges.is_sorted(), "{:?}", model.edges);
    }

    #[test]
    fn everyday_prompts_are_below_hard_ones() {
        for easy in ["hi", "What is the capital of Italy?", "Translate 'good evening' to German.", "thanks!"]
        {
            assert!(of(easy).complexity <= 4, "{easy}: {:?}", of(easy));
        }
        for hard in [
            "Prove that the square root of 2 is irrational, then generalize the proof rigorously to all non-square integers \
             and discuss which step fails for perfect squares.",
            "Prove that sqrt 2 is irrational",
            "Design a distributed transaction protocol for five regions that survives the loss of two, compare it with \
             two-phase commit and Paxos, analyze the trade-offs and justify every choice you make.",
        ] {
            assert!(of(hard).complexity >= 6, "{hard}: {:?}", of(hard));
        }
    }

    #[test]
    fn text_without_spaces_is_not_taken_for_a_few_words() {
        let highest = |text: &str| bounded(10, &Scan::of(text, &mut ()));
        for hard in [
            "请设计一个跨越五个地区的分布式事务协议并证明它在丢失两个地区时仍然保持一致性同时与其他协议比较",
            "五つの地域にまたがる分散トランザクションプロトコルを設計し一貫性を証明してください",
            "จงออกแบบโปรโตคอลธุรกรรมแบบกระจายสำหรับห้าภูมิภาค",
            "Докажите, что корень из двух иррационален",
        ] {
            assert_eq!(highest(hard), 10, "{hard}");
        }
        for easy in
            ["你好", "Привет!", "Что это такое?", "今天天气怎么样", "and what is the weather like there"]
        {
            assert_eq!(highest(easy), SHORT_LEVEL, "{easy}");
        }
    }

    #[test]
    fn the_shape_sets_a_floor() {
        let with = |shape: Shape| Builtin::new().classify(&Prompt { text: "hi".into(), shape }).complexity;
        assert!(with(Shape { tools: 2, ..Shape::default() }) < 5);
        for shape in [
            Shape { tools: 3, ..Shape::default() },
            Shape { context_tokens: 16_001, ..Shape::default() },
            Shape { images: 1, ..Shape::default() },
            Shape { schema: true, ..Shape::default() },
        ] {
            assert!(with(shape) >= 5, "{shape:?}");
            let keywords = Classifier::Keywords(Keywords::new(&crate::config::Keywords::default()));
            assert!(keywords.classify(&Prompt { text: "simple".into(), shape }).complexity >= 5);
        }
    }

    #[test]
    fn tasks_are_told_apart() {
        for (text, task) in [
            ("Write a Python function that parses a CSV file", Task::CodeGeneration),
            ("Solve the equation x^2 - 5x + 6 = 0", Task::Mathematics),
            ("Who was the first president of the United States?", Task::Knowledge),
            ("Translate this sentence to French: I am tired.", Task::Translation),
            ("Summarize the following text in two sentences.", Task::Summarization),
            ("Write a poem about the sea", Task::CreativeWriting),
            ("Hello there!", Task::Chat),
            ("Extract all email addresses and return them as JSON", Task::Extraction),
            ("Analyze the trade-offs of both plans and recommend one", Task::Reasoning),
            ("According to the attached document, what does the report conclude?", Task::DocumentAnalysis),
        ] {
            assert_eq!(of(text).task, task, "{text}: {:?}", of(text).tasks);
        }
    }

    #[test]
    fn reasons_are_told() {
        let why =
            Classifier::Builtin(Builtin::new()).why(&Prompt::text("Prove the theorem about prime numbers."));
        assert!(why.len() >= 4, "{why:?}");
    }

    proptest! {
        #[test]
        fn any_text_gets_an_opinion(bytes in proptest::collection::vec(any::<u8>(), 0..20_000), tools: u32) {
            let text = String::from_utf8_lossy(&bytes);
            let shape = Shape { tools, ..Shape::default() };
            let prompt = Prompt { text, shape };
            for classifier in [
                Classifier::Builtin(Builtin::new()),
                Classifier::Keywords(Keywords::new(&crate::config::Keywords::default())),
            ] {
                let opinion = classifier.classify(&prompt);
                prop_assert!(opinion.score.is_finite());
                prop_assert!((1..=10).contains(&opinion.complexity));
                let sum: f32 = opinion.tasks.iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-3, "{sum}");
                prop_assert_eq!(&opinion, &classifier.classify(&prompt));
            }
        }

        #[test]
        fn any_words_get_an_opinion(text in "([A-Za-z0-9]{1,9}[ .,\n]?|\\PC|[(][A-J][)]\n?|`{1,3}){0,300}") {
            let opinion = of(&text);
            prop_assert!(opinion.score.is_finite() && (1..=10).contains(&opinion.complexity));
        }
    }
}
