//! Answers that hardly change: who the client is, what the proxy is to clients that take it for one server, and the records
//! that it does not keep in redis' form.

use super::acl;
use crate::command::{Acl, Command, Fixed};
use crate::core::Core;
use crate::limits::QUOTED_BYTES;
use wire::args::ArgView;
use wire::resp::encode;

/// LATENCY DOCTOR, in the spirit of redis' own.
const DOCTOR: &[u8] =
    b"I'm sorry, Dave, I can't do that. Cashew records no latency events; its stats port has the \
                        latencies of every pool and server.\n";

impl Core {
    pub(crate) fn fixed(&mut self, c: u32, fixed: Fixed, args: ArgView<'_>) {
        let resp3 = self.replies.clients[c].resp3;
        let view = self.view(c);
        let secret = view.redis_auth.is_some();
        let disabled = view.disabled.clone();
        self.answer_now(c, |out| match fixed {
            Fixed::AclUsers => {
                encode::array_header(1, out);
                encode::bulk(b"default", out);
            }
            Fixed::AclList => {
                encode::array_header(1, out);
                let pass = if secret { "" } else { "nopass " };
                encode::bulk(format!("user default on {pass}~* &* +@all").as_bytes(), out);
            }
            Fixed::AclGetuser => acl::user(args.get(2), secret, resp3, out),
            Fixed::AclLog => acl::log(args, out),
            Fixed::AclDryrun => {
                acl::dry_run(args, |command| disabled.as_ref().is_some_and(|set| set.has(command)), out)
            }
            Fixed::AclWhoami => encode::bulk(b"default", out),
            Fixed::AclCat => categories(args, out),
            Fixed::Role => {
                encode::array_header(3, out);
                encode::bulk(b"master", out);
                encode::integer(0, out);
                encode::array_header(0, out);
            }
            Fixed::NothingOf if args.len() > 2 && !is_count(args.get(2)) => {
                encode::error(b"ERR count should be greater than or equal to -1", out);
            }
            Fixed::Nothing | Fixed::NothingOf => encode::array_header(0, out),
            Fixed::NoFields => encode::map_header(0, resp3, out),
            Fixed::Zero => encode::integer(0, out),
            Fixed::Done => encode::simple(b"OK", out),
            Fixed::LatencyDoctor => super::local::write_text(DOCTOR, resp3, out),
            Fixed::LatencyGraph => {
                let text = format!("ERR No samples available for event '{}'", shown(args.get(2)));
                encode::error(text.as_bytes(), out);
            }
        });
    }
}

fn is_count(word: &[u8]) -> bool {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
    number.is_some_and(|number| number >= -1)
}

pub(super) fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(QUOTED_BYTES)]).into_owned()
}

/// ACL CAT: the categories, or the served commands of one.
fn categories(args: ArgView<'_>, out: &mut Vec<u8>) {
    if args.len() == 2 {
        encode::array_header(Acl::WORDS.len(), out);
        return Acl::WORDS.iter().for_each(|(_, word)| encode::bulk(word.as_bytes(), out));
    }
    if args.len() > 3 {
        return encode::error(
            b"ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.",
            out,
        );
    }
    let Some(category) = Acl::parse(args.get(2)) else {
        let text = format!("ERR Unknown category '{}'", shown(args.get(2)));
        return encode::error(text.as_bytes(), out);
    };
    let of = |command: &&Command| command.served() && command.acl.has(category);
    let names: Vec<String> = Command::table().iter().filter(of).map(Command::full_name).collect();
    encode::array_header(names.len(), out);
    names.iter().for_each(|name| encode::bulk(name.as_bytes(), out));
}
