//! Jitter buffer, streams, relay, players and taps: the sans-IO media worker.
