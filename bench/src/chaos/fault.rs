//! The faults, a row each. A fault makes itself, lasts, and undoes itself; when it comes back, all is healed.

use crate::chaos::farm::IDLE_CLIENTS;
use crate::chaos::network::{Ending, Mode};
use crate::chaos::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One row of the table below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// For `--only` and in results.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) what: &'static str,
    /// Whether it hits one server; otherwise it is the proxy that is hit.
    pub(crate) hits_a_server: bool,
    /// Makes it for the server of this number, of both protocols, and undoes it.
    pub(crate) play: fn(&mut Stage<'_>, usize) -> Result<()>,
}

const fn server(
    name: &'static str,
    what: &'static str,
    play: fn(&mut Stage<'_>, usize) -> Result<()>,
) -> Fault {
    Fault { name, what, hits_a_server: true, play }
}

const fn proxy(
    name: &'static str,
    what: &'static str,
    play: fn(&mut Stage<'_>, usize) -> Result<()>,
) -> Fault {
    Fault { name, what, hits_a_server: false, play }
}

#[rustfmt::skip] // a table: one row, one line
pub(crate) const FAULTS: [Fault; 21] = [
    server("kill", "kill -9, started again on its port after 1.5 s, empty", kill),
    server("stop-1s", "SIGSTOP, SIGCONT after 1 s", |stage, server| stop(stage, server, 1_000)),
    server("stop-3s", "SIGSTOP, SIGCONT after 3 s", |stage, server| stop(stage, server, 3_000)),
    server("client-kill", "redis: CLIENT KILL TYPE normal every 100 ms for 1 s", client_kill),
    server("maxclients", "redis: maxclients 1 and all connections killed, for 1.5 s", max_clients),
    server("refuse", "connections reset and refused for 1.5 s", |stage, server| network(stage, server, Mode::Refuse, 1_500)),
    server("turn-away", "connections are accepted and closed at once for 1.5 s", |stage, server| network(stage, server, Mode::TurnAway, 1_500)),
    server("unreachable", "connections reset, attempts to connect unanswered, for 1.5 s", |stage, server| network(stage, server, Mode::Unreachable, 1_500)),
    server("reset", "all connections reset every 100 ms for 1 s", resets),
    server("delay-50ms", "everything takes 20 to 50 ms longer for 1.5 s", |stage, server| delay(stage, server, 20, 50)),
    server("delay-600ms", "everything takes 500 to 700 ms longer for 1.5 s: replies come after their timeout", |stage, server| delay(stage, server, 500, 700)),
    server("lost", "nothing passes for 1.5 s, then all of it", |stage, server| network(stage, server, Mode::Hold, 1_500)),
    server("lost-replies", "requests pass and replies do not for 1.5 s, then all of them", |stage, server| network(stage, server, Mode::HoldReplies, 1_500)),
    server("lost-reset", "nothing passes for 1.5 s, then connections are reset", lost_reset),
    server("pieces", "everything comes in small pieces for 1.5 s", |stage, server| network(stage, server, Mode::Pieces, 1_500)),
    server("cut-close", "connections are closed in the middle of replies for 1.5 s", |stage, server| network(stage, server, Mode::Cut(Ending::Close), 1_500)),
    server("cut-reset", "connections are reset in the middle of replies for 1.5 s", |stage, server| network(stage, server, Mode::Cut(Ending::Reset), 1_500)),
    server("cut-half", "connections are half-closed in the middle of replies for 1.5 s", |stage, server| network(stage, server, Mode::Cut(Ending::Half), 1_500)),
    server("descriptors", "idle clients take all descriptors for 2 s while connections to the server are reset", descriptors),
    proxy("log-full", "the log at its highest level goes to a full disk for 2 s while clients come and go", log_full),
    proxy("signals", "HUP, TTIN, TTOU, USR1 and USR2 every 2 ms for 1.5 s", signals),
];

fn kill(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    stage.network(server, Mode::Refuse);
    for row in &mut stage.servers {
        row[server].process.as_mut().context("it is dead already")?.kill()?;
        row[server].process = None;
    }
    stage.forget(server);
    stage.pause(ms(1_500))?;
    for row in &mut stage.servers {
        row[server].restart(&stage.dir.0, stage.stop)?;
    }
    // Again: what was sent before may have been acknowledged meanwhile and is gone all the same.
    stage.forget(server);
    stage.network(server, Mode::Pass);
    Ok(())
}

fn stop(stage: &mut Stage<'_>, server: usize, time: u64) -> Result<()> {
    signal_servers(stage, server, Signal::STOP)?;
    let waited = stage.pause(ms(time));
    signal_servers(stage, server, Signal::CONT)?;
    waited
}

fn signal_servers(stage: &Stage<'_>, server: usize, signal: Signal) -> Result<()> {
    stage
        .servers
        .iter()
        .try_for_each(|row| row[server].process.as_ref().map_or(Ok(()), |process| process.signal(signal)))
}

const KILL_ALL: &str = "CLIENT KILL TYPE normal SKIPME yes";

fn client_kill(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    for _ in 0..10 {
        stage.servers[0][server].ask(&[KILL_ALL])?;
        stage.pause(ms(100))?;
    }
    Ok(())
}

fn max_clients(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    // The connection that says so is the one that is left.
    let (lines, kept) = stage.servers[0][server].ask(&["CONFIG SET maxclients 1", KILL_ALL])?;
    ensure!(lines.first().is_some_and(|line| line == "+OK"), "CONFIG SET brought {lines:?}");
    stage.pause(ms(1_500))?;
    use std::io::Write as _;
    (&kept).write_all(b"CONFIG SET maxclients 1000\r\n")?;
    let mut line = [0; 5];
    std::io::Read::read_exact(&mut &kept, &mut line)?;
    ensure!(line == *b"+OK\r\n", "CONFIG SET brought {}", String::from_utf8_lossy(&line));
    Ok(())
}

fn network(stage: &mut Stage<'_>, server: usize, mode: Mode, time: u64) -> Result<()> {
    stage.network(server, mode);
    stage.pause(ms(time))?;
    stage.network(server, Mode::Pass);
    Ok(())
}

fn delay(stage: &mut Stage<'_>, server: usize, least: u64, most: u64) -> Result<()> {
    network(stage, server, Mode::Delay(ms(least), ms(most)), 1_500)
}

fn resets(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    for _ in 0..10 {
        stage.reset(server);
        stage.pause(ms(100))?;
    }
    Ok(())
}

fn lost_reset(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    stage.network(server, Mode::Hold);
    stage.pause(ms(1_500))?;
    stage.reset(server);
    stage.network(server, Mode::Pass);
    Ok(())
}

fn descriptors(stage: &mut Stage<'_>, server: usize) -> Result<()> {
    // Those that the proxy closes at once are as welcome: it has none left.
    let idle: Vec<TcpStream> =
        stage.proxy.pools.iter().cycle().take(IDLE_CLIENTS).map_while(connect).collect();
    for _ in 0..4 {
        stage.reset(server);
        stage.pause(ms(500))?;
    }
    drop(idle);
    Ok(())
}

fn connect(address: &SocketAddr) -> Option<TcpStream> {
    TcpStream::connect_timeout(address, ms(200)).ok()
}

fn log_full(stage: &mut Stage<'_>, _: usize) -> Result<()> {
    let (log, aside) = (stage.proxy.log.clone(), stage.proxy.log.with_extension("aside"));
    std::fs::rename(&log, &aside)?;
    std::os::unix::fs::symlink("/dev/full", &log)?;
    signal_proxy(stage, Signal::HUP)?;
    for _ in 0..LEVELS {
        signal_proxy(stage, Signal::TTIN)?;
        stage.pause(ms(5))?;
    }
    for _ in 0..40 {
        let come: Vec<TcpStream> = stage.proxy.pools.iter().filter_map(connect).collect();
        stage.pause(ms(50))?;
        drop(come);
    }
    std::fs::rename(&aside, &log)?;
    for _ in 0..LEVELS {
        signal_proxy(stage, Signal::TTOU)?;
        stage.pause(ms(5))?;
    }
    signal_proxy(stage, Signal::HUP)
}

fn signals(stage: &mut Stage<'_>, _: usize) -> Result<()> {
    for _ in 0..150 {
        for signal in [Signal::HUP, Signal::TTIN, Signal::USR1, Signal::TTOU, Signal::USR2] {
            signal_proxy(stage, signal)?;
            stage.pause(ms(2))?;
        }
    }
    Ok(())
}

/// A proxy that is gone is found out afterwards.
fn signal_proxy(stage: &mut Stage<'_>, signal: Signal) -> Result<()> {
    if stage.proxy.process.check_alive().is_err() {
        return Ok(());
    }
    stage.proxy.process.signal(signal)
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// From the usual level to the highest.
const LEVELS: usize = 6;
