//! What the file holds, across restarts.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::config::Scope;

#[test]
fn sums_are_exact_after_a_clean_restart_without_an_adjustment() {
    let home = Home::new();
    let (ledger, opened) = home.open();
    assert_eq!(opened, Opened::default());
    ledger.raise(vec![mark("company", 1_000_000)]).wait().unwrap();
    for cost in 1..=100 {
        drop(ledger.post(entry(cost), vec![charge("company", cost), charge("other", 2 * cost)]));
    }
    wait(ledger.close()).unwrap();
    let (ledger, opened) = home.open();
    let mut accounts = opened.accounts;
    accounts.sort_by(|a, b| a.window.account.cmp(&b.window.account));
    assert_eq!(accounts, [state("company", 5050, 5050), state("other", 10_100, 10_100)]);
    assert_eq!(opened.adjusted, 0);
    let look = home.look();
    assert_eq!(number(&look, "SELECT count(*) FROM entries"), 100);
    assert_eq!(number(&look, "SELECT sum(cost) FROM entries"), 5050);
    drop(ledger);
}

#[test]
fn every_field_comes_back_through_the_view() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let row = entry(7);
    ledger.post(row.clone(), vec![]).wait().unwrap();
    let look = home.look();
    let text: String = look
        .query_row(
            "SELECT json_array(time, hex(id), hex(request), attempt, key, tags, route, tier, task, complexity, \
                requested_model, stream, cache, model, provider, position, kind, outcome, input, cached_input, \
                cache_write, cache_write_1h, audio_input, output, reasoning, audio_output, cost, priced, baseline, \
                first_choice, first_byte_ms, duration_ms, overhead_us, budget, quality) FROM ledger_rows",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let id = row.id.simple().to_string().to_uppercase();
    let request = row.origin.request_id[4..].to_uppercase();
    let expected = format!(
        r#"[{NOON},"{id}","{request}",1,"support-bot","{{\"team\":\"support\"}}","standard","standard","code_generation",5,"auto",1,"bypass","gpt-4.1","openai",1,"actual","ok",1200,0,0,0,0,340,0,0,7,1,9000000,7,420,5300,180,null,"too_short"]"#
    );
    assert_eq!(text, expected);
}

#[test]
fn a_crash_costs_the_rest_of_each_watermark_once() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.raise(vec![mark("company", 1000), mark(QUOTA, 20)]).wait().unwrap();
    ledger.post(entry(300), vec![charge("company", 300), charge(QUOTA, 1)]).wait().unwrap();
    drop(ledger);
    let (ledger, opened) = home.open();
    assert_eq!(opened.adjusted, 2);
    assert_eq!(opened.accounts, [state("company", 1000, 1000), state(QUOTA, 20, 20)]);
    let look = home.look();
    let adjusted = "SELECT sum(cost) FROM ledger_rows WHERE kind = 'adjustment' AND budget = 'company'";
    assert_eq!(number(&look, adjusted), 700);
    assert_eq!(number(&look, "SELECT sum(cost) FROM entries"), 1000, "requests are no money");
    drop(ledger);
    assert_eq!(home.open().1.adjusted, 0);
    assert_eq!(number(&look, "SELECT sum(cost) FROM entries"), 1000);
}

#[test]
fn what_is_held_at_the_end_is_counted_as_spent() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.raise(vec![mark("company", 100)]).wait().unwrap();
    drop(ledger.post(entry(30), vec![charge("company", 30)]));
    wait(ledger.close_holding()).unwrap();
    let opened = home.open().1;
    assert_eq!((opened.adjusted, opened.accounts), (1, vec![state("company", 100, 100)]));
}

#[test]
fn an_adjustment_lies_in_its_window() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.raise(vec![mark("company", 1000)]).wait().unwrap();
    let raised = number(&home.look(), "SELECT touched FROM accounts");
    drop(ledger);
    let two_days_later = NOON + 2 * 86_400_000;
    let metrics = Metrics::new().unwrap();
    soon("the next start", || {
        Ledger::open(&home.config(), &metrics, Clock::of(move || two_days_later)).is_ok()
    });
    assert_eq!(number(&home.look(), "SELECT time FROM entries"), raised);
}

#[test]
fn one_server_owns_a_file() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let again = Ledger::open(&home.config(), &Metrics::new().unwrap(), noon()).unwrap_err().to_string();
    assert!(again.contains("ledger.url") && again.contains("another weir server"), "{again}");
    drop(ledger);
    assert!(home.try_open().is_ok());
}

#[test]
fn a_link_to_a_file_is_that_file() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let link = home.folder.path().join("link.db");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    let config = config::Ledger { url: format!("sqlite:{}", link.display()), ..home.config() };
    let again = Ledger::open(&config, &Metrics::new().unwrap(), noon()).unwrap_err();
    assert!(matches!(again, LedgerError::Owned(_)), "{again}");
    drop(ledger);
}

#[test]
fn only_the_owner_may_read_the_files() {
    let home = Home::new();
    fs::write(home.path(), "").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let (ledger, _) = home.open();
    ledger.post(entry(1), vec![]).wait().unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(home.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["weir.db", "weir.db-shm", "weir.db-wal", "weir.db.lock"]);
}

#[track_caller]
fn assert_refused(home: &Home, words: &str) {
    let before = fs::read(home.path()).unwrap();
    let why = home.try_open().unwrap_err().to_string();
    assert!(why.contains(words) && why.contains("ledger.url"), "{why}");
    assert!(Ledger::open_shared(&home.config(), true).unwrap_err().to_string().contains(words));
    assert_eq!(fs::read(home.path()).unwrap(), before, "it was written to");
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let home = Home::new();
    fs::write(home.path(), "not a database, but long enough to look like something".repeat(50)).unwrap();
    assert_refused(&home, "is no ledger");
    let home = Home::new();
    home.look().execute_batch("CREATE TABLE others (a)").unwrap();
    assert_refused(&home, "is no ledger");
}

#[test]
fn a_newer_file_is_refused() {
    let home = Home::new();
    wait(home.open().0.close()).unwrap();
    home.look().execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_refused(&home, "upgrade weir");
}

#[test]
fn wrong_urls_say_what_is_right() {
    for url in ["", "weir.db", "sqlite:", "sqlite://", "postgres://localhost/weir"] {
        let config = config::Ledger { url: url.into(), ..config::Ledger::default() };
        let why = Ledger::open(&config, &Metrics::new().unwrap(), noon()).unwrap_err().to_string();
        assert!(why.contains("sqlite:PATH"), "{why}");
    }
    let config = config::Ledger { url: "sqlite:/nowhere/at/all/weir.db".into(), ..config::Ledger::default() };
    let why = Ledger::open(&config, &Metrics::new().unwrap(), noon()).unwrap_err().to_string();
    assert!(why.contains("/nowhere/at/all/weir.db"), "{why}");
}

#[test]
fn a_row_that_was_written_is_not_written_again() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let row = entry(5);
    ledger.post(row.clone(), vec![charge("company", 5)]).wait().unwrap();
    ledger.post(row, vec![charge("company", 5)]).wait().unwrap();
    assert_eq!(number(&home.look(), "SELECT posted FROM accounts"), 5);
}

/// Rows of all kinds, one after the other.
fn mixed() -> Vec<store::Post> {
    let long = "m".repeat(600);
    let row = |number: usize| {
        let one = |place: usize| number >> place & 1 == 1;
        let pick = |place: usize, texts: [&str; 2]| -> Arc<str> { texts[usize::from(one(place))].into() };
        let plain = entry(if one(0) { 7 } else { number as i64 });
        let tag = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
        let origin = Origin {
            request_id: if one(1) {
                plain.origin.request_id.clone()
            } else {
                format!("mine-{number}").into()
            },
            key: pick(2, ["", "bot"]),
            tags: Arc::new(if one(3) { tag(["a", &long][usize::from(one(1))]) } else { BTreeMap::new() }),
            tier: one(4).then(|| "standard".into()),
            complexity: one(5).then_some(3),
            requested_model: pick(0, ["auto", &long]),
            stream: one(2),
            ..(*plain.origin).clone()
        };
        let entry = Entry {
            id: Uuid::from_u128(number as u128),
            origin: Arc::new(origin),
            model: one(1).then(|| pick(4, ["a", &long])),
            quality: one(3).then_some("ok"),
            priced: one(5),
            baseline: one(0).then_some(Nanos(9)),
            usage: Usage { output: number as u64 % 3, ..Usage::default() },
            budget: one(5).then(|| pick(0, ["company", "team"])),
            ..plain
        };
        store::Post { entry, charges: vec![charge("company", 1)] }
    };
    // In an order in which now much, now little changes; a few come twice.
    (0..80).map(|step| row(step * 37 % 64)).collect()
}

#[test]
fn what_rows_have_in_common_is_theirs_alone() {
    let mixed = mixed();
    let rows = |batches: &[&[store::Post]]| -> Vec<String> {
        let home = Home::new();
        let mut store = Sqlite::open(&home.config().url).unwrap();
        for posts in batches {
            store.commit(&Batch { posts, ..Batch::default() }).unwrap();
        }
        let look = home.look();
        assert_eq!(number(&look, "SELECT posted FROM accounts"), 64, "each row counts once");
        let mut all = look.prepare("SELECT * FROM ledger_rows ORDER BY time, id").unwrap();
        let columns = all.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|at| row.get_ref(at)).map(|value| Ok(format!("{:?}", value?))).collect()
        };
        all.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let singly: Vec<_> = mixed.chunks(1).collect();
    let together = rows(&[&mixed]);
    assert_eq!(together.len(), 64);
    assert_eq!(together, rows(&singly));
}

#[test]
fn sums_stay_at_the_bounds() {
    let home = Home::new();
    let (ledger, _) = home.open();
    for _ in 0..3 {
        ledger.post(entry(i64::MAX), vec![charge("company", i64::MAX)]).wait().unwrap();
    }
    assert_eq!(number(&home.look(), "SELECT posted FROM accounts"), i64::MAX);
    let query = SpentQuery { scope: Scope::Global, window: window("company", "") };
    assert_eq!(wait(ledger.books().spent(query)).unwrap(), [(String::new(), Nanos::MAX)]);
}

#[test]
fn a_seed_lowers_nothing_that_is_known() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seed(vec![state("company", 40, 40)]).wait().unwrap();
    ledger.raise(vec![mark("company", 100)]).wait().unwrap();
    ledger.post(entry(5), vec![charge("company", 5)]).wait().unwrap();
    ledger.seed(vec![state("company", 0, 0), state("team", 7, 7)]).wait().unwrap();
    ledger.seed(vec![state("team", 9, 9)]).wait().unwrap();
    wait(ledger.close()).unwrap();
    assert_eq!(home.open().1.accounts, [state("company", 45, 45), state("team", 9, 9)]);
}

#[test]
fn callers_without_a_key_have_a_sum() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let by = |key: &str, cost| {
        let one = entry(cost);
        let origin = Origin { key: key.into(), ..(*one.origin).clone() };
        ledger.post(Entry { origin: Arc::new(origin), ..one }, vec![]).wait().unwrap();
    };
    by("", 5);
    by("bot", 7);
    by("", 9);
    let spent = |name: &str| {
        let query = SpentQuery { scope: Scope::Key(name.into()), window: window("b", name) };
        wait(ledger.books().spent(query)).unwrap().into_iter().map(|(_, sum)| sum.0).sum::<i64>()
    };
    assert_eq!((spent("-"), spent("bot")), (14, 7));
}

#[test]
fn a_ledger_in_memory_is_read_beside_its_writer() {
    let config = config::Ledger { url: "sqlite::memory:".into(), ..config::Ledger::default() };
    let open = || Ledger::open(&config, &Metrics::new().unwrap(), noon()).unwrap().0;
    let (ledger, other) = (open(), open());
    let query = SpentQuery { scope: Scope::Global, window: window("", "") };
    wait(async {
        for sum in 1..=50 {
            ledger.post(entry(1), vec![]).await.unwrap();
            assert_eq!(ledger.books().spent(query.clone()).await.unwrap()[0].1, Nanos(sum));
        }
        assert_eq!(other.books().spent(query.clone()).await.unwrap()[0].1, Nanos(0));
        ledger.close().await.unwrap();
        assert!(ledger.check().is_err());
        assert!(ledger.post(entry(1), vec![]).await.is_err());
    });
    assert!(Ledger::open_shared(&config, true).is_err());
}
