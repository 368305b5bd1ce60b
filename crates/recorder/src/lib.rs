//! Taps to crash-safe recordings with manifests.
