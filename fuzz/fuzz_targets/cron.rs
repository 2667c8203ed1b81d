//! Any times, read as Jenkins writes them: refused, or followed by later ones that belong to them.
#![no_main]
use herder_jobs::cron::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(schedule) = Schedule::parse(text, "team/job", &TimeZone::UTC) else {
        return;
    };
    let mut at = Timestamp::UNIX_EPOCH;
    for _ in 0..4 {
        let Some(next) = schedule.next(at) else {
            return;
        };
        assert!(next > at);
        // Other zones have hours that do not exist, after which the next one stands in.
        if !text.contains('@') && !text.contains("TZ=") {
            assert!(schedule.matches(next), "{next}");
        }
        at = next;
    }
});
