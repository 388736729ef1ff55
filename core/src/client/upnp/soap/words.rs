//! Actions and their answers as the log shows them.

use std::collections::HashMap;
use std::fmt::{self, Display};

use crate::client::upnp::http::{self, shown};
use crate::client::upnp::xml;

/// `AddPortMapping ExternalPort=4000 Protocol=UDP ...`, read from the message itself.
#[derive(Debug)]
pub(super) struct Request(String);

impl Request {
    pub(super) fn of(request: &http::Request<'_>) -> Self {
        let (name, body) = request.action.unwrap_or_default();
        let mut text = name.trim_matches('"').rsplit('#').next().unwrap_or_default().to_owned();
        let document = xml::parse(body.as_bytes()).ok();
        let action = document.as_ref().and_then(|document| document.find("Body")?.children.first());
        for argument in action.iter().flat_map(|action| &action.children).filter(|argument| !argument.text.is_empty()) {
            text += &format!(" {}", Argument(&argument.name, &argument.text));
        }
        Self(text)
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The output arguments in the order of their names, or `done` if there are none.
pub(super) struct Answer<'a>(pub(super) &'a HashMap<String, String>);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arguments: Vec<_> = self.0.iter().map(|(name, value)| Argument(name, value).to_string()).collect();
        arguments.sort();
        f.write_str("done")?;
        arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// `ExternalPort=4000`: the `New` of the standard's names says nothing.
struct Argument<'a>(&'a str, &'a str);

impl Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, value) = *self;
        write!(f, "{}={}", shown(name.strip_prefix("New").unwrap_or(name)), shown(value))
    }
}
