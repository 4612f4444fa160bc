//! Prints `docs/config.md`: `cargo run -p config --example config-page > docs/config.md`.

fn main() {
    print!("{}", config::markdown());
}
