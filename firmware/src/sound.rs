//! The sound's task: takes blocks from the play-out to the DAC.

use embassy_time::{Duration, Timer};

use crate::audio::Playback;
use crate::dac::{BLOCK_FRAMES, Dac, Frame, Underrun, UnsupportedRate};
use crate::queue::Queue;
use crate::status::Status;

/// Pause while there is nothing to play.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// Room for a block; not in the task's own memory, which is copied when it
/// starts.
pub type Block = [Frame; BLOCK_FRAMES];

/// Plays for ever.
pub async fn run(
    playback: &mut Playback<'_>,
    block: &mut Block,
    queue: &Queue,
    status: &Status,
    dac: &mut impl Dac,
) -> ! {
    let mut rate = 0;
    let mut can_play = false;
    loop {
        status.sound_is_alive();
        let wanted = playback.next_block(queue, block);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != rate) {
            rate = wanted;
            can_play = match dac.start(rate).await {
                Ok(()) => true,
                Err(UnsupportedRate(rate)) => {
                    warning!("the DAC can't be clocked at {} Hz", rate);
                    false
                }
            };
        }
        if wanted.is_some() && can_play {
            if let Err(Underrun) = dac.play(block).await {
                status.update(|now| now.late_blocks += 1);
            }
        } else {
            Timer::after(IDLE_PAUSE).await;
        }
        status.update(|now| {
            now.audible = wanted.is_some() && can_play && playback.is_playing();
            now.sound = playback.counts();
            now.level_ms = playback.level_ms(queue);
        });
    }
}
