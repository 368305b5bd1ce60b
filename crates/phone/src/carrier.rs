//! Speech that goes another way to the peer than the phone's own RTP.

use core::fmt::Debug;

/// Carries the speech of a call that the phone makes: what is offered to the peer is the carrier's, and between it and the phone
/// goes plain RTP. Asked by the phone's control thread, which waits for it.
pub trait Carrier: Debug + Send + Sync {
    /// The offer to send in the place of `own`, which says where the phone speaks and listens.
    ///
    /// # Errors
    /// Why there is no way.
    fn offer(&self, own: &str) -> Result<String, String>;

    /// What the phone takes for the answer to its own offer, now that the peer has given one.
    ///
    /// # Errors
    /// What cannot be done with the peer's.
    fn accept(&self, answer: &[u8]) -> Result<String, String>;
}
