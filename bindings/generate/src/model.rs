//! What the languages mirror, read from the source of core and of the simulated gateway.
//!
//! Nothing here guesses: a type, a variant or a field that it cannot read is an error that names it.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Expr, ExprLit, Fields, ImplItem, ImplItemConst, Item, Lit, Meta, Pat, Stmt, Type, Visibility};

use crate::Result;

/// The files of core and the types in each of them that languages mirror, in the order of the output.
const CORE: [(&str, &[&str]); 8] = [
    ("core/src/error.rs", &["ErrorKind", "ErrorDetail", "ErrorReport"]),
    ("core/src/log.rs", &["LogLevel"]),
    (
        "core/src/snapshot.rs",
        &[
            "LeaseState",
            "NatClass",
            "Release",
            "PublishedMapping",
            "LeaseSnapshot",
            "MapperSnapshot",
            "GatewayReport",
            "ProtocolReport",
            "ProtocolOffer",
            "TableEntry",
        ],
    ),
    ("core/src/event.rs", &["EventKind", "Event"]),
    ("core/src/protocol.rs", &["Protocol"]),
    ("core/src/mapping.rs", &["Transport", "AddressFamily", "MapRequest"]),
    ("core/src/net/address.rs", &["AddressClass"]),
    ("core/src/config.rs", &["RetryPolicy", "Config"]),
];
/// The same of the simulated gateway.
const GATEWAY: [(&str, &[&str]); 2] = [
    ("tests/gateway/src/faults.rs", &["Mode", "HttpBody", "NameEncoding", "WanService", "SecondDevice", "Faults"]),
    ("tests/gateway/src/config.rs", &["GatewayConfig"]),
];
/// Where the methods are that every language has: of the handles, and of the crate itself.
const METHODS: [(&str, &str, Option<&str>); 3] = [
    ("core/src/open.rs", "module", None),
    ("core/src/mapper.rs", "mapper", Some("Mapper")),
    ("core/src/lease.rs", "lease", Some("Lease")),
];

/// Everything that languages mirror.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) enums: Vec<Enum>,
    /// Core's.
    pub(crate) structs: Vec<Struct>,
    /// The faults of the simulated gateway.
    pub faults: Struct,
    /// The settings of the simulated gateway.
    pub gateway_config: Struct,
    /// The names of public functions: of `module`, `mapper` and `lease`.
    pub methods: Vec<(String, Vec<String>)>,
}

#[derive(Debug)]
pub(crate) struct Enum {
    pub name: String,
    pub docs: String,
    pub variants: Vec<Variant>,
    /// Whether it has stable strings, so that every language has it: the others belong to settings and faults.
    pub stable: bool,
}

#[derive(Debug)]
pub(crate) struct Variant {
    pub ident: String,
    /// The stable string: that of `as_str`, or what serde makes of the name.
    pub text: String,
    pub docs: String,
    /// Whether `ALL` has it: for a protocol, whether it can be asked for.
    pub listed: bool,
    /// What it carries: `RetryPolicy::Backoff` has `min` and `max`, `Mode::Refuse` has a field without a name.
    pub fields: Vec<Field>,
}

/// A struct with its public fields.
#[derive(Debug)]
pub(crate) struct Struct {
    pub name: String,
    pub docs: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: String,
    pub kind: Kind,
    pub docs: String,
    /// The heading above it in the source: `// --- Datagrams ---`.
    pub section: Option<String>,
}

/// The types of fields that the generator knows. `Arc` is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    U16,
    U32,
    U64,
    Usize,
    F64,
    Text,
    Path,
    Duration,
    Ip,
    /// An address that may have a scope.
    ScopedIp,
    Ipv4,
    Socket,
    Retry,
    /// An enum of the model.
    Enum(String),
    /// A struct of the model, or `PortMappingError`.
    Struct(String),
    Option(Box<Kind>),
    List(Box<Kind>),
    Map(Box<Kind>, Box<Kind>),
    Result(Box<Kind>, Box<Kind>),
}

impl Model {
    /// Reads the sources under `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut reader = Reader::default();
        let mut structs = Vec::new();
        for (path, names) in CORE.iter().chain(&GATEWAY) {
            structs.extend(reader.file(root, path, names)?);
        }
        let mut methods = Vec::new();
        for (path, group, of) in METHODS {
            methods.push((group.to_owned(), public_functions(&parse(root, path)?.1.items, of)));
        }
        let gateway_config = structs.pop().ok_or("no GatewayConfig")?;
        let faults = structs.pop().ok_or("no Faults")?;
        let model = Self { enums: reader.enums, structs, faults, gateway_config, methods };
        // What is left out is false in C and Go.
        let source = parse(root, "core/src/config.rs")?.0;
        let mut flags = model.structure("Config")?.fields.iter().filter(|field| field.kind == Kind::Bool);
        match flags.find(|field| source.contains(&format!(" {}: true,", field.name))) {
            Some(on) => Err(format!("Config.{} is on by default: give it the opposite name and meaning", on.name)),
            None => Ok(model),
        }
    }

    /// The enums with stable strings, which every language has.
    pub(crate) fn stable(&self) -> impl Iterator<Item = &Enum> {
        self.enums.iter().filter(|one| one.stable)
    }

    /// The enum of this name.
    pub(crate) fn enumeration(&self, name: &str) -> Result<&Enum> {
        self.enums.iter().find(|one| one.name == name).ok_or_else(|| format!("the model has no enum {name}"))
    }

    /// The struct of this name.
    pub(crate) fn structure(&self, name: &str) -> Result<&Struct> {
        self.structs.iter().find(|one| one.name == name).ok_or_else(|| format!("the model has no struct {name}"))
    }
}

#[derive(Default)]
struct Reader {
    enums: Vec<Enum>,
}

fn parse(root: &Path, path: &str) -> Result<(String, syn::File)> {
    let source = std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
    let file = syn::parse_file(&source).map_err(|error| format!("{path}: {error}"))?;
    Ok((source, file))
}

impl Reader {
    /// Reads the named types of a file; keeps the enums and answers with the structs.
    fn file(&mut self, root: &Path, path: &str, names: &[&str]) -> Result<Vec<Struct>> {
        let (source, file) = parse(root, path)?;
        let sections = sections(&source);
        let mut structs = Vec::new();
        for name in names {
            let found = file.items.iter().find_map(|item| match item {
                Item::Enum(item) if item.ident == name => Some(self.enumeration(item, &file.items).map(Err)),
                Item::Struct(item) if item.ident == name => Some(self.structure(item, &sections).map(Ok)),
                _ => None,
            });
            match found.ok_or_else(|| format!("{path} has no {name}"))?? {
                Ok(one) => structs.push(one),
                Err(one) => self.enums.push(one),
            }
        }
        Ok(structs)
    }

    fn enumeration(&self, item: &syn::ItemEnum, items: &[Item]) -> Result<Enum> {
        let name = item.ident.to_string();
        let all = all(items, &name);
        let texts = stable_strings(items, &name);
        let mut variants = Vec::new();
        for variant in &item.variants {
            let ident = variant.ident.to_string();
            let text = match &texts {
                Some(texts) => texts.get(&ident).ok_or_else(|| format!("{name}::{ident} has no string in as_str"))?,
                None => &snake(&ident),
            };
            let listed = all.as_ref().is_none_or(|all| all.contains(&ident));
            if !listed && (name.as_str(), ident.as_str()) != ("Protocol", "None") {
                return Err(format!("{name}::ALL lacks {ident}"));
            }
            variants.push(Variant {
                text: text.clone(),
                docs: documented(&variant.attrs, &format!("{name}::{ident}"))?,
                listed,
                fields: self.fields(&format!("{name}::{ident}"), &variant.fields, &BTreeMap::new(), true)?,
                ident,
            });
        }
        Ok(Enum { docs: documented(&item.attrs, &name)?, name, variants, stable: texts.is_some() })
    }

    fn structure(&self, item: &syn::ItemStruct, sections: &BTreeMap<String, String>) -> Result<Struct> {
        let name = item.ident.to_string();
        let fields = self.fields(&name, &item.fields, sections, false)?;
        Ok(Struct { docs: documented(&item.attrs, &name)?, name, fields })
    }

    fn fields(&self, of: &str, fields: &Fields, sections: &BTreeMap<String, String>, all: bool) -> Result<Vec<Field>> {
        let public = fields.iter().filter(|field| all || matches!(field.vis, Visibility::Public(_)));
        public
            .map(|field| {
                let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                let path = format!("{of}.{name}");
                let kind = self.kind(&field.ty).map_err(|error| format!("{path}: {error}"))?;
                let docs = if name.is_empty() { String::new() } else { documented(&field.attrs, &path)? };
                Ok(Field { section: sections.get(&name).cloned(), name, kind, docs })
            })
            .collect()
    }

    fn kind(&self, kind: &Type) -> Result<Kind> {
        let unknown = "the generator does not know this type: see Kind in bindings/generate/src/model.rs";
        let Type::Path(path) = kind else { return Err(unknown.to_owned()) };
        let last = path.path.segments.last().ok_or(unknown)?;
        let mut inner = Vec::new();
        if let syn::PathArguments::AngleBracketed(arguments) = &last.arguments {
            for argument in &arguments.args {
                let syn::GenericArgument::Type(argument) = argument else { return Err(unknown.to_owned()) };
                inner.push(Box::new(self.kind(argument)?));
            }
        }
        let name = last.ident.to_string();
        Ok(match (name.as_str(), &inner[..]) {
            ("bool", []) => Kind::Bool,
            ("u8", []) => Kind::U8,
            ("u16", []) => Kind::U16,
            ("u32", []) => Kind::U32,
            ("u64", []) => Kind::U64,
            ("usize", []) => Kind::Usize,
            ("f64", []) => Kind::F64,
            ("String", []) => Kind::Text,
            ("PathBuf", []) => Kind::Path,
            ("Duration", []) => Kind::Duration,
            ("IpAddr", []) => Kind::Ip,
            ("ScopedAddr", []) => Kind::ScopedIp,
            ("Ipv4Addr", []) => Kind::Ipv4,
            ("SocketAddr", []) => Kind::Socket,
            ("RetryPolicy", []) => Kind::Retry,
            ("Arc", [one]) => (**one).clone(),
            ("Option", [one]) => Kind::Option(one.clone()),
            ("Vec", [one]) => Kind::List(one.clone()),
            ("BTreeMap", [key, value]) => Kind::Map(key.clone(), value.clone()),
            ("Result", [value, error]) => Kind::Result(value.clone(), error.clone()),
            (name, []) if self.enums.iter().any(|one| one.name == name) || is_enum(name) => Kind::Enum(name.to_owned()),
            (name, []) if is_struct(name) => Kind::Struct(name.to_owned()),
            (name, _) => return Err(format!("`{name}`: {unknown}")),
        })
    }
}

/// Whether a type of the lists above is an enum that is read later.
fn is_enum(name: &str) -> bool {
    matches!(name, "ErrorKind" | "Protocol" | "Transport" | "AddressClass" | "AddressFamily")
}

fn is_struct(name: &str) -> bool {
    name == "PortMappingError" || CORE.iter().chain(&GATEWAY).any(|(_, names)| names.contains(&name))
}

/// The headings over the fields of a struct, which syn leaves out.
fn sections(source: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut section = None;
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("// --- ").and_then(|line| line.strip_suffix(" ---")) {
            section = Some(text.to_owned());
        } else if let (Some(section), Some((name, _))) =
            (&section, line.strip_prefix("pub ").and_then(|line| line.split_once(':')))
        {
            found.insert(name.to_owned(), section.clone());
        }
    }
    found
}

/// The documentation: lines of a paragraph joined, paragraphs apart by an empty line, examples left out.
fn docs(attributes: &[Attribute]) -> String {
    let mut paragraphs = vec![String::new()];
    let mut example = false;
    for attribute in attributes {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value else { continue };
        if !meta.path.is_ident("doc") {
            continue;
        }
        let line = line.value();
        if line.trim().starts_with("```") {
            example = !example;
            continue;
        }
        match (line.trim(), paragraphs.last_mut()) {
            _ if example => {}
            ("", _) => paragraphs.push(String::new()),
            (line, Some(last)) if last.is_empty() => last.push_str(line),
            (line, Some(last)) => *last += &format!(" {line}"),
            (_, None) => {}
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}

fn documented(attributes: &[Attribute], of: &str) -> Result<String> {
    let docs = docs(attributes);
    if docs.is_empty() { Err(format!("{of} has no documentation")) } else { Ok(docs) }
}

/// The inherent functions and constants of a type.
fn members<'a>(items: &'a [Item], name: &'a str) -> impl Iterator<Item = &'a ImplItem> {
    let is_it = move |of: &Type| matches!(of, Type::Path(path) if path.path.is_ident(name));
    let blocks = items.iter().filter_map(|item| if let Item::Impl(block) = item { Some(block) } else { None });
    blocks.filter(move |block| block.trait_.is_none() && is_it(&block.self_ty)).flat_map(|block| &block.items)
}

fn functions<'a>(items: &'a [Item], name: &'a str) -> impl Iterator<Item = &'a syn::ImplItemFn> {
    members(items, name).filter_map(|item| if let ImplItem::Fn(function) = item { Some(function) } else { None })
}

fn last(path: &syn::Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}

/// The strings of `as_str`, by variant; none where the type has no such function.
fn stable_strings(items: &[Item], name: &str) -> Option<BTreeMap<String, String>> {
    let function = functions(items, name).find(|function| function.sig.ident == "as_str")?;
    let Some(Stmt::Expr(Expr::Match(body), _)) = function.block.stmts.last() else { return None };
    let arms = body.arms.iter().filter_map(|arm| match (&arm.pat, &*arm.body) {
        (Pat::Path(variant), Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
            Some((last(&variant.path)?, text.value()))
        }
        _ => None,
    });
    Some(arms.collect())
}

/// The variants in the constant `ALL`; none where the type has no such constant.
fn all(items: &[Item], name: &str) -> Option<Vec<String>> {
    members(items, name).find_map(|item| match item {
        ImplItem::Const(ImplItemConst { ident, expr: Expr::Array(array), .. }) if ident == "ALL" => {
            let name = |element: &Expr| if let Expr::Path(path) = element { last(&path.path) } else { None };
            Some(array.elems.iter().filter_map(name).collect())
        }
        _ => None,
    })
}

/// The names of the public functions of a type, or of the file itself.
fn public_functions(items: &[Item], of: Option<&str>) -> Vec<String> {
    let own = items.iter().filter_map(|item| if let Item::Fn(function) = item { Some(function) } else { None });
    let signatures: Vec<_> = match of {
        Some(name) => functions(items, name).map(|function| (&function.vis, &function.sig)).collect(),
        None => own.map(|function| (&function.vis, &function.sig)).collect(),
    };
    let public = signatures.into_iter().filter(|(vis, _)| matches!(vis, Visibility::Public(_)));
    public.map(|(_, signature)| signature.ident.to_string()).collect()
}

/// `NatPmp` as `nat_pmp`; as serde does it.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// `nat-pmp` or `nat_pmp` as `natPmp`.
pub(crate) fn camel(name: &str) -> String {
    let mut words = name.split(['_', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |out, word| out + &capital(word))
}

/// The word with a capital letter in front.
pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|letter| letter.to_ascii_uppercase().to_string()).unwrap_or_default() + letters.as_str()
}
