//! How the testees of C and Rust set a setting by its name. Those of the other languages need no list of settings.

use crate::{Data, Field, Kind, Model, Output, Result, header};

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let fields = &model.structure("Config")?.fields;
    let (mut c, mut rust) = (String::new(), String::new());
    for field in fields {
        let unknown = || format!("Config.{}: the testees have no setting of the type {:?}", field.name, field.kind);
        c += &format!("  if (strcmp(name, \"{}\") == 0) {{\n", field.name);
        c += &set_c(data, field).ok_or_else(unknown)?;
        c += "    return true;\n  }\n";
        let (optional, kind) = match &field.kind {
            Kind::Option(kind) => (true, &**kind),
            kind => (false, kind),
        };
        let read = read_rust(kind).ok_or_else(unknown)? + "?";
        let read = if optional { format!("Some({read})") } else { read };
        rust += &format!("\"{0}\" => config.{0} = {read},\n", field.name);
    }
    let c = header("//")
        + "// The testee sets a setting that has this name in the scenarios; false if there is none.\n\n"
        + "static bool configure(portlease_config *config, const char *name, const json_t *value) {\n"
        + &c
        + "  return false;\n}\n";
    let rust = header("//!")
        + "//! The settings of a mapper by their names in the scenarios.\n\n"
        + "use portlease::Config;\nuse serde_json::Value;\n\nuse crate::{retry, seconds};\n\n"
        + "/// Sets a setting; `None` if there is none of this name, or it cannot have this value.\n"
        + "pub(crate) fn configure(config: &mut Config, name: &str, value: &Value) -> Option<()> {\nmatch name {\n"
        + &rust
        + "_ => return None,\n}\nSome(())\n}\n";
    Ok(vec![("bindings/c/tests/settings.h".to_owned(), c), ("tests/scenarios/settings.rs".to_owned(), rust)])
}

fn set_c(data: &Data, field: &Field) -> Option<String> {
    let name = data.name("c", &format!("Config.{}", field.name)).unwrap_or(&field.name);
    let kind = if let Kind::Option(kind) = &field.kind { kind } else { &field.kind };
    let value = match kind {
        Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Socket => "json_string_value(value)",
        Kind::Duration => "json_number_value(value)",
        Kind::U16 => "(uint16_t)json_integer_value(value)",
        Kind::U32 => "(uint32_t)json_integer_value(value)",
        Kind::Bool => "json_is_true(value)",
        Kind::List(_) => return Some(format!("    protocols(config->{name}, value);\n")),
        Kind::Retry => {
            let waits = ["min", "max"].map(|wait| {
                format!("    config->{name}_{wait} = json_number_value(json_object_get(value, \"{wait}\"));\n")
            });
            return Some(format!("    config->{name}_never = json_is_string(value);\n{}", waits.concat()));
        }
        _ => return None,
    };
    Some(format!("    config->{name} = {value};\n"))
}

/// The expression that reads a setting out of `value`, an `Option`.
fn read_rust(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Text => "value.as_str().map(str::to_owned)".to_owned(),
        Kind::Path => "value.as_str().map(Into::into)".to_owned(),
        Kind::Ip | Kind::ScopedIp | Kind::Socket | Kind::Enum(_) => "value.as_str()?.parse().ok()".to_owned(),
        Kind::Duration => "seconds(value)".to_owned(),
        Kind::U16 | Kind::U32 => "value.as_u64()?.try_into().ok()".to_owned(),
        Kind::Bool => "value.as_bool()".to_owned(),
        Kind::List(item) => {
            format!("value.as_array()?.iter().map(|value| {}).collect::<Option<_>>()", read_rust(item)?)
        }
        Kind::Retry => "retry(value)".to_owned(),
        _ => return None,
    })
}
