//! Go's layouts: text in which parts of the reference time stand for parts of a time.

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    Offset(Offset),
    Fraction(Fraction),
}

/// A zone's offset, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// `Z` stands for none.
    pub(super) z: bool,
    pub(super) colon: bool,
    pub(super) minutes: bool,
    pub(super) seconds: bool,
}

/// Decimals of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    /// Zeros at the end are left out.
    pub(super) trim: bool,
    pub(super) digits: usize,
    pub(super) separator: u8,
}

/// The first element of a layout: what stands before it, the element as written and what it is, what comes after.
pub(super) struct Chunk<'a> {
    pub(super) before: &'a [u8],
    pub(super) element: Option<(&'a [u8], Element)>,
    pub(super) after: &'a [u8],
}

/// `nextStdChunk`.
pub(super) fn next(layout: &[u8]) -> Chunk<'_> {
    for at in 0..layout.len() {
        let (before, rest) = layout.split_at_checked(at).unwrap_or_default();
        let Some((skip, length, element)) = element(rest) else {
            continue;
        };
        let written = rest.get(skip..length).unwrap_or_default();
        return Chunk {
            before: layout.get(..before.len() + skip).unwrap_or_default(),
            element: Some((written, element)),
            after: rest.get(length..).unwrap_or_default(),
        };
    }
    Chunk {
        before: layout,
        element: None,
        after: &[],
    }
}

/// The element that a text begins with: how much of it is none yet, where it ends.
fn element(rest: &[u8]) -> Option<(usize, usize, Element)> {
    let found = |length: usize, element: Element| Some((0, length, element));
    match rest {
        [b'J', b'a', b'n', b'u', b'a', b'r', b'y', ..] => found(7, Element::LongMonth),
        [b'J', b'a', b'n', b'a'..=b'z', ..] => None,
        [b'J', b'a', b'n', ..] => found(3, Element::Month),
        [b'M', b'o', b'n', b'd', b'a', b'y', ..] => found(6, Element::LongWeekday),
        [b'M', b'o', b'n', b'a'..=b'z', ..] => None,
        [b'M', b'o', b'n', ..] => found(3, Element::Weekday),
        [b'M', b'S', b'T', ..] => found(3, Element::ZoneName),
        [b'0', b'1', ..] => found(2, Element::ZeroMonth),
        [b'0', b'2', ..] => found(2, Element::ZeroDay),
        [b'0', b'3', ..] => found(2, Element::ZeroHour12),
        [b'0', b'4', ..] => found(2, Element::ZeroMinute),
        [b'0', b'5', ..] => found(2, Element::ZeroSecond),
        [b'0', b'6', ..] => found(2, Element::Year),
        [b'0', b'0', b'2', ..] => found(3, Element::ZeroYearDay),
        [b'1', b'5', ..] => found(2, Element::Hour),
        [b'1', ..] => found(1, Element::NumMonth),
        [b'2', b'0', b'0', b'6', ..] => found(4, Element::LongYear),
        [b'2', ..] => found(1, Element::Day),
        // The year, after a line of its own.
        [b'_', b'2', b'0', b'0', b'6', ..] => Some((1, 5, Element::LongYear)),
        [b'_', b'2', ..] => found(2, Element::UnderDay),
        [b'_', b'_', b'2', ..] => found(3, Element::UnderYearDay),
        [b'3', ..] => found(1, Element::Hour12),
        [b'4', ..] => found(1, Element::Minute),
        [b'5', ..] => found(1, Element::Second),
        [b'P', b'M', ..] => found(2, Element::UpperPm),
        [b'p', b'm', ..] => found(2, Element::LowerPm),
        [sign @ (b'-' | b'Z'), b'0', b'7', tail @ ..] => {
            let (length, colon, minutes, seconds) = match tail {
                [b'0', b'0', b'0', b'0', ..] => (7, false, true, true),
                [b':', b'0', b'0', b':', b'0', b'0', ..] => (9, true, true, true),
                [b'0', b'0', ..] => (5, false, true, false),
                [b':', b'0', b'0', ..] => (6, true, true, false),
                _ => (3, false, false, false),
            };
            found(
                length,
                Element::Offset(Offset {
                    z: *sign == b'Z',
                    colon,
                    minutes,
                    seconds,
                }),
            )
        }
        [separator @ (b'.' | b','), digit @ (b'0' | b'9'), tail @ ..] => {
            let digits = 1 + tail.iter().take_while(|c| *c == digit).count();
            // Otherwise it is a number.
            if rest.get(digits + 1).is_some_and(u8::is_ascii_digit) {
                return None;
            }
            found(
                digits + 1,
                Element::Fraction(Fraction {
                    trim: *digit == b'9',
                    // Go keeps no more bits.
                    digits: digits & 0xfff,
                    separator: *separator,
                }),
            )
        }
        _ => None,
    }
}
