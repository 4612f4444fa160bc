//! What differs from the record, and which functions did it.

use super::record::{Column, Machine, Record, Row};
use std::fmt::Write as _;

/// Another compiler makes other code of the same text: so much may be added then, and nothing is said of less.
const OTHER_COMPILER: f64 = 0.05;

/// So many functions are named per figure.
const NAMED: usize = 5;

/// And so many that changed in the other direction.
const NAMED_AGAINST: usize = 2;

/// A sentence with its functions for each figure that differs by more than the tolerance. Cheaper is a complaint too: the
/// next change would have the difference to spend unseen.
pub(super) fn compare(recorded: &Record, counted: &Record) -> Vec<String> {
    let (old, new) = (&recorded.machine, &counted.machine);
    let same_code = (&old.compiler, &old.processor) == (&new.compiler, &new.processor);
    let same_architecture = architecture(old) == architecture(new);
    let same_library = old.library == new.library && same_code;
    let mut complaints = Vec::new();
    for row in &counted.rows {
        let Some(before) = recorded.rows.iter().find(|before| before.name == row.name) else {
            complaints.push(format!("{}: is not recorded", row.name));
            continue;
        };
        if before.figures.len() != row.figures.len() {
            complaints.push(format!("{}: is recorded with other figures", row.name));
            continue;
        }
        for (column, (old, new)) in row.columns().iter().zip(before.figures.iter().zip(&row.figures)) {
            let share = match column.name {
                "program" if !same_architecture => continue,
                "program" if !same_code => OTHER_COMPILER,
                "libc" if !same_library => continue,
                _ => column.share,
            };
            let differs = (new - old).abs() > (old * share).max(column.least) + ROUNDING;
            if differs && (new > old || same_code) {
                complaints.push(complaint(before, row, column, share, (*old, *new)));
            }
        }
    }
    let gone = recorded.rows.iter().filter(|row| !counted.rows.iter().any(|other| other.name == row.name));
    let gone = gone.filter(|row| counted.has_ring() || !row.needs_ring());
    complaints.extend(gone.map(|row| format!("{}: is recorded, but there is no such scenario", row.name)));
    complaints
}

fn architecture(machine: &Machine) -> Option<&str> {
    machine.processor.split(' ').next()
}

/// The record has two decimals.
const ROUNDING: f64 = 0.005;

fn complaint(before: &Row, row: &Row, column: &Column, share: f64, (old, new): (f64, f64)) -> String {
    let tolerance = match (share, column.least) {
        (0.0, least) => format!("{least}"),
        (share, 0.0) => format!("{:.0} %", share * 100.0),
        (share, least) => format!("{:.0} % or {least}", share * 100.0),
    };
    let verb = if new > old { "grew" } else { "shrank" };
    let mut text = format!("{}: {} {verb} from {old:.2} to {new:.2} per request", row.name, column.name);
    if old > 0.0 {
        _ = write!(text, ", {:+.1} %", (new / old - 1.0) * 100.0);
    }
    _ = write!(text, " (tolerance {tolerance})");
    // Those that went the other way, too: where the compiler draws the line between two functions, it may move.
    let against = changes(before, row, new < old);
    for (name, old, new) in
        changes(before, row, new > old).into_iter().chain(against.into_iter().take(NAMED_AGAINST))
    {
        _ = write!(text, "\n{:>+10.2}  {name}: {old} to {new:.2}", new - old.figure());
    }
    text
}

/// What is known of a function's cost.
pub(super) enum Before {
    /// Exactly.
    Known(f64),
    /// It was too small to be recorded: less than this.
    Below(f64),
}

impl Before {
    fn figure(&self) -> f64 {
        let (Before::Known(figure) | Before::Below(figure)) = self;
        *figure
    }
}

impl std::fmt::Display for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Before::Known(figure) => write!(f, "{figure:.2}"),
            Before::Below(figure) => write!(f, "less than {figure:.2}"),
        }
    }
}

/// The parts that grew (or shrank) most.
pub(super) fn changes<'a>(before: &'a Row, after: &'a Row, grew: bool) -> Vec<(&'a str, Before, f64)> {
    let known = |row: &'a Row, name: &str| row.parts.iter().find(|(n, _)| n == name).map(|(_, cost)| *cost);
    if before.parts.is_empty() {
        return Vec::new();
    }
    let unknown = before.smallest_part();
    let mut changes: Vec<(&str, Before, f64)> = Vec::new();
    for (name, cost) in &after.parts {
        let old = known(before, name).map_or(Before::Below(unknown.min(*cost)), Before::Known);
        changes.push((name, old, *cost));
    }
    for (name, cost) in before.parts.iter().filter(|(name, _)| known(after, name).is_none()) {
        changes.push((name, Before::Known(*cost), 0.0));
    }
    let change = |(_, old, new): &(&str, Before, f64)| (new - old.figure()) * if grew { 1.0 } else { -1.0 };
    // Of what was not recorded, only what is clearly more than the least that would have been.
    changes.retain(|row| change(row) > if matches!(row.1, Before::Below(_)) { unknown } else { 0.0 });
    changes.sort_by(|a, b| change(b).total_cmp(&change(a)));
    changes.truncate(NAMED);
    changes
}

/// All figures, with the record's beside the first.
pub(super) fn table(recorded: &Record, counted: &Record) -> String {
    let mut text = String::new();
    let mut columns = 0;
    for row in &counted.rows {
        if columns != row.figures.len() {
            columns = row.figures.len();
            _ = write!(text, "\n{:<20}{:>10}", "per request", "recorded");
            row.columns().iter().for_each(|column| _ = write!(text, "{:>10}", column.name));
            text.push('\n');
        }
        let old = recorded.rows.iter().find(|old| old.name == row.name).and_then(|old| old.figures.first());
        _ = write!(text, "{:<20}{:>10}", row.name, old.map_or("-".to_owned(), |old| format!("{old:.2}")));
        row.figures.iter().for_each(|figure| _ = write!(text, "{figure:>10.2}"));
        text.push('\n');
    }
    if !counted.has_ring() {
        text += "\nno io_uring here: what goes by it is not compared\n";
    }
    let (old, new) = (&recorded.machine, &counted.machine);
    for (old, new, so) in [
        (&old.compiler, &new.compiler, "5 % more instructions are let pass"),
        (
            &old.processor,
            &new.processor,
            "5 % more instructions are let pass, and any on another architecture",
        ),
        (&old.library, &new.library, "instructions in libc are not compared"),
    ] {
        if old != new {
            _ = writeln!(text, "\nrecorded with {old}; this is {new}: {so}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::record::Machine;
    use super::*;

    fn row(figures: [f64; 4], parts: &[(&str, f64)]) -> Row {
        let parts = parts.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
        Row { name: "get".into(), figures: figures.into(), parts }
    }

    fn record(compiler: &str, library: &str, rows: Vec<Row>) -> Record {
        let machine = Machine { compiler: compiler.into(), processor: "p".into(), library: library.into() };
        Record { machine, rows }
    }

    #[test]
    fn figures_beyond_their_tolerance_are_named() {
        const OLD: [f64; 4] = [1000.0, 100.0, 6.0, 0.0];
        for (new, compiler, library, expected) in [
            (OLD, "c", "l", &[][..]),
            ([1030.0, 125.0, 6.12, 0.02], "c", "l", &[]),
            ([1031.0, 100.0, 6.0, 0.0], "c", "l", &["get: program grew from 1000.00 to 1031.00"]),
            ([969.0, 100.0, 6.0, 0.0], "c", "l", &["get: program shrank"]),
            ([1000.0, 126.0, 6.0, 0.0], "c", "l", &["get: libc grew"]),
            ([1000.0, 126.0, 6.0, 0.0], "c", "other", &[]),
            ([1000.0, 100.0, 6.2, 0.1], "c", "l", &["get: calls grew", "get: allocs grew"]),
            ([1050.0, 200.0, 6.0, 0.0], "other", "l", &[]),
            ([1060.0, 100.0, 6.0, 0.0], "other", "l", &["get: program grew"]),
            ([500.0, 100.0, 6.0, 0.0], "other", "l", &[]),
            ([1000.0, 100.0, 7.0, 0.0], "other", "l", &["get: calls grew"]),
        ] {
            let recorded = record("c", "l", vec![row(OLD, &[])]);
            let complaints = compare(&recorded, &record(compiler, library, vec![row(new, &[])]));
            assert_eq!(complaints.len(), expected.len(), "{new:?}: {complaints:?}");
            for (complaint, expected) in complaints.iter().zip(expected) {
                assert!(complaint.starts_with(expected), "{complaint}");
            }
        }
    }

    #[test]
    fn the_functions_that_grew_are_named() {
        let before = row([1000.0, 0.0, 0.0, 0.0], &[("a", 500.0), ("b", 300.0), ("c", 200.0)]);
        let parts = [("a", 510.0), ("b", 290.0), ("c", 260.0), ("d", 70.0), ("e", 5.0)];
        let after = row([1135.0, 0.0, 0.0, 0.0], &parts);
        let complaints = compare(&record("c", "l", vec![before]), &record("c", "l", vec![after]));
        let expected = "get: program grew from 1000.00 to 1135.00 per request, +13.5 % (tolerance 3 %)\n\
                        \x20   +60.00  c: 200.00 to 260.00\n\
                        \x20   +60.00  d: less than 10.00 to 70.00\n\
                        \x20   +10.00  a: 500.00 to 510.00\n\
                        \x20   -10.00  b: 300.00 to 290.00";
        assert_eq!(complaints, [expected]);
    }

    #[test]
    fn functions_that_are_gone_explain_what_shrank() {
        let before = row([1000.0, 0.0, 0.0, 0.0], &[("a", 500.0), ("b", 500.0)]);
        let after = row([500.0, 0.0, 0.0, 0.0], &[("a", 500.0)]);
        let complaints = compare(&record("c", "l", vec![before]), &record("c", "l", vec![after]));
        assert!(complaints[0].ends_with("\n   -500.00  b: 500.00 to 0.00"), "{complaints:?}");
    }

    #[test]
    fn another_architecture_has_other_instructions() {
        let mut here = record("c", "l", vec![row([1000.0, 0.0, 6.0, 0.0], &[])]);
        here.machine.processor = "x86_64 with avx2".into();
        let mut there = record("c", "l", vec![row([3000.0, 0.0, 7.0, 0.0], &[])]);
        there.machine.processor = "aarch64".into();
        let complaints = compare(&here, &there);
        assert!(complaints.len() == 1 && complaints[0].starts_with("get: calls grew"), "{complaints:?}");
    }

    #[test]
    fn rows_come_and_go_with_the_record() {
        let (here, none) = (record("c", "l", vec![row([1.0; 4], &[])]), record("c", "l", Vec::new()));
        assert_eq!(compare(&none, &here), ["get: is not recorded"]);
        assert_eq!(compare(&here, &none), ["get: is recorded, but there is no such scenario"]);
    }

    #[test]
    fn what_the_kernel_cannot_do_is_not_missed() {
        let named = |name: &str| Row { name: name.into(), ..row([1.0; 4], &[]) };
        let all = record("c", "l", vec![named("get"), named("ring-get"), named("ring-set")]);
        let without = record("c", "l", vec![named("get")]);
        assert!(compare(&all, &without).is_empty());
        assert!(table(&all, &without).contains("no io_uring here"));
        let some = record("c", "l", vec![named("get"), named("ring-get")]);
        assert_eq!(compare(&all, &some), ["ring-set: is recorded, but there is no such scenario"]);
        assert!(!table(&all, &some).contains("no io_uring here"));
    }
}
