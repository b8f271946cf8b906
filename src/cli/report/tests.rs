//! The three forms of a report, as they are printed.

use clap::Parser;

use super::*;
use crate::{
    base::money::Nanos,
    ledger::{
        Kind,
        report::{NO_NAME, NameId, Names, Report, Row, Tokens},
    },
};

/// The 21st of November 2026, noon.
const NOW: i64 = 1_795_262_400_000;
const DAY: i64 = 24 * 60 * 60 * 1000;
const CENT: i64 = 10_000_000;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    report: ReportArgs,
}

fn args(line: &[&str]) -> ReportArgs {
    Line::try_parse_from(["report"].iter().chain(line)).unwrap().report
}

struct Named;

impl Names for Named {
    fn name(&self, id: NameId) -> String {
        let names =
            ["", "gpt-4.1", "kimi, \"k2\"", "a\u{1b}[31mb", "standard", "openai", "moonshot", "company"];
        names[id as usize].to_owned()
    }

    fn tags(&self, _: NameId) -> Vec<String> {
        Vec::new()
    }
}

fn first() -> Row {
    Row {
        time: NOW - 1000,
        attempt: 1,
        position: 1,
        kind: Kind::Actual,
        answered: true,
        from_cache: false,
        priced: true,
        tokens: Tokens { input: 1000, cached_input: 200, cache_write: 0, output: 300, reasoning: 50 },
        cost: Nanos(50 * CENT),
        baseline: Some(Nanos(80 * CENT)),
        first_choice: Some(Nanos(50 * CENT)),
        key: NO_NAME,
        route: 4,
        tier: NO_NAME,
        model: 1,
        provider: 5,
        tags: NO_NAME,
        budget: NO_NAME,
    }
}

fn summary(args: &ReportArgs) -> Summary {
    let failed = Row { answered: false, kind: Kind::Estimated, cost: Nanos(1), ..first() };
    let second = Row { attempt: 2, position: 2, model: 2, provider: 6, cost: Nanos(60 * CENT), ..first() };
    let refused = Row {
        attempt: 0,
        position: 0,
        answered: false,
        cost: Nanos::ZERO,
        tokens: Tokens::default(),
        model: NO_NAME,
        provider: NO_NAME,
        ..first()
    };
    let hit = Row { answered: true, from_cache: true, ..refused };
    let odd = Row { model: 3, priced: false, cost: Nanos::ZERO, ..first() };
    let adjustment = Row { kind: Kind::Adjustment, budget: 7, cost: Nanos(5 * CENT), ..refused };
    let mut report = Report::new(question(args, NOW).unwrap());
    for row in [first(), first(), first(), failed, second, refused, hit, odd, adjustment] {
        report.fold(&row);
        if row.kind != Kind::Adjustment {
            report.spent(row.time, row.cost.0);
        }
    }
    report.began(Some(first().time));
    report.finish(&Named)
}

fn printed(line: &[&str]) -> String {
    let args = args(line);
    let mut out = Vec::new();
    print(&summary(&args), &args, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn people_read_columns() {
    let expected = r#"From 2026-11-14 12:00 until 2026-11-21 12:00 (UTC)

Requests   7 asked, 6 answered (85.71%), 6 attempts
Tokens     7,200 in (1,200 of them from a provider's cache), 2,100 out (300 of them thought)
Cost       $2.1000, of it $<0.0001 estimated (attempts not in it, for want of a price: 1)
Saved      $1.1000 by routing, $0.8000 by the cache, against the baseline model
Fallbacks  $0.1000 more than the first choices would have cost
Month      $2.1000 spent in 2026-11, $22.0500 at its end if 9.5 days more cost $2.1000 each, like the last ones

Model       asked  answered  attempts  tokens in  tokens out     cost    saved
gpt-4.1         4         3         4      4,800       1,400  $1.5000  $0.9000  ████████████████
kimi, "k2"      0         1         1      1,200         350  $0.6000  $0.2000  ██████
a?[31mb         1         1         1      1,200         350  $0.0000  $0.0000
none            2         1         0          0           0  $0.0000  $0.8000

Place in the chain  answered   share     cost
1                          4  80.00%  $1.5000  ████████████████
2                          1  20.00%  $0.6000  ████

Route     asked  answered  availability
standard      7         6        85.71%

Provider  attempts  answered  availability
moonshot         1         1       100.00%
openai           5         4        80.00%

Fallbacks in  attempts     cost  more than first choice  not known
2026-W47             1  $0.6000                 $0.1000          0

Adjustments after a crash (what it may have left unwritten; in no figure above)
  company: $0.0500 (rows: 1)
"#;
    assert_eq!(printed(&[]), expected);
}

#[test]
fn csv_quotes_what_would_break_a_line() {
    let expected = [
        "model,asked,answered,attempts,input_tokens,cached_input_tokens,cache_write_tokens,output_tokens,\
         reasoning_tokens,cost_usd,estimated_usd,unpriced,saved_by_routing_usd,saved_by_cache_usd,fallback_usd,\
         fallback_unknown",
        "gpt-4.1,4,3,4,4000,800,0,1200,200,1.500000001,0.000000001,0,0.899999999,0,0,0",
        "\"kimi, \"\"k2\"\"\",0,1,1,1000,200,0,300,50,0.6,0,0,0.2,0,0.1,0",
        "a\u{1b}[31mb,1,1,1,1000,200,0,300,50,0,0,1,0,0,0,0",
        "none,2,1,0,0,0,0,0,0,0,0,0,0,0.8,0,0",
    ];
    let lines: String = expected.iter().map(|line| format!("{line}\r\n")).collect();
    assert_eq!(printed(&["--csv"]), lines);
}

#[test]
fn json_is_the_object_of_the_admin_api() {
    let text = printed(&["--json", "--by", "position"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json, serde_json::to_value(summary(&args(&["--by", "position"]))).unwrap());
    assert!(text.ends_with("}\n"));
    let names: Vec<&str> =
        json["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["none", "1", "2"]);
}

#[test]
fn times_are_asked_for_in_words() {
    let period = |line: &[&str]| question(&args(line), NOW).map(|question| question.period);
    assert_eq!(period(&[]), Ok(Period { since: NOW - 7 * DAY, until: NOW + 1 }));
    let since = period(&["--since", "2026-11-01", "--until", "12h"]);
    assert_eq!(since, Ok(Period { since: NOW - 20 * DAY - DAY / 2, until: NOW - DAY / 2 }));
    let error = period(&["--since", "yesterday"]).unwrap_err();
    assert!(
        error.starts_with("--since `yesterday`: it is no time: write how long ago, like `7d`"),
        "{error}"
    );
    let error = period(&["--until", "8d"]).unwrap_err();
    assert_eq!(error, "--since: `since` must be before `until`");
}

#[test]
fn groups_have_names() {
    let error = Line::try_parse_from(["report", "--by", "colour"]).err().unwrap().to_string();
    assert!(error.contains("model") && error.contains("position"), "{error}");
    assert!(Line::try_parse_from(["report", "--json", "--csv"]).is_err());
}

/// What asking for a report of this ledger says.
fn refused(url: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    let url = url.replace("FOLDER", folder.path().to_str().unwrap());
    std::fs::write(
        folder.path().join("text.db"),
        "no database, but long enough to be taken for one; ".repeat(40),
    )
    .unwrap();
    rusqlite::Connection::open(folder.path().join("foreign.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    std::fs::write(&file, format!("[ledger]\nurl = \"{url}\"\n")).unwrap();
    run(&[file], &args(&[]), &mut Vec::new()).unwrap_err().replace(folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn a_ledger_that_cannot_be_read_is_explained() {
    assert!(refused("sqlite::memory:").contains("ask that one: GET /admin/report"));
    let missing = refused("sqlite:FOLDER/weir.db");
    assert!(
        missing.contains("read `FOLDER/weir.db` (ledger.url): there is none yet; a server makes it"),
        "{missing}"
    );
    for foreign in ["text.db", "foreign.db"] {
        let error = refused(&format!("sqlite:FOLDER/{foreign}"));
        assert!(error.contains(&format!("`FOLDER/{foreign}` is no ledger of weir")), "{error}");
    }
    assert!(refused("sqlite:FOLDER").contains("read `FOLDER` (ledger.url)"));
}
