//! Python: the enumerations, exceptions, settings and views, their types, and the options of the simulated router.

use crate::dynamic::{Language, constant, optional, required};
use crate::text::{between, plain, table, wrap};
use crate::{Data, Enum, Field, Kind, Model, Output, Result, Struct, header};

const WIDTH: usize = 120;
const VIEWS: [&str; 8] = [
    "ErrorDetail",
    "ErrorReport",
    "LeaseSnapshot",
    "MapperSnapshot",
    "GatewayReport",
    "ProtocolReport",
    "TableEntry",
    "Event",
];
/// The kinds whose exceptions are an exception of Python's too, and what the documentation says about it.
const ALSO: [(&str, &str, &str); 3] = [
    ("Timeout", "builtins.TimeoutError", " Also the builtin `TimeoutError`."),
    ("Transport", "OSError", " Also an `OSError`, with its `errno` if the system gave one."),
    ("Invalid", "ValueError", " Also a `ValueError`."),
];
const WRONG_TYPE: &str = r#"class InvalidTypeError(InvalidError, TypeError):
    """An argument of a wrong type. Also a `TypeError`."""


"#;
const IMPORTS: &str = "use portlease::{Config, MapRequest, Transport};\nuse pyo3::prelude::*;\nuse pyo3::types::PyDict;\n\n\
    use crate::args::set;\n\ntype Result<T> = PyResult<T>;\n";
/// What every view has beside its attributes.
const VIEW_METHODS: &str = r#"    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

"#;

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let language = Language { key: "python", model, data, unit: " In seconds.", spell: str::to_owned };
    let python = Python { language, model };
    let settings: Vec<_> =
        model.structure("Config")?.fields.iter().map(|it| python.language.name("Config", it)).collect();
    let list = format!(
        "\n/// The names of all settings.\npub(crate) const SETTINGS: [&str; {}] = {settings:?};\n",
        settings.len()
    );
    Ok(vec![
        ("python/src/portlease/_names.py".to_owned(), python.names()),
        ("python/src/portlease/_errors.py".to_owned(), python.errors()?),
        ("python/src/portlease/_config.py".to_owned(), python.config()?),
        ("python/src/portlease/testing/_options.py".to_owned(), python.options()?),
        (
            "bindings/python/src/settings.rs".to_owned(),
            python.language.settings(&(IMPORTS.to_owned() + &list), "Bound<'_, PyDict>")?,
        ),
        ("bindings/python/src/views.rs".to_owned(), python.views()?),
        between("python/src/portlease/_portlease.pyi", &[("views", python.view_types()?)])?,
        between(
            "python/README.md",
            &[("errors", python.error_table()?), ("settings", python.language.option_table()?)],
        )?,
    ])
}

/// Where a type stands: in an argument, in a view, or among the options of the simulated router.
#[derive(Clone, Copy)]
enum Place {
    Argument,
    View,
    Option,
}

struct Python<'a> {
    language: Language<'a>,
    model: &'a Model,
}

impl<'a> Python<'a> {
    /// What has a single value needs no enumeration.
    fn enums(&self) -> impl Iterator<Item = &'a Enum> {
        self.model.stable().filter(|one| one.variants.len() > 1)
    }

    fn names(&self) -> String {
        let mut out = module("The stable names, as enumerations whose members equal their text.");
        out += "from portlease._values import Name\n\n";
        out += &exports(self.enums().map(|one| one.name.clone()));
        for one in self.enums() {
            let name = &one.name;
            out += &format!("\n\nclass {name}(Name):\n{}\n", docstring(&self.language.docs(name, &one.docs), "    "));
            for variant in &one.variants {
                out += &format!("    {} = \"{}\"\n", constant(&variant.text), variant.text);
                out += &docstring(&self.language.docs(&format!("{name}.{}", variant.ident), &variant.docs), "    ");
            }
        }
        out
    }

    fn errors(&self) -> Result<String> {
        let kinds = &self.model.enumeration("ErrorKind")?.variants;
        let mut out = module("The exceptions: one class for each kind, under one base.") + "import builtins\n\n";
        out += "from portlease._base_error import PortLeaseError\nfrom portlease._names import ErrorKind\n\n";
        out += &exports(kinds.iter().flat_map(|kind| classes(&kind.ident)));
        out += "\n\n";
        let mut by_kind = String::new();
        for kind in kinds {
            let (ident, text) = (&kind.ident, &kind.text);
            let docs = self.language.docs(&format!("ErrorKind.{ident}"), &kind.docs);
            let (base, more) = also(ident).map_or((String::new(), ""), |(base, more)| (format!(", {base}"), more));
            out += &format!("class {ident}Error(PortLeaseError{base}):\n{}", docstring(&(docs + more), "    "));
            out += &format!("\n    kind = ErrorKind.{}\n\n\n", constant(text));
            by_kind += &format!("    \"{text}\": {ident}Error,\n");
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
        let mut out = module("The settings of a mapper, each with a default that a home user never changes.");
        out += "from collections.abc import Sequence\nfrom typing import Literal\n\n";
        out += "from portlease._names import AddressFamily, Protocol, Transport\nfrom portlease._typing import TypedDict\n";
        out += "from portlease._values import Address, Backoff, Path, Seconds, SocketAddress\n\n";
        out +=
            "# What arguments may be. The extension module checks the values, and names the argument in its error.\n";
        for name in ["Protocol", "Transport", "AddressFamily"] {
            let variants = &self.model.enumeration(name)?.variants;
            let texts = literal(variants.iter().filter(|it| it.listed).map(|it| &it.text));
            let alias = name.strip_prefix("Address").unwrap_or(name);
            out += &format!("{alias}Name = {name} | {texts}\n");
        }
        let fields = &self.model.structure("Config")?.fields;
        out += "\n\nclass Config(TypedDict, total=False):\n    \"\"\"The keyword arguments of `Mapper` and of `open`. ";
        out += "`None` is the default.\n\n";
        // `help` shows this text, and editors those of the fields.
        for field in fields {
            out += &format!("    {}\n", self.language.name("Config", field));
            out += &wrap(&self.language.field_docs("Config", field), "        ", WIDTH);
        }
        out += "    \"\"\"\n\n";
        for field in fields {
            let kind = python_type("Config", &field.name, required(&field.kind), Place::Argument)?;
            out += &format!("    {}: {kind} | None\n", self.language.name("Config", field));
            out += &docstring(&self.language.field_docs("Config", field), "    ");
        }
        Ok(out)
    }

    fn options(&self) -> Result<String> {
        let (faults, settings) = (&self.model.faults, &self.model.gateway_config);
        let has = |one: &Struct, field: &Field| one.fields.iter().any(|it| it.name == field.name);
        let mut out = module("The options of the simulated router: its settings, and its switches for faults.");
        out += "from ipaddress import IPv4Address, IPv6Address\nfrom typing import Literal\n\n";
        out += "from portlease._typing import TypedDict\n\n";
        for one in self.model.enums.iter().filter(|one| !one.stable && one.name != "RetryPolicy") {
            out += &self.alias(one)?;
        }
        let docs =
            "The switches whose names no setting has. The default is a healthy router; each says what else it can be.";
        out += &class("SwitchesBesideSettings", "TypedDict", docs);
        let mut section = &None;
        for field in faults.fields.iter().filter(|field| !has(settings, field)) {
            if field.section != *section {
                section = &field.section;
                out += &format!("\n    # {}\n", section.as_deref().unwrap_or("Others"));
            }
            out += &self.option("Faults", field, "")?;
        }
        out += &class("Faults", "SwitchesBesideSettings", "Every switch: what `Gateway.set_faults` takes.");
        out.push('\n');
        for field in faults.fields.iter().filter(|field| has(settings, field)) {
            out += &self.option("Faults", field, "")?;
        }
        let docs = "What `Gateway` is started with: settings of the router, and switches that are on from the start.";
        out += &class("GatewayOptions", "SwitchesBesideSettings", docs);
        out.push('\n');
        for field in settings.fields.iter().filter(|field| field.name != "faults") {
            out += &self.option("GatewayConfig", field, if has(faults, field) { " | Mode" } else { "" })?;
        }
        Ok(out)
    }

    fn option(&self, of: &str, field: &Field, or: &str) -> Result<String> {
        let kind = python_type(of, &field.name, &field.kind, Place::Option)?;
        Ok(format!("    {}: {kind}{or}\n{}", field.name, docstring(&self.language.field_docs(of, field), "    ")))
    }

    /// A type for the texts of an enum, and for `{"refuse": 2}`.
    fn alias(&self, one: &Enum) -> Result<String> {
        let mut kinds = vec![literal(one.variants.iter().filter(|it| it.fields.is_empty()).map(|it| &it.text))];
        for variant in &one.variants {
            for field in &variant.fields {
                let kind = python_type(&one.name, &variant.ident, &field.kind, Place::Option)?;
                kinds.push(format!("dict[{}, {kind}]", literal([&variant.text])));
            }
        }
        let mut definition = format!("{} = {}\n", one.name, kinds.join(" | "));
        if definition.len() > WIDTH {
            definition = definition.replace('[', "[\n    ").replace(", ", ",\n    ").replace(']', ",\n]");
        }
        let texts = one.variants.iter().map(|it| format!(" `{}`: {}", it.text, it.docs)).collect::<String>();
        Ok(definition + &docstring(&plain(&(self.language.docs(&one.name, &one.docs) + &texts)), ""))
    }

    /// The attributes of a view, and how each is read out of `of`. A mapping within a snapshot and the outcome within a
    /// report are spread out.
    fn attributes(&self, one: &Struct) -> Result<Vec<(Field, String)>> {
        let mut all = Vec::new();
        for field in &one.fields {
            let name = &field.name;
            let (inner, get) = match &field.kind {
                Kind::Option(inner) if **inner == Kind::Struct("PublishedMapping".to_owned()) => (inner, "as_ref()"),
                Kind::Result(inner, _) => (inner, "as_ref().ok()"),
                _ => {
                    all.push((field.clone(), format!("of.{name}")));
                    continue;
                }
            };
            let Kind::Struct(within) = &**inner else { return Err(format!("{}.{name}: not a struct", one.name)) };
            let parts = self.model.structure(within)?.fields.iter();
            for part in parts.filter(|part| one.fields.iter().all(|own| own.name != part.name)) {
                let read = format!("of.{name}.{get}.map(|one| &one.{})", part.name);
                all.push((Field { kind: optional(&part.kind), ..part.clone() }, read));
            }
            if let Kind::Result(_, error) = &field.kind {
                let docs = "Why there was no answer.".to_owned();
                let error = Field { name: "error".to_owned(), kind: optional(error), docs, section: None };
                all.push((error, format!("of.{name}.as_ref().err()")));
            }
        }
        if one.name == "ErrorReport" {
            // A message may name an argument, which is spelled as in Python.
            all.iter_mut()
                .filter(|it| it.0.name == "message")
                .for_each(|it| it.1 = "crate::error::message(of)".to_owned());
        }
        Ok(all)
    }

    fn views(&self) -> Result<String> {
        let mut out = header("//") + "\n//! What readers see: enumerations, and frozen views of core's structs.\n\n";
        out += "use pyo3::prelude::*;\n\nuse crate::view::{enumerations, view};\n\n";
        out +=
            &format!("enumerations! {{ {} }}\n", self.enums().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" "));
        for name in VIEWS {
            let one = self.model.structure(name)?;
            out += &format!("\nview! {{\n{}", wrap(&self.language.docs(name, &one.docs), "    /// ", WIDTH));
            out += &format!("    {name}(portlease::{name}) {{\n");
            for (field, read) in self.attributes(one)? {
                out += &wrap(&self.language.field_docs(name, &field), "        /// ", WIDTH);
                out += &format!("        {}: |of| {read},\n", field.name);
            }
            out += "    }\n}\n";
        }
        Ok(out)
    }

    fn view_types(&self) -> Result<String> {
        let mut out = String::new();
        for name in VIEWS {
            let one = self.model.structure(name)?;
            out += &format!("@final\nclass {name}:\n{}\n", docstring(&self.language.docs(name, &one.docs), "    "));
            for (field, _) in self.attributes(one)? {
                let kind = python_type(name, &field.name, &field.kind, Place::View)?;
                out += &format!("    @property\n    def {}(self) -> {kind}:\n", field.name);
                out += &docstring(&self.language.field_docs(name, &field), "        ");
            }
            out += VIEW_METHODS;
        }
        Ok(out + "# ")
    }

    fn error_table(&self) -> Result<String> {
        let code = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let rows = self.model.enumeration("ErrorKind")?.variants.iter().map(|kind| {
            let docs = self.language.docs(&format!("ErrorKind.{}", kind.ident), &kind.docs);
            let mut bases = also(&kind.ident).map_or(Vec::new(), |it| vec![it.0.replace("builtins.", "")]);
            bases.extend((kind.ident == "Invalid").then(|| "TypeError".to_owned()));
            vec![code(classes(&kind.ident)), format!("`{}`", kind.text), docs, code(bases)]
        });
        Ok(table(&["class", "`kind`", "means", "also a"], &rows.collect::<Vec<_>>()))
    }
}

/// The type of a field, or an error that names it.
fn python_type(of: &str, name: &str, kind: &Kind, place: Place) -> Result<String> {
    kind_type(kind, place).ok_or_else(|| format!("{of}.{name}: Python has no type for {kind:?}"))
}

fn kind_type(kind: &Kind, place: Place) -> Option<String> {
    let inner = |kind: &Kind| kind_type(kind, place);
    let found = match (kind, place) {
        (Kind::Bool, _) => "bool",
        (Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Usize, _) => "int",
        (Kind::F64, _) | (Kind::Duration, Place::View) => "float",
        (Kind::Text, _) => "str",
        (Kind::Path, Place::Argument) => "Path",
        (Kind::Duration, Place::Argument) => "Seconds",
        (Kind::Ip | Kind::ScopedIp | Kind::Ipv4, Place::Argument) => "Address",
        (Kind::Ip | Kind::ScopedIp, Place::View) => "IPv4Address | IPv6Address",
        (Kind::Ip | Kind::ScopedIp, Place::Option) => "str | IPv4Address | IPv6Address",
        (Kind::Ipv4, Place::View) => "IPv4Address",
        (Kind::Ipv4, Place::Option) => "str | IPv4Address",
        (Kind::Socket, Place::Argument) => "SocketAddress",
        (Kind::Socket, Place::View) => "Endpoint",
        (Kind::Retry, Place::Argument) => "Literal[\"never\"] | Backoff | tuple[Seconds, Seconds]",
        (Kind::Enum(name), Place::Argument) => &format!("{name}Name"),
        (Kind::Struct(name), Place::View) if name == "PortMappingError" => "ErrorReport",
        (Kind::Enum(name), _) | (Kind::Struct(name), Place::View) => name,
        (Kind::Option(kind), _) => &format!("{} | None", inner(kind)?),
        (Kind::List(kind), Place::Argument) => &format!("Sequence[{}]", inner(kind)?),
        (Kind::List(kind), Place::View) => &format!("tuple[{}, ...]", inner(kind)?),
        (Kind::Map(key, value), Place::Option) => &format!("dict[{}, {}]", inner(key)?, inner(value)?),
        (Kind::Path | Kind::Duration | Kind::Socket | Kind::Retry | Kind::Struct(_), _) => return None,
        (Kind::List(_) | Kind::Map(..) | Kind::Result(..), _) => return None,
    };
    Some(found.to_owned())
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

fn class(name: &str, base: &str, docs: &str) -> String {
    format!("\n\nclass {name}({base}, total=False):\n{}", docstring(docs, "    "))
}

fn exports(names: impl Iterator<Item = String>) -> String {
    format!("__all__ = [\n{}]\n", names.map(|name| format!("    \"{name}\",\n")).collect::<String>())
}

fn docstring(docs: &str, indent: &str) -> String {
    wrap(&format!("\"\"\"{docs}\"\"\""), indent, WIDTH)
}

fn literal<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    format!("Literal[{}]", texts.into_iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", "))
}
