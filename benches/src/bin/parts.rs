//! One hot part, turn by turn, to be counted: `parts NAME`; without a name, all of them with their units and turns.
//!
//! `cargo xtask compare BASE` counts the instructions of each in two versions:
//! `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*counted_turn*' target/release/parts 'media: relay G.711'`.

fn main() {
    let mut parts = offhook_benches::parts::all();
    let Some(name) = std::env::args().nth(1) else {
        return parts.for_each(|part| println!("{}\t{}\t{}\t{}", part.name, part.unit, part.units, part.turns));
    };
    let Some(part) = parts.find(|part| part.name == name) else {
        eprintln!("there is no part `{name}`: without a name all of them are told");
        std::process::exit(2);
    };
    part.run();
}
