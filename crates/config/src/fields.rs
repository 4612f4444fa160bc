//! The settings of one section, handed out by name and read by their rows' rules.

use crate::mistake::Mistake;
use crate::options::{Kind, POOL, PROCESS, PROCESS_SECTION, Row};
use crate::raw::{Entry, Section, Word};
use crate::suggest::did_you_mean;

/// The settings of a section while it is checked. Every word is read at most once, mistakes collect aside.
pub(crate) struct Fields<'a, 'm> {
    rows: &'static [Row],
    /// The pool's name; none for the process section.
    pool: Option<&'a Word>,
    /// The rows whose keys are in the file, even if their values could not be read.
    seen: Vec<&'static Row>,
    words: Vec<(&'static Row, &'a Word)>,
    /// Absent settings take the row's default.
    defaults: bool,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a, 'm> Fields<'a, 'm> {
    /// A pool's settings: absent ones take their defaults.
    pub(crate) fn of_pool(section: &'a Section, mistakes: &'m mut Vec<Mistake>) -> Self {
        let pool = Some(&section.name);
        let mut fields =
            Self { rows: POOL, pool, seen: Vec::new(), words: Vec::new(), defaults: true, mistakes };
        fields.take(&section.entries);
        fields
    }

    /// The process section's settings: absent ones stay absent, a flag may say them.
    pub(crate) fn of_process(section: &'a Section, mistakes: &'m mut Vec<Mistake>) -> Self {
        let mut fields = Self {
            rows: PROCESS,
            pool: None,
            seen: Vec::new(),
            words: Vec::new(),
            defaults: false,
            mistakes,
        };
        fields.take(&section.entries);
        fields
    }

    /// The defaults of the process section and nothing else.
    pub(crate) fn of_process_defaults(mistakes: &'m mut Vec<Mistake>) -> Self {
        Self { rows: PROCESS, pool: None, seen: Vec::new(), words: Vec::new(), defaults: true, mistakes }
    }

    /// The value given for `name`, or its default if it has one. A wrong value is noted and counts as absent.
    pub(crate) fn get<T>(&mut self, name: &str, read: impl Fn(&Row, &str) -> Result<T, String>) -> Option<T> {
        let row = find(self.rows, name).expect("the check asks for options of the table only");
        if let Some(word) = self.word(name) {
            match read(row, &word.text) {
                Ok(value) => return Some(value),
                Err(reason) => self.mistake(word, Some(name), reason),
            }
        }
        if !self.defaults || row.default.is_empty() {
            return None;
        }
        Some(read(row, row.default).expect("a default of the table reads as a value"))
    }

    /// As [`Fields::get`], for an option that has a default.
    pub(crate) fn value<T>(&mut self, name: &str, read: impl Fn(&Row, &str) -> Result<T, String>) -> T {
        self.get(name, read).expect("the option has a default")
    }

    /// Whether a value is given for `name` that does not read as one.
    pub(crate) fn is_wrong<T>(&self, name: &str, read: impl Fn(&Row, &str) -> Result<T, String>) -> bool {
        self.word(name).zip(find(self.rows, name)).is_some_and(|(word, row)| read(row, &word.text).is_err())
    }

    /// Every value given for `name` that reads as one.
    pub(crate) fn all<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<(T, &'a Word)> {
        let words: Vec<&'a Word> =
            self.words.iter().filter(|(row, _)| row.name == name).map(|(_, word)| *word).collect();
        let mut values = Vec::with_capacity(words.len());
        for word in words {
            match read(&word.text) {
                Ok(value) => values.push((value, word)),
                Err(reason) => self.mistake(word, Some(name), reason),
            }
        }
        values
    }

    /// Notes that `name` is missing if its key is not in the file.
    pub(crate) fn require(&mut self, name: &str) {
        if let Some(pool) = self.pool
            && !self.seen.iter().any(|row| row.name == name)
        {
            self.mistake(pool, Some(name), "is missing");
        }
    }

    pub(crate) fn word(&self, name: &str) -> Option<&'a Word> {
        self.words.iter().find(|(row, _)| row.name == name).map(|(_, word)| *word)
    }

    pub(crate) fn mistake(&mut self, word: &Word, key: Option<&str>, reason: impl Into<String>) {
        let pool = self.pool.map(|pool| pool.text.clone());
        let key = key.map(|key| match pool {
            Some(_) => key.to_owned(),
            None => format!("{PROCESS_SECTION}.{key}"),
        });
        self.mistakes.push(Mistake {
            line: word.line,
            column: word.column,
            pool,
            key,
            reason: reason.into(),
        });
    }

    /// Sorts the entries under their rows; refuses unknown keys, duplicates and misplaced lists.
    fn take(&mut self, entries: &'a [Entry]) {
        let lists = entries.iter().filter(|entry| entry.list).count();
        let servers_in_one_line = entries.iter().any(|entry| entry.key.text == "servers" && !entry.list);
        for entry in entries {
            let Some(row) = find(self.rows, &entry.key.text) else {
                self.unknown(&entry.key);
                continue;
            };
            let first =
                self.words.iter().find(|(known, _)| known.name == row.name).map(|(_, word)| word.line);
            self.seen.push(row);
            if row.kind == Kind::Servers {
                self.take_servers(row, entry, lists, first);
            } else if entry.list && !(lists == 1 && servers_in_one_line) {
                self.mistake(&entry.key, Some(row.name), "must be a single value, found a list");
            } else if let (Some(first), Some(_)) = (first, entry.values.first()) {
                self.mistake(&entry.key, Some(row.name), format!("is given twice, first on line {first}"));
            } else if let [value, again, ..] = entry.values.as_slice() {
                self.words.push((row, value));
                self.mistake(again, Some(row.name), "must be a single value, found a list");
            } else {
                self.words.extend(entry.values.iter().map(|value| (row, value)));
            }
        }
    }

    /// twemproxy wants exactly one list in a pool. It does not look whether that is `servers`, and a server
    /// beside the list, in one line, counts as well.
    fn take_servers(&mut self, row: &'static Row, entry: &'a Entry, lists: usize, first: Option<usize>) {
        match first {
            Some(first) if entry.list && lists > 1 => {
                self.mistake(&entry.key, Some(row.name), format!("is given twice, first on line {first}"));
            }
            _ if lists == 0 && !entry.values.is_empty() => {
                let reason = "must be a list, one line per server, each starting with \"- \"";
                self.mistake(&entry.key, Some(row.name), reason);
            }
            _ => self.words.extend(entry.values.iter().map(|value| (row, value))),
        }
    }

    fn unknown(&mut self, key: &Word) {
        let (other_rows, other_place) = match self.pool {
            Some(_) => (PROCESS, "the process, under \"cashew:\""),
            None => (POOL, "a pool"),
        };
        let reason = match find(other_rows, &key.text) {
            Some(_) => format!("is unknown here; it is a setting of {other_place}"),
            None => format!("is unknown{}", did_you_mean(&key.text, self.rows.iter().map(|row| row.name))),
        };
        self.mistake(key, Some(&key.text), reason);
    }
}

fn find(rows: &'static [Row], name: &str) -> Option<&'static Row> {
    rows.iter().find(|row| row.name == name)
}
