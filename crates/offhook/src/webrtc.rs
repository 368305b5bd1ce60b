//! The speech of `offhook call --webrtc`: a browser's way to the other end, by the `webrtc` crate. It shares nothing with the
//! exchange's own ICE, DTLS and SRTP, and so bears witness for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use offhook_phone::Carrier;
use offhook_plan::{CodecCap, CodecKind, Direction, MediaCaps};
use offhook_sip::sdp;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_PCMU, MediaEngine};
use rtc::rtp::Packet;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::shared::marshal::{Marshal, Unmarshal};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState,
    RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::runtime::default_runtime;

/// Candidates are there within this, or the call is made without those that are not.
const GATHERED_WITHIN: Duration = Duration::from_secs(2);
/// Largest packet between the phone and here.
const PACKET_BYTES_MAX: usize = 1_500;

/// One call's way.
pub struct WebRtc {
    runtime: tokio::runtime::Runtime,
    connection: OnceLock<Arc<dyn PeerConnection>>,
    /// What the phone is told for the peer's answer.
    inside: OnceLock<String>,
    ssrc: u32,
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
    phone: SocketAddr,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Ear {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let (socket, phone) = (self.socket.clone(), self.phone);
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && let Ok(bytes) = packet.marshal()
                {
                    // A packet that the phone cannot take is lost, as on any network.
                    let _ = socket.send_to(&bytes, phone).await;
                }
            }
        });
    }
}

impl WebRtc {
    /// Without a connection yet. `ssrc` is that of the speech.
    pub fn new(ssrc: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, connection: OnceLock::new(), inside: OnceLock::new(), ssrc })
    }

    fn codec() -> RTCRtpCodecParameters {
        let rtp_codec = RTCRtpCodec {
            mime_type: MIME_TYPE_PCMU.to_owned(),
            clock_rate: 8_000,
            channels: 0,
            sdp_fmtp_line: String::new(),
            rtcp_feedback: Vec::new(),
        };
        RTCRtpCodecParameters { rtp_codec, payload_type: 0 }
    }

    async fn connect(&self, own: &str) -> anyhow::Result<String> {
        // The phone speaks PCMU with us, as the peer shall: nothing is turned into anything.
        let caps =
            MediaCaps { codecs: vec![CodecCap::of(CodecKind::Pcmu)], telephone_event: false, ..MediaCaps::g711() };
        let describe =
            |port: u16, address| sdp::Local { address, port, session_id: 1, version: 1, srtp: sdp::Srtp::OFF };
        let probe = describe(9, Ipv4Addr::LOCALHOST.into());
        let (_, agreed) = sdp::answer(own.as_bytes(), &probe, &caps, Direction::SendRecv)?;
        let phone = agreed.remote_rtp;
        let socket = Arc::new(UdpSocket::bind(SocketAddr::new(phone.ip(), 0)).await?);
        let here = socket.local_addr()?;
        let (inside, _) = sdp::answer(own.as_bytes(), &describe(here.port(), here.ip()), &caps, Direction::SendRecv)?;

        let mut media = MediaEngine::default();
        media.register_codec(Self::codec(), RtpCodecKind::Audio)?;
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(phone.ip().is_loopback())
            // The exchange names addresses, and no names of a local network.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let ear = Arc::new(Ear { gathered: Notify::new(), socket: socket.clone(), phone });
        let runtime = default_runtime().ok_or_else(|| anyhow::anyhow!("the webrtc crate has no runtime"))?;
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_handler(ear.clone())
            .with_runtime(runtime)
            .with_udp_addrs(vec![format!("{}:0", phone.ip())])
            .build();
        let connection = Box::pin(connection).await?;
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(self.ssrc), ..Default::default() },
            codec: Self::codec().rtp_codec,
            ..Default::default()
        };
        let names = ["offhook", "speech", "speech"].map(str::to_owned);
        let [stream, track, label] = names;
        let track = MediaStreamTrack::new(stream, track, label, RtpCodecKind::Audio, vec![coding]);
        let track: Arc<dyn TrackLocal> = Arc::new(TrackLocalStaticRTP::new(track));
        connection.add_track(track.clone()).await?;
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        // What is not gathered by then is a candidate that does not answer.
        let _ = tokio::time::timeout(GATHERED_WITHIN, ear.gathered.notified()).await;
        let offer = connection.local_description().await.ok_or_else(|| anyhow::anyhow!("no offer was made"))?;
        tokio::spawn(speak(socket, track, self.ssrc));
        let _ = self.connection.set(Arc::new(connection));
        let _ = self.inside.set(inside);
        Ok(offer.sdp)
    }
}

/// Carries what the phone says.
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

impl Carrier for WebRtc {
    fn offer(&self, own: &str) -> Result<String, String> {
        self.runtime.block_on(self.connect(own)).map_err(|error| format!("no way by WebRTC: {error}"))
    }

    fn accept(&self, answer: &[u8]) -> Result<String, String> {
        let (Some(connection), Some(inside)) = (self.connection.get(), self.inside.get()) else {
            return Err("an answer came before there was an offer".to_owned());
        };
        let text = String::from_utf8_lossy(answer).into_owned();
        let answer = RTCSessionDescription::answer(text).map_err(|error| error.to_string())?;
        self.runtime.block_on(connection.set_remote_description(answer)).map_err(|error| error.to_string())?;
        Ok(inside.clone())
    }
}

impl Drop for WebRtc {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get() {
            // The call is over either way.
            let _ = self.runtime.block_on(connection.close());
        }
    }
}
