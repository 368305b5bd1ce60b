//! Whether a target of a trunk is there: OPTIONS that are answered, or not.

use offhook_units::Span;

/// Questions in a row without a good answer after which a target is down.
pub const DOWN_AFTER: u32 = 3;
/// A question that has no answer for so long counts as unanswered.
pub const SILENT: Span = Span::from_s(5);
/// Between two questions to a target that is in doubt.
const DOUBTED_EVERY: Span = Span::from_s(5);

/// What is known of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answered, or was not asked yet.
    Up,
    /// It did not answer so often in a row.
    Doubted {
        /// Less than [`DOWN_AFTER`].
        failures: u32,
    },
    /// It is passed over while another one is up.
    Down,
}

/// What was heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Any final response but 503: somebody is there and takes requests.
    Answer,
    /// Nothing, a failed transport, or 503.
    Nothing,
}

impl Heard {
    /// What a final response to OPTIONS says.
    pub const fn of_status(status: Option<u16>) -> Self {
        match status {
            // 408 is a proxy's word for a host behind it that is silent.
            None | Some(408 | 503) => Self::Nothing,
            Some(_) => Self::Answer,
        }
    }
}

impl State {
    /// What is known after `heard`.
    #[must_use]
    pub const fn after(self, heard: Heard) -> Self {
        match (self, heard) {
            (Self::Up | Self::Doubted { .. } | Self::Down, Heard::Answer) => Self::Up,
            (Self::Up, Heard::Nothing) => Self::Doubted { failures: 1 },
            (Self::Doubted { failures }, Heard::Nothing) if failures + 1 < DOWN_AFTER => {
                Self::Doubted { failures: failures + 1 }
            }
            (Self::Doubted { .. } | Self::Down, Heard::Nothing) => Self::Down,
        }
    }

    /// How long until it is asked again, where `every` is the rule.
    pub fn ask_again_after(self, every: Span) -> Span {
        match self {
            Self::Up | Self::Down => every,
            Self::Doubted { .. } => every.min(DOUBTED_EVERY),
        }
    }

    /// Whether calls go there.
    pub const fn is_up(self) -> bool {
        match self {
            Self::Up | Self::Doubted { .. } => true,
            Self::Down => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_down_after_three_silences_in_a_row_and_up_after_one_answer() {
        let rows = [
            (State::Up, Heard::Answer, State::Up),
            (State::Up, Heard::Nothing, State::Doubted { failures: 1 }),
            (State::Doubted { failures: 1 }, Heard::Nothing, State::Doubted { failures: 2 }),
            (State::Doubted { failures: 1 }, Heard::Answer, State::Up),
            (State::Doubted { failures: 2 }, Heard::Nothing, State::Down),
            (State::Down, Heard::Nothing, State::Down),
            (State::Down, Heard::Answer, State::Up),
        ];
        for (before, heard, after) in rows {
            assert_eq!(before.after(heard), after, "{before:?} {heard:?}");
        }
    }

    #[test]
    fn any_answer_but_503_and_408_says_that_somebody_is_there() {
        for status in [200, 404, 405, 480, 500] {
            assert_eq!(Heard::of_status(Some(status)), Heard::Answer, "{status}");
        }
        for status in [None, Some(408), Some(503)] {
            assert_eq!(Heard::of_status(status), Heard::Nothing, "{status:?}");
        }
    }
}
