//! The lines of the demo, for a terminal or a file.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

/// How long the longest word before a line is.
const WORD: usize = 9;

/// A line of the running commentary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What kind of thing happened.
    pub word: &'static str,
    /// How it is to be taken.
    pub tone: Tone,
    /// What happened, with the reason.
    pub text: String,
}

/// How a line is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Something is better than it was.
    Good,
    /// Something is worth a look.
    Odd,
    /// Something is broken.
    Bad,
}

impl Line {
    /// A line.
    pub fn new(word: &'static str, tone: Tone, text: impl Into<String>) -> Self {
        Self { word, tone, text: text.into() }
    }
}

/// Where the lines go.
pub struct Screen<W> {
    out: W,
    coloured: bool,
}

impl Screen<io::Stdout> {
    /// The standard output; with colours where a person looks and did not say `NO_COLOR`.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let coloured = wanted && out.is_terminal();
        Self { out, coloured }
    }
}

impl<W: Write> Screen<W> {
    /// A line that stands by itself.
    ///
    /// # Errors
    /// Those of the output.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The head of a chapter.
    ///
    /// # Errors
    /// Those of the output.
    pub fn chapter(&mut self, at: Duration, title: &str, lead: &[&str]) -> io::Result<()> {
        let title = self.styled("1", &format!("── {title} ──"));
        writeln!(self.out, "\n{}  {title}", stamp(at))?;
        for line in lead {
            writeln!(self.out, "       {line}")?;
        }
        self.out.flush()
    }

    /// A line with its time since the start.
    ///
    /// # Errors
    /// Those of the output.
    pub fn line(&mut self, at: Duration, line: &Line) -> io::Result<()> {
        let word = format!("{:WORD$}", line.word);
        let word = match line.tone {
            Tone::Plain => self.styled("2", &word),
            Tone::Good => self.styled("32", &word),
            Tone::Odd => self.styled("33", &word),
            Tone::Bad => self.styled("31", &word),
        };
        writeln!(self.out, "{}  {word}  {}", stamp(at), line.text)?;
        self.out.flush()
    }

    /// The output itself.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A time since the start, like `01:07`.
fn stamp(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_then_what_then_why() {
        let show = |coloured| {
            let mut screen = Screen { out: Vec::new(), coloured };
            let line = Line::new("opened", Tone::Bad, "medium is left alone: it fails.");
            screen.line(Duration::from_millis(67_900), &line).unwrap();
            String::from_utf8(screen.out).unwrap()
        };
        assert_eq!(show(false), "01:07  opened     medium is left alone: it fails.\n");
        assert_eq!(show(true), "01:07  \x1b[31mopened   \x1b[0m  medium is left alone: it fails.\n");
        assert_eq!(stamp(Duration::from_secs(6000)), "100:00");
    }
}
