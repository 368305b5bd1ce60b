//! What legs hear and are sent goes to recorders outside as well, RFC 7866: each direction on a leg of its own.

use offhook_codec::Transcoder;
use offhook_plan::Fork;
use offhook_plan::tap::Side;
use offhook_rtp::{HEADER_BYTES, Header, SRTP_TAIL_MAX};
use offhook_units::Tick;

use crate::leg::{Incoming, Kind, Source, coding_of};
use crate::out::Relay;
use crate::worker::{Call, DATAGRAM_BYTES_MAX};
use crate::{Io, Worker};

impl Worker {
    /// Lays the forks of a call. What goes on as before keeps its numbers and what its coding remembers.
    pub(crate) fn lay_forks(&mut self, call: &Call, forks: &[Fork]) {
        for (_, slot) in &call.legs {
            if let Some(leg) = self.leg_mut(*slot) {
                leg.forks.clear();
            }
        }
        // A leg that somebody outside records is recorded nowhere else: what goes round would never end.
        let is_end = |leg| forks.iter().any(|fork| fork.to == leg);
        for fork in forks.iter().filter(|fork| !is_end(fork.leg)) {
            let slot_of = |wanted| call.legs.iter().find(|(leg, _)| *leg == wanted).map(|(_, slot)| *slot);
            let (Some(from), Some(to)) = (slot_of(fork.leg), slot_of(fork.to)) else { continue };
            let said = self.leg_mut(from).and_then(|leg| leg.media.as_ref()).map(|media| media.codec);
            let Some(leg) = self.leg_mut(to) else { continue };
            let heard = leg.media.as_ref().map(|media| media.codec);
            let codings = said.and_then(coding_of).zip(heard.and_then(coding_of));
            let fits = said.is_some() && heard.is_some() && (said == heard || codings.is_some());
            let new_transcoder = || codings.and_then(|(said, heard)| Transcoder::new(said, heard));
            match &mut leg.hears {
                hears if !fits => *hears = Source::Nothing,
                Source::Leg { leg, transcoder, .. } if *leg == fork.leg => {
                    let goes_on =
                        transcoder.as_ref().zip(codings).is_some_and(|(turns, (said, heard))| turns.leads(said, heard));
                    if !goes_on {
                        *transcoder = new_transcoder();
                    }
                }
                hears => {
                    *hears = Source::Leg { leg: fork.leg, relay: Relay::default(), transcoder: new_transcoder() };
                }
            }
            if fits && let Some(leg) = self.leg_mut(from) {
                leg.forks.push((fork.side, to));
            }
        }
    }

    /// Sends one packet of a leg's direction to those outside who record it. Of a key's packet its number is closed up: which key it is
    /// stands in no recording.
    #[expect(clippy::too_many_arguments, reason = "a packet and what it is")]
    pub(crate) fn fork(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        side: Side,
        header: &Header,
        kind: Kind,
        began: bool,
        payload: &[u8],
    ) {
        if HEADER_BYTES + payload.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let mut at = 0;
        while let Some(leg) = self.legs.get(slot as usize).and_then(Option::as_deref) {
            let Some((forked, to)) = leg.forks.get(at).copied() else { return };
            at += 1;
            if forked != side {
                continue;
            }
            let (leg, clock) = (leg.id, leg.clock());
            let mut copy = [0; DATAGRAM_BYTES_MAX + SRTP_TAIL_MAX];
            let end = HEADER_BYTES + payload.len();
            copy[HEADER_BYTES..end].copy_from_slice(payload);
            let kind = if matches!(kind, Kind::Key(_)) { Kind::Unknown } else { kind };
            let payload = HEADER_BYTES..end;
            let incoming = Incoming { at: now, leg, clock, header: *header, payload, kind, began };
            self.forward(io, now, to, &incoming, &mut copy);
        }
    }
}
