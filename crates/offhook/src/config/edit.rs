//! One table of a configuration's text changed; comments and everything else stay as they are.

use offhook_server::Edit;
use serde_json::Value as Json;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// Tables that a configuration has once at most; all others are lists.
const SINGLE: [&str; 13] = [
    "exchange",
    "sip",
    "tls",
    "limits",
    "media",
    "http",
    "openid",
    "store",
    "recording",
    "prompts",
    "dns",
    "turn",
    "queue_defaults",
];

/// The text with the change.
///
/// # Errors
/// What is wrong, for people: the text is no TOML, or there is no such table.
pub fn edited(text: &str, edit: &Edit) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|_| "the text is no TOML: mend it first".to_owned())?;
    let name = edit.table.as_str();
    if SINGLE.contains(&name) {
        single(&mut document, edit)?;
        return Ok(document.to_string());
    }
    let tables = document.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = tables.as_array_of_tables_mut().ok_or_else(|| format!("{name} is no list of tables"))?;
    let missing = |at: usize| format!("there is no [[{name}]] number {at}");
    match (edit.at, &edit.values) {
        (Some(at), None) if at < tables.len() => _ = tables.remove(at),
        (Some(at), None) => return Err(missing(at)),
        (Some(at), Some(values)) => {
            let table = tables.get_mut(at).ok_or_else(|| missing(at))?;
            values.iter().try_for_each(|(key, value)| set(table, key, value))?;
        }
        (None, Some(values)) => {
            let mut table = Table::new();
            table.decor_mut().set_prefix("\n");
            // What it is called stands first.
            let (first, rest): (Vec<_>, Vec<_>) =
                values.iter().partition(|(key, _)| *key == "name" || *key == "number");
            first.into_iter().chain(rest).try_for_each(|(key, value)| set(&mut table, key, value))?;
            tables.push(table);
        }
        (None, None) => return Err("say which table goes".to_owned()),
    }
    Ok(document.to_string())
}

/// A table that is there once: `[recording]`. It is made where it is missing.
fn single(document: &mut DocumentMut, edit: &Edit) -> Result<(), String> {
    let name = edit.table.as_str();
    if edit.at.is_some_and(|at| at > 0) {
        return Err(format!("there is one [{name}] at most"));
    }
    let Some(values) = &edit.values else {
        return document.remove(name).map(|_| ()).ok_or_else(|| format!("there is no [{name}]"));
    };
    let is_new = !document.contains_key(name);
    let table = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    if let Some(table) = table.as_table_mut().filter(|_| is_new) {
        table.decor_mut().set_prefix("\n");
    }
    let table = table.as_table_like_mut().ok_or_else(|| format!("{name} is no table"))?;
    values.iter().try_for_each(|(key, value)| set(table, key, value))
}

fn set(table: &mut dyn TableLike, key: &str, value: &Json) -> Result<(), String> {
    if value.is_null() {
        table.remove(key);
        return Ok(());
    }
    // What is a table already is changed key by key: what its lines say beside stays.
    if let (Json::Object(values), Some(old)) = (value, table.get_mut(key).and_then(Item::as_table_like_mut)) {
        let gone: Vec<String> =
            old.iter().map(|(key, _)| key.to_owned()).filter(|key| !values.contains_key(key)).collect();
        for key in &gone {
            old.remove(key);
        }
        return values.iter().try_for_each(|(key, value)| set(old, key, value));
    }
    let mut new = value_of(key, value)?;
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            // The comment behind it is about the key.
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => _ = table.insert(key, Item::Value(new)),
    }
    Ok(())
}

fn value_of(key: &str, value: &Json) -> Result<Value, String> {
    Ok(match value {
        Json::String(text) => text.as_str().into(),
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => number.as_i64().ok_or_else(|| format!("{key} = {number} is no whole number"))?.into(),
        Json::Array(values) => {
            Value::Array(values.iter().map(|value| value_of(key, value)).collect::<Result<Array, _>>()?)
        }
        Json::Object(values) => {
            let pairs = values.iter().map(|(name, value)| Ok((name.as_str(), value_of(name, value)?)));
            Value::InlineTable(pairs.collect::<Result<InlineTable, String>>()?)
        }
        Json::Null => return Err(format!("{key} holds null")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "# ours\n[[queue]]\nname = \"sales\" # the first\nmax_waiting = 5\n\n# people\n[[agent]]\nname = \"ann\"\nqueues = [\"sales\"]\n";

    fn change(at: Option<usize>, table: &str, values: Option<Json>) -> Result<String, String> {
        let values = values.map(|values| values.as_object().expect("an object").clone());
        edited(TEXT, &Edit { table: table.to_owned(), at, values })
    }

    #[test]
    fn what_is_changed_is_changed_and_comments_stay() {
        let new = change(Some(0), "queue", Some(json!({ "name": "orders", "max_waiting": null, "music": ["a", "b"] })));
        let expected =
            TEXT.replace("\"sales\" #", "\"orders\" #").replace("max_waiting = 5\n", "music = [\"a\", \"b\"]\n");
        assert_eq!(new, Ok(expected));
        let new = change(None, "agent", Some(json!({ "account": "bob", "name": "bob", "skills": { "de": 3 } })));
        assert_eq!(new, Ok(format!("{TEXT}\n[[agent]]\nname = \"bob\"\naccount = \"bob\"\nskills = {{ de = 3 }}\n")));
        let new = change(Some(0), "agent", None).expect("gone");
        assert!(new.contains("# the first") && !new.contains("ann"), "{new}");
        let new = change(None, "number", Some(json!({ "number": "700" }))).expect("the first one");
        assert!(new.ends_with("[[number]]\nnumber = \"700\"\n"), "{new}");
    }

    #[test]
    fn a_table_within_a_table_is_changed_key_by_key() {
        let text = "[[flow]]\nname = \"menu\"\nwords = { one = \"a\", two = \"b\" } # short\n[flow.choices]\n1 = \"sales\" # they buy\n2 = \"support\"\n";
        let values = json!({ "choices": { "1": "orders", "3": "billing" }, "words": { "two": "c" } });
        let edit = Edit { table: "flow".to_owned(), at: Some(0), values: values.as_object().cloned() };
        let new = edited(text, &edit).expect("changed");
        assert!(new.contains("1 = \"orders\" # they buy\n3 = \"billing\"\n") && !new.contains("support"), "{new}");
        assert!(new.contains("two = \"c\" } # short") && !new.contains("one ="), "{new}");
    }

    #[test]
    fn a_table_that_is_there_once_is_changed_made_and_taken_out() {
        let edit = |values: Option<Json>| Edit {
            table: "recording".to_owned(),
            at: None,
            values: values.map(|values| values.as_object().expect("an object").clone()),
        };
        let made = edited("a = 1\n", &edit(Some(json!({ "keep": "90d" })))).expect("made");
        assert_eq!(made, "a = 1\n\n[recording]\nkeep = \"90d\"\n");
        let text = made.replace("\"90d\"", "\"90d\" # by law");
        let changed = edited(&text, &edit(Some(json!({ "keep": "30d", "zone": "UTC" })))).expect("changed");
        assert_eq!(changed, "a = 1\n\n[recording]\nkeep = \"30d\" # by law\nzone = \"UTC\"\n");
        assert_eq!(edited(&changed, &edit(None)), Ok("a = 1\n".to_owned()));
        assert!(edited("a = 1\n", &edit(None)).expect_err("none").contains("no [recording]"));
        let second = Edit { at: Some(1), ..edit(Some(json!({}))) };
        assert!(edited(&text, &second).expect_err("one").contains("at most"));
    }

    #[test]
    fn what_is_not_there_is_told() {
        for (at, table, values, why) in [
            (Some(1), "queue", None, "there is no [[queue]] number 1"),
            (Some(1), "queue", Some(json!({})), "there is no [[queue]] number 1"),
            (None, "queue", None, "say which"),
            (Some(0), "queue", Some(json!({ "max_waiting": 1.5 })), "no whole number"),
        ] {
            assert!(change(at, table, values).expect_err("refused").contains(why), "{why}");
        }
        let edit = Edit { table: "queue".to_owned(), at: Some(0), values: None };
        assert!(edited("[[queue]", &edit).expect_err("no TOML").contains("mend it"));
        assert!(edited("queue = 1\n", &edit).expect_err("a number").contains("no list of tables"));
    }
}
