//! What the lab costs: transmissions a second in a full mesh of 10, 100 and
//! 1000 peers without delay or loss, on one core, and the memory of the
//! largest. Targets: 1,000,000 a second at 100 peers, 500,000 at 1000, cost
//! flat within 2x. Then what it costs to go back in a run of 1,000,000 steps:
//! less than 50 ms for one event.
//!
//! A table, not criterion: a run takes seconds and is the same each time, so
//! the best of a few is the figure. `cargo bench --bench lab -- 1000` measures
//! one size only.

use std::time::Instant;

use p2psp_tui::lab::run::{Run, Stride, Until};
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
    println!("\ngoing back by one event, after 1,000,000 and more");
    println!(
        "     peers    first    worst of 100    to the middle    keyframes    memory (most so far)"
    );
    for size in [10, 100, 1000] {
        if asked.is_empty() || asked.contains(&size) {
            go_back(size);
        }
    }
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

/// How long it takes to go back in a long run: the first event, the slowest of
/// a hundred, to the middle of the run.
fn go_back(size: u16) {
    let mut plan = Plan::mesh(size);
    plan.chunks = 1_000_000_000;
    let mut run = Run::new(plan, Vec::new());
    let steps = 1_000_000 + 3 * u64::from(size) * u64::from(size) / 2;
    while run.position() < steps {
        run.advance_until(Until::Broken, 2_000);
    }
    let back = |run: &mut Run, go: &mut dyn FnMut(&mut Run)| {
        let start = Instant::now();
        go(run);
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut event = |run: &mut Run| assert!(run.back(Stride::Event));
    let first = back(&mut run, &mut event);
    let worst = (0..100).map(|_| back(&mut run, &mut event)).fold(0.0, f64::max);
    let middle = back(&mut run, &mut |run| run.go_to(steps / 2));
    println!(
        "{size:>10}{first:>6.1} ms{worst:>13.1} ms{middle:>14.1} ms{:>9} MiB{:>20.0} MiB",
        run.keyframe_bytes() >> 20,
        most_memory_kib() / 1024.0
    );
}

/// The most memory that this process had, in KiB.
fn most_memory_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
