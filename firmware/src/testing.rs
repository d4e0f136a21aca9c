//! What several tests need.

/// Numbers without a plan, each below what it is asked for; the same ones each
/// time.
pub(crate) fn random(mut seed: u32) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    }
}
