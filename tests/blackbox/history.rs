//! How targets did lately outlives the process.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    openai::{ask, says},
    process::PATIENCE,
    raw::RawUpstream,
    script::Script,
    settings::{OPEN, route, target},
    transcript::CHAT,
    weir::Weir,
};

/// The minutes of a target, the current one first.
async fn minutes(weir: &Weir, model: &str) -> Vec<Value> {
    let status = weir.client().get("/admin/status").await.json();
    let row = status["data"].as_array().unwrap().iter().find(|row| row["model"] == model);
    row.unwrap()["minutes"].as_array().unwrap().clone()
}

/// All minutes of a target together; a test may pass the end of one.
async fn told(weir: &Weir, model: &str) -> [u64; 3] {
    let minutes = minutes(weir, model).await;
    assert_eq!(minutes.len(), 15);
    ["calls", "ok", "failed"].map(|what| minutes.iter().map(|minute| minute[what].as_u64().unwrap()).sum())
}

async fn ask_times(weir: &Weir, times: usize) {
    for _ in 0..times {
        assert_eq!(weir.client().post_json(CHAT, &ask("chain")).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn the_last_minutes_outlive_a_stop_and_a_crash() {
    let first = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let second = RawUpstream::start(vec![says("fine")]).await;
    let toml = [
        OPEN,
        "[ledger]\nhealth_every = \"1s\"\n",
        &target("bad", &first.base_url(), "", ""),
        &target("good", &second.base_url(), "", ""),
        &route("chain", &["bad", "good"], ""),
    ]
    .concat();
    let mut weir = Weir::start(&toml).await;
    ask_times(&weir, 3).await;
    let bad = told(&weir, "bad").await;
    assert!(bad[0] > 0 && bad[1] == 0 && bad[2] == bad[0], "{bad:?}");
    assert_eq!(told(&weir, "good").await, [3, 3, 0]);

    // A stop writes down what is new.
    weir.sigterm();
    assert!(weir.wait_exit(PATIENCE).await.success());
    weir.restart().await;
    assert_eq!((told(&weir, "bad").await, told(&weir, "good").await), (bad, [3, 3, 0]));
    let known = minutes(&weir, "good").await;
    assert!(known.iter().any(|minute| minute["mean_ms"].is_u64()), "{known:?}");

    // A crash forgets no more than what was not yet written.
    ask_times(&weir, 2).await;
    let written = || {
        let file = weir.folder().join("weir.db");
        let ledger = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = "SELECT sum(json_extract(minute.value, '$[0]')) FROM target_pasts, json_each(minutes) AS minute \
            WHERE target = 'good'";
        ledger.unwrap().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let end = Instant::now() + PATIENCE;
    while written() < 5 {
        assert!(Instant::now() < end, "only {} calls are written down", written());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    weir.kill();
    weir.restart().await;
    assert_eq!(told(&weir, "good").await, [5, 5, 0]);
    // And it goes on.
    ask_times(&weir, 1).await;
    assert_eq!(told(&weir, "good").await, [6, 6, 0]);
}
