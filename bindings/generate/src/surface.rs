//! `tests/surface.json`: the names that every language has.

use crate::{Data, Field, Kind, Model, Output, Result};

/// No line of the file is longer.
const WIDTH: usize = 120;

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let texts = |name: &str, all: bool| -> Result<Vec<String>> {
        let variants = &model.enumeration(name)?.variants;
        Ok(variants.iter().filter(|variant| all || variant.listed).map(|variant| variant.text.clone()).collect())
    };
    let fields = |name: &str| -> Result<Vec<String>> { flat(model, &model.structure(name)?.fields) };
    let lists = [
        ("kinds", texts("ErrorKind", true)?),
        ("states", texts("LeaseState", true)?),
        ("events", texts("EventKind", true)?),
        ("protocols", texts("Protocol", false)?),
        ("protocols_of_mappings", texts("Protocol", true)?),
        ("transports", texts("Transport", true)?),
        ("families", texts("AddressFamily", true)?),
        ("nat_classes", texts("NatClass", true)?),
        ("address_classes", texts("AddressClass", true)?),
        ("releases", texts("Release", true)?),
        ("config", fields("Config")?),
        ("request", fields("MapRequest")?),
        ("lease_snapshot", fields("LeaseSnapshot")?),
        ("mapper_snapshot", fields("MapperSnapshot")?),
        ("event", fields("Event")?),
        ("gateway_report", fields("GatewayReport")?),
        ("protocol_report", fields("ProtocolReport")?),
        ("error", fields("ErrorReport")?),
        ("error_detail", fields("ErrorDetail")?),
        ("table_entry", fields("TableEntry")?),
        ("log_levels", texts("LogLevel", true)?),
    ];
    let mut text = "{\n".to_owned();
    for (name, items) in lists {
        text += &format!("  {},\n", list(name, &items, 2));
    }
    let found = |name: &String| model.methods.iter().any(|(_, methods)| methods.contains(name));
    if let Some(gone) = data.rust_only.iter().find(|name| !found(name)) {
        return Err(format!("data.toml: rust_only has {gone}, which core has no more"));
    }
    let methods = model.methods.iter().map(|(group, methods)| {
        let shared: Vec<_> = methods.iter().filter(|name| !data.rust_only.contains(name)).cloned().collect();
        format!("    {}", list(group, &shared, 4))
    });
    text += &format!("  \"methods\": {{\n{}\n  }}\n}}\n", methods.collect::<Vec<_>>().join(",\n"));
    Ok(vec![("tests/surface.json".to_owned(), text)])
}

/// The names of fields as other languages have them: the parts of a mapping and of a protocol's answer side by side with the
/// rest.
fn flat(model: &Model, fields: &[Field]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for field in fields {
        let (within, last) = match &field.kind {
            Kind::Option(inner) if **inner == Kind::Struct("PublishedMapping".to_owned()) => (inner, None),
            Kind::Result(inner, _) => (inner, Some("error")),
            _ => {
                names.push(field.name.clone());
                continue;
            }
        };
        let Kind::Struct(within) = &**within else { return Err(format!("{}: not a struct", field.name)) };
        let parts = model.structure(within)?.fields.iter().map(|part| part.name.as_str()).chain(last);
        names.extend(parts.filter(|part| fields.iter().all(|own| own.name != *part)).map(str::to_owned));
    }
    Ok(names)
}

fn list(name: &str, items: &[String], indent: usize) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    let line = format!("\"{name}\": [{}]", quoted.join(", "));
    if indent + line.len() < WIDTH {
        return line;
    }
    let inside = " ".repeat(indent + 2);
    let wrapped = crate::text::wrap(&quoted.join(", "), &inside, WIDTH);
    format!("\"{name}\": [\n{wrapped}{}]", " ".repeat(indent))
}
