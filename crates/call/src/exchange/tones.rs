//! Tones of the telephone network that the exchange sounds itself, for callers who are answered (docs/decisions/0079): who is not is told by a
//! status, and hears the tone of its own network.

use offhook_plan::AssetId;
use offhook_units::CallId;

use super::Exchange;
use super::media::can_hear;
use super::state::Stage;
use crate::config::Tones;

impl Exchange {
    /// The tones of a call: those of the number that was called.
    pub(super) fn tones_of(&self, id: CallId) -> &Tones {
        let number = self.calls.get(&id).and_then(|call| self.own_number(&call.number));
        number.and_then(|number| number.tones.as_ref()).unwrap_or(&self.config.tones)
    }

    /// A phone rings for a caller who is answered: it is heard, where nothing else is.
    pub(super) fn sound_ringback(&mut self, id: CallId) {
        let tone = self.tones_of(id).ringback.clone();
        if tone.is_empty() {
            return;
        }
        let playing = self.playing(tone);
        if let Some(Stage::Dialling { ringback, .. }) = self.calls.get_mut(&id).map(|call| &mut call.stage) {
            *ringback = Some(playing);
        }
    }

    /// What a caller hears last who is answered and not helped: busy where that is what `status` says, and congestion otherwise.
    pub(super) fn last_tone(&self, id: CallId, status: u16) -> Vec<AssetId> {
        let hears = |call: &super::state::Call| call.answered && can_hear(call.caller.negotiated.as_ref());
        if !self.calls.get(&id).is_some_and(hears) {
            return Vec::new();
        }
        let tones = self.tones_of(id);
        if matches!(status, 486 | 600) { tones.busy.clone() } else { tones.congestion.clone() }
    }
}
