//! XML as `Export-Clixml` and `ConvertTo-Xml` write it.
//!
//! CLIXML is [MS-PSRP] §2.2.5: `Objs`, in it `Obj` with types (`TN`, `TNRef`), adapted and extended
//! properties (`Props`, `MS`), lists (`LST`, `IE`, `STK`, `QUE`), dictionaries (`DCT`) and references
//! to what was written before (`Ref`). A document type is refused, so there are no entities; depth
//! and the number of values are bounded, references included.

use std::collections::HashMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::value::{Object, Value};

/// How deep elements may lie in each other.
const DEPTH_MAX: usize = 64;
/// Elements of a file.
const NODES_MAX: u32 = 2_000_000;
/// Values made of a file, with what references repeat.
const VALUES_MAX: usize = 1_000_000;

/// What a file holds, or what is wrong with it, with line and column where there are any.
pub fn read(text: &str) -> Result<Vec<Value>, String> {
    // The parser walks down by recursion.
    if let Some(line) = too_deep(text) {
        return Err(format!(
            "line {line}: elements lie more than {DEPTH_MAX} deep in each other; export with -Depth 5"
        ));
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| format!("no XML: {error}; export it again"))?;
    let root = document.root_element();
    let mut reader = Reader {
        document: &document,
        by_id: HashMap::new(),
        types_by_id: HashMap::new(),
        values_left: VALUES_MAX,
    };
    match root.tag_name().name() {
        "Objs" => {
            reader.index(root);
            reader.all(root, 0)
        }
        "Objects" => elements(root)
            .map(|node| reader.converted(node, 0))
            .collect(),
        other => Err(format!(
            "<{other}> is neither what Export-Clixml writes (<Objs>) nor what ConvertTo-Xml does \
             (<Objects>); export it with one of them"
        )),
    }
}

/// The line where elements first lie too deep, before anything is built of them.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let rest = &text[start..];
        let skip = |from: &str, to: &str| {
            rest.starts_with(from)
                .then(|| rest.find(to).map_or(rest.len(), |end| end + to.len()))
        };
        let skipped = skip("<!--", "-->")
            .or_else(|| skip("<![CDATA[", "]]>"))
            .or_else(|| skip("<?", "?>"));
        if let Some(length) = skipped {
            at = start + length;
            continue;
        }
        let end = rest.find('>').map_or(text.len(), |end| start + end + 1);
        let tag = &text[start..end];
        if tag.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if !tag.ends_with("/>") && !tag.starts_with("<!") {
            depth += 1;
            if depth > DEPTH_MAX {
                return Some(text[..start].matches('\n').count() + 1);
            }
        }
        at = end;
    }
    None
}

struct Reader<'d, 'x> {
    document: &'d Document<'x>,
    by_id: HashMap<&'d str, Node<'d, 'x>>,
    types_by_id: HashMap<&'d str, Node<'d, 'x>>,
    values_left: usize,
}

fn elements<'d, 'x>(node: Node<'d, 'x>) -> impl Iterator<Item = Node<'d, 'x>> {
    node.children().filter(Node::is_element)
}

fn child<'d, 'x>(node: Node<'d, 'x>, name: &str) -> Option<Node<'d, 'x>> {
    elements(node).find(|child| child.tag_name().name() == name)
}

impl<'d, 'x> Reader<'d, 'x> {
    /// Notes what can be referred to.
    fn index(&mut self, root: Node<'d, 'x>) {
        for node in root.descendants().filter(Node::is_element) {
            if let Some(id) = node.attribute("RefId") {
                match node.tag_name().name() {
                    "Obj" => self.by_id.insert(id, node),
                    "TN" => self.types_by_id.insert(id, node),
                    _ => None,
                };
            }
        }
    }

    fn line(&self, node: Node<'_, '_>) -> u32 {
        self.document.text_pos_at(node.range().start).row
    }

    fn spend(&mut self, node: Node<'_, '_>, depth: usize) -> Result<(), String> {
        self.values_left = self.values_left.saturating_sub(1);
        if self.values_left == 0 || depth > DEPTH_MAX {
            let line = self.line(node);
            return Err(format!(
                "line {line}: references repeat more than a file may hold; export with -Depth 5"
            ));
        }
        Ok(())
    }

    fn all(&mut self, node: Node<'d, 'x>, depth: usize) -> Result<Vec<Value>, String> {
        elements(node)
            .map(|node| self.clixml(node, depth + 1))
            .collect()
    }

    fn clixml(&mut self, node: Node<'d, 'x>, depth: usize) -> Result<Value, String> {
        self.spend(node, depth)?;
        match node.tag_name().name() {
            "Nil" => Ok(Value::Nothing),
            "Obj" => self.object(node, depth),
            "Ref" => {
                let id = node.attribute("RefId").unwrap_or_default();
                match self.by_id.get(id) {
                    Some(target) => self.object(*target, depth + 1),
                    None => Err(format!(
                        "line {}: a reference to {id:?}, which is not there; export it again",
                        self.line(node)
                    )),
                }
            }
            _ => Ok(Value::Text(unescaped(node.text().unwrap_or_default()))),
        }
    }

    fn object(&mut self, node: Node<'d, 'x>, depth: usize) -> Result<Value, String> {
        let list = ["LST", "IE", "QUE", "STK"]
            .iter()
            .find_map(|name| child(node, name));
        if let Some(list) = list {
            return Ok(Value::List(self.all(list, depth)?));
        }
        let mut object = Object {
            types: self.types(node),
            properties: Vec::new(),
            line: Some(self.line(node)),
        };
        if let Some(entries) = child(node, "DCT") {
            for entry in elements(entries) {
                let of = |name| elements(entry).find(|part| part.attribute("N") == Some(name));
                let (Some(key), Some(value)) = (of("Key"), of("Value")) else {
                    continue;
                };
                let key = unescaped(key.text().unwrap_or_default());
                object
                    .properties
                    .push((key, self.clixml(value, depth + 1)?));
            }
            return Ok(Value::Object(object));
        }
        for group in elements(node).filter(|it| matches!(it.tag_name().name(), "Props" | "MS")) {
            for property in elements(group) {
                let Some(name) = property.attribute("N") else {
                    continue;
                };
                let value = self.clixml(property, depth + 1)?;
                object.properties.push((unescaped(name), value));
            }
        }
        if object.properties.is_empty() {
            // An enumeration, or an object below the depth of the export: what it prints as.
            let printed = child(node, "ToString").and_then(|it| it.text());
            let primitive = || {
                elements(node)
                    .find(|it| !matches!(it.tag_name().name(), "TN" | "TNRef" | "Props" | "MS"))
                    .and_then(|it| it.text())
            };
            return Ok(match printed.or_else(primitive) {
                Some(text) => Value::Text(unescaped(text)),
                None => Value::Nothing,
            });
        }
        Ok(Value::Object(object))
    }

    fn types(&self, node: Node<'d, 'x>) -> Vec<String> {
        let own = child(node, "TN");
        let referred = || {
            let id = child(node, "TNRef")?.attribute("RefId")?;
            self.types_by_id.get(id).copied()
        };
        let Some(names) = own.or_else(referred) else {
            return Vec::new();
        };
        elements(names)
            .filter_map(|it| it.text())
            .map(|name| name.trim_start_matches("Deserialized.").to_owned())
            .collect()
    }

    /// `<Object Type="…"><Property Name="…" Type="…">…`
    fn converted(&mut self, node: Node<'d, 'x>, depth: usize) -> Result<Value, String> {
        self.spend(node, depth)?;
        let parts: Vec<_> = elements(node).collect();
        if parts.is_empty() {
            return Ok(match node.text() {
                Some(text) => Value::Text(text.to_owned()),
                None => Value::Nothing,
            });
        }
        if parts.iter().all(|part| part.attribute("Name").is_none()) {
            let values = parts
                .into_iter()
                .map(|part| self.converted(part, depth + 1));
            return Ok(Value::List(values.collect::<Result<_, _>>()?));
        }
        let types = node.attribute("Type").map(str::to_owned);
        let mut object = Object {
            types: types.into_iter().collect(),
            properties: Vec::with_capacity(parts.len()),
            line: Some(self.line(node)),
        };
        for part in parts {
            if let Some(name) = part.attribute("Name") {
                let value = self.converted(part, depth + 1)?;
                object.properties.push((name.to_owned(), value));
            }
        }
        Ok(Value::Object(object))
    }
}

/// `_x000A_` stands for a character that XML cannot hold ([MS-PSRP] §2.2.5.3.2).
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("_x") {
        let code = after
            .get(..5)
            .filter(|code| code.ends_with('_'))
            .and_then(|code| u32::from_str_radix(&code[..4], 16).ok())
            .and_then(char::from_u32);
        out.push_str(before);
        match code {
            Some(character) => {
                out.push(character);
                rest = &after[5..];
            }
            None => {
                out.push_str("_x");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn objects(text: &str) -> Vec<Object> {
        let values = read(text).unwrap();
        let objects = values.into_iter().filter_map(|value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        });
        objects.collect()
    }

    const CLIXML: &str = r#"<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">
  <Obj RefId="0">
    <TN RefId="0"><T>Deserialized.Some.Space.TrunkConfiguration</T><T>System.Object</T></TN>
    <ToString>Global</ToString>
    <Props>
      <S N="Identity">Global</S>
      <Obj N="PstnUsages" RefId="1"><TN RefId="1"><T>List</T></TN><LST><S>Local</S><S>Long_x0020_Distance</S></LST></Obj>
      <Obj N="SRTPMode" RefId="2"><TN RefId="2"><T>SRTPMode</T></TN><ToString>Required</ToString><I32>0</I32></Obj>
      <U32 N="MaxEarlyDialogs">20</U32>
      <B N="EnableBypass">true</B>
      <Nil N="NetworkSiteID" />
    </Props>
  </Obj>
  <Obj RefId="3"><TNRef RefId="0" /><Props><S N="Identity">Site:A</S><Ref N="PstnUsages" RefId="1" /></Props></Obj>
</Objs>"#;

    #[test]
    fn clixml_is_read_with_references_and_enumerations() {
        let [global, site] = &objects(CLIXML)[..] else {
            panic!("two objects")
        };
        assert!(global.is_a("TrunkConfiguration"));
        assert_eq!(global.texts("PstnUsages"), ["Local", "Long Distance"]);
        assert_eq!(global.text("SRTPMode"), Some("Required"));
        assert_eq!(global.number("MaxEarlyDialogs"), Some(20));
        assert_eq!(global.flag("EnableBypass"), Some(true));
        assert!(global.has("NetworkSiteID") && global.get("NetworkSiteID").is_none());
        assert_eq!((global.line, site.line), (Some(2), Some(14)));
        assert!(site.is_a("TrunkConfiguration"));
        assert_eq!(site.texts("PstnUsages"), ["Local", "Long Distance"]);
    }

    #[test]
    fn what_convertto_xml_writes_is_read() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
<Objects><Object Type="Some.Route"><Property Name="Identity" Type="System.String">Redmond</Property>
<Property Name="PstnUsages" Type="List"><Property Type="System.String">Local</Property><Property Type="System.String">Far</Property></Property>
<Property Name="Empty" Type="System.String" /></Object></Objects>"#;
        let [route] = &objects(text)[..] else {
            panic!("one object")
        };
        assert_eq!(route.text("Identity"), Some("Redmond"));
        assert_eq!(route.texts("PstnUsages"), ["Local", "Far"]);
        assert!(route.is_a("Route") && route.has("Empty"));
    }

    /// O16: hostile XML costs a message.
    #[test]
    fn bombs_are_refused() {
        let entities =
            r#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><Objs>&c;</Objs>"#;
        assert!(read(entities).unwrap_err().contains("no XML"));
        let deep = "<Objs>".to_owned() + &"<Obj><LST>".repeat(50_000);
        assert!(read(&deep).unwrap_err().contains("deep"));
        // Each list refers to the one before ten times: 10^60 values.
        let mut text = String::from(r#"<Objs><Obj RefId="0"><LST><S>x</S></LST></Obj>"#);
        for id in 1..=60 {
            let before = format!(r#"<Ref RefId="{}" />"#, id - 1).repeat(10);
            text += &format!(r#"<Obj RefId="{id}"><LST>{before}</LST></Obj>"#);
        }
        assert!(
            read(&(text + "</Objs>"))
                .unwrap_err()
                .contains("references")
        );
        let own = r#"<Objs><Obj RefId="0"><LST><Ref RefId="0" /></LST></Obj></Objs>"#;
        assert!(read(own).unwrap_err().contains("references"));
        assert!(read("<html></html>").unwrap_err().contains("<html>"));
        let gone = r#"<Objs><Obj RefId="1"><LST><Ref RefId="7" /></LST></Obj></Objs>"#;
        assert!(
            read(gone)
                .unwrap_err()
                .contains("line 1: a reference to \"7\"")
        );
    }
}
