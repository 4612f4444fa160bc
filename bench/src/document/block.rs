//! What stands between the document's markers, a row per block and per chart.

use super::growth::growth;
use crate::chart::{Bar, Chart, Group};
use crate::document::Sources;
use crate::proxies::{KINDS, Kind};
use crate::record::{ProxyRecord, Record, Round, ScenarioRecord};
use crate::relief;
use crate::report::{
    baseline, calls_per_request, control_rows, cpu_us, fixed, grouped, machine, middle, per_request_us,
    ratio, remarks, requests_per_second, table, table_with,
};
use crate::scenario::{Scenario, select};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A block's name, and its text, which ends with a line.
type Block = (&'static str, fn(&Sources) -> String);

pub(super) const BLOCKS: &[Block] = &[
    ("machine", machines),
    ("cost", cost),
    ("others", others),
    ("goals", goals),
    ("throughput", |sources| {
        closed(sources, |proxy| requests_per_second(proxy).map(|it| grouped(it as u64)))
    }),
    ("latency", latency),
    ("servers", |sources| closed(sources, |proxy| fixed(middle(proxy, servers_us), 2))),
    ("growth", |_| growth()),
    ("calls", |sources| closed(sources, |proxy| fixed(calls_per_request(proxy), 2))),
    ("memory", |sources| closed(sources, memory)),
    ("control", control),
    ("relief", relieved),
    ("remarks", remarked),
];

/// A chart's name, and how it is made where there is something to show.
type Drawing = (&'static str, fn(&Sources) -> Option<Chart>);

pub(super) const CHARTS: &[Drawing] =
    &[("cpu", cpu_chart), ("latency", latency_chart), ("relief", relief_chart)];

fn machines(sources: &Sources) -> String {
    let mut text = String::new();
    if sources.all().iter().any(|record| record.provisional) {
        text.push_str("**Provisional: measured while the machine did other work.**\n\n");
    }
    for (file, record) in &sources.0 {
        let (rounds, seconds) = (record.rounds, record.seconds);
        let day = &record.date;
        writeln!(text, "- `{file}`: {day}, {}; {rounds} rounds of {seconds:.1} s", machine(record))
            .expect(TAKES_ALL);
    }
    let versions: BTreeSet<(&String, &String)> =
        sources.all().iter().flat_map(|record| &record.versions).collect();
    versions.iter().for_each(|(name, it)| writeln!(text, "- {name}: {it}").expect(TAKES_ALL));
    text
}

fn cost(sources: &Sources) -> String {
    let image = image("cpu", "CPU time per request by proxy");
    format!("{image}\n{}", costs(&sources.closed()))
}

fn others(sources: &Sources) -> String {
    let records = sources.others();
    if records.is_empty() { "Not measured.\n".to_owned() } else { costs(&records) }
}

/// What requests cost each proxy, and who needs less than cashew.
fn costs(records: &[&Record]) -> String {
    let cell = |proxy: &ProxyRecord| {
        let user = fixed(middle(proxy, user_us), 2)?;
        Some(format!("{} ({user})", fixed(middle(proxy, cpu_us), 2)?))
    };
    let mut rows = by_proxy(records, cell);
    // Behind cashew's column, if it is there.
    let at = rows[0].iter().position(|title| title == CASHEW).map(|at| at + 1);
    if let Some(at) = at {
        rows[0].insert(at, "ratio".to_owned());
        for (row, scenario) in rows[1..].iter_mut().zip(scenarios(records)) {
            row.insert(at, fixed(ratio_of(scenario, CASHEW, cpu_us), 2).unwrap_or("-".to_owned()));
        }
    }
    let cheaper: Vec<String> = scenarios(records).into_iter().flat_map(cheaper_than_cashew).collect();
    let verdict = if cheaper.is_empty() {
        "No peer needs less than cashew in any row.".to_owned()
    } else {
        format!("Less than cashew needed: {}.", cheaper.join("; "))
    };
    format!("{}\n{verdict}\n", table_with(&rows, 1))
}

/// Peers whose median is below cashew's by more than what figures of two decimals leave open.
fn cheaper_than_cashew(scenario: &ScenarioRecord) -> Vec<String> {
    let Some(ours) = proxy_of(scenario, CASHEW).and_then(|proxy| middle(proxy, cpu_us)) else {
        return Vec::new();
    };
    let peers =
        scenario.proxies.iter().filter(|proxy| ![CASHEW, CASHEW_EPOLL].contains(&proxy.proxy.as_str()));
    let cheaper =
        peers.filter_map(|proxy| Some((proxy, middle(proxy, cpu_us).filter(|it| *it + 0.005 < ours)?)));
    cheaper
        .map(|(proxy, it)| format!("{}, {} ({it:.2} against {ours:.2})", title(&scenario.name), proxy.proxy))
        .collect()
}

/// What cashew is measured by: the scenario and the highest ratio to nutcracker in CPU time per request.
#[rustfmt::skip] // a table: one row, one line
const GOALS: &[(&str, f64)] = &[
    ("redis-get", 0.72), ("redis-set", 0.72), ("redis-get-500", 0.75), ("redis-get-pipe16", 0.33), ("redis-set-pipe16", 0.33),
    ("redis-mget20", 0.40), ("redis-get-16k", 0.90), ("mc-mix", 0.72), ("mc-mix-500", 0.75), ("mc-mix-pipe16", 0.33),
];
/// Microseconds in user space of an unpipelined request.
const USER_GOAL: f64 = 0.6;

fn goals(sources: &Sources) -> String {
    let titles = ["load", "what", "goal", "measured", "met", "with epoll"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let mut row = |scenario: &ScenarioRecord, what: &str, goal: f64, figure: &dyn Fn(&str) -> Option<f64>| {
        let Some(measured) = figure(CASHEW) else { return };
        let met = if (measured * 100.0).round() <= (goal * 100.0).round() { "yes" } else { "**no**" };
        let epoll = fixed(figure(CASHEW_EPOLL), 2).unwrap_or("-".to_owned());
        let words = [what.to_owned(), format!("{goal:.2}"), format!("{measured:.2}"), met.to_owned(), epoll];
        rows.push(std::iter::once(title(&scenario.name)).chain(words).collect());
    };
    for scenario in scenarios(&sources.closed()) {
        if let Some((_, goal)) = GOALS.iter().find(|(name, _)| *name == scenario.name) {
            let ratio = |name: &str| ratio_of(scenario, name, cpu_us);
            row(scenario, "CPU time, ratio to nutcracker", *goal, &ratio);
        }
        if ["redis-get", "redis-set", "mc-mix"].contains(&scenario.name.as_str()) {
            let user = |name: &str| proxy_of(scenario, name).and_then(|proxy| middle(proxy, user_us));
            row(scenario, "µs in user space", USER_GOAL, &user);
        }
    }
    for scenario in scenarios(&sources.open()) {
        let ratio = |name: &str| ratio_of(scenario, name, p99_us);
        row(scenario, "p99 at half load, ratio to nutcracker", 1.0, &ratio);
    }
    table(&rows)
}

fn latency(sources: &Sources) -> String {
    let cell = |proxy: &ProxyRecord| {
        let at = |figure: fn(&Round) -> u64| middle(proxy, |it| Some(figure(it) as f64 / 1e3));
        let all = [at(|it| it.latency.p50_ns)?, at(|it| it.latency.p99_ns)?, at(|it| it.latency.p999_ns)?];
        Some(all.map(|it| grouped(it as u64)).join(" / "))
    };
    let mut rows = by_proxy(&sources.open(), cell);
    if rows.len() == 1 {
        return "Not measured.\n".to_owned();
    }
    rows[0].insert(1, "requests/s".to_owned());
    let scenarios = scenarios(&sources.open());
    for (row, scenario) in rows[1..].iter_mut().zip(scenarios) {
        row.insert(1, scenario.rate.map_or("-".to_owned(), grouped));
    }
    format!("{}\n{}", image("latency", "p99 latency at half of saturation by proxy"), table_with(&rows, 1))
}

fn memory(proxy: &ProxyRecord) -> Option<String> {
    fixed(middle(proxy, |it| Some(it.proxy.as_ref()?.rss_bytes as f64 / 1_048_576.0)), 1)
}

fn control(sources: &Sources) -> String {
    let rows: Vec<_> = sources.closed().into_iter().map(control_rows).collect();
    let mut all = rows.first().cloned().unwrap_or_default();
    all.extend(rows.into_iter().skip(1).flat_map(|rows| rows.into_iter().skip(1)));
    all[1..].iter_mut().for_each(|row| row[0] = title(&row[0]));
    if all.len() > 1 { table_with(&all, 3) } else { "Not measured.\n".to_owned() }
}

fn relieved(sources: &Sources) -> String {
    let Some(record) = sources.relief() else { return "Not measured.\n".to_owned() };
    let what = record
        .scenarios
        .first()
        .map_or(String::new(), |scenario| format!("{}, one redis.\n\n", scenario.what));
    format!("{what}{}\n{}", image("relief", "CPU time of redis per request"), table(&relief::rows(record)))
}

fn remarked(sources: &Sources) -> String {
    let all: Vec<String> = sources.all().into_iter().flat_map(remarks).collect();
    let mut shown: Vec<&String> = Vec::new();
    for remark in &all {
        if !shown.contains(&remark) {
            shown.push(remark);
        }
    }
    shown.iter().map(|remark| format!("- {remark}\n")).collect()
}

fn image(name: &str, what: &str) -> String {
    format!("![{what}](charts/{name}.svg)\n")
}

/// A table of the closed loop with a row per scenario and a column per proxy.
fn closed(sources: &Sources, cell: impl Fn(&ProxyRecord) -> Option<String>) -> String {
    table_with(&by_proxy(&sources.closed(), cell), 1)
}

/// A row per scenario, a column per proxy that has something to show in any.
fn by_proxy(records: &[&Record], cell: impl Fn(&ProxyRecord) -> Option<String>) -> Vec<Vec<String>> {
    let scenarios = || scenarios(records);
    let cell_of = |scenario: &ScenarioRecord, name: &str| proxy_of(scenario, name).and_then(&cell);
    let names = KINDS.iter().map(|(name, _)| *name);
    let names: Vec<&str> =
        names.filter(|name| scenarios().iter().any(|it| cell_of(it, name).is_some())).collect();
    let titles = ["load"].iter().chain(&names).map(|name| (*name).to_owned()).collect();
    let rows = scenarios().into_iter().map(|scenario| {
        let cells = names.iter().map(|name| cell_of(scenario, name).unwrap_or("-".to_owned()));
        [title(&scenario.name)].into_iter().chain(cells).collect()
    });
    std::iter::once(titles).chain(rows).collect()
}

fn scenarios<'a>(records: &[&'a Record]) -> Vec<&'a ScenarioRecord> {
    records.iter().flat_map(|record| &record.scenarios).collect()
}

/// A scenario in few words; the name where it is none of today's.
fn title(name: &str) -> String {
    Scenario::parse(name).map_or_else(|_| name.to_owned(), |scenario| scenario.title())
}

fn proxy_of<'a>(scenario: &'a ScenarioRecord, name: &str) -> Option<&'a ProxyRecord> {
    scenario.proxies.iter().find(|proxy| proxy.proxy == name)
}

fn ratio_of(scenario: &ScenarioRecord, name: &str, figure: fn(&Round) -> Option<f64>) -> Option<f64> {
    ratio(proxy_of(scenario, name)?, baseline(scenario)?, figure)
}

fn user_us(round: &Round) -> Option<f64> {
    per_request_us(round, round.proxy.as_ref()?.cpu.user_ns)
}

fn servers_us(round: &Round) -> Option<f64> {
    per_request_us(round, round.servers_cpu.total_ns)
}

fn p99_us(round: &Round) -> Option<f64> {
    Some(round.latency.p99_ns as f64 / 1e3)
}

fn cpu_chart(sources: &Sources) -> Option<Chart> {
    let title = "CPU time of the proxy per request";
    let subtitle = "one worker thread; bars relative to nutcracker (the line); shorter is better; haproxy does not shard";
    chart(title, subtitle, NUTCRACKER, groups(&sources.closed(), cpu_us))
}

fn latency_chart(sources: &Sources) -> Option<Chart> {
    let title = "p99 latency at half of the load that the slowest sharding proxy can carry";
    let subtitle = "from the intended send time; bars relative to nutcracker (the line); shorter is better";
    chart(title, subtitle, NUTCRACKER, groups(&sources.open(), p99_us))
}

fn relief_chart(sources: &Sources) -> Option<Chart> {
    let record = sources.relief()?;
    let title = "CPU time of one redis per request";
    let subtitle = "many unpipelined clients, directly and through a proxy; bars relative to direct (the line); shorter is better";
    let base = Kind::Direct.name();
    let each = |it: &ScenarioRecord| group(it, it.name.clone(), base, relief::server_us);
    let groups = record.scenarios.iter().map(each);
    chart(title, subtitle, base, groups.collect())
}

fn chart(title: &str, subtitle: &str, base: &str, groups: Vec<Group>) -> Option<Chart> {
    let (title, subtitle, base) = (title.to_owned(), subtitle.to_owned(), base.to_owned());
    let groups: Vec<Group> = groups.into_iter().filter(|group| !group.bars.is_empty()).collect();
    (!groups.is_empty()).then_some(Chart { title, subtitle, base, unit: "µs", groups })
}

/// The scenarios that charts show, in their order.
fn groups(records: &[&Record], figure: fn(&Round) -> Option<f64>) -> Vec<Group> {
    let wanted = select(Some(CHARTED), None).unwrap_or_default();
    let found = wanted.iter().filter_map(|scenario| {
        let name = scenario.name();
        let record = scenarios(records).into_iter().find(|it| it.name == name)?;
        Some(group(record, scenario.title(), NUTCRACKER, figure))
    });
    found.collect()
}

/// What each proxy did in a scenario, relative to `base`.
fn group(scenario: &ScenarioRecord, title: String, base: &str, figure: fn(&Round) -> Option<f64>) -> Group {
    let base = proxy_of(scenario, base);
    let bars = scenario.proxies.iter().filter_map(|proxy| {
        let value = middle(proxy, figure)?;
        // The same ratio as in the tables.
        Some(Bar {
            name: proxy.proxy.clone(),
            value,
            ratio: base.and_then(|base| ratio(proxy, base, figure)),
        })
    });
    Group { title, bars: bars.collect() }
}

const TAKES_ALL: &str = "a String takes all";
const CASHEW: &str = "cashew";
const CASHEW_EPOLL: &str = "cashew-epoll";
const NUTCRACKER: &str = "nutcracker";
/// The set of scenarios that charts show.
const CHARTED: &str = "latency";
