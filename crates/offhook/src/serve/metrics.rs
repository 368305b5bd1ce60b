//! The figures of the edges and of the control loop, as `/metrics` shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use offhook_call::callback::CallbackEnd;
use offhook_media::Figures as MediaFigures;
use offhook_net::bans::{Bans, Offence};
use offhook_net::media::{MediaCounters, MediaHandle, PortCounters, SharedPort};
use offhook_net::sip::SipSocket;
use offhook_net::streams::{Closed, Counters, StreamCounters, Streams};
use offhook_net::trace::{HepCounters, Trace, TraceCounters};
use offhook_recorder::{RecorderStats, WriterHandle};
use offhook_server::Metrics;
use offhook_store::Store;

use super::control::Figures;
use super::copies::Copying;
use super::names::NameFigures;
use super::reload::ConfigFigures;
use super::retention::Erasing;
use super::siprec;
use super::uploads::Uploading;

/// Registers everything that is read on demand.
pub fn register(
    metrics: &mut Metrics,
    figures: &Arc<Figures>,
    store: &Store,
    media: &[MediaHandle],
    sockets: &[SipSocket],
) {
    control(metrics, figures);
    let stats = |read: fn(&offhook_store::StoreStats) -> u64| {
        let store = store.clone();
        move || read(&store.stats())
    };
    let queued = stats(|stats| stats.queued);
    metrics.gauge_fn("offhook_log_queue", "Records that wait to be committed", &[], move || queued() as f64);
    metrics.counter_fn("offhook_log_records", "Records appended to the event log", &[], stats(|stats| stats.records));
    metrics.counter_fn("offhook_log_commits", "Group commits", &[], stats(|stats| stats.commits));
    metrics.counter_fn("offhook_log_commit_us", "Time spent committing, us", &[], stats(|stats| stats.commit_us));
    let unsettled = stats(|stats| stats.unsettled);
    let help = "Committed records that are not in the database yet";
    metrics.gauge_fn("offhook_log_unsettled", help, &[], move || unsettled() as f64);
    let help = "Transactions that brought commits into the database";
    metrics.counter_fn("offhook_log_settlings", help, &[], stats(|stats| stats.settlings));
    metrics.counter_fn("offhook_log_settle_us", "Time spent in them, us", &[], stats(|stats| stats.settle_us));
    metrics.counter_fn("offhook_log_failures", "Commits that failed", &[], stats(|stats| stats.failures));
    for (index, worker) in media.iter().enumerate() {
        media_worker(metrics, &index.to_string(), worker);
    }
    for socket in sockets {
        let labels = [("listener", &*socket.local().to_string())];
        let counters = socket.counters();
        let reader = |read: fn(&offhook_net::sip::SipCounters) -> &AtomicU64| {
            let counters = Arc::clone(counters);
            move || read(&counters).load(Ordering::Relaxed)
        };
        metrics.counter_fn("offhook_sip_received", "SIP datagrams received", &labels, reader(|c| &c.received));
        metrics.counter_fn("offhook_sip_sent", "SIP datagrams sent", &labels, reader(|c| &c.sent));
        metrics.counter_fn("offhook_sip_send_failed", "SIP datagrams not sent", &labels, reader(|c| &c.send_failed));
        metrics.counter_fn("offhook_sip_stun", "STUN requests answered", &labels, reader(|c| &c.stun));
        let unreachable = reader(|c| &c.unreachable);
        metrics.counter_fn("offhook_sip_unreachable", "SIP peers not reached, by ICMP", &labels, unreachable);
        metrics.counter_fn("offhook_sip_flooded", "SIP datagrams shed unread", &labels, reader(|c| &c.flooded));
    }
}

/// Registers the figures of bans.
fn bans(metrics: &mut Metrics, bans: &Arc<Bans>) {
    let reader = |read: fn(&Bans) -> u64| {
        let bans = Arc::clone(bans);
        move || read(&bans)
    };
    for (name, help, read) in [
        ("offhook_bans", "Sources banned", reader(Bans::banned)),
        ("offhook_sip_banned", "SIP messages and connections of banned sources dropped", reader(Bans::dropped)),
        ("offhook_sip_scanners", "SIP messages of scanners dropped", reader(Bans::scanners)),
        ("offhook_ban_sources_dropped", "Offences without room to remember them", reader(Bans::unremembered)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    for what in Offence::ALL {
        let bans = Arc::clone(bans);
        let help = "What bans are given for, trusted sources included";
        metrics.counter_fn("offhook_offences", help, &[("what", what.name())], move || bans.offences(what));
    }
    let bans = Arc::clone(bans);
    let active = move || bans.list(Instant::now()).len() as f64;
    metrics.gauge_fn("offhook_bans_active", "Sources banned now", &[], active);
}

/// Registers the figures of SIP connections, by transport.
fn connections(metrics: &mut Metrics, counters: &Arc<StreamCounters>) {
    for transport in counters.transports() {
        let labels = [("transport", transport.param())];
        let reader = |read: fn(&Counters) -> u64| {
            let counters = Arc::clone(counters);
            move || read(counters.of(transport))
        };
        let open = reader(Counters::open);
        metrics.gauge_fn("offhook_sip_connections", "SIP connections open", &labels, move || open() as f64);
        for (name, help, read) in [
            ("offhook_sip_stream_received", "SIP messages received over connections", reader(Counters::received)),
            ("offhook_sip_stream_sent", "SIP messages sent over connections", reader(Counters::sent)),
            ("offhook_sip_stream_unsent", "SIP messages without connection or room", reader(Counters::unsent)),
        ] {
            metrics.counter_fn(name, help, &labels, read);
        }
        for why in Closed::ALL {
            let labels = [("transport", transport.param()), ("why", why.name())];
            let counters = Arc::clone(counters);
            let closed = move || counters.of(transport).closed(why);
            metrics.counter_fn("offhook_sip_connections_closed", "SIP connections ended, by why", &labels, closed);
        }
    }
}

/// Registers the figures of the ring of SIP messages and of the export to Homer, as far as there are any.
fn trace(metrics: &mut Metrics, trace: &Trace) {
    let reader = |read: fn(&TraceCounters) -> &AtomicU64| {
        let trace = trace.clone();
        move || trace.counter(read).unwrap_or_default()
    };
    if trace.counter(|counters| &counters.noted).is_some() {
        let bytes = reader(|counters| &counters.bytes);
        metrics.gauge_fn("offhook_sip_trace_bytes", "Bytes of SIP messages kept", &[], move || bytes() as f64);
        for (name, help, read) in [
            ("offhook_sip_trace_messages", "SIP messages kept", reader(|counters| &counters.noted)),
            ("offhook_sip_trace_fallen_out", "Of these, pushed out again", reader(|counters| &counters.fallen_out)),
            ("offhook_sip_trace_too_long", "SIP messages too long to keep", reader(|counters| &counters.too_long)),
            ("offhook_sip_trace_legs_unnamed", "Legs beyond a call's limit", reader(|counters| &counters.legs_unnamed)),
        ] {
            metrics.counter_fn(name, help, &[], read);
        }
    }
    let Some(counters) = trace.hep_counters() else { return };
    let reader = |read: fn(&HepCounters) -> &AtomicU64| {
        let counters = Arc::clone(&counters);
        move || read(&counters).load(Ordering::Relaxed)
    };
    for (name, help, read) in [
        ("offhook_hep_sent", "SIP messages sent to Homer", reader(|counters| &counters.sent)),
        ("offhook_hep_dropped", "SIP messages that found Homer's queue full", reader(|counters| &counters.dropped)),
        ("offhook_hep_failed", "SIP messages that could not be sent to Homer", reader(|counters| &counters.failed)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
}

/// Registers the figures of names, and gives them to be counted.
pub fn names(metrics: &mut Metrics) -> Arc<NameFigures> {
    let figures = Arc::new(NameFigures::default());
    let (all, failed) = (Arc::clone(&figures), Arc::clone(&figures));
    let lookups = move || all.lookups.load(Ordering::Relaxed);
    let failures = move || failed.failures.load(Ordering::Relaxed);
    metrics.counter_fn("offhook_dns_lookups", "Names of trunks that were followed", &[], lookups);
    metrics.counter_fn("offhook_dns_failures", "Names of trunks that led nowhere", &[], failures);
    figures
}

/// Callbacks: how many are open, and how those ended that are not.
fn callbacks(metrics: &mut Metrics, figures: &Arc<Figures>) {
    let open = Arc::clone(figures);
    let open = move || open.callbacks_open.load(Ordering::Relaxed) as f64;
    metrics.gauge_fn("offhook_callbacks_open", "Callers who are to be called back", &[], open);
    for (at, how) in CallbackEnd::ALL.into_iter().enumerate() {
        let figures = Arc::clone(figures);
        let read = move || figures.callbacks_ended[at].load(Ordering::Relaxed);
        metrics.counter_fn("offhook_callbacks_ended", "Callbacks that are over, by how", &[("how", how.name())], read);
    }
}

/// What is remembered of callers for a while.
fn remembered(metrics: &mut Metrics, figures: &Arc<Figures>) {
    let reader = |read: fn(&Figures) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    let sticky = reader(|figures| &figures.sticky_callers);
    let help = "Callers whose last agent is remembered, for sticky queues";
    metrics.gauge_fn("offhook_sticky_callers", help, &[], move || sticky() as f64);
    let kept_places = reader(|figures| &figures.kept_places);
    let help = "Callers who left a queue and may take their place back";
    metrics.gauge_fn("offhook_kept_places", help, &[], move || kept_places() as f64);
}

fn control(metrics: &mut Metrics, figures: &Arc<Figures>) {
    let reader = |read: fn(&Figures) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    let active = reader(|figures| &figures.calls_active);
    metrics.gauge_fn("offhook_calls_active", "Calls that have not ended", &[], move || active() as f64);
    let ports = reader(|figures| &figures.ports_in_use);
    metrics.gauge_fn("offhook_rtp_port_pairs_in_use", "RTP port pairs in use", &[], move || ports() as f64);
    let ports = reader(|figures| &figures.ports);
    metrics.gauge_fn("offhook_rtp_port_pairs", "RTP port pairs in all", &[], move || ports() as f64);
    let outbox = reader(|figures| &figures.log_outbox);
    metrics.gauge_fn("offhook_log_outbox", "Records the store had no room for", &[], move || outbox() as f64);
    let behind = reader(|figures| &figures.behind_us);
    let help = "How long the control loop has not caught up with what comes in";
    metrics.gauge_fn("offhook_control_behind_seconds", help, &[], move || behind() as f64 / 1e6);
    let rate = reader(|figures| &figures.calls_per_s);
    let help = "New calls a second that are taken on now";
    metrics.gauge_fn("offhook_calls_per_second_admitted", help, &[], move || rate() as f64);
    let trouble = reader(|figures| &figures.recorder_trouble);
    metrics.gauge_fn("offhook_recorder_trouble", "1 while recordings cannot be written", &[], move || trouble() as f64);
    let transactions = reader(|figures| &figures.sip_transactions);
    metrics.gauge_fn("offhook_sip_transactions", "SIP transactions now", &[], move || transactions() as f64);
    let sessions = reader(|figures| &figures.sip_sessions);
    metrics.gauge_fn("offhook_sip_sessions", "SIP sessions now", &[], move || sessions() as f64);
    let kept_open = reader(|figures| &figures.phones_kept_open);
    let help = "Contacts behind translators whose way is kept open by OPTIONS";
    metrics.gauge_fn("offhook_phones_kept_open", help, &[], move || kept_open() as f64);
    let unreachable = reader(|figures| &figures.phones_unreachable);
    let help = "Of these: contacts that answer no more, and are passed over";
    metrics.gauge_fn("offhook_phones_unreachable", help, &[], move || unreachable() as f64);
    remembered(metrics, figures);
    callbacks(metrics, figures);
    let watching = reader(|figures| &figures.watching);
    metrics.gauge_fn("offhook_sip_subscriptions", "Subscriptions of phones", &[], move || watching() as f64);
    let taken = reader(|figures| &figures.subscriptions);
    metrics.counter_fn("offhook_sip_subscriptions_begun", "SUBSCRIBEs taken on", &[], taken);
    let refused = reader(|figures| &figures.subscriptions_refused);
    metrics.counter_fn("offhook_sip_subscriptions_refused", "SUBSCRIBEs refused", &[], refused);
    for (name, help, read) in [
        ("offhook_calls_begun", "INVITEs taken on", reader(|figures| &figures.calls)),
        ("offhook_legs_poor", "Legs whose speech became poor", reader(|figures| &figures.poor)),
        ("offhook_calls_unheard", "Sides in talk that sent nothing", reader(|figures| &figures.silences)),
        ("offhook_calls_quiet", "Sides in talk that sent nothing but silence", reader(|figures| &figures.quiet)),
        (
            "offhook_calls_sent_elsewhere",
            "Callers sent elsewhere from numbers and queues",
            reader(|f| &f.sent_elsewhere),
        ),
        ("offhook_calls_resumed", "Callers who took their place in a queue back", reader(|f| &f.resumed)),
        (
            "offhook_calls_dropped",
            "Callers whose agent's phone was gone without hanging up, and who waited again",
            reader(|f| &f.dropped),
        ),
        ("offhook_callbacks_asked", "Callers who asked to be called back", reader(|f| &f.callbacks_asked)),
        ("offhook_callbacks_tried", "Customers called back, reached or not", reader(|f| &f.callbacks_tried)),
        ("offhook_control_turns", "Turns of the control loop", reader(|figures| &figures.turns)),
        ("offhook_registrations", "REGISTERs accepted", reader(|figures| &figures.registrations)),
        ("offhook_phone_pings", "OPTIONS to phones behind translators", reader(|figures| &figures.pings_sent)),
        ("offhook_phone_pings_unanswered", "Of these: unanswered", reader(|figures| &figures.pings_unanswered)),
        ("offhook_sip_malformed", "Datagrams that are no SIP message", reader(|figures| &figures.malformed)),
        ("offhook_recordings_failed", "Recordings that failed", reader(|figures| &figures.recordings_failed)),
        ("offhook_recorder_dropped", "Recorded packets lost", reader(|figures| &figures.recorder_dropped)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    for (why, read) in [
        ("limit", reader(|figures| &figures.refused_by_limit)),
        ("outside-limit", reader(|figures| &figures.refused_by_spending)),
        ("overload", reader(|figures| &figures.refused_by_overload)),
        ("stranger", reader(|figures| &figures.refused_strangers)),
        ("unknown-number", reader(|figures| &figures.refused_unknown_numbers)),
    ] {
        metrics.counter_fn("offhook_calls_refused", "INVITEs refused, by why", &[("why", why)], read);
    }
    for (why, read) in [
        ("wrong", reader(|figures| &figures.digest_wrong)),
        ("stale", reader(|figures| &figures.digest_stale)),
        ("replayed", reader(|figures| &figures.digest_replayed)),
        ("other-uri", reader(|figures| &figures.digest_other_uri)),
    ] {
        let help = "Credentials of phones not accepted, by why";
        metrics.counter_fn("offhook_digest_refused", help, &[("why", why)], read);
    }
    for (why, read) in [
        ("too-brief", reader(|figures| &figures.registrations_too_brief)),
        ("too-many-contacts", reader(|figures| &figures.registrations_too_many)),
        ("full", reader(|figures| &figures.registrations_full)),
        ("malformed", reader(|figures| &figures.registrations_malformed)),
    ] {
        let help = "REGISTERs with right credentials refused, by why";
        metrics.counter_fn("offhook_registrations_refused", help, &[("why", why)], read);
    }
    let gave_way = reader(|figures| &figures.contacts_gave_way);
    let help = "Contacts that gave way to a new one of their account";
    metrics.counter_fn("offhook_contacts_gave_way", help, &[], gave_way);
    let forgotten = reader(|figures| &figures.nonces_forgotten);
    let help = "Nonces in use given up at their limit";
    metrics.counter_fn("offhook_digest_nonces_forgotten", help, &[], forgotten);
    for (how, read) in [
        ("done", reader(|figures| &figures.transfers_done)),
        ("failed", reader(|figures| &figures.transfers_failed)),
        ("refused", reader(|figures| &figures.transfers_refused)),
    ] {
        metrics.counter_fn("offhook_transfers", "Transfers asked for, by outcome", &[("outcome", how)], read);
    }
    for (how, read) in
        [("joined", reader(|figures| &figures.guests)), ("denied", reader(|figures| &figures.guests_denied))]
    {
        let help = "Supervisors and third parties who came into calls, and wishes that were denied";
        metrics.counter_fn("offhook_guests", help, &[("outcome", how)], read);
    }
    let denied = reader(|figures| &figures.desk_denied);
    let help = "Wishes of agents at their desks that were not carried out";
    metrics.counter_fn("offhook_desk_denied", help, &[], denied);
    for (how, read) in
        [("called", reader(|figures| &figures.visitors)), ("refused", reader(|figures| &figures.visitors_refused))]
    {
        let help = "Visitors of pages: calls of theirs, and tickets that were refused";
        metrics.counter_fn("offhook_visitors", help, &[("outcome", how)], read);
    }
    let inside = reader(|figures| &figures.visitors_inside);
    metrics.gauge_fn("offhook_visitors_inside", "Visitors in calls", &[], move || inside() as f64);
    for (name, help, read) in [
        ("offhook_recording_pauses", "Pauses of recordings", reader(|figures| &figures.recording_pauses)),
        (
            "offhook_recording_pauses_at_limit",
            "Pauses of recordings that nobody ended in time",
            reader(|figures| &figures.recording_pauses_at_limit),
        ),
        (
            "offhook_recording_denied",
            "Wishes to pause a recording, or to go on with it, that were denied",
            reader(|figures| &figures.recording_denied),
        ),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    siprec::show(metrics, figures);
    for (how, read) in [
        ("taken", reader(|figures| &figures.messages)),
        ("failed", reader(|figures| &figures.messages_failed)),
        ("refused", reader(|figures| &figures.messages_refused)),
    ] {
        metrics.counter_fn("offhook_messages", "Texts of phones, by outcome", &[("outcome", how)], read);
    }
}

/// What stands between the exchange and the network.
pub fn edges(metrics: &mut Metrics, bans: &Arc<Bans>, port: &SharedPort, trace: &Trace, streams: Option<&Streams>) {
    self::bans(metrics, bans);
    browser_port(metrics, port);
    self::trace(metrics, trace);
    if let Some(streams) = streams {
        connections(metrics, streams.counters());
    }
}

/// Which configuration is in force, and what became of the others.
pub fn configuration(metrics: &mut Metrics, figures: &Arc<ConfigFigures>) {
    let reader = |read: fn(&ConfigFigures) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    let gauge = |read: fn(&ConfigFigures) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed) as f64
    };
    let help = "The version of the configuration in force";
    metrics.gauge_fn("offhook_config_version", help, &[], gauge(|f| &f.version));
    let help = "When the configuration in force was taken in, in seconds since 1970";
    metrics.gauge_fn("offhook_config_loaded_at_seconds", help, &[], gauge(|f| &f.loaded_at));
    let help = "When a configuration was refused last, in seconds since 1970; zero for never";
    metrics.gauge_fn("offhook_config_refused_at_seconds", help, &[], gauge(|f| &f.refused_at));
    let help = "Settings of the file that wait for a restart";
    metrics.gauge_fn("offhook_config_waits", help, &[], gauge(|f| &f.waits));
    let help = "Configurations taken in while the exchange ran";
    metrics.counter_fn("offhook_config_taken", help, &[], reader(|f| &f.taken));
    metrics.counter_fn(
        "offhook_config_refused",
        "Configurations refused for their faults",
        &[],
        reader(|f| &f.refused),
    );
}

/// The recorder, and what becomes of closed recordings: erased, or copied for others.
pub fn recordings(metrics: &mut Metrics, writer: &WriterHandle, erasing: &Arc<Erasing>, copying: &Arc<Copying>) {
    let recorder = |read: fn(&RecorderStats) -> u64| {
        let stats = writer.figures();
        move || read(&stats())
    };
    for (name, help, read) in [
        ("offhook_recordings_open", "Recordings open, with those owed", recorder(|stats| stats.open)),
        ("offhook_recordings_owed", "Recordings that are over and wait for the disk", recorder(|stats| stats.owed)),
    ] {
        metrics.gauge_fn(name, help, &[], move || read() as f64);
    }
    for (name, help, read) in [
        ("offhook_recordings_forgotten", "Owed ones that lost what memory held", recorder(|stats| stats.forgotten)),
        ("offhook_recorder_disk_errors", "Writes of recordings that failed", recorder(|stats| stats.disk_errors)),
        ("offhook_recorder_written_bytes", "Bytes of recordings written", recorder(|stats| stats.bytes_written)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    retention(metrics, erasing);
    let reader = |read: fn(&Copying) -> &AtomicU64| {
        let figures = Arc::clone(copying);
        move || read(&figures).load(Ordering::Relaxed)
    };
    for (name, help, read) in [
        ("offhook_recording_copies", "Copies of recordings made", reader(|f| &f.made)),
        ("offhook_recording_copies_bytes", "Their bytes", reader(|f| &f.bytes)),
        ("offhook_recording_copies_failed", "Copies that could not be written at a try", reader(|f| &f.failed)),
        ("offhook_recording_copies_unreadable", "Recordings without a copy, unreadable", reader(|f| &f.unreadable)),
        ("offhook_recording_copies_cpu_ms", "CPU time that copies took, ms", reader(|f| &f.cpu_ms)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    let behind = reader(|f| &f.behind_s);
    let help = "Age of the oldest recording that waits for its copy, s";
    metrics.gauge_fn("offhook_recording_copies_behind_s", help, &[], move || behind() as f64);
}

/// What retention did.
fn retention(metrics: &mut Metrics, figures: &Arc<Erasing>) {
    let reader = |read: fn(&Erasing) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    for (name, help, read) in [
        ("offhook_recordings_erased", "Recordings erased at the end of their retention", reader(|f| &f.erased)),
        ("offhook_recordings_erase_failed", "Recordings that could not be erased then", reader(|f| &f.failed)),
        ("offhook_retention_runs", "Runs of retention", reader(|f| &f.runs)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    let held = reader(|f| &f.held);
    let help = "Recordings whose retention was over at the last run, and which are held";
    metrics.gauge_fn("offhook_recordings_held_overdue", help, &[], move || held() as f64);
}

/// Recordings on their way to the object store; gives `of` back, whose figures they are.
pub fn uploads<T>(metrics: &mut Metrics, figures: &Arc<Uploading>, of: T) -> T {
    let reader = |read: fn(&Uploading) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    for (name, help, read) in [
        ("offhook_recordings_stored", "Recordings brought to the object store", reader(|f| &f.stored)),
        ("offhook_recordings_stored_bytes", "Their bytes", reader(|f| &f.stored_bytes)),
        ("offhook_recordings_store_failed", "Tries to bring one there that failed", reader(|f| &f.failed)),
        (
            "offhook_recordings_store_refused",
            "Recordings that were changed before they were stored",
            reader(|f| &f.changed),
        ),
        ("offhook_recordings_unspooled", "Stored recordings that left the folder", reader(|f| &f.removed)),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
    for (name, help, read) in [
        ("offhook_recordings_unstored", "Recordings that wait to be stored", reader(|f| &f.waiting)),
        ("offhook_recordings_spool_bytes", "Bytes of closed recordings in the folder", reader(|f| &f.spool_bytes)),
        ("offhook_recordings_spool_bytes_max", "Bytes beyond which it is too much", reader(|f| &f.spool_max)),
        ("offhook_recordings_spool_full", "1 while there are more", reader(|f| &f.full)),
        ("offhook_recordings_store_down", "1 while the last try to store one failed", reader(|f| &f.down)),
    ] {
        metrics.gauge_fn(name, help, &[], move || read() as f64);
    }
    of
}

/// The one port that legs of browsers share.
fn browser_port(metrics: &mut Metrics, port: &SharedPort) {
    let Some(counters) = port.counters() else { return };
    let reader = |read: fn(&PortCounters) -> &AtomicU64| {
        let counters = Arc::clone(&counters);
        move || read(&counters).load(Ordering::Relaxed)
    };
    for (name, help, read) in [
        ("offhook_browser_port_legs", "Legs that share the port of browsers", reader(|port| &port.legs)),
        ("offhook_browser_port_addresses", "Addresses that their peers are known at", reader(|port| &port.addresses)),
    ] {
        metrics.gauge_fn(name, help, &[], move || read() as f64);
    }
    let refused = reader(|port| &port.refused);
    metrics.counter_fn("offhook_browser_port_refused", "Legs over the limit of the port", &[], refused);
    for (why, read) in [
        ("unknown", reader(|port| &port.unknown)),
        ("unnamed", reader(|port| &port.unnamed)),
        ("limited", reader(|port| &port.limited)),
        ("full", reader(|port| &port.dropped)),
    ] {
        let help = "Datagrams at the port of browsers thrown away: from unknown addresses, checks for nobody, too many checks of one \
                    source, no room on the way to a worker";
        metrics.counter_fn("offhook_browser_port_discarded", help, &[("why", why)], read);
    }
    let handed = reader(|port| &port.handed);
    let help = "Datagrams handed to another worker than the one that reads the port";
    metrics.counter_fn("offhook_browser_port_handed", help, &[], handed);
}

fn media_worker(metrics: &mut Metrics, worker: &str, handle: &MediaHandle) {
    let counters: &Arc<MediaCounters> = &handle.counters();
    let labels = [("worker", worker)];
    let driver = [("worker", worker), ("driver", handle.backend().name())];
    metrics.gauge_fn("offhook_media_driver", "1 for the way in which a worker asks the kernel", &driver, || 1.0);
    let reader = |read: fn(&MediaFigures) -> u64| {
        let counters = Arc::clone(counters);
        move || read(&counters.figures())
    };
    let legs = reader(|figures| figures.legs);
    metrics.gauge_fn("offhook_media_legs", "Legs open at a media worker", &labels, move || legs() as f64);
    let mixing = reader(|figures| figures.mixing);
    let help = "Legs that hear several at once";
    metrics.gauge_fn("offhook_media_legs_mixing", help, &labels, move || mixing() as f64);
    let waiting = reader(|figures| figures.events_waiting);
    let help = "Events that wait for the control loop";
    metrics.gauge_fn("offhook_media_events_waiting", help, &labels, move || waiting() as f64);
    for (name, help, read) in [
        ("offhook_media_received", "RTP packets received", reader(|figures| figures.received_packets)),
        ("offhook_media_sent", "RTP packets sent", reader(|figures| figures.sent_packets)),
        ("offhook_media_discarded", "Datagrams thrown away", reader(|figures| figures.discarded_packets)),
        ("offhook_srtp_unopened", "Encrypted packets not opened", reader(|figures| figures.unopened_packets)),
        ("offhook_srtp_unsealed", "Packets not encrypted, not sent", reader(|figures| figures.unsealed_packets)),
        ("offhook_media_held_overwritten", "Early packets pushed out", reader(|figures| figures.held_overwritten)),
        ("offhook_tap_records", "Records given to the recorder", reader(|figures| figures.tap_records)),
        ("offhook_tap_dropped", "Records that found the ring full", reader(|figures| figures.tap_dropped)),
        ("offhook_media_legs_failed", "Legs that could not be opened", reader(|figures| figures.legs_failed)),
        ("offhook_handshakes_failed", "Legs whose keys did not come", reader(|figures| figures.handshakes_failed)),
        (
            "offhook_browser_checks_limited",
            "Checks of paths over a leg's limit",
            reader(|figures| figures.checks_limited),
        ),
        ("offhook_browser_paths_expired", "Paths not checked for 30 s", reader(|figures| figures.paths_expired)),
        ("offhook_media_legs_moved", "Legs taken over from other workers", reader(|figures| figures.moved_legs)),
        ("offhook_media_legs_moved_late", "Of these, after more than 10 ms", reader(|figures| figures.moved_late)),
        ("offhook_media_events_dropped", "Peers' doings not told", reader(|figures| figures.events_dropped)),
    ] {
        metrics.counter_fn(name, help, &labels, read);
    }
    let wakeups = Arc::clone(counters);
    metrics.counter_fn("offhook_media_wakeups", "How often a worker woke", &labels, move || wakeups.wakeups());
    let failed = Arc::clone(counters);
    let help = "Packets that the kernel did not take";
    metrics.counter_fn("offhook_media_sends_failed", help, &labels, move || failed.sends_failed());
}
