//! The document in the project is what the results it names make, and making it keeps what people wrote.

use super::*;
use crate::report::tests::sample;

#[test]
fn the_document_and_its_charts_are_up_to_date() {
    let text = std::fs::read_to_string(docs().join(NAME)).unwrap();
    let files = made_from(&text).unwrap();
    let made = make(&text, &files).unwrap();
    for (name, expected) in &made {
        let found = std::fs::read_to_string(docs().join(name)).unwrap_or_default();
        assert!(
            found == *expected,
            "docs/{name} is not what {} make: run `cargo run -p bench -- document`",
            files.join(", ")
        );
    }
    for entry in std::fs::read_dir(docs().join("charts")).unwrap() {
        let name = format!("charts/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(made.iter().any(|(it, _)| *it == name), "docs/{name} is a chart of nothing");
    }
}

/// The sample as a closed loop, at half load, and as relief.
fn sources() -> Sources {
    let mut half = Record { half: true, ..sample() };
    half.scenarios[0].rate = Some(25_000);
    half.scenarios[0].proxies[1].rounds.iter_mut().for_each(|round| round.latency.p99_ns *= 2);
    let relief = Record { set: "relief".to_owned(), provisional: true, ..sample() };
    let others = Record { set: OTHERS.to_owned(), ..sample() };
    let named =
        [("closed.json", sample()), ("half.json", half), ("relief.json", relief), ("others.json", others)];
    Sources(named.map(|(name, record)| (name.to_owned(), record)).into())
}

/// All markers with something people wrote between them.
fn template() -> String {
    let blocks =
        BLOCKS.iter().map(|(name, _)| format!("## On {name}\n\n{BEGIN}{name} -->\nold\n{END}\n\nWords.\n"));
    format!("# Title\n\n{MADE_FROM}nothing -->\n\n{}", blocks.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_people_wrote_stays() {
    let text = fill(&template(), &sources()).unwrap();
    assert_eq!(text.matches("Words.").count(), BLOCKS.len());
    assert!(
        !text.contains("old")
            && text.contains("<!-- made from closed.json half.json relief.json others.json -->"),
        "{text}"
    );
    assert_eq!(made_from(&text).unwrap(), ["closed.json", "half.json", "relief.json", "others.json"]);
    assert_eq!(fill(&text, &sources()).unwrap(), text, "the same again");
}

#[test]
fn the_blocks_show_the_figures() {
    let text = fill(&template(), &sources()).unwrap();
    let cells = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join("|");
    let row = |begins: &str| {
        let found = text.lines().map(cells).find(|line| line.starts_with(begins));
        found.unwrap_or_else(|| panic!("no row {begins} in\n{text}"))
    };
    assert_eq!(row("|redis GET|13.00"), "|redis GET|13.00 (3.25)|9.75 (2.44)|0.75|");
    assert_eq!(row("|redis GET|CPU"), "|redis GET|CPU time, ratio to nutcracker|0.72|0.75|**no**|-|");
    assert_eq!(row("|redis GET|p99"), "|redis GET|p99 at half load, ratio to nutcracker|1.00|2.00|**no**|-|");
    assert_eq!(
        row("|redis GET|25,000"),
        "|redis GET|25,000|400 / 900 / 1,500|400 / 1,800 / 1,500|400 / 900 / 1,500|"
    );
    let with_others = text.matches("No peer needs less").count();
    assert_eq!(with_others, 2, "a verdict each on the main loads and the others");
    for part in [
        "**Provisional",
        "No peer needs less",
        "FAILED: redis-get, haproxy",
        "`half.json`: 2026-01-31",
        "(charts/cpu.svg)",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn a_cheaper_peer_is_named() {
    let mut sources = sources();
    let proxies = &mut sources.0[0].1.scenarios[0].proxies;
    proxies[0].proxy = "envoy".to_owned();
    proxies[0].rounds.iter_mut().for_each(|round| round.proxy.as_mut().unwrap().cpu.total_ns /= 10);
    let text = fill(&template(), &sources).unwrap();
    assert!(text.contains("Less than cashew needed: redis GET, envoy (1.30 against 9.75)."), "{text}");
}

#[test]
fn charts_of_what_there_is() {
    let mut sources = sources();
    let names = |sources: &Sources| {
        CHARTS.iter().filter(|(_, chart)| chart(sources).is_some()).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(names(&sources), ["cpu", "latency", "relief"]);
    let (_, chart) = CHARTS[0];
    let bars = &chart(&sources).unwrap().groups[0].bars;
    let shown: Vec<_> = bars.iter().map(|bar| (bar.name.as_str(), bar.value, bar.ratio)).collect();
    assert_eq!(shown, [("nutcracker", 13.0, Some(1.0)), ("cashew", 9.75, Some(0.75))]);
    sources.0.truncate(1);
    assert_eq!(names(&sources), ["cpu"]);
}

#[test]
fn a_broken_document_is_refused() {
    let check = |text: &str, says: &str| {
        let error = format!("{:#}", fill(text, &sources()).unwrap_err());
        assert!(error.contains(says), "{error}");
    };
    check("# Title\n", "lacks the markers of machine, cost");
    check(&template().replace("bench: goals", "bench: dreams"), "'dreams'");
    check(&template().replacen(END, "", BLOCKS.len()), "'machine' has no");
    check(&template().replace(MADE_FROM, "<!-- by "), "made from");
    assert!(make(&template(), &[]).unwrap_err().to_string().contains("closed loop"));
}
