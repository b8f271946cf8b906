//! The classifier that ships with Weir.

use super::{Opinion, Prompt, least, scan::Scan, task};

/// The classifier that ships with Weir.
#[derive(Clone, Debug, Default)]
pub struct Builtin(());

/// From which length on, in bytes, a prompt is of each complexity above 1.
const LENGTHS: [u32; 9] = [30, 80, 140, 200, 280, 400, 600, 1000, 2000];

impl Builtin {
    /// What ships.
    pub fn new() -> Self {
        Self(())
    }

    /// Looks at a prompt.
    pub fn classify(&self, prompt: &Prompt<'_>) -> Opinion {
        let scan = Scan::of(&prompt.text, &mut ());
        let tasks = task::shares(&scan);
        let complexity = 1 + LENGTHS.iter().filter(|length| scan.length() >= **length).count() as u8;
        Opinion {
            score: f64::from(scan.length()),
            complexity: complexity.max(least(&prompt.shape)),
            task: task::greatest(&tasks),
            tasks,
        }
    }

    /// Why it thinks so.
    pub fn why(&self, prompt: &Prompt<'_>) -> Vec<String> {
        vec![format!("{} bytes long", prompt.text.len())]
    }
}
