//! UTC times in Go's reference-time layouts, for `timestamp`.

/// `2006-01-02T15:04:05Z07:00` in UTC.
pub(super) fn rfc3339(seconds: i64) -> String {
    format("2006-01-02T15:04:05Z07:00", seconds)
}

/// Writes a time by a Go layout; text that is no part of the layout language stays.
pub(super) fn format(layout: &str, seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day % 3600 / 60,
        second_of_day % 60,
    );
    let weekday = name(
        &[
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
            "Monday",
            "Tuesday",
            "Wednesday",
        ],
        seconds.div_euclid(86_400).rem_euclid(7),
    );
    let month_name = name(
        &[
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        month - 1,
    );
    let short = |text: &str| text.chars().take(3).collect::<String>();
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    // Longest tokens first, as Go does.
    let day_of_year = seconds.div_euclid(86_400) - day_number(year) + 1;
    let tokens: [(&str, String); 26] = [
        ("January", month_name.to_owned()),
        ("Monday", weekday.to_owned()),
        ("Z07:00", "Z".to_owned()),
        ("-07:00", "+00:00".to_owned()),
        ("Z0700", "Z".to_owned()),
        ("-0700", "+0000".to_owned()),
        ("2006", format!("{year:04}")),
        ("002", format!("{day_of_year:03}")),
        ("__2", format!("{day_of_year:3}")),
        ("Jan", short(month_name)),
        ("Mon", short(weekday)),
        ("MST", "UTC".to_owned()),
        ("-07", "+00".to_owned()),
        ("01", format!("{month:02}")),
        ("02", format!("{day:02}")),
        ("03", format!("{hour12:02}")),
        ("04", format!("{minute:02}")),
        ("05", format!("{second:02}")),
        ("06", format!("{:02}", year.rem_euclid(100))),
        ("15", format!("{hour:02}")),
        ("PM", if hour >= 12 { "PM" } else { "AM" }.to_owned()),
        ("pm", if hour >= 12 { "pm" } else { "am" }.to_owned()),
        ("_2", format!("{day:2}")),
        ("1", month.to_string()),
        ("2", day.to_string()),
        ("3", hour12.to_string()),
    ];
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let found = tokens.iter().find(|(token, _)| rest.starts_with(token));
        let zeros = rest.get(1..).unwrap_or_default();
        let zeros = zeros.len() - zeros.trim_start_matches(['0', '9']).len();
        let (text, length) = match (found, c) {
            // Fractions of a second: there are none, and nines leave them out.
            (None, '.' | ',') if zeros > 0 && out.ends_with(|c: char| c.is_ascii_digit()) => {
                let nines = rest.get(1..2) == Some("9");
                let fraction = if nines {
                    String::new()
                } else {
                    format!("{c}{}", "0".repeat(zeros))
                };
                (fraction, zeros + 1)
            }
            (Some((token, text)), _) => (text.clone(), token.len()),
            (None, '4') => (minute.to_string(), 1),
            (None, '5') => (second.to_string(), 1),
            (None, c) => (c.to_string(), c.len_utf8()),
        };
        out.push_str(&text);
        rest = rest.get(length..).unwrap_or("");
    }
    out
}

fn name<'a>(names: &[&'a str], index: i64) -> &'a str {
    usize::try_from(index)
        .ok()
        .and_then(|i| names.get(i).copied())
        .unwrap_or("")
}

/// The day number of a year's first day.
fn day_number(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// Year, month and day of a day number since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
