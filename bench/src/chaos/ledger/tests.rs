//! What the ledger accepts, and above all what it does not: a checker that finds nothing proves nothing.

use super::*;

/// A ledger with one key and what its versions were.
struct Book(Ledger, Vec<Vec<u8>>, Vec<Ask>);

impl Book {
    fn new() -> Self {
        let mut ledger = Ledger::new();
        ledger.add_key("a".to_owned(), 0, 2);
        ledger.add_key("b".to_owned(), 0, 2);
        Self(ledger, Vec::new(), Vec::new())
    }

    fn send(&mut self) -> usize {
        let mut value = Vec::new();
        let ask = self.0.write(0, Some(&mut value));
        self.1.push(value);
        self.2.push(ask);
        self.1.len()
    }

    fn answer(&mut self, version: usize, reply: &Reply<'_>) {
        let ask = self.2[version - 1].clone();
        self.0.judge(&ask, reply);
    }

    fn written(&mut self) -> usize {
        let version = self.send();
        self.answer(version, &Reply::Word(b"+OK"));
        version
    }

    fn read(&mut self, version: Option<usize>) -> Judgement {
        let value = version.map(|version| self.1[version - 1].clone());
        let ask = Ask::Read(vec![self.0.see(0)]);
        self.0.judge(&ask, &Reply::Values(vec![value.as_deref()]))
    }
}

#[test]
fn acknowledged_values_stay() {
    let mut book = Book::new();
    assert_eq!(book.read(None), Right, "nothing was written");
    let (first, second) = (book.written(), book.written());
    assert_eq!(book.read(Some(second)), Right);
    assert!(matches!(book.read(Some(first)), Suspect(2, _)));
    assert!(matches!(book.read(None), Suspect(2, _)));
    let third = book.send();
    assert_eq!((book.read(Some(second)), book.read(Some(third))), (Right, Right), "it is under way");
}

#[test]
fn a_failed_write_may_be_done_late() {
    let mut book = Book::new();
    let first = book.written();
    let late = book.send();
    book.answer(late, &Reply::Error(b"-ERR Connection timed out"));
    let last = book.written();
    assert_eq!((book.read(Some(late)), book.read(Some(last))), (Right, Right));
    assert!(matches!(book.read(Some(first)), Suspect(..)));
}

#[test]
fn a_deletion_is_a_version() {
    let mut book = Book::new();
    let first = book.written();
    let deletion = book.0.write(0, None);
    assert_eq!(book.read(None), Right, "it is under way");
    assert_eq!(book.0.judge(&deletion, &Reply::Number(1)), Right);
    assert_eq!(book.read(None), Right);
    assert!(matches!(book.read(Some(first)), Suspect(..)));
}

#[test]
fn after_a_restart_everything_may_be_gone_and_nothing_else() {
    let mut book = Book::new();
    let (first, _) = (book.written(), book.written());
    let under_way = book.send();
    book.0.forget(2, |pool| pool == 0);
    assert_eq!((book.read(None), book.read(Some(first))), (Right, Right));
    book.answer(under_way, &Reply::Word(b"+OK"));
    assert_eq!(book.read(None), Right, "what was sent before proves nothing");
    book.written();
    assert!(matches!(book.read(None), Suspect(..)));
}

#[test]
fn values_that_nobody_wrote() {
    let mut book = Book::new();
    let version = book.written();
    let right = book.1[version - 1].clone();
    let mut other = Vec::new();
    book.0.write(1, Some(&mut other));
    let cut = right[..right.len() - 1].to_vec();
    let never = [b"a|9|".to_vec(), right[4..].to_vec()].concat();
    for value in [other, cut, never, Vec::new(), b"a".to_vec()] {
        let ask = Ask::Read(vec![book.0.see(0)]);
        let judgement = book.0.judge(&ask, &Reply::Values(vec![Some(&value)]));
        assert!(matches!(judgement, Wrong(_)), "{judgement:?}");
    }
    let ask = Ask::Read(vec![book.0.see(0)]);
    assert!(matches!(book.0.judge(&ask, &Reply::Word(b"+OK")), Wrong(_)));
    assert!(matches!(book.0.judge(&ask, &Reply::Values(vec![None, None])), Wrong(_)));
    assert!(matches!(book.0.judge(&ask, &Reply::Named(vec![(b"b", b"")])), Wrong(_)));
}

#[test]
fn counters() {
    let mut ledger = Ledger::new();
    ledger.add_counter("c".to_owned(), 1, 3);
    let (first, second) = (ledger.count(0), ledger.count(0));
    assert!(matches!(ledger.judge(&first, &Reply::Number(3)), Wrong(_)), "done twice");
    assert_eq!(ledger.judge(&first, &Reply::Number(1)), Right);
    assert_eq!(ledger.judge(&second, &Reply::Number(2)), Right);
    let third = ledger.count(0);
    assert!(matches!(ledger.judge(&third, &Reply::Number(2)), Suspect(3, _)), "one is lost");
}

#[test]
fn multi_gets() {
    let mut book = Book::new();
    let version = book.written();
    let value = book.1[version - 1].clone();
    let ask = Ask::Read(vec![book.0.see(1), book.0.see(0)]);
    assert_eq!(book.0.judge(&ask, &Reply::Named(vec![(b"a", &value)])), Right);
    assert!(matches!(book.0.judge(&ask, &Reply::Named(vec![])), Failed(_)));
    assert!(matches!(book.0.judge(&ask, &Reply::Named(vec![(b"b", &value)])), Wrong(_)));
    assert!(matches!(book.0.judge(&ask, &Reply::Named(vec![(b"a", &value), (b"a", &value)])), Wrong(_)));
    assert!(matches!(book.0.judge(&ask, &Reply::Values(vec![None, None])), Suspect(..)));
}
