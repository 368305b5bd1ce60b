//! Prompts and music, encoded once when they are loaded.

use std::sync::Arc;

use offhook_codec::{Coding, Law, ResampleError, g722, pcma, pcmu, resample};
use offhook_plan::AssetId;
use offhook_units::SampleRate;

/// Why a sound was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// It holds no sample. Give a file with sound in it.
    #[error("the sound is empty")]
    Empty,
    /// Its sampling rate cannot be brought to 8 or 16 kHz. Give a file of 8 to 48 kHz.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// One sound in both laws of G.711, and in G.722 where that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    mu: Box<[u8]>,
    a: Box<[u8]>,
    g722: Option<Box<[u8]>>,
}

impl Asset {
    /// From mono samples at any rate.
    ///
    /// # Errors
    /// See [`AssetError`].
    pub fn from_pcm(pcm: &[i16], rate: SampleRate) -> Result<Self, AssetError> {
        if pcm.is_empty() {
            return Err(AssetError::Empty);
        }
        let narrow = resample(pcm, rate, SampleRate::NARROW)?;
        let (mut mu, mut a) = (vec![0; narrow.len()], vec![0; narrow.len()]);
        pcmu::encode(&narrow, &mut mu);
        pcma::encode(&narrow, &mut a);
        Ok(Self { mu: mu.into(), a: a.into(), g722: None })
    }

    /// The same sound for legs with G.722 too, from the samples that it was made of.
    ///
    /// # Errors
    /// See [`AssetError`].
    pub fn with_g722(self, pcm: &[i16], rate: SampleRate) -> Result<Self, AssetError> {
        let wide = resample(pcm, rate, SampleRate::WIDE)?;
        let mut g722 = vec![0; wide.len() / 2];
        // Whoever hears it has heard something before: ringing, another prompt, a person.
        g722::Encoder::in_mid_stream().encode(&wide, &mut g722);
        Ok(Self { g722: Some(g722.into()), ..self })
    }

    /// Its bytes in one coding: 8,000 a second. None in G.722 where it was made without.
    pub fn bytes(&self, coding: Coding) -> &[u8] {
        match coding {
            Coding::G711(Law::Mu) => &self.mu,
            Coding::G711(Law::A) => &self.a,
            Coding::G722 => self.g722.as_deref().unwrap_or(&[]),
        }
    }
}

/// All sounds that workers can play, by [`AssetId`] as index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assets(Vec<Arc<Asset>>);

impl Assets {
    /// The list; the place of a sound is its [`AssetId`].
    pub fn new(sounds: Vec<Asset>) -> Self {
        Self(sounds.into_iter().map(Arc::new).collect())
    }

    /// These and more behind them, which keep their places; no sound is copied.
    #[must_use]
    pub fn with(&self, more: Vec<Asset>) -> Self {
        Self(self.0.iter().cloned().chain(more.into_iter().map(Arc::new)).collect())
    }

    /// From mono samples with their rates.
    ///
    /// # Errors
    /// The place of the first sound that was not taken, and why.
    pub fn from_pcm<'a>(
        sounds: impl IntoIterator<Item = (&'a [i16], SampleRate)>,
    ) -> Result<Self, (usize, AssetError)> {
        let encode = |(at, (pcm, rate))| Asset::from_pcm(pcm, rate).map_err(|error| (at, error));
        sounds.into_iter().enumerate().map(encode).collect::<Result<_, _>>().map(Self::new)
    }

    /// The bytes of a sound; empty where there is none with this id.
    pub fn bytes(&self, asset: AssetId, coding: Coding) -> &[u8] {
        self.0.get(asset.0 as usize).map_or(&[], |asset| asset.bytes(coding))
    }

    /// How many sounds there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
