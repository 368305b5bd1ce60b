//! Entrances of visitors.

use offhook_call::config::Entrance;

use super::{GOOD, check_added, check_fault, loaded};

fn with_ws(more: &str) -> String {
    let good = GOOD.replace("5060\"]", "5060\", \"ws:127.0.0.1:5066\"]");
    format!("{good}[http]\nlisten = \"127.0.0.1:0\"\n{more}")
}

#[test]
fn an_entrance_leads_to_a_number_and_its_page_has_a_title() {
    let loaded = loaded(&with_ws(
        "[[entrance]]\nname = \"shop\"\ntitle = \"Call the shop\"\nnumber = \"700\"\ncalls = 3\norigins = \"https://shop.test\"\n",
    ));
    let shop = Entrance { name: "shop".to_owned(), number: "700".to_owned(), calls_max: 3 };
    assert_eq!(loaded.exchange.entrances, [shop]);
    let page = &loaded.entrances[0];
    assert_eq!((page.title.as_str(), page.origins.len()), ("Call the shop", 1));
}

#[test]
fn entrances_that_lead_nowhere_are_told_what_to_write() {
    let shop = "[[entrance]]\nname = \"shop\"\nnumber = \"700\"\n";
    for (more, place, message, advice) in [
        (shop.replace("700", "70"), (22, 10), "there is no number '70'", "\"700\""),
        (shop.replace("\"shop\"", "\"a shop\""), (21, 8), "cannot be part of an address", "letters"),
        (format!("{shop}{shop}"), (24, 8), "two entrances 'shop'", "of its own"),
        (format!("{shop}origins = \"shop.test\"\n"), (23, 11), "not the address of a site", "https://"),
        (format!("{shop}origins = \"https://a.test; script-src *\"\n"), (23, 11), "not the address", "https://"),
        (format!("{shop}calls = 0\n"), (23, 9), "out of range", "from 1"),
    ] {
        check_fault(&with_ws(&more), place, message, advice);
    }
    check_added(&format!("[http]\nlisten = \"127.0.0.1:0\"\n{shop}"), (3, 1), "over WebSocket", "ws:127.0.0.1:5066");
}
