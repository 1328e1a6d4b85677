//! Makes docs/pictures/tenants.svg from the real screen: `cargo run -p conductor-tui --example picture`.

fn main() -> std::io::Result<()> {
    let svg = conductor_tui::picture();
    std::fs::create_dir_all("docs/pictures")?;
    std::fs::write("docs/pictures/tenants.svg", svg)
}
