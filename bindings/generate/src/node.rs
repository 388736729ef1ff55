//! Node: the names, the options with their types and readers, and the options of the simulated gateway.

use crate::model::camel;
use crate::text::{between, plain, table, wrap};
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, header};

const LANGUAGE: &str = "node";
const WIDTH: usize = 120;
const NAMES: [&str; 8] =
    ["ErrorKind", "LeaseState", "EventKind", "Protocol", "Transport", "NatClass", "AddressClass", "AddressFamily"];
/// The field of a request that has no default.
const REQUIRED: &str = "internal_port";

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let node = Node { model, data };
    Ok(vec![
        ("node/src/names.ts".to_owned(), node.names()?),
        ("node/src/config.ts".to_owned(), node.config()?),
        ("node/src/gateway-options.ts".to_owned(), node.gateway_options()?),
        ("bindings/node/src/settings.rs".to_owned(), node.settings()?),
        between("node/README.md", &[("errors", node.error_table()?), ("options", node.option_table()?)])?,
    ])
}

struct Node<'a> {
    model: &'a Model,
    data: &'a Data,
}

impl Node<'_> {
    fn docs(&self, item: &str, docs: &str) -> String {
        plain(&self.data.docs(LANGUAGE, item, docs))
            .replace("`None`", "null")
            .replace("retry = never", "retry: 'never'")
    }

    fn field_docs(&self, of: &str, field: &Field) -> String {
        let docs = self.docs(&format!("{of}.{}", field.name), &field.docs);
        if field.kind == Kind::Duration { docs + " In milliseconds." } else { docs }
    }

    /// The name in Rust, of which napi makes that in JavaScript.
    fn name<'a>(&'a self, of: &str, field: &'a Field) -> &'a str {
        self.data.name(LANGUAGE, &format!("{of}.{}", field.name)).unwrap_or(&field.name)
    }

    fn names(&self) -> Result<String> {
        let mut out = header("//") + "/** The stable names, the same in every language that portlease has. */\n";
        for name in NAMES {
            let one = self.model.enumeration(name)?;
            let docs = self.docs(name, &one.docs);
            let listed: Vec<_> = one.variants.iter().filter(|variant| variant.listed).collect();
            if let [only] = &listed[..] {
                out += &format!("\n{}export type {name} = '{}';\n", comment(&docs, ""), only.text);
                continue;
            }
            // Numbers of snapshots are places in these lists.
            if one.variants.iter().zip(&listed).any(|(variant, listed)| variant.ident != listed.ident) {
                return Err(format!("{name}: variants that are not in ALL must stand behind the others"));
            }
            out += &self.constants(name, &docs, "", &listed);
            let others: Vec<_> = one.variants.iter().filter(|variant| !variant.listed).collect();
            if !others.is_empty() {
                let docs = self.docs(&format!("{name}.all"), &one.docs);
                out += &self.constants(&format!("Mapping{name}"), &docs, &format!("  ...{name},\n"), &others);
            }
        }
        Ok(out)
    }

    fn constants(&self, name: &str, docs: &str, first: &str, variants: &[&crate::Variant]) -> String {
        let docs = comment(docs, "");
        let mut out = format!("\n{docs}export const {name} = Object.freeze({{\n{first}");
        for variant in variants {
            out += &comment(&self.docs(&format!("{name}.{}", variant.ident), &variant.docs), "  ");
            out += &format!("  {}: '{}',\n", variant.text.to_uppercase().replace('-', "_"), variant.text);
        }
        out + &format!("}});\n{docs}export type {name} = (typeof {name})[keyof typeof {name}];\n")
    }

    fn config(&self) -> Result<String> {
        let mut out = header("//") + "import type { AddressFamily, Protocol, Transport } from './names';\n\n";
        out += &self.union(self.model.enumeration("RetryPolicy")?)?;
        let docs = "How a mapper behaves. Every option has a default that suits a home. Durations are milliseconds.";
        out += &self.interface("MapperOptions", docs, "Config", self.model.structure("Config")?.fields.iter())?;
        let request = self.model.structure("MapRequest")?;
        out += &self.interface(
            "MapOptions",
            &self.docs("MapRequest", &request.docs),
            "MapRequest",
            request.fields.iter(),
        )?;
        out += "\n/** How an option is read. */\n";
        out += "export type Reading = 'count' | 'flag' | 'list' | 'number' | 'port' | 'retry' | 'text';\n";
        for (name, interface, of) in
            [("mapperOptions", "MapperOptions", "Config"), ("mapOptions", "MapOptions", "MapRequest")]
        {
            out += &format!("\n/** How each of {{@link {interface}}} is read. */\n");
            out += &format!("export const {name}: Record<keyof {interface}, Reading> = {{\n");
            for field in &self.model.structure(of)?.fields {
                let reading = raw(of, field)?.1;
                out += &format!("  {}: '{reading}',\n", camel(self.name(of, field)));
            }
            out += "};\n";
        }
        Ok(out)
    }

    fn interface<'a>(
        &self,
        name: &str,
        docs: &str,
        of: &str,
        fields: impl Iterator<Item = &'a Field>,
    ) -> Result<String> {
        let mut out = format!("\n{}export interface {name} {{\n", comment(docs, ""));
        for field in fields {
            out += &comment(&self.field_docs(of, field), "  ");
            let kind = javascript_type(of, field)?;
            let name = camel(self.name(of, field));
            if field.name == REQUIRED {
                out += &format!("  {name}: {kind};\n");
            } else {
                // An option of core that may be absent is; only the gateway's JSON has `null`.
                let kind = if of == "Config" || of == "MapRequest" { kind.trim_end_matches(" | null") } else { &kind };
                out += &format!("  {name}?: {kind} | undefined;\n");
            }
        }
        Ok(out + "}\n")
    }

    /// An enum as a union of its texts, and of objects for the variants that carry something.
    fn union(&self, one: &Enum) -> Result<String> {
        let name = &one.name;
        let mut out = format!("{}export type {name} =", comment(&self.docs(name, &one.docs), ""));
        for variant in &one.variants {
            out += &format!("\n{}  | ", comment(&self.docs(&format!("{name}.{}", variant.ident), &variant.docs), "  "));
            out += &match &variant.fields[..] {
                [] => format!("'{}'", variant.text),
                [field] if field.name.is_empty() => {
                    format!("{{ {}: {} }}", variant.text, javascript_type(name, field)?)
                }
                fields => {
                    let mut object = "{\n".to_owned();
                    for field in fields {
                        object += &comment(&self.field_docs(&format!("{name}.{}", variant.ident), field), "      ");
                        let kind = javascript_type(name, field)?;
                        object += &format!("      readonly {}?: {kind} | undefined;\n", camel(&field.name));
                    }
                    object + "    }"
                }
            };
        }
        Ok(out + ";\n")
    }

    fn gateway_options(&self) -> Result<String> {
        let (faults, config) = (&self.model.faults, &self.model.gateway_config);
        let mut out = header("//");
        for one in &self.model.enums {
            let kind = Kind::Enum(one.name.clone());
            let optional = Kind::Option(Box::new(kind.clone()));
            if faults.fields.iter().any(|field| field.kind == kind || field.kind == optional) {
                out += &self.union(one)?;
                out.push('\n');
            }
        }
        let out = out.trim_end().to_owned() + "\n";
        Ok(out
            + &self.interface("Faults", &self.docs("Faults", &faults.docs), "Faults", faults.fields.iter())?
            + &listed("FAULTS", faults)?
            + &self.interface(
                "GatewayOptions",
                &self.docs("GatewayConfig", &config.docs),
                "GatewayConfig",
                config.fields.iter(),
            )?
            + &listed("GATEWAY_OPTIONS", config)?)
    }

    fn settings(&self) -> Result<String> {
        let mut out = header("//") + "\n//! The options of a mapper and of a lease, on their way to core.\n\n";
        out += "use napi_derive::napi;\nuse portlease::{Config, MapRequest, PortMappingError, Transport};\n\n";
        out += "use crate::config::{Retry, set};\n";
        let mut spelled = String::new();
        for (name, of, start) in
            [("Settings", "Config", "Self::default()"), ("Request", "MapRequest", "Self::new(0, Transport::Udp)")]
        {
            let one = self.model.structure(of)?;
            out += &format!("\n/// The fields of [`{of}`]; what is absent is core's default.\n");
            out += &format!("#[napi(object)]\npub struct {name} {{\n");
            let mut body = String::new();
            for field in &one.fields {
                let (name, kind) = (self.name(of, field), raw(of, field)?.0);
                out += &wrap(&self.field_docs(of, field), "    /// ", WIDTH);
                out += &format!("    pub {name}: Option<{kind}>,\n");
                body += &format!("set(\"{}\", given.{name}, &mut it.{})?;\n", field.name, field.name);
                if camel(name) != field.name {
                    spelled += &format!("\"{}\" => \"{}\",\n", field.name, camel(name));
                }
            }
            out += &format!("}}\n\nimpl TryFrom<{name}> for {of} {{\ntype Error = PortMappingError;\n\n");
            out += &format!("fn try_from(given: {name}) -> Result<Self, PortMappingError> {{\n");
            out += &format!("let mut it = {start};\n{body}Ok(it)\n}}\n}}\n");
        }
        out += "\n/// How JavaScript calls a field of core that an error names.\n";
        Ok(out
            + &format!("pub(crate) fn spelled(field: &str) -> &str {{\nmatch field {{\n{spelled}_ => field,\n}}\n}}\n"))
    }

    fn error_table(&self) -> Result<String> {
        let rows = self.model.enumeration("ErrorKind")?.variants.iter().map(|kind| {
            let docs = self.docs(&format!("ErrorKind.{}", kind.ident), &kind.docs);
            vec![format!("`{}`", kind.text), format!("`ERR_PORTLEASE_{}`", kind.text.to_uppercase()), docs]
        });
        Ok(table(&["`kind`", "`code`", "means"], &rows.collect::<Vec<_>>()))
    }

    fn option_table(&self) -> Result<String> {
        let rows =
            self.model.structure("Config")?.fields.iter().map(|field| {
                vec![format!("`{}`", camel(self.name("Config", field))), self.field_docs("Config", field)]
            });
        Ok(table(&["option", "meaning"], &rows.collect::<Vec<_>>()))
    }
}

/// The names of the options of the simulated gateway, which `testing.ts` turns into those of its JSON and back.
fn listed(name: &str, one: &Struct) -> Result<String> {
    let mut out = format!("\n/** The names of all. */\nexport const {name}: readonly string[] = [\n");
    for field in &one.fields {
        let mut back = String::new();
        for letter in camel(&field.name).chars() {
            let begins = letter.is_ascii_uppercase()
                || letter.is_ascii_digit() && !back.ends_with(|it: char| it.is_ascii_digit());
            back += if begins { "_" } else { "" };
            back.push(letter.to_ascii_lowercase());
        }
        if back != field.name {
            return Err(format!("{}.{}: JavaScript would send it as {back}", one.name, field.name));
        }
        out += &format!("  '{}',\n", camel(&field.name));
    }
    Ok(out + "];\n")
}

/// The type of an option, or an error that names it.
fn javascript_type(of: &str, field: &Field) -> Result<String> {
    kind_type(&field.kind).ok_or_else(|| format!("{of}.{}: Node has no type for {:?}", field.name, field.kind))
}

fn kind_type(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize | Kind::F64 | Kind::Duration => "number".to_owned(),
        Kind::Text | Kind::Ip | Kind::Ipv4 | Kind::Socket => "string".to_owned(),
        Kind::Retry => "RetryPolicy".to_owned(),
        Kind::Enum(name) | Kind::Struct(name) => name.clone(),
        Kind::Option(inner) => format!("{} | null", kind_type(inner)?),
        Kind::List(inner) => format!("readonly {}[]", kind_type(inner)?),
        Kind::Map(key, value) => format!("Record<{}, {}>", kind_type(key)?, kind_type(value)?),
        Kind::Result(..) => return None,
    })
}

/// What crosses to the addon for an option, and how `options.ts` reads it; an error that names it if nothing does.
fn raw(of: &str, field: &Field) -> Result<(String, &'static str)> {
    kind_raw(&field.kind).ok_or_else(|| format!("{of}.{}: Node cannot read {:?}", field.name, field.kind))
}

fn kind_raw(kind: &Kind) -> Option<(String, &'static str)> {
    let (kind, reading) = match kind {
        Kind::Bool => ("bool", "flag"),
        Kind::U16 => ("u16", "port"),
        Kind::U32 => ("u32", "count"),
        Kind::F64 | Kind::Duration => ("f64", "number"),
        Kind::Text | Kind::Ip | Kind::Ipv4 | Kind::Socket | Kind::Enum(_) => ("String", "text"),
        Kind::Retry => ("Retry", "retry"),
        Kind::Option(inner) => return kind_raw(inner),
        Kind::List(inner) if kind_raw(inner)?.1 == "text" => ("Vec<String>", "list"),
        Kind::U8 | Kind::U64 | Kind::Usize | Kind::Struct(_) | Kind::List(_) | Kind::Map(..) | Kind::Result(..) => {
            return None;
        }
    };
    Some((kind.to_owned(), reading))
}

/// Documentation of TypeScript's.
fn comment(docs: &str, indent: &str) -> String {
    let line = format!("{indent}/** {docs} */\n");
    if line.trim_end().len() <= WIDTH {
        return line;
    }
    format!("{indent}/**\n{}{indent} */\n", wrap(docs, &format!("{indent} * "), WIDTH))
}
