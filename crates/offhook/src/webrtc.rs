//! The speech of `offhook call --webrtc`: a browser's way to the other end, by the library that the load generator's callers have, too.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use offhook_loadgen::webrtc::WebRtc;
use offhook_phone::Carrier;
use offhook_plan::{CodecCap, CodecKind, Direction, MediaCaps};
use offhook_sip::sdp;

/// One call's way.
#[derive(Debug)]
pub struct ByWebRtc {
    runtime: tokio::runtime::Runtime,
    way: OnceLock<WebRtc>,
    /// What the phone is told for the peer's answer.
    inside: OnceLock<String>,
    ssrc: u32,
}

impl ByWebRtc {
    /// Without a connection yet. `ssrc` is that of the speech.
    pub fn new(ssrc: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, way: OnceLock::new(), inside: OnceLock::new(), ssrc })
    }

    async fn connect(&self, own: &str) -> anyhow::Result<String> {
        // The phone speaks PCMU with us, as the peer shall: nothing is turned into anything.
        let caps = MediaCaps { codecs: vec![CodecCap::of(CodecKind::Pcmu)], ..MediaCaps::g711() };
        let answer = |at: SocketAddr| {
            let local =
                sdp::Local { address: at.ip(), port: at.port(), session_id: 1, version: 1, srtp: sdp::Srtp::OFF };
            sdp::answer(own.as_bytes(), &local, &caps, Direction::SendRecv)
        };
        let (_, agreed) = answer(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))?;
        let way = WebRtc::open(agreed.remote_rtp, CodecKind::Pcmu, self.ssrc, |_| {}).await?;
        let (inside, _) = answer(way.inside())?;
        let offer = way.offer().to_owned();
        let _ = self.way.set(way);
        let _ = self.inside.set(inside);
        Ok(offer)
    }
}

impl Carrier for ByWebRtc {
    fn offer(&self, own: &str) -> Result<String, String> {
        self.runtime.block_on(self.connect(own)).map_err(|error| format!("no way by WebRTC: {error}"))
    }

    fn accept(&self, answer: &[u8]) -> Result<String, String> {
        let (Some(way), Some(inside)) = (self.way.get(), self.inside.get()) else {
            return Err("an answer came before there was an offer".to_owned());
        };
        let answer = String::from_utf8_lossy(answer);
        self.runtime.block_on(way.accept(&answer)).map_err(|error| error.to_string())?;
        Ok(inside.clone())
    }
}

impl Drop for ByWebRtc {
    fn drop(&mut self) {
        if let Some(way) = self.way.get() {
            self.runtime.block_on(way.close());
        }
    }
}
