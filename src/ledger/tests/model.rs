//! Any order of rows, raises, failures, crashes or clean stops against a model.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Post { budget: usize, cost: i64 },
    Raise { budget: usize, by: i64 },
    Break,
    Mend,
    Crash,
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_usize, 0..1000_i64).prop_map(|(budget, cost)| Step::Post { budget, cost }),
        4 => (0..3_usize, 1..2000_i64).prop_map(|(budget, by)| Step::Raise { budget, by }),
        1 => Just(Step::Break),
        2 => Just(Step::Mend),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
    ];
    proptest::collection::vec(step, 1..25)
}

const BUDGETS: [&str; 3] = ["a", "b", "c"];

/// What the ledger should know of a budget.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    posted: i64,
    watermark: i64,
    adjusted: i64,
}

fn restart(home: &Home, ledger: Ledger) -> (Ledger, Arc<Mutex<Fault>>) {
    drop(ledger);
    soon("the end of the writer", || Sqlite::open(&home.config().url).is_ok());
    Faulty::ledger(home)
}

fn play(steps: &[Step]) {
    let home = Home::new();
    let (mut ledger, mut fault) = Faulty::ledger(&home);
    let mut model = [Account::default(); 3];
    let mend = |ledger: &Ledger, fault: &Mutex<Fault>| {
        *fault.lock().unwrap() = Fault::None;
        soon("recovery", || ledger.check().is_ok());
    };
    for step in steps {
        match *step {
            Step::Post { budget, cost } => {
                let said = ledger.post(entry(cost), vec![charge(BUDGETS[budget], cost)]).wait();
                assert_eq!(said.is_ok(), *fault.lock().unwrap() == Fault::None);
                model[budget].posted += cost;
                model[budget].watermark = model[budget].watermark.max(model[budget].posted);
            }
            Step::Raise { budget, by } => {
                let to = model[budget].posted + by;
                if ledger.raise(vec![mark(BUDGETS[budget], to)]).wait().is_ok() {
                    model[budget].watermark = model[budget].watermark.max(to);
                }
            }
            Step::Break => *fault.lock().unwrap() = Fault::ReadOnly,
            Step::Mend => mend(&ledger, &fault),
            Step::Crash | Step::Stop => {
                // What a broken disk keeps back would be lost; that the store cannot help.
                mend(&ledger, &fault);
                if matches!(step, Step::Stop) {
                    wait(ledger.close()).unwrap();
                    model.iter_mut().for_each(|account| account.watermark = account.posted);
                }
                (ledger, fault) = restart(&home, ledger);
                for account in &mut model {
                    account.adjusted += account.watermark - account.posted;
                    account.posted = account.watermark;
                }
            }
        }
    }
    mend(&ledger, &fault);
    let look = home.look();
    for (name, account) in BUDGETS.iter().zip(model) {
        let sum = |sql: &str| number(&look, &sql.replace("NAME", name));
        assert_eq!(
            sum("SELECT coalesce(sum(posted), 0) FROM accounts WHERE budget = 'NAME'"),
            account.posted
        );
        assert_eq!(
            sum("SELECT coalesce(sum(watermark), 0) FROM accounts WHERE budget = 'NAME'"),
            account.watermark
        );
        assert_eq!(
            sum("SELECT coalesce(sum(cost), 0) FROM ledger_rows WHERE budget = 'NAME'"),
            account.adjusted
        );
    }
    let all: i64 = model.iter().map(|account| account.posted).sum();
    assert_eq!(number(&look, "SELECT coalesce(sum(cost), 0) FROM entries"), all, "rows and accounts agree");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_accounts_agree_whatever_happens(steps in steps()) {
        play(&steps);
    }
}
