//! Python: the enumerations, exceptions, settings and views, their types, and the options of the simulated router.

use crate::text::{between, plain, table, wrap};
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, header};

const LANGUAGE: &str = "python";
const WIDTH: usize = 120;
/// The enums that are enumerations, and the structs that are views.
const ENUMS: [&str; 7] = ["ErrorKind", "LeaseState", "EventKind", "Protocol", "Transport", "NatClass", "AddressClass"];
const VIEWS: [&str; 6] = ["ErrorReport", "LeaseSnapshot", "MapperSnapshot", "GatewayReport", "ProtocolReport", "Event"];
/// The kinds whose exceptions are an exception of Python's too, and what the documentation says about it.
const ALSO: [(&str, &str, &str); 3] = [
    ("Timeout", "builtins.TimeoutError", " Also the builtin `TimeoutError`."),
    ("Transport", "OSError", " Also an `OSError`, with its `errno` if the system gave one."),
    ("Invalid", "ValueError", " Also a `ValueError`."),
];
/// How errors call a value of a wrong type.
const WRONG_TYPE: &str = r#"class InvalidTypeError(InvalidError, TypeError):
    """An argument of a wrong type. Also a `TypeError`."""


"#;

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let python = Python { model, data };
    let package = "python/src/portlease";
    Ok(vec![
        (format!("{package}/_names.py"), python.names()?),
        (format!("{package}/_errors.py"), python.errors()?),
        (format!("{package}/_config.py"), python.config()?),
        (format!("{package}/testing/_options.py"), python.options()?),
        ("bindings/python/src/settings.rs".to_owned(), python.settings()?),
        ("bindings/python/src/views.rs".to_owned(), python.views()?),
        between(&format!("{package}/_portlease.pyi"), &[("views", python.view_types()?)])?,
        between("python/README.md", &[("errors", python.error_table()?), ("settings", python.setting_table()?)])?,
    ])
}

/// Where a type stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Setting,
    View,
    Option,
}

/// An attribute of a view: a field of core's struct, or of one that lies within it.
struct Attribute {
    name: String,
    kind: Kind,
    docs: String,
    /// How it is read out of `of`.
    read: String,
}

struct Python<'a> {
    model: &'a Model,
    data: &'a Data,
}

impl Python<'_> {
    fn docs(&self, item: &str, docs: &str) -> String {
        plain(&self.data.docs(LANGUAGE, item, docs))
    }

    fn field_docs(&self, of: &str, field: &Field, unit: &str) -> String {
        let docs = self.docs(&format!("{of}.{}", field.name), &field.docs);
        if is_duration(&field.kind) { docs + unit } else { docs }
    }

    fn name<'a>(&'a self, of: &str, field: &'a Field) -> &'a str {
        self.data.name(LANGUAGE, &format!("{of}.{}", field.name)).unwrap_or(&field.name)
    }

    fn names(&self) -> Result<String> {
        let mut out = module("The stable names, as enumerations whose members equal their text.");
        out += "from portlease._values import Name\n\n";
        out += &exports(ENUMS.iter().map(|name| (*name).to_owned()));
        for name in ENUMS {
            let one = self.model.enumeration(name)?;
            out += &format!("\n\nclass {name}(Name):\n{}\n", docstring(&self.docs(name, &one.docs), "    "));
            for variant in &one.variants {
                out += &format!("    {} = \"{}\"\n", constant(&variant.text), variant.text);
                out += &docstring(&self.docs(&format!("{name}.{}", variant.ident), &variant.docs), "    ");
            }
        }
        Ok(out)
    }

    fn errors(&self) -> Result<String> {
        let kinds = self.model.enumeration("ErrorKind")?;
        let mut out = module("The exceptions: one class for each kind, under one base.");
        out += "import builtins\n\nfrom portlease._base_error import PortLeaseError\nfrom portlease._names import ErrorKind\n\n";
        out += &exports(kinds.variants.iter().flat_map(|kind| classes(&kind.ident)));
        out += "\n\n";
        let mut by_kind = String::new();
        for kind in &kinds.variants {
            let ident = &kind.ident;
            let docs = self.docs(&format!("ErrorKind.{ident}"), &kind.docs);
            let (base, more) = also(ident).map_or((String::new(), ""), |(base, more)| (format!(", {base}"), more));
            out += &format!("class {ident}Error(PortLeaseError{base}):\n");
            out += &docstring(&(docs + more), "    ");
            out += &format!("\n    kind = ErrorKind.{}\n\n\n", constant(&kind.text));
            by_kind += &format!("    \"{}\": {ident}Error,\n", kind.text);
            if ident == "Invalid" {
                out += WRONG_TYPE;
                by_kind += "    \"type\": InvalidTypeError,\n";
            }
        }
        out += "# For the extension module, which raises them.\n";
        out += &format!("CLASSES: dict[str, type[PortLeaseError]] = {{\n{by_kind}}}\n\n");
        out += "# Tracebacks and pickles name them as users do.\nfor _class in (PortLeaseError, *CLASSES.values()):\n";
        Ok(out + "    _class.__module__ = \"portlease\"\n")
    }

    fn config(&self) -> Result<String> {
        let config = self.model.structure("Config")?;
        let mut out = module("The settings of a mapper, each with a default that a home user never changes.");
        out += "from typing import TYPE_CHECKING, Literal, TypedDict\n\nfrom portlease._names import Protocol, Transport\n\n";
        out +=
            "# What arguments may be. The extension module checks the values, and names the argument in its error.\n";
        for name in ["Protocol", "Transport"] {
            let one = self.model.enumeration(name)?;
            out +=
                &format!("{name}Name = {name} | {}\n", literal(one.variants.iter().filter(|it| it.listed).map(text)));
        }
        out += "\nif TYPE_CHECKING:\n    from collections.abc import Sequence\n\n";
        out += "    from portlease._values import Address, Backoff, Seconds, SocketAddress\n\n\n";
        out += "class Config(TypedDict, total=False):\n";
        out += &docstring("The keyword arguments of `Mapper` and of `open`. `None` is the default.", "    ");
        out.push('\n');
        for field in &config.fields {
            let kind = python_type("Config", field, Place::Setting)?;
            let kind = kind.strip_suffix(" | None").unwrap_or(&kind);
            out += &format!("    {}: {kind} | None\n", self.name("Config", field));
            out += &docstring(&self.field_docs("Config", field, " In seconds, or a `timedelta`."), "    ");
        }
        Ok(out)
    }

    fn options(&self) -> Result<String> {
        let (faults, config) = (&self.model.faults, &self.model.gateway_config);
        let mut out = module("The options of the simulated router: its settings, and its switches for faults.");
        out += "from ipaddress import IPv4Address, IPv6Address\nfrom typing import Literal, TypedDict\n\n";
        for one in self.model.enums.iter().filter(|one| uses(faults, &one.name)) {
            out += &self.alias(one)?;
        }
        let is_setting = |field: &&Field| config.fields.iter().any(|setting| setting.name == field.name);
        let is_switch = |field: &Field| faults.fields.iter().any(|fault| fault.name == field.name);
        let class = |out: &mut String, name: &str, base: &str, docs: &str| {
            *out += &format!("\n\nclass {name}({base}, total=False):\n{}", docstring(docs, "    "));
        };
        let docs = " The default is a healthy router; each says what its other values do.";
        class(
            &mut out,
            "SwitchesBesideSettings",
            "TypedDict",
            &format!("The switches whose names no setting has.{docs}"),
        );
        let mut section = &None;
        for field in faults.fields.iter().filter(|field| !is_setting(field)) {
            if field.section != *section {
                section = &field.section;
                out += &section.as_ref().map_or_else(String::new, |section| format!("\n    # {section}\n"));
            }
            out += &self.option("Faults", field, "")?;
        }
        class(&mut out, "Faults", "SwitchesBesideSettings", "Every switch: what `Gateway.set_faults` takes.");
        out.push('\n');
        for field in faults.fields.iter().filter(is_setting) {
            out += &self.option("Faults", field, "")?;
        }
        let docs = "What `Gateway` is started with: settings of the router, and switches that are on from the start.";
        class(&mut out, "GatewayOptions", "SwitchesBesideSettings", docs);
        out.push('\n');
        for field in config.fields.iter().filter(|field| field.name != "faults") {
            out += &self.option("GatewayConfig", field, if is_switch(field) { " | Mode" } else { "" })?;
        }
        Ok(out)
    }

    fn option(&self, of: &str, field: &Field, or: &str) -> Result<String> {
        let kind = python_type(of, field, Place::Option)?;
        Ok(format!("    {}: {kind}{or}\n{}", field.name, docstring(&self.field_docs(of, field, ""), "    ")))
    }

    /// A type for the texts of an enum, and for `{"refuse": 2}`.
    fn alias(&self, one: &Enum) -> Result<String> {
        let mut kinds = vec![literal(one.variants.iter().filter(|it| it.fields.is_empty()).map(text))];
        for variant in one.variants.iter().filter(|it| !it.fields.is_empty()) {
            let [field] = &variant.fields[..] else {
                return Err(format!("{}::{}: Python knows no variant with several fields", one.name, variant.ident));
            };
            kinds.push(format!(
                "dict[{}, {}]",
                literal([text(variant)]),
                python_type(&one.name, field, Place::Option)?
            ));
        }
        let mut definition = format!("{} = {}\n", one.name, kinds.join(" | "));
        if definition.len() > WIDTH {
            definition = definition.replace('[', "[\n    ").replace(", ", ",\n    ").replace(']', ",\n]");
        }
        let texts = one.variants.iter().map(|it| format!(" `{}`: {}", it.text, it.docs)).collect::<String>();
        Ok(definition + &docstring(&plain(&(self.docs(&one.name, &one.docs) + &texts)), ""))
    }

    fn settings(&self) -> Result<String> {
        let (config, request) = (self.model.structure("Config")?, self.model.structure("MapRequest")?);
        let names: Vec<_> = config.fields.iter().map(|field| self.name("Config", field)).collect();
        let mut out = header("//")
            + "\n//! The settings of a mapper and the fields of a request, each by its name in Python.\n\n";
        out +=
            "use portlease::{Config, MapRequest, Transport};\nuse pyo3::prelude::*;\n\nuse crate::args::Argument;\n\n";
        out += "/// The names of [`Config`]'s fields.\n";
        out += &format!("pub(crate) const SETTINGS: [&str; {}] = {names:?};\n\n", names.len());
        out += "/// Sets the setting of this name; `false` if there is none.\n";
        out += "pub(crate) fn set(config: &mut Config, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {\n";
        out += "match name {\n";
        for (field, name) in config.fields.iter().zip(&names) {
            out += &format!("\"{name}\" => config.{} = Argument::read(\"{name}\", value)?,\n", field.name);
        }
        out += "_ => return Ok(false),\n}\nOk(true)\n}\n\n/// What a lease is asked for.\npub(crate) fn request(\n";
        for field in &request.fields {
            out += &format!("{}: &Bound<'_, PyAny>,\n", field.name);
        }
        out += ") -> PyResult<MapRequest> {\nlet mut request = MapRequest::new(0, Transport::Udp);\n";
        for field in &request.fields {
            let name = self.name("MapRequest", field);
            out += &format!("request.{0} = Argument::read(\"{name}\", {0})?;\n", field.name);
        }
        out += "Ok(request)\n}\n\n/// How Python calls a field of core that an error names.\n";
        out += "pub(crate) fn spelled(field: &str) -> &str {\nmatch field {\n";
        for field in config.fields.iter().chain(&request.fields) {
            let of = if names.contains(&field.name.as_str()) { "Config" } else { "MapRequest" };
            if self.name(of, field) != field.name {
                out += &format!("\"{}\" => \"{}\",\n", field.name, self.name(of, field));
            }
        }
        Ok(out + "_ => field,\n}\n}\n")
    }

    /// The attributes of a view. A mapping within a snapshot and the outcome within a report are spread out.
    fn attributes(&self, one: &Struct) -> Result<Vec<Attribute>> {
        let mut all = Vec::new();
        let mut add = |field: &Field, kind: Kind, read: String| {
            let docs = self.field_docs(&one.name, field, " In seconds.");
            all.push(Attribute { name: field.name.clone(), kind, docs, read });
        };
        for field in &one.fields {
            let name = &field.name;
            let (inner, get) = match &field.kind {
                Kind::Option(inner) if **inner == Kind::Struct("PublishedMapping".to_owned()) => (inner, "as_ref()"),
                Kind::Result(inner, _) => (inner, "as_ref().ok()"),
                kind => {
                    add(field, kind.clone(), format!("of.{name}"));
                    continue;
                }
            };
            let Kind::Struct(within) = &**inner else { return Err(format!("{}.{name}: not a struct", one.name)) };
            for part in &self.model.structure(within)?.fields {
                if one.fields.iter().all(|own| own.name != part.name) {
                    let kind =
                        if let Kind::Option(_) = part.kind { part.kind.clone() } else { option(part.kind.clone()) };
                    add(part, kind, format!("of.{name}.{get}.map(|one| &one.{})", part.name));
                }
            }
            if let Kind::Result(_, error) = &field.kind {
                let kind = option((**error).clone());
                let docs = "Why there was no answer.".to_owned();
                let error = Field { name: "error".to_owned(), kind: kind.clone(), docs, section: None };
                add(&error, kind, format!("of.{name}.as_ref().err()"));
            }
        }
        Ok(all)
    }

    fn views(&self) -> Result<String> {
        let mut out = header("//")
            + "\n//! What readers see: enumerations, and frozen views of core's structs.\n\nuse pyo3::prelude::*;\n\n";
        out += "use crate::names::enumerations;\nuse crate::view::view;\n\n";
        out += &format!("enumerations! {{ {} }}\n", ENUMS.join(" "));
        for name in VIEWS {
            let one = self.model.structure(name)?;
            out += &format!("\nview! {{\n{}", wrap(&self.docs(name, &one.docs), "    /// ", WIDTH));
            out += &format!("    {name}(portlease::{name}) {{\n");
            for attribute in self.attributes(one)? {
                out += &wrap(&attribute.docs, "        /// ", WIDTH);
                let is_message = (name, attribute.name.as_str()) == ("ErrorReport", "message");
                let read = if is_message { "crate::error::message(of)" } else { &attribute.read };
                out += &format!("        {}: |of| {read},\n", attribute.name);
            }
            out += "    }\n}\n";
        }
        Ok(out)
    }

    fn view_types(&self) -> Result<String> {
        let mut out = String::new();
        for name in VIEWS {
            let one = self.model.structure(name)?;
            out += &format!("@final\nclass {name}:\n{}\n", docstring(&self.docs(name, &one.docs), "    "));
            for attribute in self.attributes(one)? {
                let Attribute { name, kind, docs, .. } = attribute;
                let field = Field { name, kind, docs: String::new(), section: None };
                let kind = python_type(&one.name, &field, Place::View)?;
                out += &format!(
                    "    @property\n    def {}(self) -> {kind}:\n{}",
                    field.name,
                    docstring(&docs, "        ")
                );
            }
            out += "    def asdict(self) -> dict[str, Any]:\n";
            out += "        \"\"\"The attributes as a new dict, the views in it as dicts too.\"\"\"\n";
            out += "    def __eq__(self, other: object, /) -> bool: ...\n";
            out += "    def __ne__(self, other: object, /) -> bool: ...\n";
            out += "    __hash__: ClassVar[None]  # type: ignore[assignment]\n\n";
        }
        Ok(out + "# ")
    }

    fn error_table(&self) -> Result<String> {
        let rows = self.model.enumeration("ErrorKind")?.variants.iter().map(|kind| {
            let docs = self.docs(&format!("ErrorKind.{}", kind.ident), &kind.docs);
            let code = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let mut also: Vec<_> =
                also(&kind.ident).iter().map(|(base, _)| base.trim_start_matches("builtins.").to_owned()).collect();
            also.extend((kind.ident == "Invalid").then(|| "TypeError".to_owned()));
            vec![code(classes(&kind.ident)), format!("`{}`", kind.text), docs, code(also)]
        });
        Ok(table(&["class", "`kind`", "means", "also a"], &rows.collect::<Vec<_>>()))
    }

    fn setting_table(&self) -> Result<String> {
        let rows = self.model.structure("Config")?.fields.iter().map(|field| {
            vec![
                format!("`{}`", self.name("Config", field)),
                self.field_docs("Config", field, " In seconds, or a `timedelta`."),
            ]
        });
        Ok(table(&["setting", "meaning"], &rows.collect::<Vec<_>>()))
    }
}

/// The type of a field, or an error that names it.
fn python_type(of: &str, field: &Field, place: Place) -> Result<String> {
    kind_type(&field.kind, place).ok_or_else(|| format!("{of}.{}: Python has no type for {:?}", field.name, field.kind))
}

fn kind_type(kind: &Kind, place: Place) -> Option<String> {
    let by_place = |setting: &str, view: &str, option: &str| {
        let found = match place {
            Place::Setting => setting,
            Place::View => view,
            Place::Option => option,
        };
        (!found.is_empty()).then(|| found.to_owned())
    };
    match kind {
        Kind::Bool => Some("bool".to_owned()),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize => Some("int".to_owned()),
        Kind::F64 => Some("float".to_owned()),
        Kind::Text => Some("str".to_owned()),
        Kind::Duration => by_place("Seconds", "float", ""),
        Kind::Ip => by_place("Address", "IPv4Address | IPv6Address", "str | IPv4Address | IPv6Address"),
        Kind::Ipv4 => by_place("Address", "IPv4Address", "str | IPv4Address"),
        Kind::Socket => by_place("SocketAddress", "Endpoint", ""),
        Kind::Retry => by_place("Literal[\"never\"] | Backoff | tuple[Seconds, Seconds]", "", ""),
        Kind::Enum(name) => by_place(&format!("{name}Name"), name, name),
        Kind::Struct(name) if name == "PortMappingError" => by_place("", "ErrorReport", ""),
        Kind::Struct(name) => by_place("", name, ""),
        Kind::Option(inner) => Some(format!("{} | None", kind_type(inner, place)?)),
        Kind::List(inner) => {
            let inner = kind_type(inner, place)?;
            by_place(&format!("Sequence[{inner}]"), &format!("tuple[{inner}, ...]"), "")
        }
        Kind::Map(key, value) => Some(format!("dict[{}, {}]", kind_type(key, place)?, kind_type(value, place)?)),
        Kind::Result(..) => None,
    }
}

fn option(kind: Kind) -> Kind {
    Kind::Option(Box::new(kind))
}

fn is_duration(kind: &Kind) -> bool {
    matches!(kind, Kind::Duration) || matches!(kind, Kind::Option(inner) if **inner == Kind::Duration)
}

/// Whether a field of `one` is of this enum.
fn uses(one: &Struct, name: &str) -> bool {
    let wanted = Kind::Enum(name.to_owned());
    one.fields.iter().any(|field| field.kind == wanted || field.kind == option(wanted.clone()))
}

/// The exceptions of a kind.
fn classes(kind: &str) -> Vec<String> {
    let wrong_type = (kind == "Invalid").then(|| "InvalidTypeError".to_owned());
    std::iter::once(format!("{kind}Error")).chain(wrong_type).collect()
}

fn also(kind: &str) -> Option<(&'static str, &'static str)> {
    ALSO.iter().find(|(of, ..)| *of == kind).map(|(_, base, docs)| (*base, *docs))
}

fn module(docs: &str) -> String {
    format!("{}\"\"\"{docs}\"\"\"\n\nfrom __future__ import annotations\n\n", header("#"))
}

fn exports(names: impl Iterator<Item = String>) -> String {
    format!("__all__ = [\n{}]\n", names.map(|name| format!("    \"{name}\",\n")).collect::<String>())
}

fn docstring(docs: &str, indent: &str) -> String {
    wrap(&format!("\"\"\"{docs}\"\"\""), indent, WIDTH)
}

fn literal<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    format!("Literal[{}]", texts.into_iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", "))
}

fn text(variant: &crate::Variant) -> &str {
    &variant.text
}

fn constant(text: &str) -> String {
    text.to_uppercase().replace('-', "_")
}
