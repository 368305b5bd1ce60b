//! What cannot change while the exchange runs.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::path::PathBuf;

use offhook_net::bans::BanLimits;
use offhook_net::streams::StreamLimits;
use offhook_plan::MediaCaps;
use offhook_server::OpenId;
use offhook_sip::DigestConfig;

use super::{Checked, Http, SipListen, Tracing};

/// What an exchange was started with and keeps until it ends. What a file has otherwise waits for a restart.
#[derive(Debug, Clone)]
pub struct Fixed {
    name: String,
    realm: String,
    node: u16,
    sip_listen: Vec<SipListen>,
    has_certificates: bool,
    trace: Tracing,
    streams: StreamLimits,
    bans: BanLimits,
    advertise: Option<IpAddr>,
    rtp_ports: RangeInclusive<u16>,
    browser_port: Option<u16>,
    media_workers: usize,
    caps: MediaCaps,
    http: Option<Http>,
    openid: Option<OpenId>,
    webhooks: String,
    data: PathBuf,
    recordings: (PathBuf, Option<PathBuf>),
    object_store: String,
    dns: Option<SocketAddr>,
    digest: DigestConfig,
}

impl Fixed {
    /// What the configuration of a start says.
    pub fn of(checked: &Checked) -> Self {
        Self {
            name: checked.name.clone(),
            realm: checked.realm.clone(),
            node: checked.node,
            sip_listen: checked.sip_listen.clone(),
            has_certificates: checked.tls.is_some(),
            trace: checked.trace.clone(),
            streams: checked.streams,
            bans: BanLimits { trusted: Vec::new(), ..checked.bans.clone() },
            advertise: checked.advertise,
            rtp_ports: checked.rtp_ports.clone(),
            browser_port: checked.browser_port,
            media_workers: checked.media_workers,
            caps: checked.caps.clone(),
            // Who may come in is no part of where.
            http: checked.http.clone().map(|http| Http { token: None, ..http }),
            openid: checked.openid.clone(),
            webhooks: format!("{:?}", checked.webhooks),
            data: checked.data.clone(),
            recordings: (checked.recording.folder.clone(), checked.recording.key_file.clone()),
            object_store: format!("{:?}", checked.recording.store),
            dns: checked.dns,
            digest: checked.registrar.digest.clone(),
        }
    }

    /// What another configuration says otherwise, as it stands in the file: it is in force after a restart.
    pub fn waits_in(&self, checked: &Checked) -> Vec<&'static str> {
        let new = Self::of(checked);
        let all = [
            ("name in [exchange]", self.name == new.name),
            ("realm in [exchange]", self.realm == new.realm),
            ("node in [exchange]", self.node == new.node),
            ("listen in [sip]", self.sip_listen == new.sip_listen),
            ("[tls]", self.has_certificates == new.has_certificates),
            ("trace_mib and homer in [sip]", self.trace == new.trace),
            ("connections in [limits]", self.streams == new.streams),
            ("bans in [sip] and [limits]", self.bans == new.bans),
            ("advertise in [sip]", self.advertise == new.advertise),
            ("ports in [media]", self.rtp_ports == new.rtp_ports),
            ("browser_port in [media]", self.browser_port == new.browser_port),
            ("workers in [media]", self.media_workers == new.media_workers),
            ("codecs in [media]", self.caps == new.caps),
            ("[http], its token excepted", self.http == new.http),
            ("[openid]", self.openid == new.openid),
            ("[[webhook]]", self.webhooks == new.webhooks),
            ("folder in [store]", self.data == new.data),
            ("folder and key_file in [recording]", self.recordings == new.recordings),
            ("[recording.store]", self.object_store == new.object_store),
            ("[dns]", self.dns == new.dns),
            ("how phones are challenged in [exchange]", self.digest == new.digest),
        ];
        all.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}
