//! G.711, resampling, tones and concealment.
