//! A recorder without recordings: it is told what a real one would be, and holds it against the worker's plans.

use std::collections::BTreeMap;

use offhook_call::Output;
use offhook_units::RecordingId;

use crate::media::Worker;

/// Recordings that are open.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Whether each is paused.
    open: BTreeMap<RecordingId, bool>,
    /// Pauses so far.
    pub pauses: u64,
    /// Recordings so far.
    pub begun: u64,
}

impl Recorder {
    /// Takes what concerns it, and checks that it can be.
    pub fn take(&mut self, worker: &Worker, output: &Output) {
        match output {
            Output::OpenRecording(wanted) => {
                let id = wanted.recording;
                assert_eq!(self.open.insert(id, false), None, "a recording begins once: {wanted:?}");
                self.begun += 1;
            }
            Output::PauseRecording { recording, .. } => {
                assert_eq!(self.open.insert(*recording, true), Some(false), "what runs is paused: {recording}");
                assert!(!worker.taps(*recording), "a pause is in force when it is told: {recording}");
                self.pauses += 1;
            }
            Output::ResumeRecording { recording, .. } => {
                assert_eq!(self.open.insert(*recording, false), Some(true), "what is paused goes on: {recording}");
                assert!(!worker.taps(*recording), "the recorder knows before the worker: {recording}");
            }
            Output::CloseRecording { recording, .. } => {
                assert!(self.open.remove(recording).is_some(), "what is open is closed: {recording}");
            }
            _ => {}
        }
    }

    /// Whether a recording is paused; none where it is not open.
    pub fn is_paused(&self, recording: RecordingId) -> Option<bool> {
        self.open.get(&recording).copied()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// What holds after every step: nothing of a paused recording comes.
    pub fn check(&self, worker: &Worker) {
        for recording in worker.tapped() {
            assert_eq!(self.is_paused(recording), Some(false), "a tap is of a recording that runs: {recording}");
        }
    }
}
