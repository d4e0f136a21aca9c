//! Numbers, as people read them: aligned, with their units.

/// Bytes a second.
pub fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        slow if slow < 1e6 => format!("{:.1} kB/s", slow / 1e3),
        fast => format!("{:.2} MB/s", fast / 1e6),
    }
}

/// A part of all, as a percentage.
pub fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// A count, in at most seven characters.
pub fn count(count: u64) -> String {
    match count {
        0..10_000_000 => count.to_string(),
        10_000_000..10_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

/// A time that passed, in at most eight characters.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{rest:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{rest:02}"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A short time, in milliseconds or seconds.
pub fn latency(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(rate(0.0), "0.0 kB/s");
        assert_eq!(rate(16_049.0), "16.0 kB/s");
        assert_eq!(rate(2e6), "2.00 MB/s");
        assert_eq!(percent(0.012_34), "1.23 %");
        assert_eq!(count(9_999_999), "9999999");
        assert_eq!(count(12_345_678), "12.3M");
        assert_eq!(count(12_345_678_901), "12.3G");
        assert_eq!(duration(42.9), "0:42");
        assert_eq!(duration(3723.0), "1:02:03");
        assert_eq!(duration(90_000.0), "1d 1h");
        assert_eq!(latency(40.0), "40 ms");
        assert_eq!(latency(2048.0), "2.05 s");
    }
}
