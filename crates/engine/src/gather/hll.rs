//! PFCOUNT of several keys: the registers of their HyperLogLogs merged, and redis' estimate of how many elements were
//! counted (Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", as redis' hyperloglog.c has it).

use super::string;
use wire::resp::encode;

const REGISTERS: usize = 1 << 14;
const HEAD_BYTES: usize = 16;
const DENSE_BYTES: usize = HEAD_BYTES + REGISTERS * 6 / 8;
/// The most that a register holds, a hash's 64 bits less the 14 that choose the register, and one.
const MOST: usize = 51;
/// 0.5 / ln 2, to redis' digits.
const ALPHA: f64 = 0.721_347_520_444_481_7;

const INVALID: &[u8] = b"WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPTED: &[u8] = b"INVALIDOBJ Corrupted HLL object detected";

/// Writes the count, or redis' error about a value that is no HyperLogLog.
pub(super) fn write(replies: &[&[u8]], out: &mut Vec<u8>) -> Option<()> {
    let mut registers = vec![0u8; REGISTERS];
    for reply in replies {
        let Some(value) = string(reply)? else { continue };
        if let Err(text) = merge(value, &mut registers) {
            encode::error(text, out);
            return Some(());
        }
    }
    encode::integer(estimate(&registers), out);
    Some(())
}

fn merge(value: &[u8], registers: &mut [u8]) -> Result<(), &'static [u8]> {
    let Some((head, body)) = value.split_at_checked(HEAD_BYTES) else { return Err(INVALID) };
    match head.get(4) {
        _ if !head.starts_with(b"HYLL") => Err(INVALID),
        Some(0) if value.len() == DENSE_BYTES => {
            merge_dense(body, registers);
            Ok(())
        }
        Some(1) => merge_sparse(body, registers).ok_or(CORRUPTED),
        _ => Err(INVALID),
    }
}

/// Six bits a register, the lowest bits of each byte first: four registers in three bytes.
fn merge_dense(body: &[u8], registers: &mut [u8]) {
    for (four, three) in registers.chunks_exact_mut(4).zip(body.chunks_exact(3)) {
        let bits = u32::from(three[0]) | u32::from(three[1]) << 8 | u32::from(three[2]) << 16;
        for (index, register) in four.iter_mut().enumerate() {
            *register = (*register).max((bits >> (6 * index)) as u8 & 63);
        }
    }
}

/// Runs of zeros (`00nnnnnn`, `01nnnnnn nnnnnnnn`) and of equal values (`1vvvvvnn`).
fn merge_sparse(body: &[u8], registers: &mut [u8]) -> Option<()> {
    let mut bytes = body.iter().map(|byte| usize::from(*byte));
    let mut at = 0usize;
    while let Some(byte) = bytes.next() {
        at += match byte >> 6 {
            0 => (byte & 63) + 1,
            1 => ((byte & 63) << 8 | bytes.next()?) + 1,
            _ => {
                let (value, run) = ((byte >> 2 & 31) as u8 + 1, (byte & 3) + 1);
                let run = registers.get_mut(at..at + run)?;
                run.iter_mut().for_each(|register| *register = (*register).max(value));
                run.len()
            }
        };
        if at > REGISTERS {
            return None;
        }
    }
    (at == REGISTERS).then_some(())
}

fn estimate(registers: &[u8]) -> i64 {
    let mut histogram = [0u32; 64];
    registers.iter().for_each(|register| histogram[usize::from(register & 63)] += 1);
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[MOST])) / m);
    for count in histogram[1..MOST].iter().rev() {
        z += f64::from(*count);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA * m * m / z).round() as i64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
