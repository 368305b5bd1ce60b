//! Where menus lead.

use offhook_call::config::{Choice, Elsewhere};

use super::{GOOD, check_added, faults_of, loaded};

#[test]
fn menus_lead_to_menus_numbers_and_last_words_and_back_to_themselves() {
    let flows = |choices: &str, default: &str| {
        let flow = format!("[[flow]]\nname = \"menu\"\ndefault = {default}\nchoices = {choices}\n");
        let other = "[[flow]]\nname = \"other\"\ndefault = { flow = \"menu\" }\n";
        format!("{flow}{other}[[number]]\nnumber = \"7\"\nflow = \"menu\"\n")
    };
    let all = "{ 1 = \"sales\", 2 = { flow = \"other\" }, 3 = { number = \"700\" }, 4 = { say = [] }, 9 = { repeat = true } }";
    let menu = loaded(&format!("{GOOD}{}", flows(all, "{ say = [] }"))).exchange.flows["menu"].clone();
    assert_eq!(menu.choices[&'2'], Choice::To(Elsewhere::Flow("other".to_owned())));
    assert_eq!(menu.choices[&'3'], Choice::To(Elsewhere::Dial { number: "700".to_owned(), account: None }));
    assert_eq!((&menu.choices[&'9'], &menu.default), (&Choice::Again, &Elsewhere::Message(Vec::new())));
    for (choices, place, message, advice) in [
        ("{ 1 = { flow = \"othre\" } }", (4, 17), "no flow 'othre'", "'other'"),
        ("{ 1 = { number = \"31\" } }", (4, 17), "neither a colleague nor a number", "account"),
        ("{ 1 = { callback = true } }", (4, 17), "nobody waits in a menu", "lead to a queue"),
        ("{ 1 = { queue = \"sales\", say = [] } }", (4, 17), "leads to two places", "write"),
        ("{ 1 = { repeat = true, say = [] } }", (4, 34), "unknown key 'say'", "repeat"),
    ] {
        check_added(&flows(choices, "\"sales\""), place, message, advice);
    }
    let endless = flows("{ 1 = \"sales\" }", "{ flow = \"other\" }");
    let faults = faults_of(&format!("{GOOD}{endless}")).to_string();
    assert!(faults.contains("who presses nothing never leaves flow 'menu': menu, other"), "{faults}");
}
