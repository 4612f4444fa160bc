//! A small record, and the table it gives.

use super::*;
use crate::machine::Machine;
use crate::measure::Cpu;
use crate::record::{Control, Latency, ProxyUse, Syscalls};

fn round(number: u32, requests: u64, cpu_us: Option<u64>) -> Round {
    let cpu = |us: u64| Cpu { total_ns: us * 1_000, user_ns: us * 250, system_ns: us * 750 };
    Round {
        round: number,
        requests,
        seconds: 2.0,
        unsent: 7,
        late_p99_ns: None,
        latency: Latency { p50_ns: 400_000, p99_ns: 900_400, p999_ns: 1_500_000, max_ns: 2_000_000 },
        proxy: cpu_us.map(|us| ProxyUse { cpu: cpu(us), rss_bytes: 3 << 19 }),
        servers_cpu: cpu(requests * 4),
        generator_cpu: cpu(1_000_000),
    }
}

fn proxy(name: &str, rounds: Vec<Round>) -> ProxyRecord {
    ProxyRecord { rounds, ..ProxyRecord::new(name) }
}

/// A record with one scenario; the machine slows down round by round, the ratio stays.
pub(crate) fn sample() -> Record {
    let nutcracker = [(1, 1_200_000), (2, 1_300_000), (3, 2_600_000)];
    let cashew = [(1, 600_000), (2, 975_000), (3, 1_950_000)];
    let rounds = |it: [(u32, u64); 3]| it.map(|(number, us)| round(number, 100_000, Some(us))).to_vec();
    let mut broken = proxy("haproxy", Vec::new());
    broken.failure = Some("wrong reply".to_owned());
    Record {
        date: "2026-01-31T12:00:00Z".to_owned(),
        set: "all".to_owned(),
        machine: Machine {
            cpu: "Some CPU".to_owned(),
            cores: 2,
            memory_bytes: 1 << 30,
            kernel: "6.1".to_owned(),
            load_average: "0.00".to_owned(),
        },
        versions: [("nutcracker".to_owned(), "0.5.0".to_owned())].into(),
        rounds: 3,
        seconds: 2.0,
        warm_up_seconds: 0.1,
        rate: None,
        half: false,
        provisional: false,
        notes: vec!["a note".to_owned()],
        scenarios: vec![ScenarioRecord {
            name: "redis-get".to_owned(),
            what: "redis get".to_owned(),
            rate: None,
            proxies: vec![
                proxy("nutcracker", rounds(nutcracker)),
                proxy("cashew", rounds(cashew)),
                broken,
                proxy("direct", vec![round(1, 300_000, None)]),
            ],
        }],
    }
}

#[test]
fn the_table() {
    let expected = "\
| scenario  | proxy      | CPU us/req | user | system | CPU ratio |   req/s | req/s ratio | p50 us | p99 us | p99.9 us | RSS MiB | servers us/req | proxy busy | generator busy |
| --------- | ---------- | ---------: | ---: | -----: | --------: | ------: | ----------: | -----: | -----: | -------: | ------: | -------------: | ---------: | -------------: |
| redis-get | nutcracker |      13.00 | 3.25 |   9.75 |         - |  50,000 |           - |    400 |    900 |     1500 |     1.5 |           4.00 |        65% |            50% |
| redis-get | cashew     |       9.75 | 2.44 |   7.31 |      0.75 |  50,000 |        1.00 |    400 |    900 |     1500 |     1.5 |           4.00 |        49% |            50% |
| redis-get | haproxy    |          - |    - |      - |         - |       - |           - |      - |      - |        - |       - |              - |          - |              - |
| redis-get | direct     |          - |    - |      - |         - | 150,000 |        3.00 |    400 |    900 |     1500 |       - |           4.00 |          - |            50% |
";
    assert_eq!(table(&rows(&sample())), expected);
}

#[test]
fn the_report_says_where_and_what_failed() {
    let text = render(&sample());
    for part in ["Some CPU, 2 cores", "closed loop", "FAILED: redis-get, haproxy: wrong reply", "- a note"] {
        assert!(text.contains(part), "no '{part}' in\n{text}");
    }
}

#[test]
fn an_open_loop_shows_what_it_could_not_send() {
    let rows = rows(&Record { rate: Some(1_000), ..sample() });
    assert_eq!(rows[0].last().unwrap(), "unsent");
    assert_eq!(rows[1].last().unwrap(), "21");
}

#[test]
fn medians_and_numbers() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn a_rate_of_its_own_stands_behind_the_name() {
    let mut record = Record { half: true, ..sample() };
    record.scenarios[0].rate = Some(12_345);
    let rows = rows(&record);
    assert_eq!(rows[1][0], "redis-get at 12,345/s");
    assert_eq!(rows[0].last().unwrap(), "unsent");
    assert_eq!(remarks(&record), ["FAILED: redis-get, haproxy: wrong reply", "a note"]);
    let round = &mut record.scenarios[0].proxies[1].rounds[0];
    round.late_p99_ns = Some(400_000);
    assert_eq!(remarks(&record).len(), 2, "late by less than half of the 900 us");
    record.scenarios[0].proxies[1].rounds.iter_mut().for_each(|round| round.late_p99_ns = Some(600_000));
    let doubt = "DOUBTFUL: redis-get, cashew: the generator itself was late by 600 us (p99) and busy for 50%";
    assert_eq!(remarks(&record)[1], doubt);
    // 2 s long.
    let busy =
        |round: &mut Round| (round.generator_cpu.total_ns, round.late_p99_ns) = (2_000_000_000, Some(0));
    record.scenarios[0].proxies[1].rounds.iter_mut().for_each(busy);
    assert!(remarks(&record)[1].ends_with("late by 0 us (p99) and busy for 100%"));
}

#[test]
fn calls_and_controls_show_where_there_are_any() {
    let mut record = sample();
    let cashew = &mut record.scenarios[0].proxies[1];
    cashew.syscalls = Some(Syscalls { tool: "strace".to_owned(), calls: 250, requests: 100 });
    let cpu = Cpu { total_ns: 1_000_000, user_ns: 0, system_ns: 1_000_000 };
    cashew.control = Some(Control { tool: "tool".to_owned(), requests: 100, rate: 45_678.9, cpu: Some(cpu) });
    let rows = rows(&record);
    assert_eq!((rows[0].last().unwrap().as_str(), rows[2].last().unwrap().as_str()), ("calls/req", "2.50"));
    let control = &control_rows(&record)[1..];
    assert_eq!(
        control,
        [["redis-get", "cashew", "tool", "45,678 (50,000)", "10.00 (9.75)"].map(str::to_owned)]
    );
    let text = render(&record);
    assert!(text.contains("another load generator") && text.contains("counted by strace"), "{text}");
}
