//! Every figure by examples computed by hand.

use proptest::prelude::*;

use super::*;
use crate::base::money::Nanos;

/// The 21st of November 2026, noon; a Saturday of week 47.
const NOW: i64 = 1_795_262_400_000;
const DAY: i64 = utc::DAY_MS;
const CENT: i64 = 10_000_000;

/// Names like `n7`; sets of tags like `team=t7`, the set 1 has two pairs.
struct Numbered;

impl Names for Numbered {
    fn name(&self, id: NameId) -> String {
        if id == NO_NAME { String::new() } else { format!("n{id}") }
    }

    fn tags(&self, id: NameId) -> Vec<String> {
        match id {
            NO_NAME => Vec::new(),
            1 => vec!["app=chat".into(), "team=t2".into()],
            id => vec![format!("team=t{id}")],
        }
    }
}

/// An answered first try of a cent on model 1 of provider 1.
fn row() -> Row {
    Row {
        time: NOW - 1000,
        attempt: 1,
        position: 1,
        kind: Kind::Actual,
        answered: true,
        from_cache: false,
        priced: true,
        tokens: Tokens { input: 10, cached_input: 4, cache_write: 3, output: 5, reasoning: 2 },
        cost: Nanos(CENT),
        baseline: None,
        first_choice: None,
        key: 1,
        route: 1,
        tier: NO_NAME,
        model: 1,
        provider: 1,
        tags: NO_NAME,
        budget: NO_NAME,
    }
}

fn failed() -> Row {
    Row { answered: false, kind: Kind::Estimated, ..row() }
}

/// The second try, on model 2 of provider 2.
fn fallback() -> Row {
    Row { attempt: 2, position: 2, model: 2, provider: 2, ..row() }
}

fn refused() -> Row {
    Row {
        attempt: 0,
        position: 0,
        answered: false,
        tokens: Tokens::default(),
        cost: Nanos::ZERO,
        model: NO_NAME,
        provider: NO_NAME,
        ..row()
    }
}

fn hit() -> Row {
    Row { answered: true, from_cache: true, baseline: Some(Nanos(3 * CENT)), ..refused() }
}

fn report(by: By, rows: &[Row]) -> Summary {
    let period = Period { since: NOW - 7 * DAY, until: NOW };
    let mut report = Report::new(Question { period, by, now: NOW });
    for row in rows {
        report.fold(row);
        report.spent(row.time, row.cost.0);
    }
    report.began(rows.iter().map(|row| row.time).min());
    report.finish(&Numbered)
}

fn names(summary: &Summary) -> Vec<&str> {
    summary.groups.iter().map(|group| group.name.as_str()).collect()
}

#[test]
fn a_request_that_fell_back_is_one_request() {
    let summary = report(By::Model, &[failed(), fallback()]);
    let totals = &summary.totals;
    assert_eq!((totals.asked, totals.answered, totals.attempts), (1, 1, 2));
    assert_eq!(
        (totals.cost_usd.to_string(), totals.estimated_usd.to_string()),
        ("0.02".into(), "0.01".into())
    );
    let figures = |at: usize| {
        let figures = &summary.groups[at].figures;
        (summary.groups[at].name.as_str(), figures.asked, figures.answered, figures.attempts)
    };
    assert_eq!([figures(0), figures(1)], [("n1", 1, 0, 1), ("n2", 0, 1, 1)]);
}

#[test]
fn tokens_are_counted_by_kind() {
    let totals = report(By::Model, &[row(), row(), refused()]).totals;
    assert_eq!(
        [
            totals.input_tokens,
            totals.cached_input_tokens,
            totals.cache_write_tokens,
            totals.output_tokens,
            totals.reasoning_tokens
        ],
        [20, 8, 6, 10, 4]
    );
}

#[test]
fn savings_are_split_by_reason_with_their_sign() {
    let cheaper = Row { baseline: Some(Nanos(5 * CENT)), ..row() };
    let dearer = Row { baseline: Some(Nanos(0)), ..row() };
    // What failed only cost; of what has no baseline, or no price, nothing is known.
    let failed = Row { baseline: Some(Nanos(99 * CENT)), ..failed() };
    let unpriced = Row { priced: false, cost: Nanos::ZERO, baseline: Some(Nanos(99 * CENT)), ..row() };
    let totals = report(By::Model, &[cheaper, dearer, failed, row(), unpriced, hit(), hit()]).totals;
    assert_eq!(totals.saved_by_routing_usd, Usd(i128::from(2 * CENT)));
    assert_eq!(totals.saved_by_cache_usd, Usd(i128::from(6 * CENT)));
    assert_eq!(totals.unpriced, 1);
    let totals = report(By::Model, &[dearer]).totals;
    assert_eq!(totals.saved_by_routing_usd.to_string(), "-0.01");
}

#[test]
fn fallbacks_are_compared_with_the_first_choice_a_week_at_a_time() {
    let dearer = Row { first_choice: Some(Nanos(CENT / 4)), ..fallback() };
    let cheaper = Row { first_choice: Some(Nanos(3 * CENT)), time: NOW - 6 * DAY, ..fallback() };
    let unknown = fallback();
    let first = Row { first_choice: Some(Nanos(0)), ..row() };
    let summary = report(By::Model, &[dearer, dearer, cheaper, unknown, first]);
    let weeks: Vec<_> = summary
        .fallback_weeks
        .iter()
        .map(|week| (week.week.as_str(), week.attempts, week.fallback_usd.to_string(), week.fallback_unknown))
        .collect();
    // The 15th was a Sunday: the week before.
    assert_eq!(weeks, [("2026-W46", 1, "-0.02".into(), 0), ("2026-W47", 3, "0.015".into(), 1)]);
    assert_eq!(summary.totals.fallback_usd.to_string(), "-0.005");
    assert_eq!(summary.totals.fallback_unknown, 1);
}

#[test]
fn answers_are_split_by_position() {
    let third = Row { attempt: 3, position: 3, ..fallback() };
    let mut rows = vec![row(); 6];
    rows.extend([failed(), fallback(), failed(), third, hit(), refused()]);
    let positions: Vec<_> = report(By::Model, &rows)
        .positions
        .iter()
        .map(|position| (position.position, position.answered, position.share))
        .collect();
    assert_eq!(positions, [(1, 6, Some(0.75)), (2, 1, Some(0.125)), (3, 1, Some(0.125))]);
}

#[test]
fn availability_is_of_requests_for_routes_but_of_attempts_for_providers() {
    let other = Row { route: 2, ..refused() };
    let summary = report(By::Model, &[row(), failed(), fallback(), refused(), hit(), other]);
    let routes: Vec<_> = summary
        .availability
        .routes
        .iter()
        .map(|route| (route.name.as_str(), route.asked, route.answered, route.availability))
        .collect();
    assert_eq!(routes, [("n1", 4, 3, Some(0.75)), ("n2", 1, 0, Some(0.0))]);
    let providers: Vec<_> = summary
        .availability
        .providers
        .iter()
        .map(|provider| (provider.name.as_str(), provider.attempts, provider.answered, provider.availability))
        .collect();
    assert_eq!(providers, [("n1", 2, 1, Some(0.5)), ("n2", 1, 1, Some(1.0))]);
}

#[test]
fn a_share_is_one_only_where_nothing_failed() {
    assert_eq!(share(999_999, 1_000_000), Some(0.9999));
    assert_eq!(share(7, 7), Some(1.0));
    assert_eq!(share(0, 0), None);
}

#[test]
fn adjustments_stand_by_themselves() {
    let adjustment = Row { kind: Kind::Adjustment, attempt: 0, answered: false, budget: 9, ..row() };
    let summary = report(By::Model, &[adjustment, adjustment, Row { budget: 8, ..adjustment }, row()]);
    assert_eq!((summary.totals.asked, summary.totals.cost_usd.to_string()), (1, "0.01".into()));
    let lines: Vec<_> = summary
        .adjustments
        .iter()
        .map(|line| (line.budget.as_str(), line.rows, line.cost_usd.to_string()))
        .collect();
    assert_eq!(lines, [("n8", 1, "0.01".into()), ("n9", 2, "0.02".into())]);
}

#[test]
fn only_rows_of_the_period_count() {
    let at = |time| Row { time, ..row() };
    let rows = [at(NOW - 7 * DAY - 1), at(NOW - 7 * DAY), at(NOW - 1), at(NOW), at(i64::MIN), at(i64::MAX)];
    assert_eq!(report(By::Model, &rows).totals.asked, 2);
}

#[test]
fn groups_stand_by_cost_but_days_in_order() {
    let dear = Row { model: 7, cost: Nanos(5 * CENT), time: NOW - DAY, ..row() };
    let rows = [row(), dear, refused()];
    assert_eq!(names(&report(By::Model, &rows)), ["n7", "n1", "none"]);
    assert_eq!(names(&report(By::Day, &rows)), ["2026-11-20", "2026-11-21"]);
    assert_eq!(names(&report(By::Position, &rows)), ["none", "1"]);
    assert_eq!(names(&report(By::Tier, &rows)), ["none"]);
}

#[test]
fn a_row_counts_under_each_of_its_tags() {
    let tagged = |tags| Row { tags, ..row() };
    let summary = report(By::Tag, &[tagged(1), tagged(2), row()]);
    let groups: Vec<_> =
        summary.groups.iter().map(|group| (group.name.as_str(), group.figures.asked)).collect();
    assert_eq!(groups, [("team=t2", 2), ("app=chat", 1), ("none", 1)]);
}

#[test]
fn names_without_end_go_to_the_others() {
    let rows: Vec<Row> = (1..=40_000)
        .map(|key| Row { key, cost: Nanos(if key == 3 { 5 * CENT } else { 1 }), ..row() })
        .collect();
    let summary = report(By::Key, &rows);
    assert_eq!((summary.groups.len(), summary.groups[0].name.as_str()), (1000, "n3"));
    let rest = summary.other.unwrap();
    assert_eq!(rest.groups, 39_000);
    let shown: u64 = summary.groups.iter().map(|group| group.figures.asked).sum();
    assert_eq!(shown + rest.figures.asked, 40_000);
}

#[test]
fn sums_go_beyond_what_a_row_can_hold() {
    let dear = Row { cost: Nanos::MAX, ..row() };
    let totals = report(By::Model, &[dear, dear, dear]).totals;
    assert_eq!(totals.cost_usd.to_string(), "27670116110.564327421");
    assert_eq!(Usd(i128::MIN).to_string().len(), 41);
}

#[test]
fn money_is_text_in_json() {
    let summary = report(By::Model, &[row(), Row { cost: Nanos(38), ..fallback() }]);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["totals"]["cost_usd"], "0.010000038");
    assert_eq!(json["groups"][1]["name"], "n2");
    assert_eq!(json["groups"][1]["cost_usd"], "0.000000038");
    assert_eq!(json["since"], "2026-11-14T12:00:00.000Z");
    assert_eq!(json["forecast"]["spent_usd"], "0.010000038");
    assert_eq!(json.get("other"), None);
}

/// Rows with at most one tag.
fn any_row() -> impl Strategy<Value = Row> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u32);
    let ids = prop::array::uniform6(0..4_i64);
    let money = (0..1_000_000_000_i64, prop::option::of(0..1_000_000_000_i64), prop::option::of(0..9_i64));
    (flags, ids, money, 0..9_u64, -8 * DAY..DAY).prop_map(|(flags, ids, money, count, ago)| Row {
        time: NOW + ago,
        attempt: flags.3,
        position: flags.3,
        kind: [Kind::Actual, Kind::Estimated, Kind::Adjustment][ids[0] as usize % 3],
        answered: flags.0,
        from_cache: flags.1,
        priced: flags.2,
        tokens: Tokens { input: count, cached_input: 1, cache_write: 2, output: count, reasoning: 3 },
        cost: Nanos(money.0),
        baseline: money.1.map(Nanos),
        first_choice: money.2.map(Nanos),
        key: ids[0],
        route: ids[1],
        tier: ids[2],
        model: ids[3],
        provider: ids[4],
        tags: if ids[5] == 1 { 0 } else { ids[5] },
        budget: ids[0],
    })
}

proptest! {
    #[test]
    fn parts_come_to_the_whole(rows in prop::collection::vec(any_row(), 0..60), cut in 0..60_usize) {
        let cut = cut.min(rows.len());
        let period = Period { since: NOW - 7 * DAY, until: NOW };
        for by in By::ALL {
            let part = |rows: &[Row]| {
                let mut report = Report::new(Question { period, by, now: NOW });
                for row in rows {
                    report.fold(row);
                    report.spent(row.time, row.cost.0);
                }
                report
            };
            let mut whole = part(&rows[..cut]);
            whole.merge(part(&rows[cut..]));
            whole.began(rows.iter().map(|row| row.time).min());
            prop_assert_eq!(whole.finish(&Numbered), report(by, &rows));
        }
    }

    #[test]
    fn totals_are_the_sum_of_every_grouping(rows in prop::collection::vec(any_row(), 0..60)) {
        for by in By::ALL {
            let summary = report(by, &rows);
            let mut sum = Figures::default();
            summary.groups.iter().for_each(|group| sum.merge(&group.figures));
            prop_assert_eq!(sum, summary.totals, "{}", by);
            let weeks: i128 = summary.fallback_weeks.iter().map(|week| week.fallback_usd.0).sum();
            prop_assert_eq!(weeks, summary.totals.fallback_usd.0);
            let asked: u64 = summary.availability.routes.iter().map(|route| route.asked).sum();
            prop_assert_eq!(asked, summary.totals.asked);
            let attempts: u64 = summary.availability.providers.iter().map(|provider| provider.attempts).sum();
            prop_assert_eq!(attempts, summary.totals.attempts);
        }
    }
}
