//! The playing of prompts and music to one leg.

use offhook_codec::Coding;
use offhook_plan::{AssetId, PlayerPlan};
use offhook_units::{PlayerId, Span, Tick};

use crate::Assets;

/// Players send on this grid, so that one waking serves many: 10 ms.
pub const GRID: Span = Span::from_ms(10);
/// Packets sent at most to make up for a worker that woke late: 100 ms of them. What lies further back is skipped in the time
/// line.
pub const CATCH_UP_MAX: u64 = 5;
/// Longest packet made: 60 ms.
pub const FRAME_BYTES_MAX: usize = 480;

/// One playing.
#[derive(Debug)]
pub struct Player {
    pub id: PlayerId,
    assets: Vec<AssetId>,
    repeat: bool,
    /// Which asset, and how many bytes of it are played.
    place: (usize, usize),
    /// When the next packet leaves.
    pub next_at: Tick,
    /// The next packet begins a talkspurt: the first one, or after a gap.
    pub begins: bool,
    pub finished: bool,
}

/// What a frame is to the playing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// More follows.
    Playing,
    /// The last one, filled up with silence.
    Last,
    /// There is nothing to play.
    Nothing,
}

impl Player {
    /// Begins at the next point of the grid.
    pub fn new(plan: &PlayerPlan, now: Tick) -> Self {
        let grid = GRID.as_us();
        Self {
            id: plan.player,
            assets: plan.assets.clone(),
            repeat: plan.repeat,
            place: (0, 0),
            next_at: Tick::from_us(now.as_us().div_ceil(grid) * grid),
            begins: true,
            finished: false,
        }
    }

    /// Fills `frame` with the next bytes.
    pub fn fill(&mut self, assets: &Assets, coding: Coding, frame: &mut [u8]) -> Frame {
        let mut at = 0;
        let mut wrapped_at = None;
        while at < frame.len() {
            let Some(asset) = self.assets.get(self.place.0) else {
                // A repeat that yields nothing between two wraps has nothing to play.
                if !self.repeat || wrapped_at == Some(at) {
                    break;
                }
                wrapped_at = Some(at);
                self.place = (0, 0);
                continue;
            };
            let rest = assets.bytes(*asset, coding).get(self.place.1..).unwrap_or(&[]);
            let take = rest.len().min(frame.len() - at);
            frame[at..at + take].copy_from_slice(&rest[..take]);
            at += take;
            self.place = if take == rest.len() { (self.place.0 + 1, 0) } else { (self.place.0, self.place.1 + take) };
        }
        frame[at..].fill(coding.silence());
        let over = self.place.0 >= self.assets.len() && !self.repeat;
        match at {
            0 => Frame::Nothing,
            _ if over || at < frame.len() => Frame::Last,
            _ => Frame::Playing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Asset;
    use offhook_codec::Law;
    use offhook_units::SampleRate;

    fn play(lengths: &[usize], list: &[u32], repeat: bool, frames: usize) -> Vec<(Frame, usize)> {
        let sounds = lengths.iter().map(|n| Asset::from_pcm(&vec![1_000; *n], SampleRate::NARROW).unwrap()).collect();
        let assets = Assets::new(sounds);
        let plan = PlayerPlan { player: PlayerId(1), assets: list.iter().map(|n| AssetId(*n)).collect(), repeat };
        let mut player = Player::new(&plan, Tick::ZERO);
        let sounding = |frame: &[u8]| frame.iter().filter(|byte| **byte != 0xff).count();
        (0..frames)
            .map(|_| {
                let mut frame = [0; 160];
                (player.fill(&assets, Coding::G711(Law::Mu), &mut frame), sounding(&frame))
            })
            .collect()
    }

    #[test]
    fn assets_follow_each_other_without_a_gap_and_the_last_frame_is_filled_up() {
        use Frame::{Last, Playing};
        assert_eq!(play(&[200, 200], &[0, 1], false, 3), [(Playing, 160), (Playing, 160), (Last, 80)]);
        assert_eq!(play(&[160], &[0], false, 1), [(Last, 160)]);
        assert_eq!(play(&[200], &[0], true, 5), [(Playing, 160); 5]);
    }

    #[test]
    fn nothing_to_play_ends_at_once_even_when_repeated() {
        assert_eq!(play(&[], &[], true, 1), [(Frame::Nothing, 0)]);
        assert_eq!(play(&[10], &[7], true, 1), [(Frame::Nothing, 0)]);
        assert_eq!(play(&[10], &[7], false, 1), [(Frame::Nothing, 0)]);
        assert_eq!(play(&[10], &[0], true, 1), [(Frame::Playing, 160)]);
    }
}
