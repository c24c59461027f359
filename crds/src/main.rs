//! Prints the definition of ImageBuild as YAML.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::io::stdout().write_all(slipway_crds::definition_yaml()?.as_bytes())?;
    Ok(())
}
