//! What Python and Node have in common: settings go to core by their names.

use crate::text::table;
use crate::{Data, Field, Kind, Model, Result, header};

/// A language with its names and documentation.
pub(crate) struct Language<'a> {
    pub(crate) key: &'static str,
    pub(crate) model: &'a Model,
    pub(crate) data: &'a Data,
    /// What is said of each duration.
    pub(crate) unit: &'static str,
    /// How a name of Rust's is written.
    pub(crate) spell: fn(&str) -> String,
}

impl Language<'_> {
    pub(crate) fn docs(&self, item: &str, docs: &str) -> String {
        self.data.docs(self.key, item, docs)
    }

    pub(crate) fn field_docs(&self, of: &str, field: &Field) -> String {
        let docs = self.docs(&format!("{of}.{}", field.name), &field.docs);
        if *required(&field.kind) == Kind::Duration { docs + self.unit } else { docs }
    }

    pub(crate) fn name(&self, of: &str, field: &Field) -> String {
        (self.spell)(self.data.name(self.key, &format!("{of}.{}", field.name)).unwrap_or(&field.name))
    }

    /// The functions that read settings and requests out of a `given`, and the spelling of names in errors.
    pub(crate) fn settings(&self, imports: &str, given: &str) -> Result<String> {
        let mut out = header("//")
            + "\n//! Settings and requests, field by field, and how their names are spelled.\n\n"
            + imports;
        let mut spelled = String::new();
        for (function, of, start) in
            [("config", "Config", "Config::default()"), ("request", "MapRequest", "MapRequest::new(0, Transport::Udp)")]
        {
            out += &format!("\npub(crate) fn {function}(given: &{given}) -> Result<{of}> {{\nlet mut it = {start};\n");
            for field in &self.model.structure(of)?.fields {
                let (rust, name) = (&field.name, self.name(of, field));
                out += &format!("set(given, \"{name}\", &mut it.{rust})?;\n");
                if name != *rust {
                    spelled += &format!("\"{rust}\" => \"{name}\",\n");
                }
            }
            out += "Ok(it)\n}\n";
        }
        out += "\n/// The name here of a field of core that an error names.\n";
        Ok(out
            + &format!("pub(crate) fn spelled(field: &str) -> &str {{\nmatch field {{\n{spelled}_ => field,\n}}\n}}\n"))
    }

    pub(crate) fn option_table(&self) -> Result<String> {
        let fields = self.model.structure("Config")?.fields.iter();
        let rows =
            fields.map(|field| vec![format!("`{}`", self.name("Config", field)), self.field_docs("Config", field)]);
        Ok(table(&["name", "meaning"], &rows.collect::<Vec<_>>()))
    }
}

/// The type without `Option`.
pub(crate) fn required(kind: &Kind) -> &Kind {
    if let Kind::Option(inner) = kind { inner } else { kind }
}

pub(crate) fn optional(kind: &Kind) -> Kind {
    Kind::Option(Box::new(required(kind).clone()))
}

/// `nat-pmp` as a constant: `NAT_PMP`.
pub(crate) fn constant(text: &str) -> String {
    text.to_uppercase().replace('-', "_")
}
