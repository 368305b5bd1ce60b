//! Writes a machine's graph as DOT and holds it against `fixtures/sip`. `UPDATE_FIXTURES=1` rewrites the fixtures.

use core::fmt::{Debug, Write as _};
use std::path::PathBuf;

/// Compares the graph of `step` with `fixtures/sip/{name}.dot`. Edges that stay and do nothing are left out.
pub(super) fn check<S, I, A>(name: &str, states: &[S], inputs: &[I], step: impl Fn(S, I) -> (S, &'static [A]))
where
    S: Copy + Debug + PartialEq,
    I: Copy + Debug,
    A: Debug + 'static,
{
    let mut dot = format!("digraph {name} {{\n");
    for &state in states {
        for &input in inputs {
            let (next, actions) = step(state, input);
            if next == state && actions.is_empty() {
                continue;
            }
            let _ = write!(dot, "    {state:?} -> {next:?} [label=\"{input:?}");
            for action in actions {
                let _ = write!(dot, "\\n{action:?}");
            }
            dot.push_str("\"];\n");
        }
    }
    dot.push_str("}\n");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sip").join(format!("{name}.dot"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the fixtures' folder can be made");
        std::fs::write(&path, &dot).expect("the fixture can be written");
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(dot == reviewed, "{} differs; UPDATE_FIXTURES=1 rewrites it:\n{dot}", path.display());
}
