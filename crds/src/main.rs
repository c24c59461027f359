//! Prints the definition of ImageBuild as YAML, or with `--reference` its fields as Markdown.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = match std::env::args().nth(1).as_deref() {
        None => slipway_crds::definition_yaml()?,
        Some("--reference") => slipway_crds::markdown::reference()?,
        Some(other) => return Err(format!("`{other}` is not known: give nothing or --reference").into()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
