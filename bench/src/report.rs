//! The table: medians over the rounds of each scenario and proxy, as Markdown that also reads well in a terminal.

use crate::record::{ProxyRecord, Record, Round, ScenarioRecord};
use std::fmt::Write as _;

/// The whole report: where, the table, what failed, what to know.
pub(crate) fn render(record: &Record) -> String {
    let mut text = heading(record);
    text.push_str(&table(&rows(record)));
    let controls = control_rows(record);
    if controls.len() > 1 {
        text.push_str("\nBeside it another load generator; in brackets our own:\n\n");
        text.push_str(&table_with(&controls, 3));
    }
    let notes = remarks(record);
    if !notes.is_empty() {
        text.push('\n');
    }
    notes.iter().for_each(|note| writeln!(text, "- {note}").expect("a String takes all"));
    text
}

/// What failed, what is doubtful, and what a reader has to know.
pub(crate) fn remarks(record: &Record) -> Vec<String> {
    let proxies = || {
        record
            .scenarios
            .iter()
            .flat_map(|scenario| scenario.proxies.iter().map(move |proxy| (scenario, proxy)))
    };
    let failures = proxies().filter_map(|(scenario, proxy)| {
        let why = proxy.failure.as_ref()?;
        Some(format!("FAILED: {}, {}: {why}", scenario.name, proxy.proxy))
    });
    let doubts = proxies().filter_map(|(scenario, proxy)| {
        scenario.rate.or(record.rate)?;
        let busy = middle(proxy, |it| Some(busy(it, it.generator_cpu.total_ns)))?;
        let late = middle(proxy, late_us)?;
        let p99 = middle(proxy, |it| Some(it.latency.p99_ns as f64 / 1e3))?;
        (busy >= GENERATOR_BUSY_MAX || late > p99 / 2.0).then(|| {
            let (name, proxy, share) = (&scenario.name, &proxy.proxy, busy * 100.0);
            format!("DOUBTFUL: {name}, {proxy}: the generator itself was late by {late:.0} us (p99) and busy for {share:.0}%")
        })
    });
    let strace = proxies().any(|(_, proxy)| proxy.syscalls.as_ref().is_some_and(|it| it.tool == "strace"));
    let strace = strace.then(|| {
        "system calls were counted by strace, which slows the proxy: more requests wait and are bundled"
            .to_owned()
    });
    failures.chain(doubts).chain(strace).chain(record.notes.iter().cloned()).collect()
}

fn heading(record: &Record) -> String {
    let pace = match record.rate {
        Some(rate) => format!("open loop at {rate}/s"),
        None if record.half => "open loop at half of what the slowest sharding proxy carries".to_owned(),
        None => "closed loop".to_owned(),
    };
    format!(
        "{}; {}; {} rounds of {:.2} s, {pace}\n{}\n\n",
        record.date,
        machine(record),
        record.rounds,
        record.seconds,
        versions(record),
    )
}

/// Where it was measured, in words.
pub(crate) fn machine(record: &Record) -> String {
    let machine = &record.machine;
    format!(
        "{}, {} cores, Linux {}, load {}",
        machine.cpu, machine.cores, machine.kernel, machine.load_average
    )
}

/// What each program says of its version.
pub(crate) fn versions(record: &Record) -> String {
    record.versions.iter().map(|(name, it)| format!("{name}: {it}")).collect::<Vec<_>>().join("; ")
}

/// The proxy that the others are compared with.
const BASELINE: &str = "nutcracker";

/// One row per column of the table: its title and how its cell is made.
type Column = (&'static str, fn(&ProxyRecord, Option<&ProxyRecord>) -> Option<String>);

#[rustfmt::skip] // a table: one row, one line
const COLUMNS: &[Column] = &[
    ("CPU us/req", |proxy, _| fixed(middle(proxy, cpu_us), 2)),
    ("user", |proxy, _| fixed(middle(proxy, |it| per_request_us(it, it.proxy.as_ref()?.cpu.user_ns)), 2)),
    ("system", |proxy, _| fixed(middle(proxy, |it| per_request_us(it, it.proxy.as_ref()?.cpu.system_ns)), 2)),
    ("CPU ratio", |proxy, base| fixed(ratio(proxy, base?, cpu_us), 2)),
    ("req/s", |proxy, _| middle(proxy, |it| Some(rate(it))).map(|it| grouped(it as u64))),
    ("req/s ratio", |proxy, base| fixed(ratio(proxy, base?, |it| Some(rate(it))), 2)),
    ("p50 us", |proxy, _| fixed(middle(proxy, |it| Some(it.latency.p50_ns as f64 / 1e3)), 0)),
    ("p99 us", |proxy, _| fixed(middle(proxy, |it| Some(it.latency.p99_ns as f64 / 1e3)), 0)),
    ("p99.9 us", |proxy, _| fixed(middle(proxy, |it| Some(it.latency.p999_ns as f64 / 1e3)), 0)),
    ("RSS MiB", |proxy, _| fixed(middle(proxy, |it| Some(it.proxy.as_ref()?.rss_bytes as f64 / 1_048_576.0)), 1)),
    ("servers us/req", |proxy, _| fixed(middle(proxy, |it| per_request_us(it, it.servers_cpu.total_ns)), 2)),
    ("proxy busy", |proxy, _| percent(middle(proxy, |it| Some(busy(it, it.proxy.as_ref()?.cpu.total_ns))))),
    ("generator busy", |proxy, _| percent(middle(proxy, |it| Some(busy(it, it.generator_cpu.total_ns))))),
    ("late p99 us", |proxy, _| fixed(middle(proxy, late_us), 0)),
    ("calls/req", |proxy, _| fixed(calls_per_request(proxy), 2)),
    ("unsent", |proxy, _| Some(grouped(proxy.rounds.iter().map(|it| it.unsent).sum()))),
];

/// The table's cells with the titles first. System calls only where they were counted; what an open loop could not send
/// only where there was one.
fn rows(record: &Record) -> Vec<Vec<String>> {
    let counted = record.scenarios.iter().flat_map(|it| &it.proxies).any(|proxy| proxy.syscalls.is_some());
    let open = record.rate.is_some() || record.half;
    let shown = |(title, _): &&Column| match *title {
        "calls/req" => counted,
        "unsent" | "late p99 us" => open,
        _ => true,
    };
    let columns: Vec<&Column> = COLUMNS.iter().filter(shown).collect();
    let titles = ["scenario", "proxy"].into_iter().chain(columns.iter().map(|(title, _)| *title));
    let mut rows = vec![titles.map(str::to_owned).collect()];
    for scenario in &record.scenarios {
        for proxy in &scenario.proxies {
            let base = baseline(scenario).filter(|base| base.proxy != proxy.proxy);
            let cells = columns.iter().map(|(_, cell)| cell(proxy, base).unwrap_or("-".to_owned()));
            let pace = scenario.rate.filter(|_| record.half).map(|rate| format!(" at {}/s", grouped(rate)));
            let name = scenario.name.clone() + &pace.unwrap_or_default();
            rows.push([name, proxy.proxy.clone()].into_iter().chain(cells).collect());
        }
    }
    rows
}

/// What another generator measured, with ours in brackets.
pub(crate) fn control_rows(record: &Record) -> Vec<Vec<String>> {
    let titles = ["scenario", "proxy", "generator", "req/s", "CPU us/req"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for scenario in &record.scenarios {
        for proxy in &scenario.proxies {
            let Some(control) = &proxy.control else { continue };
            let ours = requests_per_second(proxy).map_or("-".to_owned(), |rate| grouped(rate as u64));
            let rate = format!("{} ({ours})", grouped(control.rate as u64));
            let cpu = control.cpu.map(|cpu| cpu.total_ns as f64 / 1e3 / control.requests.max(1) as f64);
            let cpu = fixed(cpu, 2).zip(fixed(middle(proxy, cpu_us), 2));
            let cpu = cpu.map_or("-".to_owned(), |(theirs, ours)| format!("{theirs} ({ours})"));
            rows.push(vec![scenario.name.clone(), proxy.proxy.clone(), control.tool.clone(), rate, cpu]);
        }
    }
    rows
}

/// The median of a proxy's rounds.
pub(crate) fn requests_per_second(proxy: &ProxyRecord) -> Option<f64> {
    middle(proxy, |it| Some(rate(it)))
}

/// System calls, where they were counted.
pub(crate) fn calls_per_request(proxy: &ProxyRecord) -> Option<f64> {
    let counted = proxy.syscalls.as_ref().filter(|it| it.requests > 0)?;
    Some(counted.calls as f64 / counted.requests as f64)
}

/// What the others of a scenario are compared with.
pub(crate) fn baseline(scenario: &ScenarioRecord) -> Option<&ProxyRecord> {
    scenario.proxies.iter().find(|proxy| proxy.proxy == BASELINE)
}

/// How late the generator itself was.
fn late_us(round: &Round) -> Option<f64> {
    round.late_p99_ns.map(|late| late as f64 / 1e3)
}

/// Processor time of the proxy per request; nothing for `direct`.
pub(crate) fn cpu_us(round: &Round) -> Option<f64> {
    per_request_us(round, round.proxy.as_ref()?.cpu.total_ns)
}

/// Nanoseconds over a round as microseconds per request.
pub(crate) fn per_request_us(round: &Round, nanos: u64) -> Option<f64> {
    (round.requests > 0).then(|| nanos as f64 / 1e3 / round.requests as f64)
}

fn rate(round: &Round) -> f64 {
    if round.seconds > 0.0 { round.requests as f64 / round.seconds } else { 0.0 }
}

/// The share of one core.
pub(crate) fn busy(round: &Round, nanos: u64) -> f64 {
    if round.seconds > 0.0 { nanos as f64 / 1e9 / round.seconds } else { 0.0 }
}

/// The median over a proxy's rounds.
pub(crate) fn middle(proxy: &ProxyRecord, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    median(proxy.rounds.iter().filter_map(figure).collect())
}

/// The median of the ratios of rounds that ran one after the other: what the whole machine did in the meantime
/// is about the same for both.
pub(crate) fn ratio(
    proxy: &ProxyRecord,
    base: &ProxyRecord,
    figure: fn(&Round) -> Option<f64>,
) -> Option<f64> {
    let ratios = proxy.rounds.iter().filter_map(|round| {
        let other = base.rounds.iter().find(|other| other.round == round.round)?;
        let below = figure(other).filter(|below| *below > 0.0)?;
        Some(figure(round)? / below)
    });
    median(ratios.collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// With so many digits behind the point.
pub(crate) fn fixed(value: Option<f64>, digits: usize) -> Option<String> {
    value.map(|value| format!("{value:.digits$}"))
}

fn percent(value: Option<f64>) -> Option<String> {
    value.map(|value| format!("{:.0}%", value * 100.0))
}

/// Above this an open loop's generator is late by itself.
const GENERATOR_BUSY_MAX: f64 = 0.9;

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Markdown with columns aligned: two of names to the left, figures to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    table_with(rows, 2)
}

/// The same with so many columns of names.
pub(crate) fn table_with(rows: &[Vec<String>], names: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |cell: &String| cell.chars().count();
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            _ if at < names => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(at, &width)| match at {
        _ if at < names => "-".repeat(width),
        _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
    });
    let rule = format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.concat()
}

#[cfg(test)]
pub(crate) mod tests;
