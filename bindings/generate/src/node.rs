//! Node: the names, the options with their types and readers, and the options of the simulated gateway.

use crate::dynamic::{Language, constant, required};
use crate::model::camel;
use crate::text::{between, table, wrap};
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, Variant, header};

const WIDTH: usize = 120;
const IMPORTS: &str = "use napi::bindgen_prelude::Object;\nuse portlease::{Config, MapRequest, Transport};\n\n\
    use crate::config::{Result, set};\n";

/// What `gateway-values.ts` knows of each value.
const FORM: &str = r"
/** How a value is read here, and written in the gateway's JSON. */
export interface Form {
  /** Its name in the JSON. */
  readonly name: string;
  /** What it is; `seconds` are milliseconds here. */
  readonly reads: 'count' | 'faults' | 'flag' | 'number' | 'record' | 'seconds' | 'text' | 'word';
  /** Whether null is a value too. */
  readonly nullable?: true;
  /** The greatest number. */
  readonly most?: number;
  /** The words, with those of the JSON. */
  readonly words?: Readonly<Record<string, string>>;
  /** The name of the code that may stand in place of a word. */
  readonly code?: string;
}
";

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
        ("node/src/version.ts".to_owned(), version()),
        ("bindings/node/src/settings.rs".to_owned(), settings),
        between("node/README.md", &[("errors", node.error_table()?), ("options", node.language.option_table()?)])?,
    ])
}

/// All crates have one version.
fn version() -> String {
    let docs = "/** The version of the package, and of the addon that fits it. */\n";
    header("//") + docs + &format!("export const VERSION = '{}';\n", env!("CARGO_PKG_VERSION"))
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
        let enums = || self.model.enums.iter().filter(|one| !one.stable && one.name != "RetryPolicy");
        for one in enums() {
            out += &self.union(one)?;
        }
        let structs = [("Faults", &self.model.faults), ("GatewayOptions", &self.model.gateway_config)];
        for (name, of) in structs {
            out += &self.interface(name, &self.language.docs(&of.name, &of.docs), of)?;
        }
        out += FORM;
        for one in enums() {
            out += &format!("\nconst {} = {{\n", constant_name(&one.name));
            for variant in one.variants.iter().filter(|variant| variant.fields.is_empty()) {
                out += &format!("  {}: '{}',\n", camel(&variant.text), variant.text);
            }
            out += "};\n";
        }
        for ((name, of), list) in structs.into_iter().zip(["faultForms", "gatewayForms"]) {
            out += &format!("\n/** The form of each of {{@link {name}}}. */\n");
            out += &format!("export const {list}: Readonly<Record<keyof {name}, Form>> = {{\n");
            for field in &of.fields {
                let unknown = || format!("{name}.{}: Node cannot write {:?}", field.name, field.kind);
                let form = self.form(field).ok_or_else(unknown)?;
                out += &format!("  {}: {{ name: '{}', {form} }},\n", camel(&field.name), field.name);
            }
            out += "};\n";
        }
        Ok(out)
    }

    /// How a value of the simulated gateway's is read and written.
    fn form(&self, field: &Field) -> Option<String> {
        let kind = required(&field.kind);
        let form = match kind {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize if in_seconds(&field.docs) => {
                "reads: 'seconds'".to_owned()
            }
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize => {
                format!("reads: 'count', most: {}", most(kind)?)
            }
            Kind::Bool => "reads: 'flag'".to_owned(),
            Kind::F64 => "reads: 'number'".to_owned(),
            Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Ipv4 | Kind::Socket => {
                "reads: 'text'".to_owned()
            }
            Kind::Map(_, value) => format!("reads: 'record', most: {}", most(value)?),
            Kind::Struct(name) if name == "Faults" => "reads: 'faults'".to_owned(),
            Kind::Enum(name) => {
                let coded =
                    self.model.enumeration(name).ok()?.variants.iter().find(|variant| !variant.fields.is_empty());
                let code = coded.map_or_else(String::new, |variant| format!(", code: '{}'", variant.text));
                format!("reads: 'word', words: {}{code}", constant_name(name))
            }
            Kind::Duration | Kind::Retry | Kind::Struct(_) | Kind::Option(_) | Kind::List(_) | Kind::Result(..) => {
                return None;
            }
        };
        let nullable = if *kind == field.kind { "" } else { ", nullable: true" };
        Some(form + nullable)
    }

    /// Documentation of the simulated gateway's, with names and units as they are here.
    fn gateway_docs(&self, of: &str, field: &Field) -> Result<String> {
        let docs = self.language.field_docs(of, field);
        if in_seconds(&docs) {
            return Err(format!("{of}.{}: in Node it is in milliseconds: data.toml must say so", field.name));
        }
        let names = self.model.faults.fields.iter().chain(&self.model.gateway_config.fields);
        Ok(names
            .fold(docs, |docs, field| docs.replace(&format!("`{}`", field.name), &format!("`{}`", camel(&field.name)))))
    }

    fn interface(&self, name: &str, docs: &str, of: &Struct) -> Result<String> {
        let mut out = format!("\n{}export interface {name} {{\n", comment(docs, ""));
        for field in &of.fields {
            // An option of core's that may be absent is; only the gateway's JSON has `null`.
            let of_core = matches!(of.name.as_str(), "Config" | "MapRequest");
            let kind = javascript_type(&of.name, field, if of_core { required(&field.kind) } else { &field.kind })?;
            let end = if field.name == REQUIRED { format!(": {kind}") } else { format!("?: {kind} | undefined") };
            let docs =
                if of_core { self.language.field_docs(&of.name, field) } else { self.gateway_docs(&of.name, field)? };
            out += &comment(&docs, "  ");
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
                [] => format!("'{}'", if one.stable { variant.text.clone() } else { camel(&variant.text) }),
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

/// Whether a number counts seconds, which are milliseconds in Node.
fn in_seconds(docs: &str) -> bool {
    docs.split(|letter: char| !letter.is_alphabetic()).any(|word| word == "seconds")
}

/// The greatest number of a type that JavaScript has too.
fn most(kind: &Kind) -> Option<u64> {
    Some(match kind {
        Kind::U8 => u8::MAX.into(),
        Kind::U16 => u16::MAX.into(),
        Kind::U32 => u32::MAX.into(),
        Kind::U64 | Kind::Usize => (1 << 53) - 1,
        _ => return None,
    })
}

/// `HttpBody` as a constant: `HTTP_BODY`.
fn constant_name(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
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
        Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Ipv4 | Kind::Socket => "string".to_owned(),
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
        Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Ipv4 | Kind::Socket | Kind::Enum(_) => "text",
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
