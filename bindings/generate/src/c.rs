//! C: the enums with their numbers and strings, the options and how they are read. The header is cbindgen's.

use crate::text::wrap;
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, header};

const WIDTH: usize = 120;
const ALLOW: &str = "#[allow(non_camel_case_types)]\n";

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    Ok(vec![
        ("bindings/c/src/names.rs".to_owned(), names(model, data)?),
        ("bindings/c/src/config.rs".to_owned(), config(model, data)?),
    ])
}

/// A value of an enum.
pub(crate) struct Value {
    /// The constant.
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) docs: String,
    pub(crate) text: String,
    /// The variant in Rust; none for what C alone has.
    pub(crate) variant: Option<String>,
}

/// The values of an enum by number. Fails if its strings are not those of `data.toml`, or two have the same number.
pub(crate) fn values(data: &Data, one: &Enum) -> Result<Vec<Value>> {
    let name = &one.name;
    let word = data.name("c", &format!("{name}.*")).map_or_else(|| type_name(data, name).to_uppercase(), str::to_owned);
    let prefix = if word.is_empty() { "PORTLEASE_".to_owned() } else { format!("PORTLEASE_{word}_") };
    let numbers = data.c.numbers.get(name).ok_or_else(|| format!("data.toml: c.numbers has no {name}"))?;
    let mut values = Vec::new();
    for extra in data.c.extra.get(name).into_iter().flatten() {
        values.push(Value {
            name: format!("{prefix}{}", extra.name),
            number: extra.number,
            docs: extra.docs.clone(),
            text: extra.text.clone(),
            variant: None,
        });
    }
    if let Some(gone) = numbers.keys().find(|text| one.variants.iter().all(|variant| variant.text != **text)) {
        return Err(format!("data.toml: c.numbers.{name} has `{gone}`, which core must keep for ever"));
    }
    for variant in &one.variants {
        let item = format!("{name}.{}", variant.ident);
        let number = numbers.get(&variant.text);
        let number = number.ok_or_else(|| format!("data.toml: c.numbers.{name} has no `{}`", variant.text))?;
        values.push(Value {
            name: prefix.clone() + &variant.text.to_uppercase().replace('-', "_"),
            number: *number,
            docs: data.docs("c", &item, &variant.docs),
            text: variant.text.clone(),
            variant: Some(variant.ident.clone()),
        });
    }
    values.sort_by_key(|value| value.number);
    if let Some(pair) = values.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(format!("data.toml: {} and {} have the same number", pair[0].name, pair[1].name));
    }
    Ok(values)
}

/// The name of a type without `portlease_`.
pub(crate) fn type_name(data: &Data, name: &str) -> String {
    data.name("c", name).map_or_else(|| crate::model::snake(name), str::to_owned)
}

fn names(model: &Model, data: &Data) -> Result<String> {
    let enums: Vec<&Enum> = model.stable().collect();
    let list = enums.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut out = header("//!");
    out += "//! The enums with their numbers, and their stable strings.\n\n";
    out += "use std::ffi::c_char;\nuse std::mem::MaybeUninit;\n\n";
    out += &format!("use portlease::mapping::AddressFamily;\nuse portlease::{{{list}, PortMappingError}};\n\n")
        .replace("AddressFamily, ", "");
    out += "use crate::memory::{not_one_of, number};\n\n";
    let read = read_enums(model)?;
    let mut functions = String::new();
    for one in enums {
        let (own, values) = (type_name(data, &one.name), values(data, one)?);
        out += &enumeration(data, one, &own, &values);
        if read.contains(&one.name) {
            out += &reader(&one.name, &own, &values);
        }
        let docs = match functions.is_empty() {
            true => &data.docs("c", "*_name", "As above."),
            false => "As above.",
        };
        functions += &wrap(docs, "/// ", WIDTH);
        functions += &name_function(&own, &values);
    }
    Ok(out + functions.trim_end() + "\n")
}

/// The values that Rust has too, with their variants.
fn known(values: &[Value]) -> impl Iterator<Item = (&Value, &String)> {
    values.iter().filter_map(|value| Some((value, value.variant.as_ref()?)))
}

/// The enum, and how it is made of Rust's.
fn enumeration(data: &Data, one: &Enum, own: &str, values: &[Value]) -> String {
    let (rust, c) = (&one.name, format!("portlease_{own}"));
    let mut out = wrap(&data.docs("c", rust, &one.docs), "/// ", WIDTH);
    out += &format!("#[repr(C)]\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\n{ALLOW}pub enum {c} {{\n");
    for value in values {
        out += &format!("{}{} = {},\n", wrap(&value.docs, "    /// ", WIDTH), value.name, value.number);
    }
    out += "}\n\n";
    out += &format!("impl From<{rust}> for {c} {{ fn from(value: {rust}) -> Self {{ match value {{");
    for (value, variant) in known(values) {
        out += &format!("{rust}::{variant} => Self::{},", value.name);
    }
    out += "}}}\n\n";
    if let Some(absent) = values.iter().find(|value| value.name.ends_with("_ABSENT")) {
        out += &format!(
            "impl From<Option<{rust}>> for {c} {{ fn from(value: Option<{rust}>) -> Self {{
                value.map_or(Self::{}, Self::from) }} }}\n\n",
            absent.name
        );
    }
    out
}

/// The function that reads an enum.
fn reader(rust: &str, own: &str, values: &[Value]) -> String {
    let allowed = known(values).map(|(value, _)| value.name.as_str()).collect::<Vec<_>>().join(" or ");
    let arms = known(values).map(|(value, of)| format!("{} => Ok({rust}::{of}),", value.number)).collect::<String>();
    format!(
        "/// Reads what C asks for. Fails with kind `invalid` about `argument`.
        pub(crate) fn read_{own}(argument: &'static str, value: MaybeUninit<portlease_{own}>)
        -> Result<{rust}, PortMappingError> {{ match number(value) {{ {arms}
        other => Err(not_one_of(argument, other, \"{allowed}\")) }} }}\n\n"
    )
}

/// The function that names the values of an enum.
fn name_function(own: &str, values: &[Value]) -> String {
    let named = values.iter().filter(|value| !value.text.is_empty());
    let arms = named.map(|value| format!("{} => c\"{}\",", value.number, value.text)).collect::<String>();
    format!(
        "#[unsafe(no_mangle)]\npub extern \"C\" fn portlease_{own}_name(value: MaybeUninit<portlease_{own}>)
        -> *const c_char {{ let name = match number(value) {{ {arms} _ => c\"\" }}; name.as_ptr() }}\n\n"
    )
}

/// The enums that callers give.
fn read_enums(model: &Model) -> Result<Vec<String>> {
    let fields = [&model.structure("Config")?.fields, &model.structure("MapRequest")?.fields];
    // And the level from which on a log is read.
    let log = Some("LogLevel".to_owned());
    let found = fields.into_iter().flatten().filter_map(|field| match &field.kind {
        Kind::Enum(name) => Some(name.clone()),
        Kind::List(item) => match &**item {
            Kind::Enum(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    });
    Ok(found.chain(log).collect())
}

/// A field of options in C.
struct Option_ {
    name: String,
    of_type: String,
    docs: String,
}

/// The C fields of a field, and the expression that reads them out of `given`; it is `None` for what was left out, but for
/// what cannot be left out.
fn option(model: &Model, data: &Data, of: &Struct, field: &Field) -> Result<(Vec<Option_>, String)> {
    let item = format!("{}.{}", of.name, field.name);
    let argument = &field.name;
    let name = data.name("c", &item).unwrap_or(&field.name).to_owned();
    let one = |of_type: &str, unit: &str| {
        let docs = data.docs("c", &item, &(field.docs.clone() + unit));
        vec![Option_ { name: name.clone(), of_type: of_type.to_owned(), docs }]
    };
    let (optional, kind) = match &field.kind {
        Kind::Option(kind) => (true, &**kind),
        kind => (false, kind),
    };
    let pointer = "*const c_char";
    let pointed = |reader: &str| (one(pointer, ""), format!("{reader}(caller, \"{argument}\", given.{name})?"));
    let (fields, read) = match kind {
        Kind::Ip => pointed("address"),
        Kind::ScopedIp => pointed("scoped_address"),
        Kind::Socket => pointed("socket_address"),
        Kind::Text => pointed("text"),
        Kind::Path => pointed("path"),
        Kind::Duration if data.never.contains(&item) => {
            (one("f64", " In seconds."), format!("seconds_or_never(\"{argument}\", given.{name})?"))
        }
        Kind::Duration => (one("f64", " In seconds."), format!("seconds(\"{argument}\", given.{name})?")),
        Kind::U16 => (one("u16", ""), format!("nonzero(given.{name})")),
        Kind::U32 => (one("u32", ""), format!("nonzero(given.{name})")),
        Kind::Bool if !optional => (one("MaybeUninit<bool>", ""), format!("Some(truth(given.{name}))")),
        Kind::Enum(of) if !optional => {
            let own = type_name(data, of);
            let read = format!("Some(names::read_{own}(\"{argument}\", given.{name})?)");
            (one(&format!("MaybeUninit<portlease_{own}>"), ""), read)
        }
        Kind::List(of) if **of == Kind::Enum("Protocol".to_owned()) => (
            one("[MaybeUninit<portlease_protocol>; PORTLEASE_MAX_PROTOCOLS]", ""),
            format!("protocols(\"{argument}\", &given.{name})?"),
        ),
        Kind::Retry => {
            let policy = model.enumeration("RetryPolicy")?;
            let waits = policy.variants.iter().flat_map(|variant| &variant.fields);
            let parts = [("never", "MaybeUninit<bool>", field.docs.clone())]
                .into_iter()
                .map(|part| (part.0.to_owned(), part.1, part.2));
            let parts = parts.chain(waits.map(|wait| (wait.name.clone(), "f64", format!("{} In seconds.", wait.docs))));
            let fields = parts.map(|(part, of_type, docs)| Option_ {
                docs: data.docs("c", &format!("{item}_{part}"), &docs),
                name: format!("{name}_{part}"),
                of_type: of_type.to_owned(),
            });
            let read = format!("retry(\"{argument}\", given.{name}_never, given.{name}_min, given.{name}_max)?");
            (fields.collect(), read)
        }
        _ => return Err(format!("{item}: C has no option of the type {:?}", field.kind)),
    };
    Ok((fields, if optional { format!("{read}.map(Some)") } else { read }))
}

fn config(model: &Model, data: &Data) -> Result<String> {
    let mut out = header("//!");
    out += "//! Settings and requests as C gives them, and how they are read.\n\n";
    out += "use std::ffi::c_char;\nuse std::mem::MaybeUninit;\n\n";
    out += "use portlease::{Config, MapRequest, PortMappingError, Transport};\n\n";
    out += "use crate::memory::{Caller, Options, growing, truth};\n";
    out += "use crate::names::{self, portlease_family, portlease_protocol, portlease_transport};\n";
    out += "use crate::values::{PORTLEASE_MAX_PROTOCOLS, address, nonzero, path, protocols, retry, scoped_address, seconds, seconds_or_never, set, socket_address, text};\n\n";
    let mut functions = String::new();
    for rust in ["Config", "MapRequest"] {
        let of = model.structure(rust)?;
        let own = type_name(data, rust);
        let mut fields = Vec::new();
        let mut sets = String::new();
        for field in &of.fields {
            let (parts, read) = option(model, data, of, field)?;
            fields.extend(parts);
            sets += &format!("set(&mut {own}.{}, {read});\n", field.name);
        }
        out += &structure(data, of, &own, fields)?;
        functions += &options_reader(rust, &own, &sets);
    }
    Ok(out + functions.trim_end() + "\n")
}

/// The struct that holds these options, in the order that `data.toml` has fixed.
fn structure(data: &Data, of: &Struct, own: &str, mut fields: Vec<Option_>) -> Result<String> {
    let (rust, c) = (&of.name, format!("portlease_{own}"));
    let order = data.c.fields.get(rust).ok_or_else(|| format!("data.toml: c.fields has no {rust}"))?;
    if let Some(unknown) = fields.iter().find(|field| !order.contains(&field.name)) {
        return Err(format!("data.toml: c.fields.{rust} has no {}", unknown.name));
    }
    let mut out = wrap(&data.docs("c", rust, &of.docs), "/// ", WIDTH);
    out += &format!(
        "#[repr(C)]\n#[derive(Clone, Copy)]\n{ALLOW}pub struct {c} {{\n    /// sizeof({c})\n    pub struct_size: usize,\n"
    );
    // `padding_1:4`: bytes that would be padding otherwise, for a struct that has grown has none.
    fields.extend(order.iter().filter_map(|name| name.split_once(':')).map(|(name, size)| Option_ {
        name: name.to_owned(),
        of_type: format!("[u8; {size}]"),
        docs: "Zero.".to_owned(),
    }));
    let order: Vec<&str> = order.iter().map(|name| name.split(':').next().unwrap_or_default()).collect();
    let mut last = "";
    for name in &order {
        let gone = || format!("data.toml: c.fields.{rust} has {name}, which core has no more");
        let field = fields.iter().find(|field| field.name == *name).ok_or_else(gone)?;
        out += &format!("{}    pub {name}: {},\n", wrap(&field.docs, "    /// ", WIDTH), field.of_type);
        last = &field.of_type;
    }
    let first = *data.c.first.get(rust).ok_or_else(|| format!("data.toml: c.first has no {rust}"))?;
    let grown = order.get(first).map(|name| format!(" => {name}")).unwrap_or_default();
    let last_name = order.last().copied().unwrap_or_default();
    out += &format!("}}\n\ngrowing!({c}: {last_name} {last}{grown});\n");
    out +=
        &format!("// SAFETY: numbers and pointers; the rest is `MaybeUninit`.\nunsafe impl Options for {c} {{}}\n\n");
    Ok(out)
}

/// The function that reads a struct of options; `sets` reads its fields.
fn options_reader(rust: &str, own: &str, sets: &str) -> String {
    let start = match rust {
        "Config" => {
            "let mut config = Config::default();
            let Some(given) = caller.optional_read(\"config\", pointer)? else {
                return Ok(config);
            };\n"
        }
        _ => {
            "let given = caller.read(\"request\", pointer)?;
            let mut request = MapRequest::new(0, Transport::Udp);"
        }
    };
    format!(
        "/// Reads a {own}. Whether the values make sense is core's to say.
        pub(crate) fn read_{own}(caller: Caller<'_>, pointer: *const portlease_{own})
        -> Result<{rust}, PortMappingError> {{ {start} {sets} Ok({own}) }}\n\n"
    )
}
