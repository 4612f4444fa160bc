//! The generator against a small redis of its own, right and wrong.

use super::*;
use crate::data::{Data, key_name};
use crate::scenario::{Mix, Scenario, USUAL};
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Serves GET, MGET and SET as if every key held its right value; `value` may say otherwise.
fn serve(value: fn(&Data, u32) -> Vec<u8>, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            std::thread::spawn(move || answer(socket.unwrap(), value, delay));
        }
    });
    address
}

/// Ends with `None` when the client closes.
fn answer(mut socket: TcpStream, value: fn(&Data, u32) -> Vec<u8>, delay: Duration) -> Option<()> {
    let data = Data::new(100, 64);
    let mut input = BufReader::new(socket.try_clone().ok()?);
    loop {
        let words = command(&mut input)?;
        std::thread::sleep(delay); // what makes it a slow server
        let keys = words[1..].iter().filter_map(|word| (1..=100).find(|&key| key_name(key) == word[..]));
        let bulks = keys.map(|key| [b"$64\r\n".to_vec(), value(&data, key), b"\r\n".to_vec()].concat());
        let reply = match &words[0][..] {
            b"SET" => b"+OK\r\n".to_vec(),
            b"GET" => bulks.flatten().collect(),
            _ => [format!("*{}\r\n", words.len() - 1).into_bytes(), bulks.flatten().collect()].concat(),
        };
        socket.write_all(&reply).ok()?;
    }
}

fn command(input: &mut impl std::io::BufRead) -> Option<Vec<Vec<u8>>> {
    let mut number = || -> Option<usize> {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse().ok()
    };
    let count = number()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let mut word = vec![0; line.trim_end().get(1..)?.parse::<usize>().ok()? + 2];
        input.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

fn right(data: &Data, key: u32) -> Vec<u8> {
    data.value(key).to_vec()
}

fn run(scenario: &Scenario, target: SocketAddr, time: Duration, rate: Option<u64>) -> Result<Outcome> {
    let data = Data::new(scenario.keys, scenario.value_bytes);
    let stop = AtomicBool::new(false);
    let mut load = Load::connect(Script { scenario, data: &data }, target, 1, &stop)?;
    load.run(time, rate)
}

const SMALL: Scenario = Scenario { clients: 3, keys: 100, ..USUAL };
const TIME: Duration = Duration::from_millis(50);

#[test]
fn closed_loop() {
    let target = serve(right, Duration::ZERO);
    let variants = [
        SMALL,
        Scenario { mix: Mix::Sets, ..SMALL },
        Scenario { mix: Mix::GetsPerSet(2), depth: 16, ..SMALL },
        Scenario { keys_per_get: 20, ..SMALL },
        Scenario { reconnect: true, ..SMALL },
        Scenario { idle: 5, ..SMALL },
    ];
    for scenario in variants {
        let outcome = run(&scenario, target, TIME, None).unwrap();
        assert!(outcome.requests >= 3 * u64::from(scenario.depth), "{scenario:?}: {outcome:?}");
        assert_eq!(outcome.latency.len(), outcome.requests);
        assert_eq!((outcome.unsent, outcome.late.len()), (0, 0));
        assert!(outcome.elapsed >= TIME / 2);
    }
}

#[test]
fn open_loop_sends_as_many_as_scheduled() {
    let target = serve(right, Duration::ZERO);
    let outcome = run(&SMALL, target, TIME, Some(1_000)).unwrap();
    assert_eq!((outcome.requests, outcome.unsent), (50, 0));
    // Each of the three clients is mostly free, so that starts are the generator's matter.
    assert!((1..=50).contains(&outcome.late.len()), "{:?}", outcome.late.len());
    assert!(outcome.late.value_at_quantile(0.5) < 15_000_000);
}

#[test]
fn open_loop_wakes_up_for_its_schedule() {
    // Replies come long before the next request is due, so that only the timer can end the wait.
    let target = serve(right, Duration::ZERO);
    let outcome = run(&SMALL, target, Duration::from_millis(400), Some(100)).unwrap();
    assert!(outcome.latency.value_at_quantile(0.5) < 15_000_000, "{:?}", outcome.latency);
}

#[test]
fn open_loop_counts_the_wait_for_a_slow_server() {
    // One client, 5 ms per reply, a request each millisecond: the last of 20 waits about 80 ms to start.
    let target = serve(right, Duration::from_millis(5));
    let one = Scenario { clients: 1, ..SMALL };
    let outcome = run(&one, target, Duration::from_millis(20), Some(1_000)).unwrap();
    assert_eq!(outcome.requests + outcome.unsent, 20);
    assert!(outcome.latency.max() > 50_000_000, "{} ns", outcome.latency.max());
}

#[test]
fn a_wrong_value_ends_the_run() {
    let target = serve(|data, key| data.value(1 + key % 100).to_vec(), Duration::ZERO);
    let error = run(&SMALL, target, TIME, None).unwrap_err();
    assert!(error.to_string().contains("wrong reply to Get"), "{error}");
}

#[test]
fn a_closed_connection_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    assert!(run(&SMALL, target, TIME, None).is_err());
}

#[test]
fn stopping_ends_the_run() {
    let target = serve(right, Duration::ZERO);
    let data = Data::new(100, 64);
    let stop = AtomicBool::new(true);
    let mut load = Load::connect(Script { scenario: &SMALL, data: &data }, target, 1, &stop).unwrap();
    assert_eq!(load.run(Duration::from_secs(60), None).unwrap_err().to_string(), "stopped");
}
