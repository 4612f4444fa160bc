//! `bench/counts.txt`: what was counted, for people and for the comparison.

use super::series;
use anyhow::{Context, ensure};
use std::fmt;
use std::process::Command;

/// All that was counted, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub(super) machine: Machine,
    pub(super) rows: Vec<Row>,
}

impl Record {
    /// Whether the kernel had io_uring.
    pub(super) fn has_ring(&self) -> bool {
        self.rows.iter().any(Row::needs_ring)
    }
}

/// What counts depend on beside the code.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    /// The compiler.
    pub(super) compiler: String,
    /// Of the processor, what programs look at to choose between ways to do things.
    pub(super) processor: String,
    /// The C library.
    pub(super) library: String,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Per request, by the columns of its kind.
    pub(super) figures: Vec<f64>,
    /// What the first figure is made of, per request, the largest first.
    pub(super) parts: Vec<(String, f64)>,
}

/// One figure of a row.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// It may differ from the record by this share of it ...
    pub(super) share: f64,
    /// ... or by so much, whichever is more.
    pub(super) least: f64,
}

/// What callgrind counts.
pub(super) const COUNTED: [Column; 4] = [
    Column { name: "program", share: 0.03, least: 0.0 },
    Column { name: "libc", share: 0.25, least: 20.0 },
    Column { name: "calls", share: 0.02, least: 0.02 },
    Column { name: "allocs", share: 0.0, least: 0.02 },
];

/// What strace counts.
pub(super) const TRACED: [Column; 1] = [Column { name: "calls", share: 0.0, least: 0.05 }];

/// Parts that are less than this of a row's first figure are not recorded.
const SMALLEST_PART: f64 = 0.01;

impl Row {
    /// Whether it can only be counted where the kernel has io_uring.
    pub(super) fn needs_ring(&self) -> bool {
        self.name.starts_with("ring-")
    }

    /// What its figures are.
    pub(super) fn columns(&self) -> &'static [Column] {
        if self.figures.len() == TRACED.len() { &TRACED } else { &COUNTED }
    }

    /// Parts that cost less are not recorded.
    pub(super) fn smallest_part(&self) -> f64 {
        self.figures.first().map_or(0.0, |first| first * SMALLEST_PART)
    }
}

impl Machine {
    /// This one.
    pub(super) fn here() -> anyhow::Result<Machine> {
        let say = |program: &str, args: &[&str]| -> anyhow::Result<String> {
            let said = Command::new(program).args(args).current_dir(crate::root()).output();
            let said = said.with_context(|| format!("{program} cannot be run"))?;
            ensure!(said.status.success(), "{program} {}: {}", args.join(" "), said.status);
            Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
        };
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let wide = flags.split_whitespace().any(|flag| flag == "avx2");
        Ok(Machine {
            compiler: say(&rustc, &["--version"])?,
            processor: format!("{}{}", std::env::consts::ARCH, if wide { " with avx2" } else { "" }),
            library: say("getconf", &["GNU_LIBC_VERSION"])?,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        let Machine { compiler, processor, library } = &self.machine;
        writeln!(f, "compiler: {compiler}\nprocessor: {processor}\nlibrary: {library}")?;
        let mut columns = 0;
        for row in &self.rows {
            if columns != row.figures.len() {
                columns = row.figures.len();
                let title = if columns == TRACED.len() { "# whole proxy" } else { "# scenario" };
                write!(f, "\n{title:<20}")?;
                row.columns().iter().try_for_each(|column| write!(f, "{:>10}", column.name))?;
                writeln!(f)?;
            }
            write!(f, "{:<20}", row.name)?;
            row.figures.iter().try_for_each(|figure| write!(f, "{figure:>10.2}"))?;
            writeln!(f)?;
            let total: f64 = row.parts.iter().map(|(_, cost)| cost).sum();
            // Along a series the same functions do the same.
            let parts = row.parts.iter().filter(|_| !series::goes_on(&row.name, &self.rows));
            for (name, cost) in parts.filter(|(_, cost)| *cost >= row.smallest_part()) {
                writeln!(f, "{cost:>14.2} {:>3.0} %  {name}", cost / total * 100.0)?;
            }
        }
        Ok(())
    }
}

impl Record {
    /// Reads what `Display` writes.
    pub(super) fn parse(text: &str) -> anyhow::Result<Record> {
        let mut record = Record { machine: Machine::default(), rows: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            record.parse_line(line).with_context(|| format!("line {}: '{line}'", at + 1))?;
        }
        Ok(record)
    }

    fn parse_line(&mut self, line: &str) -> anyhow::Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(part) = line.strip_prefix(' ') {
            let (figures, name) = part.split_once(" %  ").context("a part without a share")?;
            let cost = figures.split_whitespace().next().context("a part without a figure")?;
            let row = self.rows.last_mut().context("a part before the first row")?;
            row.parts.push((name.to_owned(), cost.parse()?));
            return Ok(());
        }
        if let Some((key, value)) = line.split_once(": ") {
            let value = value.to_owned();
            match key {
                "compiler" => self.machine.compiler = value,
                "processor" => self.machine.processor = value,
                "library" => self.machine.library = value,
                _ => anyhow::bail!("unknown"),
            }
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let name = words.next().context("a row without a name")?.to_owned();
        let figures: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
        ensure!([COUNTED.len(), TRACED.len()].contains(&figures.len()), "{} figures", figures.len());
        self.rows.push(Row { name, figures, parts: Vec::new() });
        Ok(())
    }
}

const HEAD: &str = "\
# What a request costs, counted. Written by `cargo xtask count --write`; CI counts again and compares.
# bench/README.md (Counts) says what the scenarios are, what the columns mean and how much may differ.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let machine = Machine {
            compiler: "rustc 1.2.3 (abc 2020-01-01)".into(),
            processor: "x86_64 with avx2".into(),
            library: "glibc 2.36".into(),
        };
        let part = |name: &str, cost: f64| (name.to_owned(), cost);
        let rows = vec![
            Row {
                name: "redis-get".into(),
                figures: vec![2428.25, 64.5, 2.2, 0.0],
                parts: vec![part("<impl a::B>::c, d", 2400.0), part("libc: memcpy", 64.5)],
            },
            Row { name: "idle-0".into(), figures: vec![1.0, 0.0, 0.0, 0.0], parts: Vec::new() },
            Row {
                name: "get".into(),
                figures: vec![6.0],
                parts: vec![part("recvfrom", 2.0), part("x", 4.0)],
            },
        ];
        let record = Record { machine, rows };
        assert_eq!(Record::parse(&record.to_string()).unwrap(), record);
    }

    #[test]
    fn small_parts_are_left_out() {
        let parts = vec![("large".to_owned(), 991.0), ("small".to_owned(), 9.0)];
        let row = Row { name: "a".into(), figures: vec![1000.0, 0.0, 0.0, 0.0], parts };
        let text = Record { machine: Machine::default(), rows: vec![row] }.to_string();
        assert!(text.contains("large") && !text.contains("small"), "{text}");
    }

    #[test]
    fn a_series_has_its_parts_once() {
        let row = |name: &str| {
            let parts = vec![(format!("part of {name}"), 5.0)];
            Row { name: name.to_owned(), figures: vec![5.0, 0.0, 0.0, 0.0], parts }
        };
        let rows = ["servers-1", "servers-10", "mget20-servers-10"].map(row).into();
        let text = Record { machine: Machine::default(), rows }.to_string();
        let told = ["servers-1", "servers-10", "mget20-servers-10"]
            .map(|name| text.contains(&format!("part of {name}\n")));
        assert_eq!(told, [true, false, true], "{text}");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, says) in [
            ("\na 1 2\n", "line 2: 'a 1 2'"),
            ("a 1 x 3 4", "invalid float"),
            ("   1.0  5 %  f", "before the first row"),
            ("color: red", "unknown"),
        ] {
            let error = format!("{:#}", Record::parse(text).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::here().unwrap();
        assert!(machine.compiler.starts_with("rustc 1."), "{machine:?}");
    }
}
