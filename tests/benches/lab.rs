//! What the lab costs: transmissions a second in a full mesh of 10, 100 and
//! 1000 peers without delay or loss, on one core, and the memory of the
//! largest. Targets: 1,000,000 a second at 100 peers, 500,000 at 1000, cost
//! flat within 2x.
//!
//! A table, not criterion: a run takes seconds and is the same each time, so
//! the best of a few is the figure. `cargo bench --bench lab -- 1000` measures
//! one size only.

use std::time::Instant;

use p2psp_tui::lab::{Lab, Plan};

/// Team sizes, and chunks that are measured.
const CASES: [(u16, u32); 3] = [(10, 300_000), (100, 30_000), (1000, 4_000)];
/// Runs of each.
const RUNS: usize = 3;
/// Rounds before the measurement: everything from there on is steady.
const WARM_UP_ROUNDS: u32 = 2;

fn main() {
    println!(
        "full mesh     transmissions     a second   ns each   events each   memory (most so far)"
    );
    let mut costs = Vec::new();
    let asked: Vec<u16> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    for (size, chunks) in
        CASES.into_iter().filter(|(size, _)| asked.is_empty() || asked.contains(size))
    {
        let (transmissions, events, seconds) = (0..RUNS)
            .map(|_| measure(size, chunks))
            .min_by(|one, other| one.2.total_cmp(&other.2))
            .unwrap_or((0, 0, 0.0));
        let cost = seconds * 1e9 / transmissions as f64;
        costs.push(cost);
        println!(
            "{size:>9}{transmissions:>18}{:>13.0}{cost:>10.0}{:>14.2}{:>9.0} MiB",
            transmissions as f64 / seconds,
            events as f64 / transmissions as f64,
            most_memory_kib() / 1024.0,
        );
    }
    let (least, most) = costs
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), cost| (least.min(*cost), most.max(*cost)));
    println!("dearest over cheapest: {:.2}", most / least);
}

/// Transmissions, events and seconds of the chunks after the warm-up.
fn measure(size: u16, chunks: u32) -> (u64, u64, f64) {
    let warm_up = WARM_UP_ROUNDS * u32::from(size);
    let mut plan = Plan::mesh(size);
    plan.chunks = warm_up + chunks;
    let mut lab = Lab::new(plan);
    let start_us = u64::from(warm_up) * lab.plan().chunk_us;
    while lab.now_us() < start_us && lab.step().is_some() {}
    let (before, events) = (lab.totals().transmissions, lab.steps());
    let start = Instant::now();
    lab.run();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!((lab.totals().lost, lab.violation()), (0, None));
    (lab.totals().transmissions - before, lab.steps() - events, seconds)
}

/// The most memory that this process had, in KiB.
fn most_memory_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
