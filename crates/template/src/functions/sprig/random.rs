//! Values that nobody can guess. They stay what they are as long as the seed does, so that a template that is rendered
//! again keeps its password.

use super::super::Round;
use super::super::args::{count, fail, fits, int, text};
use super::OfRound;
use crate::engine::{Result, Value};
use crate::value::string;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

pub(super) const FUNCTIONS: &[(&str, OfRound)] = &[
    ("sprig_randAlphaNum", |round, a| {
        characters("randAlphaNum", round, a, &[LETTERS, DIGITS].concat())
    }),
    ("sprig_randAlpha", |round, a| {
        characters("randAlpha", round, a, LETTERS)
    }),
    ("sprig_randAscii", |round, a| {
        let all: String = (' '..='~').collect();
        characters("randAscii", round, a, &all)
    }),
    ("sprig_randNumeric", |round, a| {
        characters("randNumeric", round, a, DIGITS)
    }),
    ("sprig_randBytes", |round, a| {
        count("randBytes", a, 1..=1)?;
        let Ok(length) = usize::try_from(int("randBytes", a, 0)?) else {
            return fail("runtime error: makeslice: len out of range");
        };
        fits("randBytes", length)?;
        round
            .draw(|stream| Ok(STANDARD.encode(stream.bytes(length)?)))
            .map(string)
    }),
    ("sprig_randInt", |round, a| {
        count("randInt", a, 2..=2)?;
        let (from, to) = (int("randInt", a, 0)?, int("randInt", a, 1)?);
        let span = match u64::try_from(to.wrapping_sub(from)) {
            Ok(span) if span > 0 => span,
            _ => return fail("invalid argument to Intn"),
        };
        let mut drawn = 0;
        round.draw(|stream| {
            drawn = from.wrapping_add_unsigned(stream.below(span)?);
            Ok(drawn.to_string())
        })?;
        Ok(Value::Int(drawn))
    }),
    ("sprig_shuffle", |round, a| {
        count("shuffle", a, 1..=1)?;
        let mut shuffled: Vec<char> = text("shuffle", a, 0)?.chars().collect();
        round
            .draw(|stream| {
                for i in (1..shuffled.len()).rev() {
                    let other = stream.below(i as u64 + 1)?;
                    shuffled.swap(i, usize::try_from(other).unwrap_or(i));
                }
                Ok(shuffled.into_iter().collect())
            })
            .map(string)
    }),
    ("sprig_uuidv4", |round, a| {
        count("uuidv4", a, 0..=0)?;
        round
            .draw(|stream| {
                let bytes = stream.bytes(16)?.try_into().unwrap_or_default();
                let random = u128::from_be_bytes(bytes);
                // The version and the variant have places of their own.
                let n = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
                Ok(format!(
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    n >> 96,
                    n >> 80 & 0xffff,
                    n >> 64 & 0xffff,
                    n >> 48 & 0xffff,
                    n & 0xffff_ffff_ffff
                ))
            })
            .map(string)
    }),
];

/// So many characters of these.
fn characters(name: &str, round: &Round, a: &[Value], of: &str) -> Result<Value> {
    count(name, a, 1..=1)?;
    // Fewer than none are none, as upstream has it.
    let length = usize::try_from(int(name, a, 0)?).unwrap_or(0);
    fits(name, length)?;
    round
        .draw(|stream| {
            (0..length)
                .map(|_| {
                    let at = usize::try_from(stream.below(of.len() as u64)?).unwrap_or_default();
                    Ok(of.get(at..=at).unwrap_or_default())
                })
                .collect()
        })
        .map(string)
}
