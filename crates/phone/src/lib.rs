//! The softphone: account, call, ring, headset.
