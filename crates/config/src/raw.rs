//! What the file says, in twemproxy's words: sections, their keys, and words with their places.
//!
//! twemproxy allows a small part of YAML: one plain document of pools, settings below each, one list among
//! them. This reader takes exactly that part and names whatever else it finds; what the words mean is for
//! `check.rs`.

use saphyr_parser::{Event, Parser, Span, StrInput};

use crate::mistake::Mistake;

/// A non-empty scalar and where it stands, both counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A key and what follows it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Word,
    /// One for `key: value`, one per item for a list; words that could not be read are left out.
    pub(crate) values: Vec<Word>,
    /// Written as a list.
    pub(crate) list: bool,
}

/// A top-level name and the entries below it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: Word,
    pub(crate) entries: Vec<Entry>,
}

/// Everything that could be read.
pub(crate) struct Raw {
    pub(crate) sections: Vec<Section>,
    /// False if the text stopped being YAML: there may be more sections after those read.
    pub(crate) complete: bool,
}

/// Reads a file's text. Mistakes of form are added to `mistakes`; what is around them is still read.
pub(crate) fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Raw {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    document_markers(text, mistakes);
    let text = &space_after_colon(text);
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        chars: text.chars().collect(),
        mistakes,
        sections: Vec::new(),
        pool: None,
    };
    let complete = reader.document().is_ok();
    Raw { sections: reader.sections, complete }
}

/// Refuses `---` and `...`, which twemproxy does even where they change nothing. At the start of a line they
/// are always markers: no YAML text may hold them there.
fn document_markers(text: &str, mistakes: &mut Vec<Mistake>) {
    for (index, line) in text.split('\n').enumerate() {
        let marker = line.split(char::is_whitespace).next().unwrap_or_default();
        if marker == "---" || marker == "..." {
            let reason = format!("\"{marker}\" is not allowed: the file is one plain document");
            mistakes.push(Mistake { line: index + 1, column: 1, pool: None, key: None, reason });
        }
    }
}

/// `timeout:<tab>400`, which people write to align values, is YAML, and twemproxy takes it; our parser wants a
/// space after the colon. One tab becomes one space, so places stay as they are.
fn space_after_colon(text: &str) -> String {
    let repaired = text.split_inclusive('\n').map(|line| {
        let key_end = line.find(|c: char| !(c == ' ' || c == '_' || c.is_ascii_alphanumeric()));
        match key_end.map(|end| line.split_at(end)) {
            Some((key, rest)) if rest.starts_with(":\t") => format!("{key}: {}", &rest[2..]),
            _ => line.to_owned(),
        }
    });
    repaired.collect()
}

struct Reader<'a, 'm> {
    parser: Parser<'a, StrInput<'a>>,
    /// The text, for a look at the character an event starts with.
    chars: Vec<char>,
    mistakes: &'m mut Vec<Mistake>,
    sections: Vec<Section>,
    /// The pool being read, for mistakes.
    pool: Option<String>,
}

/// The text is not YAML from here on; the mistake is already noted.
struct NotYaml;

impl<'a> Reader<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), NotYaml> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                let reason = format!("not valid YAML: {}", error.info());
                self.mistakes.push(Mistake { line, column, pool: None, key: None, reason });
                Err(NotYaml)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<(), NotYaml> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) => {}
                Event::MappingStart(..) => {
                    self.plain_collection(&event, span, None);
                    self.sections()?;
                    return self.nothing_after();
                }
                Event::StreamEnd => return Ok(()),
                Event::Scalar(ref text, ..) if !text.is_empty() => {
                    let reason =
                        format!("must start with a pool's name and a colon, found \"{}\"", excerpt(text));
                    self.mistake(span, None, reason);
                    return self.nothing_after();
                }
                Event::SequenceStart(..) => {
                    self.mistake(span, None, "must start with a pool's name and a colon, found a list");
                    self.skip(&event)?;
                    return self.nothing_after();
                }
                _ => {}
            }
        }
    }

    /// Reads to the end: a second document is noted by its marker already, but its form still counts.
    fn nothing_after(&mut self) -> Result<(), NotYaml> {
        while self.next()?.0 != Event::StreamEnd {}
        Ok(())
    }

    fn sections(&mut self) -> Result<(), NotYaml> {
        loop {
            self.pool = None;
            let Some(name) = self.key().inspect_err(|_| {
                // Wrong indentation ends a pool early: what was read of it says nothing about the rest.
                self.sections.pop();
            })?
            else {
                return Ok(());
            };
            self.pool = name.as_ref().map(|name| name.text.clone());
            let (event, span) = self.next()?;
            match &event {
                Event::MappingStart(..) => {
                    self.plain_collection(&event, span, None);
                    let entries = self.entries()?;
                    self.sections.extend(name.map(|name| Section { name, entries }));
                    continue;
                }
                Event::Scalar(text, ..) if text.is_empty() => {
                    self.mistake(span, None, "has no settings below it; are they indented?");
                }
                Event::Scalar(text, ..) => {
                    let reason = format!("must have settings below it, found \"{}\"", excerpt(text));
                    self.mistake(span, None, reason);
                }
                Event::SequenceStart(..) => {
                    self.mistake(span, None, "must have settings below it, found a list")
                }
                _ => self.mistake(span, None, NO_ALIASES),
            }
            self.skip(&event)?;
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, NotYaml> {
        let mut entries = Vec::new();
        while let Some(key) = self.key()? {
            let key_text = key.as_ref().map(|key| key.text.clone());
            let key_text = key_text.as_deref();
            let (event, span) = self.next()?;
            let (values, list) = match &event {
                Event::Scalar(..) => (self.word(event, span, key_text).into_iter().collect(), false),
                Event::SequenceStart(..) => {
                    self.plain_collection(&event, span, key_text);
                    (self.items(key_text)?, true)
                }
                Event::MappingStart(..) if self.is_flow(span) => {
                    self.mistake(
                        span,
                        key_text,
                        "starts with \"{\", which is not allowed; a text with braces needs quotes",
                    );
                    self.skip(&event)?;
                    (Vec::new(), false)
                }
                Event::MappingStart(..) => {
                    self.mistake(
                        span,
                        key_text,
                        "has keys of its own below it; a pool's settings have one level",
                    );
                    self.skip(&event)?;
                    (Vec::new(), false)
                }
                _ => {
                    self.mistake(span, key_text, NO_ALIASES);
                    (Vec::new(), false)
                }
            };
            entries.extend(key.map(|key| Entry { key, values, list }));
        }
        Ok(entries)
    }

    fn items(&mut self, key: Option<&str>) -> Result<Vec<Word>, NotYaml> {
        let mut words = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match &event {
                Event::SequenceEnd => return Ok(words),
                Event::Scalar(..) => words.extend(self.word(event, span, key)),
                Event::MappingStart(..) | Event::SequenceStart(..) => {
                    self.mistake(
                        span,
                        key,
                        "must be a list of single lines; is there a space after a colon?",
                    );
                    self.skip(&event)?;
                }
                _ => self.mistake(span, key, NO_ALIASES),
            }
        }
    }

    /// The next key of a mapping, `None` at its end, `Some(None)` for one that cannot be used.
    fn key(&mut self) -> Result<Option<Option<Word>>, NotYaml> {
        let (event, span) = self.next()?;
        Ok(match &event {
            Event::MappingEnd => None,
            Event::Scalar(..) => Some(self.word(event, span, None)),
            _ => {
                self.mistake(span, None, "a key must be a single word");
                self.skip(&event)?;
                Some(None)
            }
        })
    }

    fn word(&mut self, event: Event<'a>, span: Span, key: Option<&str>) -> Option<Word> {
        let Event::Scalar(text, _, anchor, tag) = event else { return None };
        if anchor != 0 || tag.is_some() {
            self.mistake(span, key, NO_TAGS);
            return None;
        }
        if text.is_empty() {
            self.mistake(span, key, "has no value");
            return None;
        }
        if self.is_behind_tab(span) {
            self.mistake(span, key, "is indented with a tab; YAML wants spaces");
        }
        Some(Word { text: text.into_owned(), line: span.start.line(), column: span.start.col() + 1 })
    }

    /// Refuses `[ ]`, `{ }`, anchors and tags at the start of a list or a mapping.
    fn plain_collection(&mut self, event: &Event<'a>, span: Span, key: Option<&str>) {
        if let Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) = event
            && (*anchor != 0 || tag.is_some())
        {
            self.mistake(span, key, NO_TAGS);
        } else if self.is_flow(span) {
            self.mistake(
                span,
                key,
                "is written with \"[ ]\" or \"{ }\", which is not allowed: use one line per entry",
            );
        }
    }

    /// Block collections start at their first entry, which a bracket cannot begin unless quoted.
    fn is_flow(&self, span: Span) -> bool {
        matches!(self.chars.get(span.start.index()), Some('[' | '{'))
    }

    /// Newer YAML, and our parser, allow a tab in front of some entries; twemproxy's refuses it wherever a
    /// key or an item could begin.
    fn is_behind_tab(&self, span: Span) -> bool {
        let before = self.chars.get(..span.start.index()).unwrap_or_default();
        let in_line = before.iter().rev().take_while(|c| !matches!(c, '\n' | '\r'));
        let mut tab = false;
        for c in in_line {
            match c {
                '\t' => tab = true,
                ' ' | '-' | '?' => {}
                _ => return false,
            }
        }
        tab
    }

    /// Passes over what `start` opens.
    fn skip(&mut self, start: &Event<'a>) -> Result<(), NotYaml> {
        let mut depth = depth_change(start);
        while depth > 0 {
            depth += depth_change(&self.next()?.0);
        }
        Ok(())
    }

    fn mistake(&mut self, span: Span, key: Option<&str>, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            line: span.start.line(),
            column: span.start.col() + 1,
            pool: self.pool.clone(),
            key: key.map(str::to_owned),
            reason: reason.into(),
        });
    }
}

fn depth_change(event: &Event<'_>) -> i64 {
    match event {
        Event::MappingStart(..) | Event::SequenceStart(..) => 1,
        Event::MappingEnd | Event::SequenceEnd => -1,
        _ => 0,
    }
}

/// The start of a text that may be long.
fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut start: String = text.chars().take(CHARS_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

const NO_ALIASES: &str = "holds an alias (\"*name\"), which is not allowed";
const NO_TAGS: &str = "holds an anchor (\"&name\") or a tag (\"!name\"), which is not allowed";
