//! What callers hear of the exchange's own tones: while somebody is rung for them, and when nobody can be had.

mod desk;

use desk::{World, credentials, trunk};
use offhook_call::Input;
use offhook_call::config::{Answer, Config, Tones};
use offhook_call::record::CallEnd;
use offhook_plan::{AssetId, MediaEvent, Source};
use offhook_sip::SessionId;
use offhook_units::{PlayerId, Span};

const RINGBACK: AssetId = AssetId(11);
const BUSY: AssetId = AssetId(12);
const CONGESTION: AssetId = AssetId(13);
const MUSIC: AssetId = AssetId(7);

fn tones(first: u32) -> Tones {
    let sound = |at| vec![AssetId(first + at)];
    Tones { ringback: sound(0), busy: sound(1), congestion: sound(2) }
}

/// Queues without music, and tones.
fn world(change: impl FnOnce(&mut Config)) -> World {
    World::told(vec![trunk("carrier", 2, &["0"], None)], |config| {
        config.tones = tones(RINGBACK.0);
        config.queues.iter_mut().for_each(|queue| queue.music.clear());
        change(config);
    })
}

/// What anybody is played: by whom, what, and whether over and over.
fn played(world: &World) -> Vec<(PlayerId, Vec<AssetId>, bool)> {
    let edges = world.plans.values().flat_map(|plan| &plan.edges);
    let players = edges.filter_map(|edge| match &edge.from {
        Source::Player(player) => Some((player.player, player.assets.clone(), player.repeat)),
        Source::Leg(_) => None,
    });
    players.collect()
}

#[track_caller]
fn check_hears(world: &World, expected: &[(AssetId, bool)]) {
    let heard: Vec<_> = played(world).into_iter().map(|(_, assets, repeat)| (assets, repeat)).collect();
    let expected: Vec<_> = expected.iter().map(|(asset, repeat)| (vec![*asset], *repeat)).collect();
    assert_eq!(heard, expected);
}

/// The tone has come to its end.
fn played_out(world: &mut World) {
    let call = *world.plans.keys().next().expect("a call");
    let player = played(world)[0].0;
    let now = world.now;
    world.exchange.handle(now, Input::Media { worker: 0, event: MediaEvent::PlayerFinished { call, player } });
    world.run(Span::from_s(1));
}

/// The phone of `who` says that it rings.
fn rings(world: &mut World, who: &str) -> SessionId {
    let (session, ..) = world.ringing(who).expect("the phone rings");
    let now = world.now;
    world.at(who).endpoint.progress(now, session, 180, None);
    world.run(Span::from_ms(100));
    session
}

fn refer(world: &mut World, who: &str, session: SessionId, target: &str) {
    let now = world.now;
    assert!(world.at(who).endpoint.refer(now, session, &target.parse().expect("a URI")));
    world.run(Span::from_ms(100));
}

#[test]
fn who_waits_in_a_queue_without_music_hears_ringback_and_in_one_with_music_that() {
    for (music, heard) in [(vec![], RINGBACK), (vec![MUSIC], MUSIC)] {
        let mut world = world(|config| config.queues[0].music = music);
        world.dial("carrier2", "700", None);
        check_hears(&world, &[(heard, true)]);
        let ann = rings(&mut world, "ann");
        check_hears(&world, &[(heard, true)]);
        world.answer("ann", ann);
        check_hears(&world, &[]);
    }
}

#[test]
fn a_transferred_caller_without_music_hears_ringback_from_the_targets_180_on_until_it_answers() {
    let mut world = world(|_| {});
    let customer = world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    refer(&mut world, "ann", ann, "sip:bob@offhook");
    check_hears(&world, &[]);
    let bob = rings(&mut world, "bob");
    check_hears(&world, &[(RINGBACK, true)]);
    world.answer("bob", bob);
    check_hears(&world, &[]);
    world.hang_up("carrier2", customer);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_transferred_caller_with_music_hears_that_while_the_target_rings() {
    let mut world = world(|config| config.queues[0].music = vec![MUSIC]);
    world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    refer(&mut world, "ann", ann, "sip:bob@offhook");
    rings(&mut world, "bob");
    check_hears(&world, &[(MUSIC, true)]);
}

/// Ann talks to bob without a queue; bob leads her to carl and hangs up; carl's phone rings.
fn led_on(world: &mut World) -> (SessionId, SessionId) {
    let call = world.dial("ann", "bob", Some(credentials("ann")));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    refer(world, "bob", bob, "sip:carl@offhook");
    world.hang_up("bob", bob);
    (call, rings(world, "carl"))
}

#[test]
fn who_is_led_on_and_left_hears_busy_after_486_and_congestion_after_480_and_is_hung_up_on_at_its_end() {
    for (status, tone) in [(486, BUSY), (600, BUSY), (480, CONGESTION), (404, CONGESTION)] {
        let mut world = world(|_| {});
        let (_, carl) = led_on(&mut world);
        world.refuse("carl", carl, status);
        check_hears(&world, &[(tone, false)]);
        assert_eq!(world.records.len(), 0, "{status}");
        played_out(&mut world);
        assert_eq!(world.records[0].end, CallEnd::NotReached, "{status}");
        assert_eq!(world.exchange.ports().0, 0);
    }
}

#[test]
fn who_hangs_up_on_the_last_tone_has_not_given_up_waiting() {
    let mut world = world(|_| {});
    let (ann, carl) = led_on(&mut world);
    world.refuse("carl", carl, 486);
    world.hang_up("ann", ann);
    assert_eq!(world.records[0].end, CallEnd::NotReached);
}

#[test]
fn an_empty_queue_without_words_is_congestion_and_a_full_one_busy_for_who_is_answered() {
    for (number, tone, end) in [("701", CONGESTION, CallEnd::NobodyLoggedIn), ("700", BUSY, CallEnd::QueueFull)] {
        let mut world = world(|config| config.queues[0].acd.max_waiting = Some(0));
        let customer = world.dial("carrier2", number, None);
        assert!(world.was_answered("carrier2", customer));
        check_hears(&world, &[(tone, false)]);
        played_out(&mut world);
        assert_eq!(world.records[0].end, end);
    }
}

#[test]
fn who_is_not_answered_is_told_480_at_once_and_hears_no_tone_of_ours() {
    let mut world = world(|config| {
        config.numbers.values_mut().for_each(|number| number.answer = Answer::AtAgent);
    });
    let customer = world.dial("carrier2", "701", None);
    assert_eq!((world.refused_with("carrier2", customer), world.records.len()), (Some(480), 1));
}

#[test]
fn a_number_may_have_tones_of_its_own() {
    let mut world = world(|config| config.numbers.get_mut("701").expect("a number").tones = Some(tones(20)));
    world.dial("carrier2", "701", None);
    check_hears(&world, &[(AssetId(22), false)]);
    let mut own = self::world(|config| config.numbers.get_mut("700").expect("a number").tones = Some(tones(20)));
    own.dial("carrier2", "700", None);
    check_hears(&own, &[(AssetId(20), true)]);
}

#[test]
fn without_tones_the_call_ends_at_once_and_nothing_is_heard() {
    let mut world = world(|config| config.tones = Tones::default());
    world.dial("carrier2", "701", None);
    assert_eq!(world.records[0].end, CallEnd::NobodyLoggedIn);
    let (_, carl) = led_on(&mut world);
    check_hears(&world, &[]);
    world.refuse("carl", carl, 486);
    assert_eq!(world.records[1].end, CallEnd::NotReached);
}
