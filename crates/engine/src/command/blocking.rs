//! How long a command that waits is to wait, as the command itself reads it.

use wire::args::ArgView;

use super::{Command, Keys, irregular};

/// In microseconds; none: for ever, or nobody can say. A time that its server refuses counts as none, too: the refusal comes
/// at once.
pub fn wait_us(command: &Command, args: ArgView<'_>) -> Option<u64> {
    let (text, per_unit) = match (command.name, command.keys) {
        (_, Keys::Streams) => (irregular::stream_options(args).wait.map(|index| args.get(index)), 1e3),
        ("TS.READ", _) => (after_block(args), 1e3),
        ("WAIT" | "WAITAOF", _) => (args.len().checked_sub(1).map(|last| args.get(last)), 1e3),
        ("BLMPOP" | "BZMPOP", _) => (Some(args.get(1)), 1e6),
        // The rest of its arguments is not told of by redis' key specifications.
        ("BLMOVEM", _) => (None, 1e6),
        _ => (args.len().checked_sub(1).map(|last| args.get(last)), 1e6),
    };
    let time: f64 = std::str::from_utf8(text?).ok()?.parse().ok()?;
    // No server takes more than a 64-bit number of milliseconds; a float becomes the nearest number there is.
    (time > 0.0 && time.is_finite()).then_some((time * per_unit) as u64)
}

fn after_block(args: ArgView<'_>) -> Option<&[u8]> {
    let at = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"BLOCK"))?;
    Some(args.get(at + 1))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;
    use wire::Args;
    use wire::limits::Limits;
    use wire::resp::encode;
    use wire::resp::request::{RequestScan, Scan};

    #[test]
    fn every_form() {
        let check = |words: &str, expected: Option<u64>| {
            let (mut bytes, mut args) = (Vec::new(), Args::default());
            encode::request(words.split(' ').map(str::as_bytes).collect::<Vec<_>>(), &mut bytes);
            let found = RequestScan::default().scan(&bytes, &Limits::default(), &mut args);
            assert!(matches!(found, Scan::Complete { .. }), "{words}");
            let view = args.view(&bytes);
            assert_eq!(wait_us(find(view).expect(words), view), expected, "{words}");
        };
        check("BLPOP a b 0", None);
        check("BLPOP a b 1.5", Some(1_500_000));
        check("BLPOP a b -1", None);
        check("BLPOP a b x", None);
        check("BLPOP a b inf", None);
        check("BLPOP a b 1e30", Some(u64::MAX));
        check("BRPOPLPUSH a b 2", Some(2_000_000));
        check("BLMOVE a b LEFT RIGHT 0.1", Some(100_000));
        check("BLMPOP 3 1 a LEFT", Some(3_000_000));
        check("BZMPOP 0 1 a MIN", None);
        check("BZPOPMIN a 4", Some(4_000_000));
        check("XREAD BLOCK 250 STREAMS s $", Some(250_000));
        check("XREAD COUNT 2 BLOCK 0 STREAMS s $", None);
        check("XREADGROUP GROUP BLOCK STREAMS BLOCK 7 STREAMS s >", Some(7_000));
        check("WAIT 1 250", Some(250_000));
        check("WAITAOF 1 0 0", None);
        check("TS.READ k BLOCK 20", Some(20_000));
    }
}
