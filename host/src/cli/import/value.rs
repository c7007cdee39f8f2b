//! What PowerShell wrote, whatever the format: objects with named properties, lists and texts.
//!
//! Numbers, switches and enumerations are kept as the texts that they print as; names of properties
//! are compared without case, as PowerShell does.

/// A value of a property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `$null`, or nothing.
    Nothing,
    Text(String),
    List(Vec<Value>),
    Object(Object),
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Object {
    /// Its .NET types, most derived first, without what marks them as read back.
    pub types: Vec<String>,
    pub properties: Vec<(String, Value)>,
    /// Line of its file, counted from 1, where the format has it.
    pub line: Option<u32>,
}

/// Properties of rules that PowerShell prints in one text when it does not go deep enough.
const PACKED: [&str; 14] = [
    "Identity",
    "Priority",
    "Description",
    "Pattern",
    "Translation",
    "Name",
    "IsInternalExtension",
    "ReceivedResponseCode",
    "ReceivedISUPCauseValue",
    "TranslatedResponseCode",
    "DialString",
    "DialMask",
    "Element",
    "AnchorXml",
];

impl Object {
    /// The property of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let same = |(own, _): &&(String, Value)| own.eq_ignore_ascii_case(name);
        self.properties
            .iter()
            .find(same)
            .map(|(_, value)| value)
            .filter(|value| **value != Value::Nothing)
    }

    /// Whether there is such a property, even without a value.
    pub fn has(&self, name: &str) -> bool {
        self.properties
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// Its text, unless that is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The texts of a list; a single text counts as a list of one.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let one = |value: &Value| match value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            // A usage, a gateway or a rule that is written as an object is meant by its name.
            Value::Object(object) => object
                .text("Identity")
                .or_else(|| object.text("Name"))
                .map(str::to_owned),
            _ => None,
        };
        match self.get(name) {
            Some(Value::List(values)) => values.iter().filter_map(one).collect(),
            Some(value) => one(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The objects of a list, those included that were printed in one text.
    pub fn objects(&self, name: &str) -> Vec<Object> {
        let one = |value: &Value| match value {
            Value::Object(object) => Some(object.clone()),
            Value::Text(text) => unpack(text, self.line),
            _ => None,
        };
        match self.get(name) {
            Some(Value::List(values)) => values.iter().filter_map(one).collect(),
            Some(value) => one(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Whether one of its types ends so.
    pub fn is_a(&self, name: &str) -> bool {
        self.types.iter().any(|own| {
            let own = own.split('#').next().unwrap_or(own);
            own.rsplit('.').next() == Some(name)
        })
    }
}

/// `Description=;Pattern=^(\d{4})$;Translation=+1$1;Name=Prefix All` as an object, and the same in
/// the form of `@{Pattern=…; Translation=…}`.
fn unpack(text: &str, line: Option<u32>) -> Option<Object> {
    let inner = text.trim();
    let inner = inner
        .strip_prefix("@{")
        .and_then(|it| it.strip_suffix('}'))
        .unwrap_or(inner);
    // A pattern may hold `;` and `=`: only a known name begins a property.
    let begins = |at: usize| {
        let before = inner[..at].trim_end_matches(' ');
        let rest = &inner[at..];
        let name = PACKED.iter().find(|name| {
            rest.strip_prefix(**name)
                .is_some_and(|after| after.starts_with('='))
        })?;
        (before.is_empty() || before.ends_with(';')).then_some((at, *name))
    };
    let starts: Vec<(usize, &str)> = inner
        .char_indices()
        .filter_map(|(at, _)| begins(at))
        .collect();
    if starts.is_empty() {
        return None;
    }
    let ends = starts.iter().skip(1).map(|(at, _)| *at);
    let ends = ends.chain([inner.len()]);
    let properties = starts.iter().zip(ends).map(|((at, name), end)| {
        let value = inner[at + name.len() + 1..end].trim_end();
        let last = end == inner.len();
        let value = value.strip_suffix(';').filter(|_| !last).unwrap_or(value);
        ((*name).to_owned(), Value::Text(value.to_owned()))
    });
    Some(Object {
        types: Vec::new(),
        properties: properties.collect(),
        line,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_rule_that_was_printed_in_one_text_is_read() {
        let text = r"Description=a; b=c;Pattern=^9(\d{4};?)$;Translation=+1$1;Name=Prefix All;IsInternalExtension=False";
        let rule = unpack(text, None).unwrap();
        assert_eq!(rule.text("Description"), Some("a; b=c"));
        assert_eq!(rule.text("Pattern"), Some(r"^9(\d{4};?)$"));
        assert_eq!(rule.text("Name"), Some("Prefix All"));
        assert_eq!(rule.flag("isinternalextension"), Some(false));
        let rule = unpack("@{Pattern=^1$; Translation=2; Name=}", None).unwrap();
        assert_eq!(rule.text("translation"), Some("2"));
        assert_eq!(rule.text("Name"), None);
        assert!(rule.has("Name"));
        assert_eq!(unpack("Local", None), None);
    }
}
