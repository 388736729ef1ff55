//! Node: the names, the options with their types and readers, and the options of the simulated gateway.

use crate::dynamic::{Language, constant, required};
use crate::model::camel;
use crate::text::{between, table, wrap};
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, Variant, header};

const WIDTH: usize = 120;
const IMPORTS: &str = "use napi::bindgen_prelude::Object;\nuse portlease::{Config, MapRequest, Transport};\n\n\
    use crate::config::{Result, set};\n";

/// The option that has no default.
const REQUIRED: &str = "internal_port";

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let language = Language { key: "node", model, data, unit: " In milliseconds.", spell: camel };
    let settings = language.settings(IMPORTS, "Object<'_>")?;
    let node = Node { language, model };
    Ok(vec![
        ("node/src/names.ts".to_owned(), node.names()?),
        ("node/src/config.ts".to_owned(), node.config()?),
        ("node/src/gateway-options.ts".to_owned(), node.gateway_options()?),
        ("bindings/node/src/settings.rs".to_owned(), settings),
        between("node/README.md", &[("errors", node.error_table()?), ("options", node.language.option_table()?)])?,
    ])
}

struct Node<'a> {
    language: Language<'a>,
    model: &'a Model,
}

impl Node<'_> {
    fn names(&self) -> Result<String> {
        let mut out = header("//") + "/** The stable names, the same in every language that portlease has. */\n";
        for one in self.model.stable() {
            let name = &one.name;
            let docs = self.language.docs(name, &one.docs);
            if let [only] = &one.variants[..] {
                out += &format!("\n{}export type {name} = '{}';\n", comment(&docs, ""), only.text);
                continue;
            }
            // Numbers of snapshots are places in these lists.
            let listed = one.variants.iter().take_while(|variant| variant.listed).count();
            let (listed, others) = one.variants.split_at(listed);
            if others.iter().any(|variant| variant.listed) {
                return Err(format!("{name}: variants that are not in ALL must stand behind the others"));
            }
            out += &self.constants(one, name, &docs, "", listed);
            if !others.is_empty() {
                let docs = self.language.docs(&format!("{name}.all"), &one.docs);
                out += &self.constants(one, &format!("Mapping{name}"), &docs, &format!("  ...{name},\n"), others);
            }
        }
        Ok(out)
    }

    fn constants(&self, of: &Enum, name: &str, docs: &str, first: &str, variants: &[Variant]) -> String {
        let docs = comment(docs, "");
        let mut out = format!("\n{docs}export const {name} = Object.freeze({{\n{first}");
        for variant in variants {
            out += &self.variant_docs(of, variant);
            out += &format!("  {}: '{}',\n", constant(&variant.text), variant.text);
        }
        out + &format!("}});\n{docs}export type {name} = (typeof {name})[keyof typeof {name}];\n")
    }

    fn variant_docs(&self, of: &Enum, variant: &Variant) -> String {
        comment(&self.language.docs(&format!("{}.{}", of.name, variant.ident), &variant.docs), "  ")
    }

    fn config(&self) -> Result<String> {
        let mut out = header("//") + "import type { AddressFamily, Protocol, Transport } from './names';\n";
        out += &self.union(self.model.enumeration("RetryPolicy")?)?;
        let docs = "How a mapper behaves. Every option has a default that suits a home. Durations are milliseconds.";
        out += &self.interface("MapperOptions", docs, self.model.structure("Config")?)?;
        let request = self.model.structure("MapRequest")?;
        out += &self.interface("MapOptions", &self.language.docs("MapRequest", &request.docs), request)?;
        out += "\n/** How an option is read. */\n";
        out += "export type Reading = 'count' | 'flag' | 'list' | 'number' | 'port' | 'retry' | 'text';\n";
        for (name, interface, of) in
            [("mapperOptions", "MapperOptions", "Config"), ("mapOptions", "MapOptions", "MapRequest")]
        {
            out += &format!("\n/** How each of {{@link {interface}}} is read. */\n");
            out += &format!("export const {name}: Record<keyof {interface}, Reading> = {{\n");
            for field in &self.model.structure(of)?.fields {
                let unknown = || format!("{of}.{}: Node cannot read {:?}", field.name, field.kind);
                let reading = reading(&field.kind).ok_or_else(unknown)?;
                out += &format!("  {}: '{reading}',\n", self.language.name(of, field));
            }
            out += "};\n";
        }
        Ok(out)
    }

    fn gateway_options(&self) -> Result<String> {
        let mut out = header("//").trim_end().to_owned() + "\n";
        for one in self.model.enums.iter().filter(|one| !one.stable && one.name != "RetryPolicy") {
            out += &self.union(one)?;
        }
        for (name, list, of) in [
            ("Faults", "FAULTS", &self.model.faults),
            ("GatewayOptions", "GATEWAY_OPTIONS", &self.model.gateway_config),
        ] {
            out += &self.interface(name, &self.language.docs(&of.name, &of.docs), of)?;
            out += &format!("\n/** The names of all. */\nexport const {list}: readonly string[] = [\n");
            for field in &of.fields {
                if sent(&camel(&field.name)) != field.name {
                    return Err(format!("{name}.{}: testing.ts would send {}", field.name, sent(&camel(&field.name))));
                }
                out += &format!("  '{}',\n", camel(&field.name));
            }
            out += "];\n";
        }
        Ok(out)
    }

    fn interface(&self, name: &str, docs: &str, of: &Struct) -> Result<String> {
        let mut out = format!("\n{}export interface {name} {{\n", comment(docs, ""));
        for field in &of.fields {
            // An option of core's that may be absent is; only the gateway's JSON has `null`.
            let of_core = matches!(of.name.as_str(), "Config" | "MapRequest");
            let kind = javascript_type(&of.name, field, if of_core { required(&field.kind) } else { &field.kind })?;
            let end = if field.name == REQUIRED { format!(": {kind}") } else { format!("?: {kind} | undefined") };
            out += &comment(&self.language.field_docs(&of.name, field), "  ");
            out += &format!("  {}{end};\n", self.language.name(&of.name, field));
        }
        Ok(out + "}\n")
    }

    /// An enum as a union of its texts, and of objects for the variants that carry something.
    fn union(&self, one: &Enum) -> Result<String> {
        let name = &one.name;
        let mut out = format!("\n{}export type {name} =", comment(&self.language.docs(name, &one.docs), ""));
        for variant in &one.variants {
            out += &format!("\n{}  | ", self.variant_docs(one, variant));
            out += &match &variant.fields[..] {
                [] => format!("'{}'", variant.text),
                [field] if field.name.is_empty() => {
                    format!("{{ {}: {} }}", variant.text, javascript_type(name, field, &field.kind)?)
                }
                fields => {
                    let mut object = "{\n".to_owned();
                    for field in fields {
                        object +=
                            &comment(&self.language.field_docs(&format!("{name}.{}", variant.ident), field), "      ");
                        let kind = javascript_type(name, field, &field.kind)?;
                        object += &format!("      readonly {}?: {kind} | undefined;\n", camel(&field.name));
                    }
                    object + "    }"
                }
            };
        }
        Ok(out + ";\n")
    }

    fn error_table(&self) -> Result<String> {
        let rows = self.model.enumeration("ErrorKind")?.variants.iter().map(|kind| {
            let docs = self.language.docs(&format!("ErrorKind.{}", kind.ident), &kind.docs);
            vec![format!("`{}`", kind.text), format!("`ERR_PORTLEASE_{}`", kind.text.to_uppercase()), docs]
        });
        Ok(table(&["`kind`", "`code`", "means"], &rows.collect::<Vec<_>>()))
    }
}

/// What `testing.ts` makes of a name for the gateway's JSON.
fn sent(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        let begins = letter.is_ascii_digit() && !out.ends_with(|it: char| it.is_ascii_digit());
        out += if begins || letter.is_ascii_uppercase() { "_" } else { "" };
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// The type of an option, or an error that names it.
fn javascript_type(of: &str, field: &Field, kind: &Kind) -> Result<String> {
    kind_type(kind).ok_or_else(|| format!("{of}.{}: Node has no type for {kind:?}", field.name))
}

fn kind_type(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize | Kind::F64 | Kind::Duration => "number".to_owned(),
        Kind::Text | Kind::Path | Kind::Ip | Kind::Ipv4 | Kind::Socket => "string".to_owned(),
        Kind::Retry => "RetryPolicy".to_owned(),
        Kind::Enum(name) | Kind::Struct(name) => name.clone(),
        Kind::Option(inner) => format!("{} | null", kind_type(inner)?),
        Kind::List(inner) => format!("readonly {}[]", kind_type(inner)?),
        Kind::Map(key, value) => format!("Record<{}, {}>", kind_type(key)?, kind_type(value)?),
        Kind::Result(..) => return None,
    })
}

/// How `options.ts` reads an option, if it can.
fn reading(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Bool => "flag",
        Kind::U16 => "port",
        Kind::U32 => "count",
        Kind::F64 | Kind::Duration => "number",
        Kind::Text | Kind::Path | Kind::Ip | Kind::Ipv4 | Kind::Socket | Kind::Enum(_) => "text",
        Kind::Retry => "retry",
        Kind::Option(inner) => return reading(inner),
        Kind::List(inner) => return (reading(inner) == Some("text")).then_some("list"),
        Kind::U8 | Kind::U64 | Kind::Usize | Kind::Struct(_) | Kind::Map(..) | Kind::Result(..) => return None,
    })
}

/// Documentation of TypeScript's.
fn comment(docs: &str, indent: &str) -> String {
    let docs = docs.replace("`None`", "null");
    let line = format!("{indent}/** {docs} */");
    if line.len() <= WIDTH {
        return line + "\n";
    }
    format!("{indent}/**\n{}{indent} */\n", wrap(&docs, &format!("{indent} * "), WIDTH))
}
