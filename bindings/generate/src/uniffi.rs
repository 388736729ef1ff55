//! Kotlin and Swift by UniFFI: enums, the error, options; and the kind of an error in Swift.

use crate::text::wrap;
use crate::{Data, Field, Kind, Model, Output, Result, header};

const WIDTH: usize = 120;

pub(crate) fn write(model: &Model, data: &Data) -> Result<Output> {
    let mut swift = header("//")
        + "extension PortLeaseError {\n\
           \x20   /// What has failed, and why: kind, message, details, advice.\n\
           \x20   public var report: ErrorReport {\n        switch self {\n";
    for kind in &model.enumeration("ErrorKind")?.variants {
        swift += &format!("        case .{}(let report): return report\n", kind.ident);
    }
    swift += "        }\n    }\n\n    /// The stable kind, the same in every language; for `switch`, the cases do as well.\n\
              \x20   public var kind: ErrorKind { report.kind }\n}\n";
    Ok(vec![
        ("bindings/uniffi/src/names.rs".to_owned(), names(model, data)?),
        ("bindings/uniffi/src/config.rs".to_owned(), config(model, data)?),
        ("bindings/uniffi/swift/Sources/PortLease/Kind.swift".to_owned(), swift),
    ])
}

fn names(model: &Model, data: &Data) -> Result<String> {
    let mut out = header("//!");
    out += "//! The enums of the interface, and the error with a variant for each kind.\n\nuse std::fmt;\n\nuse portlease as core;\n\nuse crate::error::ErrorReport;\n\n";
    for one in model.stable() {
        let name = &one.name;
        let path =
            if name == "AddressFamily" { "core::mapping::AddressFamily".to_owned() } else { format!("core::{name}") };
        out += &wrap(&data.docs("uniffi", name, &one.docs), "/// ", WIDTH);
        out += &format!(
            "#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]\n#[uniffi::export(Display)]\npub enum {name} {{\n"
        );
        let (mut in_arms, mut out_arms) = (String::new(), String::new());
        for variant in &one.variants {
            let ident = &variant.ident;
            out += &wrap(&data.docs("uniffi", &format!("{name}.{ident}"), &variant.docs), "    /// ", WIDTH);
            out += &format!("    {ident},\n");
            in_arms += &format!("{name}::{ident} => Self::{ident},");
            out_arms += &format!("{path}::{ident} => Self::{ident},");
        }
        out += &format!(
            "}}\n\nimpl From<{name}> for {path} {{ fn from(value: {name}) -> Self {{ match value {{ {in_arms} }} }} }}\n\n\
             impl From<{path}> for {name} {{ fn from(value: {path}) -> Self {{ match value {{ {out_arms} }} }} }}\n\n\
             impl fmt::Display for {name} {{ fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{\n\
             {path}::from(*self).fmt(f) }} }}\n\n"
        );
    }
    let (mut variants, mut texts, mut arms) = (String::new(), Vec::new(), String::new());
    for kind in &model.enumeration("ErrorKind")?.variants {
        let ident = &kind.ident;
        let docs = data.docs("uniffi", &format!("ErrorKind.{ident}"), &kind.docs);
        let docs = wrap(&docs, "    /// ", WIDTH);
        variants += &format!("{docs}    {ident} {{ /// What has failed, and why.\nreport: ErrorReport }},\n");
        texts.push(format!("Self::{ident} {{ report }}"));
        arms += &format!("core::ErrorKind::{ident} => Self::{ident} {{ report }},");
    }
    out += &format!(
        "/// Why a call failed: one variant for each kind.
        #[derive(Debug, Clone, uniffi::Error)]\npub enum PortLeaseError {{\n{variants}}}\n\n
        impl fmt::Display for PortLeaseError {{ fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{ match self {{
            {} => f.write_str(&report.message) }} }} }}\n\n
        impl std::error::Error for PortLeaseError {{}}\n\n
        impl From<core::PortMappingError> for PortLeaseError {{ fn from(error: core::PortMappingError) -> Self {{
            let report = ErrorReport::from(&error); match error.kind() {{ {arms} }} }} }}\n",
        texts.join(" | ")
    );
    Ok(out)
}

/// The type of an option, and whether it can be left out.
fn option(data: &Data, of: &str, field: &Field) -> Result<(String, bool)> {
    let item = format!("{of}.{}", field.name);
    let kind = if let Kind::Option(kind) = &field.kind { kind } else { &field.kind };
    let name = match kind {
        Kind::Bool => "bool",
        Kind::U16 => "Port",
        Kind::U32 => "i32",
        Kind::Duration => "Seconds",
        Kind::Text | Kind::Path | Kind::Ip | Kind::ScopedIp | Kind::Socket => "String",
        Kind::Enum(name) => name,
        Kind::List(of) if **of == Kind::Enum("Protocol".to_owned()) => "Vec<Protocol>",
        Kind::Retry => "RetryPolicy",
        _ => return Err(format!("{item}: UniFFI has no option of the type {:?}", field.kind)),
    };
    Ok((name.to_owned(), !data.required.contains(&item)))
}

fn config(model: &Model, data: &Data) -> Result<String> {
    let mut out = header("//!");
    out += "//! Settings and requests, on their way in. What is absent is core's default.\n\n";
    out += "use crate::names::{AddressFamily, PortLeaseError, Protocol, Transport};\n";
    out += "use crate::value::{Port, RetryPolicy, Seconds, set, set_some};\n\n";
    for (name, derive, start) in [
        ("Config", "Debug, Clone, Default", "portlease::Config::default()"),
        ("MapRequest", "Debug, Clone", "portlease::MapRequest::new(0, portlease::Transport::Udp)"),
    ] {
        let of = model.structure(name)?;
        out += &wrap(&data.docs("uniffi", name, &of.docs), "/// ", WIDTH);
        out += &format!("#[derive({derive}, uniffi::Record)]\npub struct {name} {{\n");
        let mut sets = String::new();
        for field in &of.fields {
            let (item, own) = (format!("{name}.{}", field.name), &field.name);
            let (of_type, optional) = option(data, name, field)?;
            out += &wrap(&data.docs("uniffi", &item, &field.docs), "    /// ", WIDTH);
            let given = match (optional, of_type.as_str()) {
                (true, "bool") => {
                    out += &format!("    #[uniffi(default = false)]\n    pub {own}: bool,\n");
                    format!("Some(self.{own})")
                }
                (true, _) => {
                    out += &format!("    #[uniffi(default = None)]\n    pub {own}: Option<{of_type}>,\n");
                    format!("self.{own}")
                }
                (false, _) => {
                    out += &format!("    pub {own}: {of_type},\n");
                    format!("Some(self.{own})")
                }
            };
            let set = if matches!(field.kind, Kind::Option(_)) { "set_some" } else { "set" };
            sets += &format!("{set}(&mut read.{own}, \"{own}\", {given})?;\n");
        }
        out += &format!(
            "}}\n\nimpl {name} {{
            /// Core's. Fails with `invalid` for what cannot even be read; core checks the rest.
            pub(crate) fn read(self) -> Result<portlease::{name}, PortLeaseError> {{ let mut read = {start}; {sets} Ok(read) }} }}\n\n"
        );
    }
    Ok(out)
}
