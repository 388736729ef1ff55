//! The tables of the documents, between their markers.

use crate::text::{between, table};
use crate::{Data, Field, Kind, Model, Output, Result};

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let kinds = &model.enumeration("ErrorKind")?.variants;
    let kinds: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let docs = data.docs("readme", &format!("ErrorKind.{}", kind.ident), &kind.docs);
            vec![format!("`{}`", kind.text), docs]
        })
        .collect();
    let settings: Vec<_> = model
        .structure("Config")?
        .fields
        .iter()
        .map(|field| {
            let docs = data.docs("readme", &format!("Config.{}", field.name), &field.docs);
            vec![format!("`{}`", field.name), docs]
        })
        .collect();
    let kinds = [("kinds", table(&["kind", "means"], &kinds))];
    let settings = [("settings", table(&["setting", "means"], &settings))];
    let gateway = [
        ("settings", gateway_table(model, "setting", &model.gateway_config.fields)?),
        ("faults", gateway_table(model, "switch", &model.faults.fields)?),
    ];
    Ok(vec![
        between("core/docs/errors.md", &kinds)?,
        between("core/docs/settings.md", &settings)?,
        between("tests/gateway/README.md", &gateway)?,
    ])
}

/// The settings or the switches of the simulated gateway, with what their values can be.
fn gateway_table(model: &Model, head: &str, fields: &[Field]) -> Result<String> {
    let mut rows = Vec::new();
    let mut section = None;
    for field in fields {
        if field.section != section {
            section.clone_from(&field.section);
            rows.push(vec![format!("**{}**", section.as_deref().unwrap_or_default()), String::new(), String::new()]);
        }
        rows.push(vec![format!("`{}`", field.name), value(model, &field.kind)?, field.docs.replace("`None`", "null")]);
    }
    Ok(table(&[head, "value", "means"], &rows))
}

/// What JSON has as a value of this type.
fn value(model: &Model, kind: &Kind) -> Result<String> {
    Ok(match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize | Kind::F64 => "number".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Ip | Kind::ScopedIp | Kind::Ipv4 => "address".to_owned(),
        Kind::Enum(name) if name == "Mode" => "mode".to_owned(),
        Kind::Enum(name) => {
            let variants = model.enumeration(name)?.variants.iter();
            variants.map(|variant| format!("`{}`", variant.text)).collect::<Vec<_>>().join(", ")
        }
        Kind::Option(kind) => format!("{} or null", value(model, kind)?),
        Kind::Map(key, to) => format!("object of {} to {}", value(model, key)?, value(model, to)?),
        Kind::Struct(_) => "object".to_owned(),
        Kind::Path | Kind::Duration | Kind::Socket | Kind::Retry | Kind::List(_) | Kind::Result(..) => {
            return Err(format!("the gateway's README has no word for the type {kind:?}"));
        }
    })
}
