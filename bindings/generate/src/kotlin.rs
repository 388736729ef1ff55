//! Kotlin that UniFFI cannot write: builders for Java, and the simulated gateway's settings.

use crate::dynamic::{constant, required};
use crate::model::camel;
use crate::text::wrap;
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, header};

const WIDTH: usize = 120;
const SOURCES: &str = "bindings/uniffi/kotlin/src/main/kotlin/io/portlease";

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    Ok(vec![
        (format!("{SOURCES}/Builders.kt"), builders(model, data)?),
        (format!("{SOURCES}/testing/Settings.kt"), settings(model, data)?),
    ])
}

/// A comment of Kotlin's; `indent` is what its lines begin with.
fn comment(docs: &str, indent: &str) -> String {
    let docs = docs.replace("*/", "* /");
    let one = format!("{indent}/** {docs} */\n");
    if docs.contains('\n') || one.chars().count() > WIDTH + 1 {
        format!("{indent}/**\n{}{indent} */\n", wrap(&docs, &format!("{indent} * "), WIDTH))
    } else {
        one
    }
}

/// The type of an option for Java, and how it becomes the one of the record.
fn option(of: &str, field: &Field) -> Result<(String, &'static str)> {
    let kind = match required(&field.kind) {
        Kind::Bool => "Boolean",
        Kind::U16 | Kind::U32 => "Int",
        Kind::Duration => return Ok(("java.time.Duration".to_owned(), "?.toKotlinDuration()")),
        Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Socket => "String",
        Kind::Enum(name) => name,
        Kind::List(of) if **of == Kind::Enum("Protocol".to_owned()) => "List<Protocol>",
        Kind::Retry => "RetryPolicy",
        other => return Err(format!("{of}.{}: Java's builder has no option of the type {other:?}", field.name)),
    };
    Ok((kind.to_owned(), ""))
}

fn builders(model: &Model, data: &Data) -> Result<String> {
    let mut out = header("//") + "package io.portlease\n\nimport kotlin.time.toKotlinDuration\n";
    for (name, constructor, start, example) in [
        ("Config", "()", "Config()", "Config.builder().ttl(Duration.ofMinutes(10)).build()"),
        (
            "MapRequest",
            "(port: Int, transport: Transport)",
            "MapRequest(port, transport)",
            "MapRequest.builder(8080, Transport.TCP).externalPort(80).exact(true).build()",
        ),
    ] {
        let docs =
            format!("Builds a [{name}], for Java: `{example}`. What is not set, or set to null, has its default.");
        out += &format!("\n{}public class {name}Builder internal constructor{constructor} {{\n", comment(&docs, ""));
        out += &format!("    private var built = {start}\n\n");
        for field in &model.structure(name)?.fields {
            let item = format!("{name}.{}", field.name);
            if data.required.contains(&item) {
                continue;
            }
            let (of_type, convert) = option(name, field)?;
            let optional = if field.kind == Kind::Bool { "" } else { "?" };
            let own = camel(&field.name);
            let written = camel(data.name("uniffi", &item).unwrap_or(&field.name));
            out += &comment(&data.docs("uniffi", &item, &field.docs), "    ");
            out += &format!(
                "    public fun {written}({written}: {of_type}{optional}): {name}Builder =\n        apply {{ built = built.copy(`{own}` = {written}{convert}) }}\n\n"
            );
        }
        out += &format!("    /** What was set so far. */\n    public fun build(): {name} = built\n}}\n");
    }
    Ok(out)
}

fn settings(model: &Model, data: &Data) -> Result<String> {
    let mut out = header("//") + "package io.portlease.testing\n";
    for one in model.enums.iter().filter(|one| !one.stable && one.name != "RetryPolicy") {
        out += &switch(data, one)?;
    }
    out += &fluent("Faults", data, &model.faults)?;
    out += &fluent("GatewaySettings", data, &model.gateway_config)?;
    Ok(out)
}

/// An enum of the simulated gateway's; a class if one of its values carries a number.
fn switch(data: &Data, one: &Enum) -> Result<String> {
    let name = &one.name;
    let docs = |item: &str, docs: &str, indent: &str| comment(&data.docs("uniffi", item, docs), indent);
    let mut out = format!("\n{}", docs(name, &one.docs, ""));
    let plain = one.variants.iter().all(|variant| variant.fields.is_empty());
    if plain {
        out += &format!("public enum class {name}(@get:JvmSynthetic internal val json: String) {{\n");
    } else {
        out += &format!("public class {name} private constructor(@get:JvmSynthetic internal val json: String) {{\n");
        out += "    override fun toString(): String = json\n\n    public companion object {\n";
    }
    for variant in &one.variants {
        let (entry, text) = (constant(&variant.text), &variant.text);
        let item = format!("{name}.{}", variant.ident);
        out += &docs(&item, &variant.docs, if plain { "    " } else { "        " });
        out += &match (&variant.fields[..], plain) {
            ([], true) => format!("    {entry}(\"\\\"{text}\\\"\"),\n"),
            ([], false) => format!("        @JvmField public val {entry}: {name} = {name}(\"\\\"{text}\\\"\")\n\n"),
            ([field], false) if field.kind == Kind::U16 => format!(
                "        @JvmStatic public fun {}(code: Int): {name} = {name}(\"{{\\\"{text}\\\":$code}}\")\n",
                camel(text)
            ),
            _ => return Err(format!("{item}: Kotlin has no switch that carries {:?}", variant.fields)),
        };
    }
    Ok(out + if plain { "}\n" } else { "    }\n}\n" })
}

/// A class whose functions each set a field and answer with the same object.
fn fluent(name: &str, data: &Data, of: &Struct) -> Result<String> {
    let docs = data.docs("uniffi", &of.name, &of.docs);
    let example = if name == "Faults" { "pcp(Mode.SILENT)" } else { "upnp(false)" };
    let docs = format!("{docs} What is not set stays as it is: `{name}().{example}`.");
    let mut out = format!("\n{}public class {name} {{\n", comment(&docs, ""));
    out += "    @get:JvmSynthetic internal val json = JsonObject()\n\n    override fun toString(): String = json.toString()\n";
    for field in &of.fields {
        let (own, sent) = (camel(&field.name), &field.name);
        let of_type = value(required(&field.kind)).ok_or_else(|| format!("{name}.{own}: {:?}", field.kind))?;
        let optional = if matches!(field.kind, Kind::Option(_)) { "?" } else { "" };
        out += "\n";
        out += &comment(&data.docs("uniffi", &format!("{}.{}", of.name, field.name), &field.docs), "    ");
        out += &format!(
            "    public fun {own}({own}: {of_type}{optional}): {name} = apply {{ json.put(\"{sent}\", {own}) }}\n"
        );
    }
    Ok(out + "}\n")
}

/// The type of a value that goes into JSON.
fn value(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Bool => "Boolean".to_owned(),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::Usize => "Int".to_owned(),
        Kind::U64 => "Long".to_owned(),
        Kind::F64 => "Double".to_owned(),
        Kind::Text | Kind::Ip | Kind::ScopedIp | Kind::Ipv4 | Kind::Socket => "String".to_owned(),
        Kind::Enum(name) | Kind::Struct(name) => name.clone(),
        Kind::Map(key, of) => format!("Map<{}, {}>", value(key)?, value(of)?),
        _ => return None,
    })
}
