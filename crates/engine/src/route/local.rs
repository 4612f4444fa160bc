//! Requests that the proxy answers itself. What they change is the client's alone.

use crate::client::About;
use crate::command::{Command, Local};
use crate::core::Core;
use crate::databases::Mode;
use crate::limits::CLIENT_NAME_BYTES;
use crate::route::walk::OF_SERVER;
use wire::args::ArgView;
use wire::resp::encode;

impl Core {
    pub(crate) fn route_local(&mut self, c: u32, command: &'static Command, local: Local, args: ArgView<'_>) {
        let resp3 = self.replies.clients[c].resp3;
        match local {
            Local::Ping => self.ping(c, args),
            Local::Echo => self.answer_now(c, |out| encode::bulk(args.get(1), out)),
            Local::Quit => {
                self.answer_now(c, |out| encode::simple(b"OK", out));
                self.quit_client(c, false);
            }
            Local::Select => self.select(c, args),
            Local::Auth => self.auth(c, args),
            Local::Hello => self.hello(c, args),
            Local::Reset => self.reset(c),
            Local::Time => {
                let now = self.now.unix_us;
                self.answer_now(c, |out| {
                    encode::array_header(2, out);
                    encode::bulk((now / 1_000_000).to_string().as_bytes(), out);
                    encode::bulk((now % 1_000_000).to_string().as_bytes(), out);
                });
            }
            Local::Info if args.get(1).starts_with(OF_SERVER) => self.info_of_server(c, args),
            Local::Info => {
                let text = self.info(c, args);
                self.answer_now(c, |out| write_text(text.as_bytes(), resp3, out));
            }
            Local::Lolwut => {
                let text = format!("A cashew hangs below its apple.\nCashew {}\n", self.process.version);
                self.answer_now(c, |out| write_text(text.as_bytes(), resp3, out));
            }
            Local::ClientSetname => self.client_setname(c, args.get(2)),
            Local::ClientGetname => {
                let name = self.about(c).map(|about| about.name.clone()).unwrap_or_default();
                self.answer_now(c, |out| match name.is_empty() {
                    true => encode::null(resp3, out),
                    false => encode::bulk(&name, out),
                });
            }
            Local::ClientId => {
                let number = self.replies.clients[c].number;
                self.answer_now(c, |out| encode::integer(number as i64, out));
            }
            Local::ClientInfo => {
                let text = self.client_line(c);
                self.answer_now(c, |out| write_text(&text, resp3, out));
            }
            Local::ClientSetinfo => self.client_setinfo(c, args),
            // Routed before, as it may have to wait.
            Local::Monitor => {}
            Local::Client(call) => self.client_call(c, call, args),
            Local::Fixed(fixed) => self.fixed(c, fixed, args),
            Local::Cluster(call) => self.cluster(c, command, call, args),
            Local::Command(reply) => self.command_reply(c, reply, args),
            Local::Help => self.help(c, command),
        }
    }

    fn ping(&mut self, c: u32, args: ArgView<'_>) {
        self.answer_now(c, |out| match args.len() {
            1 => encode::simple(b"PONG", out),
            2 => encode::bulk(args.get(1), out),
            _ => encode::error(b"ERR wrong number of arguments for 'ping' command", out),
        });
    }

    fn auth(&mut self, c: u32, args: ArgView<'_>) {
        let verdict = match args.len() {
            2 => self.check_password(c, b"default", args.get(1)),
            3 => self.check_password(c, args.get(1), args.get(2)),
            _ => Err("ERR syntax error"),
        };
        self.answer_now(c, |out| match verdict {
            Ok(()) => encode::simple(b"OK", out),
            Err(text) => encode::error(text.as_bytes(), out),
        });
    }

    /// Texts are twemproxy's where it has any. A wrong password takes back an earlier right one.
    fn check_password(&mut self, c: u32, user: &[u8], password: &[u8]) -> Result<(), &'static str> {
        let Some(expected) = &self.view(c).redis_auth else {
            return Err("ERR Client sent AUTH, but no password is set");
        };
        if user != b"default" {
            return Err("WRONGPASS invalid username-password pair or user is disabled.");
        }
        let right = same_secret(expected, password);
        self.replies.clients[c].authenticated = right;
        if right { Ok(()) } else { Err("ERR invalid password") }
    }

    fn hello(&mut self, c: u32, args: ArgView<'_>) {
        let resp3 = match args.get(1) {
            b"" if args.len() == 1 => self.replies.clients[c].resp3,
            b"2" => false,
            b"3" => true,
            text if !text.is_empty() && text.iter().all(u8::is_ascii_digit) => {
                return self.answer_now(c, |out| encode::error(b"NOPROTO unsupported protocol version", out));
            }
            _ => {
                let text = b"ERR Protocol version is not an integer or out of range";
                return self.answer_now(c, |out| encode::error(text, out));
            }
        };
        match self.hello_options(c, args) {
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
            Ok(()) if !self.replies.clients[c].authenticated => self.answer_now(c, |out| {
                encode::error(
                    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                      <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                      RESP protocol version at the same time",
                    out,
                );
            }),
            Ok(()) => {
                self.speak(c, Mode { resp3, ..self.mode(c) });
                let number = self.replies.clients[c].number;
                let mode = self.redis_mode(c);
                let version = self.view(c).redis_version.clone();
                self.answer_now(c, |out| write_hello(out, number, resp3, mode, &version));
            }
        }
    }

    fn hello_options(&mut self, c: u32, args: ArgView<'_>) -> Result<(), String> {
        let mut name = None;
        let mut index = 2;
        while index < args.len() {
            let left = args.len() - index - 1;
            let option = args.get(index);
            if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
                self.check_password(c, args.get(index + 1), args.get(index + 2)).map_err(|error| {
                    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
                    if error == "ERR invalid password" { wrong } else { error }.to_string()
                })?;
                index += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
                name = Some(args.get(index + 1));
                index += 2;
            } else {
                let shown: String = String::from_utf8_lossy(option).chars().take(64).collect();
                return Err(format!("ERR Syntax error in HELLO option '{shown}'"));
            }
        }
        match name {
            Some(name) => self.set_name(c, name).map_err(str::to_string),
            None => Ok(()),
        }
    }

    /// Changes a client's protocol, or, with RESET, all that its connections are set to.
    fn speak(&mut self, c: u32, mode: Mode) {
        if self.mode(c) != mode {
            self.lose_watch(c);
        }
        self.change_mode(c, mode);
    }

    pub(crate) fn reset(&mut self, c: u32) {
        let open = self.view(c).redis_auth.is_none();
        self.end_session(c);
        self.join_pause(c);
        self.join_monitored(c);
        let client = &mut self.replies.clients[c];
        client.authenticated = open;
        client.about = None;
        self.speak(c, Mode::default());
        self.answer_now(c, |out| encode::simple(b"RESET", out));
    }

    fn about(&self, c: u32) -> Option<&About> {
        self.replies.clients[c].about.as_deref()
    }

    fn client_setname(&mut self, c: u32, name: &[u8]) {
        let verdict = self.set_name(c, name);
        self.answer_now(c, |out| match verdict {
            Ok(()) => encode::simple(b"OK", out),
            Err(text) => encode::error(text.as_bytes(), out),
        });
    }

    fn set_name(&mut self, c: u32, name: &[u8]) -> Result<(), &'static str> {
        if name.len() > CLIENT_NAME_BYTES {
            return Err("ERR client names are limited to 1024 bytes");
        }
        if !name.iter().all(u8::is_ascii_graphic) {
            return Err("ERR Client names cannot contain spaces, newlines or special characters.");
        }
        self.replies.clients[c].about.get_or_insert_default().name = name.to_vec();
        Ok(())
    }

    fn client_setinfo(&mut self, c: u32, args: ArgView<'_>) {
        let (option, value) = (args.get(2), args.get(3));
        let is_name = option.eq_ignore_ascii_case(b"LIB-NAME");
        let text = if !is_name && !option.eq_ignore_ascii_case(b"LIB-VER") {
            let shown: String = String::from_utf8_lossy(option).chars().take(64).collect();
            Some(format!("ERR Unrecognized option '{shown}'"))
        } else if value.len() > CLIENT_NAME_BYTES || !value.iter().all(u8::is_ascii_graphic) {
            let which = if is_name { "lib-name" } else { "lib-ver" };
            Some(format!("ERR {which} cannot contain spaces, newlines or special characters."))
        } else {
            let about = self.replies.clients[c].about.get_or_insert_default();
            *(if is_name { &mut about.library } else { &mut about.version }) = value.to_vec();
            None
        };
        self.answer_now(c, |out| match &text {
            None => encode::simple(b"OK", out),
            Some(text) => encode::error(text.as_bytes(), out),
        });
    }
}

/// Text for people: RESP3 has a type of its own for it.
pub(crate) fn write_text(text: &[u8], resp3: bool, out: &mut Vec<u8>) {
    if !resp3 {
        return encode::bulk(text, out);
    }
    out.push(b'=');
    encode::decimal(text.len() as u64 + 4, out);
    out.extend_from_slice(b"\r\ntxt:");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn write_hello(out: &mut Vec<u8>, number: u64, resp3: bool, mode: &str, version: &str) {
    encode::map_header(7, resp3, out);
    for (name, value) in [("server", "redis"), ("version", version)] {
        encode::bulk(name.as_bytes(), out);
        encode::bulk(value.as_bytes(), out);
    }
    encode::bulk(b"proto", out);
    encode::integer(if resp3 { 3 } else { 2 }, out);
    encode::bulk(b"id", out);
    encode::integer(number as i64, out);
    for (name, value) in [("mode", mode), ("role", "master")] {
        encode::bulk(name.as_bytes(), out);
        encode::bulk(value.as_bytes(), out);
    }
    encode::bulk(b"modules", out);
    encode::array_header(0, out);
}

/// Compares without telling by its time how much was right.
fn same_secret(expected: &[u8], said: &[u8]) -> bool {
    let mut difference = expected.len() ^ said.len();
    for (index, byte) in said.iter().enumerate() {
        difference |= usize::from(byte ^ expected.get(index).copied().unwrap_or(0xa5));
    }
    difference == 0
}
