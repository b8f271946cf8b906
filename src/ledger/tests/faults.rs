//! A disk that is full, locked or forbidden; a writer that is gone.

use super::*;

/// Posts while the ledger is broken, mends it, and finds every row.
fn assert_survives(home: &Home, ledger: &Ledger, break_it: impl FnOnce(), mend_it: impl FnOnce()) {
    ledger.post(entry(1), vec![charge("company", 1)]).wait().unwrap();
    ledger.check().unwrap();
    break_it();
    let mut posted = 1;
    // A page that is begun may still take a row or two.
    for _ in 0..200 {
        let began = Instant::now();
        posted += 1;
        let said = ledger.post(entry(1), vec![charge("company", 1)]).wait();
        assert!(began.elapsed() < Duration::from_secs(1), "told after {:?}", began.elapsed());
        if said.is_err() {
            break;
        }
    }
    assert_eq!(ledger.check(), Err(Unavailable));
    let began = Instant::now();
    assert!(ledger.raise(vec![mark("company", 10_000)]).wait().is_err());
    for _ in 0..50 {
        posted += 1;
        assert!(ledger.post(entry(1), vec![charge("company", 1)]).wait().is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(1), "told after {:?}", began.elapsed());
    mend_it();
    soon("recovery", || ledger.check().is_ok());
    let look = home.look();
    assert_eq!(number(&look, "SELECT count(*) FROM entries"), posted);
    assert_eq!(number(&look, "SELECT posted FROM accounts"), posted);
    assert_eq!(number(&look, "SELECT watermark FROM accounts"), posted, "a refused raise was applied");
    ledger.post(entry(1), vec![charge("company", 1)]).wait().unwrap();
    wait(ledger.close()).unwrap();
    assert_eq!(number(&look, "SELECT sum(cost) FROM entries"), posted + 1);
}

#[test]
fn a_full_disk_loses_no_row() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    let set = |to| *fault.lock().unwrap() = to;
    assert_survives(&home, &ledger, || set(Fault::Full), || set(Fault::None));
}

#[test]
fn a_read_only_disk_loses_no_row() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    let set = |to| *fault.lock().unwrap() = to;
    assert_survives(&home, &ledger, || set(Fault::ReadOnly), || set(Fault::None));
}

#[test]
fn a_locked_file_loses_no_row() {
    let home = Home::new();
    let (ledger, _) = home.open();
    let other = home.look();
    let lock = || other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_survives(&home, &ledger, lock, || other.execute_batch("ROLLBACK").unwrap());
}

#[test]
fn with_nothing_to_write_it_still_finds_out_that_it_can() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    *fault.lock().unwrap() = Fault::ReadOnly;
    assert!(ledger.raise(vec![mark("company", 10)]).wait().is_err());
    assert!(ledger.check().is_err());
    *fault.lock().unwrap() = Fault::None;
    soon("recovery", || ledger.check().is_ok());
    assert_eq!(number(&home.look(), "SELECT count(*) FROM accounts"), 0);
}

#[test]
fn a_writer_that_panics_hangs_nobody() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    *fault.lock().unwrap() = Fault::Panic;
    assert_eq!(ledger.post(entry(1), vec![]).wait(), Err(Unavailable));
    soon("the end of the thread", || ledger.check().is_err());
    assert_eq!(ledger.post(entry(1), vec![]).wait(), Err(Unavailable));
    assert_eq!(ledger.raise(vec![mark("company", 10)]).wait(), Err(Unavailable));
    assert_eq!(wait(ledger.close()), Err(Unavailable));
}

#[test]
fn a_long_queue_lets_nothing_more_in() {
    let home = Home::new();
    let config = config::Ledger { max_queue: 10, ..home.config() };
    let ledger = Ledger::open(&config, &Metrics::new().unwrap(), noon()).unwrap().0;
    let other = home.look();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let acks: Vec<_> = (0..11).map(|_| ledger.post(entry(1), vec![])).collect();
    assert_eq!(ledger.check(), Err(Unavailable));
    other.execute_batch("ROLLBACK").unwrap();
    soon("recovery", || ledger.check().is_ok());
    soon("the last row", || number(&other, "SELECT count(*) FROM entries") == 11);
    drop(acks);
}

#[test]
fn whoever_waits_for_a_disk_that_hangs_is_told() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    *fault.lock().unwrap() = Fault::Hang;
    // The first is in the commit, the others wait behind it.
    let acks = [
        ledger.post(entry(1), vec![]),
        ledger.raise(vec![mark("company", 10)]),
        ledger.post(entry(1), vec![]),
    ];
    assert!(acks.into_iter().all(|ack| ack.wait().is_err()));
    assert_eq!(ledger.check(), Err(Unavailable));
    assert_eq!(ledger.raise(vec![mark("company", 10)]).wait(), Err(Unavailable));
    assert_eq!(ledger.post(entry(1), vec![]).wait(), Err(Unavailable));
    *fault.lock().unwrap() = Fault::None;
    soon("recovery", || ledger.check().is_ok());
    ledger.post(entry(1), vec![]).wait().unwrap();
    assert_eq!(number(&home.look(), "SELECT count(*) FROM entries"), 4, "no row is lost");
}

#[test]
fn a_close_that_cannot_write_gives_up() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    *fault.lock().unwrap() = Fault::ReadOnly;
    drop(ledger.post(entry(1), vec![]));
    assert_eq!(ledger.queue.close(Duration::from_millis(300), true).wait(), Err(Unavailable));
}

#[test]
fn an_ack_comes_after_others_can_see_the_row() {
    const THREADS: usize = 64;
    const EACH: i64 = 20;
    let home = Home::new();
    let (ledger, _) = home.open();
    let path = home.path();
    let posting = ledger.clone();
    let seen = on_threads(THREADS, move |_| {
        let look = rusqlite::Connection::open(&path).unwrap();
        look.busy_timeout(Duration::from_secs(5)).unwrap();
        let mut find = look.prepare("SELECT count(*) FROM entries WHERE time = ?1 AND id = ?2").unwrap();
        let mut seen = 0;
        for _ in 0..EACH {
            let row = entry(3);
            let key = (row.time, *row.id.as_bytes());
            posting.post(row, vec![charge("company", 3)]).wait().unwrap();
            seen += find.query_row(key, |row| row.get::<_, i64>(0)).unwrap();
        }
        seen
    });
    assert_eq!(seen, vec![EACH; THREADS]);
    let all = EACH * i64::try_from(THREADS).unwrap();
    assert_eq!(number(&home.look(), "SELECT posted FROM accounts"), 3 * all);
    assert!(ledger.check().is_ok());
}

#[test]
fn how_targets_did_is_no_money() {
    let home = Home::new();
    let (ledger, fault) = Faulty::ledger(&home);
    let past = |target: &str| TargetPast {
        target: target.into(),
        provider: "p".into(),
        since: NOON,
        minutes: vec![crate::health::Minute { ok: 3, ..Default::default() }],
    };
    ledger.keep_pasts(vec![past("a")]).wait().unwrap();
    *fault.lock().unwrap() = Fault::Pasts;
    assert_eq!(ledger.keep_pasts(vec![past("b")]).wait(), Err(Unavailable));
    ledger.check().unwrap();
    ledger.post(entry(1), vec![]).wait().unwrap();
    // What cannot be written now is not kept waiting for.
    *fault.lock().unwrap() = Fault::ReadOnly;
    assert!(ledger.post(entry(1), vec![]).wait().is_err());
    assert_eq!(ledger.keep_pasts(vec![past("b")]).wait(), Err(Unavailable));
    *fault.lock().unwrap() = Fault::None;
    soon("recovery", || ledger.check().is_ok());
    assert_eq!(wait(ledger.books().pasts()).unwrap(), [past("a")]);
    // A stop writes what was given before it.
    drop(ledger.keep_pasts(vec![past("c")]));
    wait(ledger.close()).unwrap();
    let (ledger, _) = home.open();
    assert_eq!(wait(ledger.books().pasts()).unwrap(), [past("a"), past("c")]);
}
