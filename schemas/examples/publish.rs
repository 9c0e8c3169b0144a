//! Writes the published documents into a folder: `publish <folder>`.

use std::{fs, path::PathBuf};

use serde_json::Value;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: publish <folder>");
        std::process::exit(64);
    };
    let json = |value: &Value| format!("{value:#}\n");
    let schemas = folder.join("schemas");
    fs::create_dir_all(&schemas)?;
    fs::write(folder.join("openapi.json"), json(&schemas::publish::openapi()))?;
    fs::write(folder.join("asyncapi.json"), json(&schemas::publish::asyncapi()))?;
    fs::write(folder.join("docs.html"), schemas::publish::docs_html())?;
    for (name, schema) in schemas::publish::json_schemas() {
        fs::write(schemas.join(format!("{name}.json")), json(&schema))?;
    }
    Ok(())
}
