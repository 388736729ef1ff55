//! Actions and their answers as the log shows them.

use std::collections::HashMap;
use std::fmt::{self, Display};

use crate::client::upnp::http::{self, shown};
use crate::client::upnp::xml;

/// The most arguments that are shown. No action that is asked for answers with so many, but a device may.
const MAX_ARGUMENTS: usize = 16;

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

/// The output arguments in the order of their names, or `done` alone if there are none.
pub(super) struct Answer<'a>(pub(super) &'a HashMap<String, String>);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arguments: Vec<_> = self.0.iter().collect();
        arguments.sort();
        f.write_str("done")?;
        arguments.iter().take(MAX_ARGUMENTS).try_for_each(|(name, value)| write!(f, " {}", Argument(name, value)))?;
        match arguments.len().checked_sub(MAX_ARGUMENTS) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_countless_arguments_is_one_short_line() {
        let argument = |number: usize| (format!("NewArgument{number:05}"), "x".repeat(1000));
        let few: HashMap<_, _> = (0..2).map(|number| (format!("NewA{number}"), number.to_string())).collect();
        assert_eq!(Answer(&few).to_string(), "done A0=0 A1=1");
        let line = Answer(&(0..20_000).map(argument).collect()).to_string();
        assert!(line.len() < 4096, "{}", line.len());
        assert!(line.ends_with(" and 19984 more"), "{line}");
    }
}
