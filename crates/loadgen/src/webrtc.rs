//! A browser's way of speech to a server, by the `webrtc` crate: ICE, DTLS and SRTP on its side, plain RTP on ours. It shares nothing with
//! the exchange's own ICE, DTLS and SRTP, and so bears witness for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_plan::{CodecCap, CodecKind};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_TELEPHONE_EVENT, MediaEngine};
use rtc::rtp::Packet;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::shared::marshal::{Marshal, Unmarshal};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::runtime::default_runtime;

/// Candidates are there within this, or the call is made without those that are not.
const GATHERED_WITHIN: Duration = Duration::from_secs(2);
/// Largest packet between us and here.
const PACKET_BYTES_MAX: usize = 1_500;
/// Payload types of what has no static one: those that Chromium takes.
const OPUS: u8 = 111;
const TELEPHONE_EVENTS: u8 = 101;

/// Why there is no way. It is the library's or the server's move: the words say which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebRtcError(String);

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
fn failed(error: impl ToString) -> WebRtcError {
    WebRtcError(error.to_string())
}

/// How a way stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// ICE and DTLS are through: what is said from now on is heard.
    Up,
    /// There is none, or none any more.
    Failed,
}

/// One call's way.
pub struct WebRtc {
    connection: Arc<dyn PeerConnection>,
    inside: SocketAddr,
    offer: String,
    speaking: JoinHandle<()>,
}

impl std::fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtc").field("inside", &self.inside).finish_non_exhaustive()
    }
}

/// What the connection tells.
struct Ear {
    gathered: Notify,
    socket: Arc<UdpSocket>,
    near: SocketAddr,
    changed: Box<dyn Fn(Standing) + Send + Sync>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Ear {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => (self.changed)(Standing::Up),
            RTCPeerConnectionState::Failed => (self.changed)(Standing::Failed),
            _ => {}
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let (socket, near) = (self.socket.clone(), self.near);
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && let Ok(bytes) = packet.marshal()
                {
                    // A packet that we cannot take is lost, as on any network.
                    let _ = socket.send_to(&bytes, near).await;
                }
            }
        });
    }
}

impl WebRtc {
    /// A way for plain RTP that `near` sends and listens for, with one codec and telephone-events. `ssrc` is that of the speech, and
    /// `changed` is told how the way stands. Runs on the runtime of tokio that it is called in.
    ///
    /// # Errors
    /// No socket can be bound on the host of `near`, or the library refuses.
    pub async fn open(
        near: SocketAddr,
        codec: CodecKind,
        ssrc: u32,
        changed: impl Fn(Standing) + Send + Sync + 'static,
    ) -> Result<Self, WebRtcError> {
        let socket = Arc::new(UdpSocket::bind(SocketAddr::new(near.ip(), 0)).await.map_err(failed)?);
        let inside = socket.local_addr().map_err(failed)?;
        let mut media = MediaEngine::default();
        for codec in [speech(codec), events(codec)] {
            media.register_codec(codec, RtpCodecKind::Audio).map_err(failed)?;
        }
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(near.ip().is_loopback())
            // Addresses are named, and no names of a local network.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let ear = Arc::new(Ear { gathered: Notify::new(), socket: socket.clone(), near, changed: Box::new(changed) });
        let runtime = default_runtime().ok_or_else(|| failed("the webrtc crate has no runtime"))?;
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_handler(ear.clone())
            .with_runtime(runtime)
            .with_udp_addrs(vec![SocketAddr::new(near.ip(), 0).to_string()])
            .build();
        let connection = Box::pin(connection).await.map_err(failed)?;
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: speech(codec).rtp_codec,
            ..Default::default()
        };
        let names = ["offhook", "speech", "speech"].map(str::to_owned);
        let [stream, track, label] = names;
        let track = MediaStreamTrack::new(stream, track, label, RtpCodecKind::Audio, vec![coding]);
        let track: Arc<dyn TrackLocal> = Arc::new(TrackLocalStaticRTP::new(track));
        connection.add_track(track.clone()).await.map_err(failed)?;
        let offer = connection.create_offer(None).await.map_err(failed)?;
        connection.set_local_description(offer).await.map_err(failed)?;
        // What is not gathered by then is a candidate that does not answer.
        let _ = tokio::time::timeout(GATHERED_WITHIN, ear.gathered.notified()).await;
        let offer = connection.local_description().await.ok_or_else(|| failed("no offer was made"))?;
        let speaking = tokio::spawn(speak(socket, track, ssrc));
        Ok(Self { connection: Arc::new(connection), inside, offer: offer.sdp, speaking })
    }

    /// What the server is offered.
    pub fn offer(&self) -> &str {
        &self.offer
    }

    /// Where plain packets for the server are taken, and come from.
    pub const fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// The server has answered.
    ///
    /// # Errors
    /// The library cannot make anything of the answer.
    pub async fn accept(&self, answer: &str) -> Result<(), WebRtcError> {
        let answer = RTCSessionDescription::answer(answer.to_owned()).map_err(failed)?;
        self.connection.set_remote_description(answer).await.map_err(failed)
    }

    /// The call is over.
    pub async fn close(&self) {
        self.speaking.abort();
        // Whatever the library thinks of it.
        let _ = self.connection.close().await;
    }
}

fn speech(kind: CodecKind) -> RTCRtpCodecParameters {
    let rtp_codec = RTCRtpCodec {
        mime_type: format!("audio/{}", kind.name()),
        clock_rate: kind.clock(),
        channels: if kind.channels() > 1 { kind.channels().into() } else { 0 },
        sdp_fmtp_line: CodecCap::of(kind).fmtp.unwrap_or_default(),
        rtcp_feedback: Vec::new(),
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: kind.static_payload_type().unwrap_or(OPUS) }
}

fn events(kind: CodecKind) -> RTCRtpCodecParameters {
    let rtp_codec = RTCRtpCodec {
        mime_type: MIME_TYPE_TELEPHONE_EVENT.to_owned(),
        clock_rate: kind.clock(),
        channels: 0,
        sdp_fmtp_line: "0-15".to_owned(),
        rtcp_feedback: Vec::new(),
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: TELEPHONE_EVENTS }
}

/// Carries what we say.
async fn speak(socket: Arc<UdpSocket>, track: Arc<dyn TrackLocal>, ssrc: u32) {
    let mut room = [0; PACKET_BYTES_MAX];
    while let Ok((length, _)) = socket.recv_from(&mut room).await {
        if let Ok(mut packet) = Packet::unmarshal(&mut &room[..length]) {
            packet.header.ssrc = ssrc;
            // Before the connection is there nobody is spoken to.
            let _ = track.write_rtp(packet).await;
        }
    }
}
