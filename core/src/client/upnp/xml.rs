//! XML as routers write it: a small tree that forgives undeclared prefixes, stray ampersands, wrong encodings and missing
//! ends, and that no document can make deep, large or expand.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Deeper documents are rejected. A description nests about a dozen elements.
pub(super) const MAX_DEPTH: usize = 64;
/// Documents with more elements are rejected. Large descriptions have about a thousand.
pub(super) const MAX_ELEMENTS: usize = 20_000;

/// An element: its name without the prefix, its text, its children.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// The local name.
    pub(super) name: String,
    /// The text directly inside, without the white space around it; empty where the element was cut off.
    pub(super) text: String,
    /// The child elements, in order.
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first child with this local name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child with this local name, where there is any.
    pub(super) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The first element with this local name here or below, in document order. The depth is bounded by [`parse`].
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }
}

/// Reads a document into a nameless element that holds its top-level elements. What cannot be read is left out;
/// a document that ends early yields what was complete. `Err` says why a document is rejected as a whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Element, String> {
    let text = decode(bytes);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    // The elements that are open, outermost first; the first stands for the document.
    let mut open = vec![Element::default()];
    let mut count = 0usize;
    // A syntax error is the end of what can be read; so is the end of a document that was cut off.
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                count += 1;
                if open.len() > MAX_DEPTH {
                    return Err(format!("its elements are nested more than {MAX_DEPTH} deep"));
                }
                open.push(named(&start));
            }
            Event::Empty(start) => {
                count += 1;
                if let Some(parent) = open.last_mut() {
                    parent.children.push(named(&start));
                }
            }
            Event::End(end) => close(&mut open, end.local_name().as_ref()),
            Event::Text(piece) => append(&mut open, &piece),
            Event::CData(piece) => append(&mut open, &piece),
            Event::GeneralRef(reference) => {
                // Only what XML predefines: entities of the document's own are never expanded.
                let character = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                if let (Some(character), Some(element)) = (character, open.last_mut()) {
                    element.text.push(character);
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
        if count > MAX_ELEMENTS {
            return Err(format!("it has more than {MAX_ELEMENTS} elements"));
        }
    }
    while open.len() > 1 {
        if let Some(element) = open.last_mut() {
            // Cut off in the middle of its text: half a URL is worse than none.
            element.text.clear();
        }
        fold(&mut open);
    }
    Ok(open.pop().unwrap_or_default())
}

fn named(start: &BytesStart<'_>) -> Element {
    Element { name: start.local_name().as_ref().to_owned(), ..Element::default() }
}

fn append(open: &mut [Element], piece: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(piece);
    }
}

/// Closes the innermost open element of this name, and with it those inside that were never closed. An end
/// without a start is ignored.
fn close(open: &mut Vec<Element>, name: &str) {
    let Some(index) = open.iter().skip(1).rposition(|element| element.name == name).map(|index| index + 1) else {
        return;
    };
    while open.len() > index {
        fold(open);
    }
}

/// Hands the innermost open element to its parent.
fn fold(open: &mut Vec<Element>) {
    if let Some(mut element) = open.pop() {
        element.text = element.text.trim().to_owned();
        if let Some(parent) = open.last_mut() {
            parent.children.push(element);
        }
    }
}

/// Text out of bytes: UTF-8, or Latin-1 where the document says so, or UTF-8 with replacement characters.
fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if declares_latin_1(bytes) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn declares_latin_1(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).to_ascii_lowercase();
    head.contains("<?xml") && (head.contains("iso-8859-1") || head.contains("windows-1252") || head.contains("latin"))
}

/// Escapes text for an element's content.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(document: &[u8], name: &str) -> String {
        parse(document).unwrap().find(name).map(|element| element.text.clone()).unwrap_or_default()
    }

    #[test]
    fn prefixes_and_namespaces_of_any_kind_are_ignored_declared_or_not() {
        for document in [
            &b"<root xmlns='urn:x'><URLBase>u</URLBase></root>"[..],
            b"<d:root xmlns:d='urn:x'><d:URLBase>u</d:URLBase></d:root>",
            b"<d:root><e:URLBase>u</f:URLBase></d:root>",
        ] {
            assert_eq!(text_of(document, "URLBase"), "u");
        }
    }

    #[test]
    fn latin_1_and_broken_utf_8_are_read() {
        assert_eq!(text_of(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>B\xfcro</a>", "a"), "B\u{fc}ro");
        assert_eq!(text_of(b"<a>B\xfcro</a>", "a"), "B\u{fffd}ro");
    }

    #[test]
    fn a_stray_ampersand_and_the_predefined_references_are_read() {
        assert_eq!(text_of(b"<a>Tom & Jerry &amp; &lt;Co&gt; &#65;</a>", "a"), "Tom & Jerry & <Co> A");
    }

    #[test]
    fn entities_of_the_document_are_not_expanded() {
        let document = b"<!DOCTYPE a [<!ENTITY x 'boom'><!ENTITY y '&x;&x;'>]><a>1&y;2</a>";
        assert_eq!(text_of(document, "a"), "12");
    }

    #[test]
    fn an_element_that_was_cut_off_has_no_text() {
        let tree = parse(b"<a><b>whole</b><c>hal").unwrap();
        assert_eq!(tree.find("b").unwrap().text, "whole");
        assert_eq!(tree.find("c").unwrap().text, "");
    }

    #[test]
    fn a_missing_end_does_not_lose_what_follows() {
        let tree = parse(b"<a><b>1<c>2</c></a><d>3</d>").unwrap();
        assert_eq!(tree.find("c").unwrap().text, "2");
        assert_eq!(tree.find("d").unwrap().text, "3");
    }

    #[test]
    fn deep_and_crowded_documents_are_rejected_without_recursion() {
        let deep = "<a>".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("deep"));
        let crowded = format!("<r>{}</r>", "<a/>".repeat(MAX_ELEMENTS));
        assert!(parse(crowded.as_bytes()).unwrap_err().contains("elements"));
    }
}
