//! A ledger that cannot be written: no answer without an entry, a quick return.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    books::Books,
    client::{Answer, Client},
    process::Exited,
    settings::{OPEN, route},
    sim::SimProcess,
    transcript::{CHAT, Transcript},
    weir::{Setup, Weir},
};

/// What a busy machine may take longer.
const SLACK: u32 = 4;
/// How long a request may wait for a ledger that cannot be written.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How long it may take until requests are answered again.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The smallest part of a dollar's step that tells a watermark that was raised from one that only follows.
const RAISED: i64 = 500_000_000;

#[allow(clippy::print_stderr, reason = "who reads the output has to know what was not tested")]
fn skip(what: &str) {
    eprintln!("SKIPPED: {what}");
}

async fn upstream() -> SimProcess {
    SimProcess::start(&["--fault", "tokens=12"]).await
}

fn config(upstream: &SimProcess) -> String {
    let price = "price = { input = 1, output = 10 }\n";
    [
        OPEN,
        &format!("[providers.p]\nbase_url = \"{}\"\n", upstream.base_url()),
        &format!("[models.quick]\nprovider = \"p\"\n{price}"),
        &format!("[models.slow]\nprovider = \"p\"\nupstream_model = \"m?tokens=30&tps=20\"\n{price}"),
        &route("chat", &["quick"], ""),
        "[[budgets]]\nname = \"all\"\ntotal = 100000\n",
    ]
    .concat()
}

fn in_file(toml: &str, file: &Path) -> String {
    format!("{toml}\n[ledger]\nurl = \"sqlite:{}\"\n", file.display())
}

fn body(model: &str, stream: bool) -> Value {
    let messages = [json!({ "role": "user", "content": "Say something." })];
    json!({ "model": model, "stream": stream, "max_tokens": 40, "messages": messages })
}

/// Asks under a name.
async fn ask(client: &Client, id: &str, stream: bool) -> Answer {
    client.clone().header("x-request-id", id).post_json(CHAT, &body("chat", stream)).await
}

/// Whether an answer says that the ledger cannot record, and when to come back.
fn is_refusal(answer: &Answer) -> bool {
    let after = answer.header("retry-after").parse::<u64>();
    answer.status.as_u16() == 503
        && answer.code() == "ledger_unavailable"
        && after.is_ok_and(|after| after > 0)
}

/// For so long every request is refused in time, and the gateway says that it is not ready.
async fn refuses(weir: &Weir, span: Duration) {
    let client = weir.client();
    let (until, mut number) = (Instant::now() + span, 0);
    while Instant::now() < until {
        number += 1;
        let begun = Instant::now();
        let answer = ask(&client, &format!("refused-{number}"), number % 2 == 0).await;
        assert!(is_refusal(&answer), "{} {}", answer.status, answer.text());
        assert!(begun.elapsed() < TOLD_WITHIN * SLACK, "{number}: {:?}", begun.elapsed());
        let ready = client.get("/readyz").await;
        assert_eq!((ready.status.as_u16(), ready.text().contains("ledger")), (503, true), "{}", ready.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Soon requests are answered again, and those that were have their rows.
async fn recovers(weir: &Weir, books: &Books) {
    let client = weir.client();
    let begun = Instant::now();
    let mut answered = Vec::new();
    for number in 0.. {
        let id = format!("again-{number}");
        let answer = ask(&client, &id, false).await;
        if answer.status.as_u16() == 200 {
            answered.push(id);
            break;
        }
        assert!(is_refusal(&answer), "{} {}", answer.status, answer.text());
        assert!(begun.elapsed() < BACK_WITHIN * SLACK, "no answer after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.get("/readyz").await.status.as_u16(), 200);
    for number in 0..10 {
        let id = format!("after-{number}");
        let answer = ask(&client, &id, number % 2 == 0).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answered.push(id);
    }
    for id in answered {
        let rows = books.entries_of(&id);
        assert!(rows.len() == 1 && rows[0].outcome == "ok" && rows[0].cost > 0, "{id}: {rows:?}");
    }
    // What could not be raised was not raised: only what is on the disk lets requests in.
    for window in books.windows() {
        assert!(window.watermark - window.posted > RAISED, "the watermark is not on the disk: {window:?}");
    }
    assert_eq!(books.soundness(), "ok");
}

#[tokio::test]
async fn a_locked_file_is_waited_for_elsewhere() {
    let upstream = upstream().await;
    let weir = Weir::start(&config(&upstream)).await;
    let lock = Books::in_folder(weir.folder()).lock();
    refuses(&weir, Duration::from_secs(10)).await;
    drop(lock);
    recovers(&weir, &Books::in_folder(weir.folder())).await;
    assert!(weir.logs().contains("the ledger can record again"), "{}", weir.logs());
}

#[tokio::test]
async fn answers_under_way_end_without_their_end() {
    let upstream = upstream().await;
    let weir = Weir::start(&config(&upstream)).await;
    let client = weir.client();
    // Behind a budget whose watermark stands: the commit of the rows is what fails.
    assert_eq!(ask(&client, "before", false).await.status.as_u16(), 200);
    let streaming = client.clone().header("x-request-id", "stream");
    let mut stream = streaming.stream(CHAT, &body("slow", true)).await;
    let asking = client.clone().header("x-request-id", "whole");
    let whole = tokio::spawn(async move { asking.post_json(CHAT, &body("slow", false)).await });
    while stream.next().await.unwrap().content().is_empty() {}
    let lock = Books::in_folder(weir.folder()).lock();
    let transcript = Transcript::of(&mut stream).await;
    assert!(transcript.is_cut() && transcript.contents > 0, "{transcript:?}");
    assert_eq!(transcript.errors[0]["code"], "ledger_unavailable", "{transcript:?}");
    let whole = whole.await.unwrap();
    assert!(is_refusal(&whole), "{} {}", whole.status, whole.text());
    drop(lock);
    let books = Books::in_folder(weir.folder());
    recovers(&weir, &books).await;
    // The upstream was asked, so it is paid for, though nobody saw the end.
    for id in ["before", "stream", "whole"] {
        let rows = books.entries_of(id);
        assert!(rows.len() == 1 && rows[0].kind == "actual" && rows[0].cost > 0, "{id}: {rows:?}");
    }
}

/// The next target of a chain needs more from the ledger than it may give now; who waits for that may leave.
#[tokio::test]
async fn a_client_that_leaves_while_the_ledger_is_asked_leaves_nothing_held() {
    let upstream = upstream().await;
    let toml = [
        &config(&upstream),
        "[models.fails]\nprovider = \"p\"\nupstream_model = \"m?status=500&first_token=600ms\"\n",
        "price = { input = 1, output = 10 }\n",
        &route("chain", &["fails", "quick"], ""),
        "[[budgets]]\nname = \"quick\"\nscope = \"model:quick\"\ntotal = 100000\n",
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let client = weir.client();
    let request = body("chain", false);
    let mut asking = Box::pin(client.post_json(CHAT, &request));
    let early = Duration::from_millis(300);
    assert!(tokio::time::timeout(early, &mut asking).await.is_err(), "an answer in {early:?}");
    let lock = Books::in_folder(weir.folder()).lock();
    // The first target has failed by now, the second one waits for the file.
    let amid = Duration::from_millis(500);
    assert!(tokio::time::timeout(amid, &mut asking).await.is_err(), "an answer in {amid:?}");
    drop(asking);
    drop(lock);
    recovers(&weir, &Books::in_folder(weir.folder())).await;
    let budgets = client.get("/admin/budgets").await.json();
    let held = budgets["data"].as_array().unwrap().iter().filter(|row| row["held_usd"] != "0");
    assert_eq!(held.count(), 0, "{budgets}");
}

/// Sets how far the files of a gateway may grow; what it writes beyond fails as on a full disk.
fn allow(weir: &Weir, bytes: &str) -> bool {
    let (pid, limit) = (weir.pid().to_string(), format!("--fsize={bytes}:"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn files_that_may_not_grow_are_a_full_disk() {
    let upstream = upstream().await;
    // Without this the system ends a program that goes on writing.
    let deaf = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let weir = Weir::with(&config(&upstream)).through(&deaf).start().await;
    if !allow(&weir, "unlimited") {
        return skip("a limit on the size of files: `prlimit` is not here");
    }
    assert_eq!(ask(&weir.client(), "before", false).await.status.as_u16(), 200);
    assert!(allow(&weir, "0"));
    // It is let in, since nobody knows yet; its row cannot be written.
    let unlucky = ask(&weir.client(), "unlucky", false).await;
    assert!(is_refusal(&unlucky), "{} {}", unlucky.status, unlucky.text());
    refuses(&weir, Duration::from_secs(2)).await;
    assert!(allow(&weir, "unlimited"));
    let books = Books::in_folder(weir.folder());
    recovers(&weir, &books).await;
    for id in ["before", "unlucky"] {
        assert_eq!(books.entries_of(id).len(), 1, "{id}");
    }
}

/// A small file system of its own, unmounted when it is dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        let output = mount.output().ok()?;
        output.status.success().then(|| Self(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.file("filler")).unwrap();
        // Down to the last byte: the first write that does not fit whole still takes a part.
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn make_room(&self) {
        fs::remove_file(self.file("filler")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_until_there_is_room() {
    let upstream = upstream().await;
    let Some(disk) = Tmpfs::mount("2m") else {
        return skip("a disk that is really full: only root may mount one");
    };
    let file = disk.file("weir.db");
    let weir = Weir::start(&in_file(&config(&upstream), &file)).await;
    assert_eq!(ask(&weir.client(), "before", false).await.status.as_u16(), 200);
    disk.fill();
    // A log that was used before has room in itself; it is used up first.
    let end = Instant::now() + Duration::from_secs(20);
    for number in 0.. {
        let answer = ask(&weir.client(), &format!("last-{number}"), false).await;
        if answer.status.as_u16() != 200 {
            assert!(is_refusal(&answer), "{} {}", answer.status, answer.text());
            break;
        }
        assert!(Instant::now() < end, "the disk is not full after {number} answers");
    }
    refuses(&weir, Duration::from_secs(2)).await;
    disk.make_room();
    let books = Books::at(&file);
    recovers(&weir, &books).await;
    assert_eq!(books.entries_of("before").len(), 1);
    drop((weir, books));
}

/// Starts a gateway that may write only where the modes of files say so, also for root.
fn obeys_modes(setup: Setup) -> Option<Setup> {
    const BARE: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    if !is_root() {
        return Some(setup);
    }
    let works = Command::new(BARE[0]).args([BARE[1], "true"]).status();
    works.is_ok_and(|status| status.success()).then(|| setup.through(&BARE))
}

/// Whether modes of files mean nothing to this process.
fn is_root() -> bool {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    fs::write(folder.path().join("x"), "x").is_ok()
}

async fn refuses_to_start(setup: Setup, file: &Path) {
    let Exited { status, stderr, .. } = setup.try_start().await.err().expect("it starts");
    assert_eq!(status.code(), Some(1), "{stderr}");
    let named = stderr.contains("ledger.url") && stderr.contains(&file.display().to_string());
    assert!(named, "it does not say what is wrong: {stderr}");
}

#[tokio::test]
async fn what_is_read_only_is_told_at_the_start() {
    let upstream = upstream().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("weir.db");
    let toml = in_file(&config(&upstream), &file);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // In a folder where nothing can be made.
    mode(folder.path(), 0o500);
    let Some(setup) = obeys_modes(Weir::with(&toml)) else {
        return skip("a read-only ledger: root may write it, and `setpriv` is not here");
    };
    refuses_to_start(setup, &file).await;
    // A file that cannot be written.
    mode(folder.path(), 0o700);
    drop(Weir::start(&toml).await);
    mode(&file, 0o400);
    refuses_to_start(obeys_modes(Weir::with(&toml)).unwrap(), &file).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400, "it made it writable");
}

#[tokio::test]
async fn a_second_server_leaves_the_file_to_the_first() {
    let upstream = upstream().await;
    let toml = config(&upstream);
    let weir = Weir::start(&toml).await;
    let file = weir.folder().join("weir.db");
    refuses_to_start(Weir::with(&in_file(&toml, &file)), &file).await;
    assert_eq!(ask(&weir.client(), "first", false).await.status.as_u16(), 200);
    assert_eq!(Books::at(&file).entries_of("first").len(), 1);
}

#[tokio::test]
async fn nobody_else_can_read_the_ledger() {
    let upstream = upstream().await;
    // Whatever the system would give new files.
    let open = ["sh", "-c", "umask 000; exec \"$0\" \"$@\""];
    let weir = Weir::with(&config(&upstream)).through(&open).start().await;
    assert_eq!(ask(&weir.client(), "first", false).await.status.as_u16(), 200);
    for name in ["weir.db", "weir.db-wal", "weir.db-shm", "weir.db.lock"] {
        let mode = fs::metadata(weir.folder().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
