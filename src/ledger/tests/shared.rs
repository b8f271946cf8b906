//! What is done beside the writer: sums, keys, answers; what is deleted in time.

use bytes::Bytes;

use super::*;
use crate::config::Scope;

fn key(name: &str, digit: char) -> KeyRow {
    KeyRow {
        name: name.into(),
        hash: format!("sha256:{}", digit.to_string().repeat(64)),
        settings: KeySettings {
            routes: Some(vec!["auto".into()]),
            rpm: 60,
            tags: BTreeMap::from([("team".to_owned(), "support".to_owned())]),
            budgets: vec![config::Budget::named("own")],
            ..KeySettings::default()
        },
        created: NOON,
        revoked: None,
    }
}

#[test]
fn keys_are_written_beside_a_running_server() {
    let home = Home::new();
    // Before the first start of a server.
    assert!(Ledger::open_shared(&home.config(), false).unwrap().is_none() && !home.path().exists());
    let tool = Ledger::open_shared(&home.config(), true).unwrap().unwrap();
    wait(tool.put_key(key("a", '1'))).unwrap();
    let (ledger, _) = home.open();
    wait(async {
        let before = ledger.books().keys_version().await.unwrap();
        assert_eq!(ledger.books().keys().await.unwrap(), [key("a", '1')]);
        tool.put_key(key("b", '2')).await.unwrap();
        let after = ledger.books().keys_version().await.unwrap();
        assert_ne!(before, after);
        assert!(
            matches!(tool.put_key(key("a", '3')).await, Err(LedgerError::KeyExists(name)) if name == "a")
        );
        assert!(
            matches!(tool.put_key(key("c", '2')).await, Err(LedgerError::KeyExists(name)) if name == "b")
        );
        assert_eq!(ledger.books().keys_version().await.unwrap(), after);
        tool.revoke_key("a".into(), NOON + 1).await.unwrap();
        assert_ne!(ledger.books().keys_version().await.unwrap(), after);
        assert!(matches!(tool.revoke_key("a".into(), NOON).await, Err(LedgerError::NoSuchKey(_))));
        assert_eq!(ledger.books().keys().await.unwrap()[0].revoked, Some(NOON + 1));
        ledger.books().put_key(key("a", '3')).await.unwrap();
        assert_eq!(tool.keys().await.unwrap(), [key("a", '3'), key("b", '2')]);
        ledger.post(entry(1), vec![]).await.unwrap();
    });
    assert_eq!(key("a", '1').key().hash, Some(key("a", '1').hash));
}

#[test]
fn a_tool_leaves_a_servers_file_at_its_version() {
    let home = Home::new();
    let (ledger, _) = home.open();
    drop(Ledger::open_shared(&home.config(), false).unwrap());
    ledger.post(entry(1), vec![]).wait().unwrap();
}

#[test]
fn spending_is_summed_by_scope() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let posted = |cost: i64, key: &str, change: &dyn Fn(&mut Entry)| {
        let mut row = entry(cost);
        let mut origin = (*row.origin).clone();
        origin.key = key.into();
        if key == "b" {
            origin.tags = Arc::default();
            origin.route = "premium".into();
        }
        row.origin = Arc::new(origin);
        change(&mut row);
        ledger.post(row, vec![]).wait().unwrap();
    };
    posted(1, "a", &|_| {});
    posted(2, "b", &|_| {});
    posted(4, "a", &|row| row.model = Some("other".into()));
    posted(8, "a", &|row| row.time = DAY * 1000 - 1);
    posted(16, "", &|_| {});
    let spent = |scope| {
        let query = SpentQuery { scope, window: window("new", "") };
        let sums = wait(ledger.books().spent(query)).unwrap();
        sums.into_iter().map(|(holder, sum)| format!("{holder}={}", sum.0)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(spent(Scope::Global), "=23");
    assert_eq!(spent(Scope::Key("a".into())), "=5");
    assert_eq!(spent(Scope::Key("nobody".into())), "=0");
    assert_eq!(spent(Scope::EachKey), "=16 a=5 b=2");
    assert_eq!(spent(Scope::Tag("team".into(), "support".into())), "=21");
    assert_eq!(spent(Scope::Tag("team".into(), "sales".into())), "=0");
    assert_eq!(spent(Scope::Route("premium".into())), "=2");
    assert_eq!(spent(Scope::Model("other".into())), "=4");
    assert_eq!(spent(Scope::Provider("openai".into())), "=23");
}

#[test]
fn an_adjustment_counts_in_its_own_window_alone() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let to = |window, to| Watermark { window, to: Nanos(to) };
    let monthly = |start| {
        let mut window = window("company", "");
        window.account.period = Period::Monthly;
        AccountWindow { start, ..window }
    };
    let raises = vec![
        to(window("company", ""), 1),
        to(monthly(DAY), 2),
        to(monthly(DAY - 1), 4),
        to(window("company", "a"), 8),
        to(window("other", ""), 16),
    ];
    ledger.raise(raises).wait().unwrap();
    drop(ledger);
    let (ledger, opened) = home.open();
    assert_eq!(opened.adjusted, 5);
    let spent = |scope, window| wait(ledger.books().spent(SpentQuery { scope, window })).unwrap()[0].1.0;
    assert_eq!(spent(Scope::Global, window("company", "")), 1);
    assert_eq!(spent(Scope::Global, monthly(DAY)), 2);
    assert_eq!(spent(Scope::Key("a".into()), window("company", "a")), 8);
    assert_eq!(spent(Scope::Global, window("new", "")), 0);
}

fn kept(idempotency_key: &str, bytes: usize) -> KeptAnswer {
    KeptAnswer {
        key: Key { key: "a".into(), idempotency_key: idempotency_key.into() },
        request: [7; 32],
        status: 200,
        content_type: "application/json".into(),
        stream: false,
        created: NOON,
        body: Bytes::from(vec![b'x'; bytes]),
    }
}

#[test]
fn ten_requests_with_one_key_get_one_answer() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let answer = kept("k", 100);
    wait(async {
        let Begun::Lead(lead) = ledger.begin(&answer.key, &[7; 32], 0).await.unwrap() else {
            panic!("the first leads");
        };
        assert!(matches!(ledger.begin(&answer.key, &[8; 32], 0).await.unwrap(), Begun::Mismatch));
        let others: Vec<_> = (0..9)
            .map(|_| {
                let (ledger, key) = (ledger.clone(), answer.key.clone());
                tokio::spawn(async move { ledger.begin(&key, &[7; 32], 0).await.unwrap() })
            })
            .collect();
        tokio::task::yield_now().await;
        lead.finish(answer.clone()).await.unwrap();
        for other in others {
            assert!(matches!(other.await.unwrap(), Begun::Answered(given) if *given == answer));
        }
        let mine = ledger.begin(&answer.key, &[7; 32], 0).await.unwrap();
        assert!(matches!(mine, Begun::Answered(given) if *given == answer));
        assert!(matches!(ledger.begin(&answer.key, &[8; 32], 0).await.unwrap(), Begun::Mismatch));
        let other = Key { key: "b".into(), ..answer.key.clone() };
        assert!(matches!(ledger.begin(&other, &[7; 32], 0).await.unwrap(), Begun::Lead(_)), "another's");
        let later = ledger.begin(&answer.key, &[7; 32], NOON + 1).await.unwrap();
        assert!(matches!(later, Begun::Lead(_)), "too old");
    });
}

#[test]
fn the_next_one_leads_where_the_first_gave_up() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let key = kept("k", 1).key;
    wait(async {
        let first = ledger.begin(&key, &[7; 32], 0).await.unwrap();
        let waiting = tokio::spawn({
            let (ledger, key) = (ledger.clone(), key.clone());
            async move { ledger.begin(&key, &[7; 32], 0).await.unwrap() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(matches!(waiting.await.unwrap(), Begun::Lead(_)));
    });
}

#[test]
fn kept_answers_take_no_more_room_than_allowed() {
    let home = Home::new();
    let mut store = Sqlite::open(&home.config().url).unwrap();
    let mut keep = |name: &str, bytes: usize| {
        let answers = vec![Arc::new(kept(name, bytes))];
        store.commit(&Batch { answers, answers_max: 4000, ..Batch::default() }).unwrap();
    };
    for index in 0..20 {
        keep(&format!("k{index}"), 1000);
    }
    keep("large", 5000);
    keep("k19", 900);
    let look = home.look();
    assert_eq!(number(&look, "SELECT count(*) FROM answers"), 3);
    assert_eq!(number(&look, "SELECT sum(length(body)) FROM answers"), 2900);
    drop(store);
    let mut store = Sqlite::open(&home.config().url).unwrap();
    assert!(!store.prune(i64::MIN, NOON + 1, 10).unwrap());
    assert_eq!(number(&look, "SELECT count(*) FROM answers"), 0);
    let answers = vec![Arc::new(kept("k", 3800))];
    store.commit(&Batch { answers, answers_max: 4000, ..Batch::default() }).unwrap();
    assert_eq!(number(&look, "SELECT count(*) FROM answers"), 1);
}

#[test]
fn old_rows_go_a_few_at_a_time_while_budgets_keep_their_sums() {
    let home = Home::new();
    let mut store = Sqlite::open(&home.config().url).unwrap();
    let posts: Vec<_> = (0..2500)
        .map(|index| store::Post {
            entry: Entry { time: NOON - 1000 + index, ..entry(1) },
            charges: vec![charge("company", 1)],
        })
        .collect();
    store.commit(&Batch { posts: &posts, ..Batch::default() }).unwrap();
    let mut steps = 1;
    while store.prune(NOON, i64::MIN, 300).unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 4);
    let look = home.look();
    assert_eq!(number(&look, "SELECT count(*) FROM entries"), 1500);
    assert_eq!(number(&look, "SELECT min(time) FROM entries"), NOON);
    assert_eq!(number(&look, "SELECT posted FROM accounts"), 2500);
    let pages = number(&look, "PRAGMA page_count");
    let mut steps = 1;
    while store.vacuum().unwrap() {
        steps += 1;
    }
    assert!(steps <= 2, "a step frees many pages, not one: {steps}");
    assert!(number(&look, "PRAGMA page_count") < pages);
    // Two months later nobody asks for that day's window any more.
    store.prune(NOON + 60 * 86_400_000, i64::MIN, 2000).unwrap();
    assert_eq!(number(&look, "SELECT count(*) FROM accounts"), 0);
}

#[test]
fn what_clients_invent_does_not_make_the_names_grow_without_end() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let mut row = entry(1);
    let long = "m".repeat(600);
    row.model = Some(long.as_str().into());
    ledger.post(row, vec![]).wait().unwrap();
    let look = home.look();
    assert_eq!(number(&look, "SELECT count(*) FROM names WHERE length(text) > 100"), 0);
    assert_eq!(number(&look, "SELECT length(model) FROM ledger_rows"), 600);
    let query = SpentQuery { scope: Scope::Model(long), window: window("", "") };
    assert_eq!(wait(ledger.books().spent(query)).unwrap()[0].1, Nanos(1));
}
