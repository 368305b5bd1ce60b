//! How a leg sounds at the time: told when it becomes worse and when it is well again, and not in between.

mod harness;

use harness::*;
use offhook_plan::{Grade, MediaEvent};
use offhook_units::{Span, Tick};

/// The caller talks for `seconds`; one packet in `lost_in` is lost. Gives the grades that were told, with when, in ms.
fn talk_for(floor: &mut Floor, caller: &mut Speaker, seconds: u64, lost_in: Option<u64>) -> Vec<(u64, Grade)> {
    let begin = floor.now;
    for n in 0..seconds * 50 {
        floor.run_to(begin + Span::from_ms(n * 20));
        if lost_in.is_some_and(|lost_in| n % lost_in == 0) {
            caller.speech();
        } else {
            caller.say(floor);
        }
        floor.heard_by(AGENT);
    }
    let now = floor.now;
    let told = floor.events().into_iter().filter_map(|event| match event {
        MediaEvent::Graded { leg: CALLER, heard, sent: Grade::Good, .. } => Some((now.since(begin).as_ms(), heard)),
        MediaEvent::Graded { .. } => panic!("nobody else's speech became worse: {event:?}"),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_caller_with_one_packet_in_five_lost_sounds_poor_within_five_seconds_and_good_ten_after_it_ended() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(talk(1, Tick::MAX));
    assert_eq!(talk_for(&mut floor, &mut caller, 10, None), []);
    let worse: Vec<_> = talk_for(&mut floor, &mut caller, 5, Some(5)).into_iter().map(|(_, grade)| grade).collect();
    assert_eq!(worse.last(), Some(&Grade::Poor), "{worse:?}");
    assert_eq!(talk_for(&mut floor, &mut caller, 30, Some(5)), [], "it was told");
    let better: Vec<_> = talk_for(&mut floor, &mut caller, 12, None).into_iter().map(|(_, grade)| grade).collect();
    assert_eq!(better.last(), Some(&Grade::Good), "{better:?}");
}

#[test]
fn a_single_bad_second_is_not_told() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(talk(1, Tick::MAX));
    talk_for(&mut floor, &mut caller, 5, None);
    assert_eq!(talk_for(&mut floor, &mut caller, 1, Some(8)), []);
    assert_eq!(talk_for(&mut floor, &mut caller, 10, None), []);
}
