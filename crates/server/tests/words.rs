//! Catalogues of messages: whole, alike in each language, and the only place where the pages have words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

const LANGUAGES: [&str; 3] = ["en", "zh-Hans", "zh-Hant"];
/// Files whose words stand in the catalogues.
const PAGES: [&str; 5] = ["admin.html", "call.html", "desk.html", "index.html", "phone.html"];
const SCRIPTS: [&str; 24] = [
    "admin.js",
    "admin-form.js",
    "admin-graph.js",
    "admin-kinds.js",
    "admin-live.js",
    "admin-prompts.js",
    "agents.js",
    "app.js",
    "call.js",
    "desk.js",
    "moving.js",
    "reports.js",
    "desk-call.js",
    "desk-keys.js",
    "desk-noting.js",
    "desk-page.js",
    "desk-past.js",
    "live.js",
    "parts.js",
    "phone.js",
    "phone-link.js",
    "recordings.js",
    "session.js",
    "words.js",
];

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("web").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn catalogue(language: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(&read(&format!("words-{language}.json"))).expect("a catalogue")
}

/// Each form of a message, and the names of the values in it.
fn forms(message: &Value) -> Vec<(String, BTreeSet<String>)> {
    let texts: Vec<&str> = match message {
        Value::String(text) => vec![text],
        Value::Object(forms) => forms.values().map(|text| text.as_str().expect("a text")).collect(),
        other => panic!("{other} is no message"),
    };
    let names = |text: &str| {
        text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect::<BTreeSet<_>>()
    };
    texts.into_iter().map(|text| (text.to_owned(), names(text))).collect()
}

/// What stands between `open` and the next quotation mark, wherever it does.
fn quoted(text: &str, open: &str) -> Vec<String> {
    text.split(open).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

#[test]
fn each_message_stands_in_each_catalogue_with_the_same_values_and_the_plurals_of_its_language() {
    let english = catalogue("en");
    assert!(english.len() > 150, "{}", english.len());
    for language in LANGUAGES {
        let words = catalogue(language);
        assert_eq!(words.keys().collect::<Vec<_>>(), english.keys().collect::<Vec<_>>(), "{language}");
        for (key, message) in &words {
            let wanted: BTreeSet<_> = forms(&english[key]).into_iter().flat_map(|(_, names)| names).collect();
            for (text, names) in forms(message) {
                assert!(!text.trim().is_empty(), "{language} {key}");
                assert!(names.is_subset(&wanted), "{language} {key}: {text}");
                let is_chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
                assert_eq!(is_chinese, language != "en", "{language} {key}: {text}");
            }
            let plurals = message.as_object().map(|forms| forms.keys().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(plurals.is_some(), english[key].is_object(), "{language} {key}");
            // English tells one from many, Chinese does not (Unicode CLDR).
            let known: &[&str] = if language == "en" { &["one", "other"] } else { &["other"] };
            assert!(plurals.is_none_or(|plurals| plurals == known), "{language} {key}");
        }
    }
}

#[test]
fn each_message_that_a_page_asks_for_is_there_and_each_error_of_the_desk_has_words() {
    let english = catalogue("en");
    let mut asked: Vec<String> = Vec::new();
    for page in PAGES {
        let text = read(page);
        for mark in ["data-t=\"", "data-t-label=\"", "data-t-title=\"", concat!("data-t-place", "holder=\"")] {
            asked.extend(quoted(&text, mark));
        }
    }
    for script in SCRIPTS {
        asked.extend(quoted(&read(script), " t(\""));
        asked.extend(quoted(&read(script), "(t(\""));
    }
    assert!(asked.len() > 80, "{}", asked.len());
    for key in asked {
        assert!(english.contains_key(&key), "no catalogue has '{key}'");
    }
    let problems = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/problem.rs"));
    for kind in quoted(&problems.expect("the source"), "\"urn:offhook:") {
        assert!(english.contains_key(&format!("error.{kind}")), "the error '{kind}' has no words");
    }
}

#[test]
fn no_word_of_the_pages_stands_outside_of_the_catalogues() {
    // Names, and what is read where nothing else can be.
    let allowed = ["Offhook", "?", "WAV", "FLAC", "Opus", "–"];
    // Names that the configuration may have.
    let examples = ["office-closed", "en-us, de, cmn"];
    // Who runs no script has no catalogue either.
    let without_script = |text: &str| match (text.find("<noscript>"), text.find("</noscript>")) {
        (Some(from), Some(until)) => format!("{}{}", &text[..from], &text[until..]),
        _ => text.to_owned(),
    };
    for page in PAGES {
        for text in
            without_script(&read(page)).split('>').filter_map(|rest| Some(rest.split_once('<')?.0.trim().to_owned()))
        {
            assert!(text.is_empty() || allowed.contains(&text.as_str()), "{page}: {text}");
        }
        for attribute in ["aria-label=\"", "title=\"", concat!("place", "holder=\"")] {
            let bare = read(page).replace(&format!("data-t-{attribute}"), "").replace("data-t-label", "");
            let said = quoted(&bare, &format!(" {attribute}"));
            let fine = |text: &String| examples.contains(&text.as_str());
            assert!(said.iter().all(fine), "{page} has an {attribute}{said:?}");
        }
    }
    for script in SCRIPTS {
        let text = read(script);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            let parts: Vec<&str> = line.split('"').collect();
            for pair in parts.windows(2).step_by(2) {
                let (before, literal) = (pair[0], pair[1]);
                // Two words with a space between them are read by somebody, unless they are classes of a style.
                let words = literal.split(' ').filter(|word| word.len() > 1 && word.chars().all(char::is_alphabetic));
                let fine = words.count() < 2
                    || before.ends_with("className: ")
                    || literal.starts_with("tag ")
                    || line.contains("user_agent: ")
                    || line.contains("throw new Error");
                assert!(fine, "{script}, about line {number}: {literal}");
            }
        }
    }
}
