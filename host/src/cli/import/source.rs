//! The files of an export: which there are, and the objects in them.
//!
//! What a file holds is told by its content. Nothing that a file says takes memory beyond a small
//! multiple of its size, which is bounded.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

use super::kind::Kind;
use super::value::{Object, Value};
use super::xml;

/// Files of an export.
const FILES_MAX: usize = 1_000;
/// Bytes of one of them.
const FILE_MAX: u64 = 64 << 20;

/// One object of the export.
#[derive(Clone, Debug)]
pub struct Item {
    pub file: String,
    pub kind: Kind,
    pub object: Object,
}

impl Item {
    /// Its name there.
    pub fn identity(&self) -> String {
        identity(&self.object).to_owned()
    }
}

/// The name of an object.
pub fn identity(object: &Object) -> &str {
    let named = ["Identity", "Name", "NetworkSiteID", "Fqdn", "MatchUri"];
    named
        .iter()
        .find_map(|name| object.text(name))
        .unwrap_or("(without a name)")
}

/// All that was read.
#[derive(Default, Debug)]
pub struct Export {
    pub items: Vec<Item>,
    /// Files that were read, in order.
    pub files: Vec<String>,
    /// Objects of other kinds: file, type or properties, and how many.
    pub unknown: Vec<(String, String, usize)>,
}

impl Export {
    /// The objects of one kind, in order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }
}

/// Reads every `*.xml`, `*.clixml` and `*.json` of a folder, sorted by name.
pub fn read(folder: &Path) -> anyhow::Result<Export> {
    let remedy = "name the folder that the output of Get-Cs… was exported to";
    let entries = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read; {remedy}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let ending = path.extension().and_then(|it| it.to_str());
        let ending = ending.unwrap_or_default().to_ascii_lowercase();
        if matches!(&*ending, "xml" | "clixml" | "json" | "vcfg") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!(
            "{} holds no *.xml, *.clixml or *.json; {remedy}",
            folder.display()
        );
    }
    if paths.len() > FILES_MAX {
        bail!(
            "{} holds more than {FILES_MAX} files; {remedy}",
            folder.display()
        );
    }
    let mut export = Export::default();
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let values = text(&path)
            .and_then(|text| values(&text))
            .with_context(|| name.clone())?;
        for value in values {
            export.take(&name, value, 0);
        }
        export.files.push(name);
    }
    Ok(export)
}

impl Export {
    fn take(&mut self, file: &str, value: Value, depth: u8) {
        match value {
            Value::List(values) => {
                for value in values {
                    self.take(file, value, depth);
                }
            }
            Value::Object(object) => match Kind::of(&object, file) {
                Some(kind) => self.items.push(Item {
                    file: file.to_owned(),
                    kind,
                    object,
                }),
                // Several exports in one, such as `@{ Routes = Get-CsVoiceRoute; … }`.
                None if depth < 3 && object.properties.iter().any(holds_objects) => {
                    for (_, value) in object.properties {
                        self.take(file, value, depth + 1);
                    }
                }
                None => self.unknown(file, &object),
            },
            Value::Nothing | Value::Text(_) => {}
        }
    }

    fn unknown(&mut self, file: &str, object: &Object) {
        let names = || {
            let names = object.properties.iter().map(|(name, _)| &**name);
            format!("with {}", names.take(6).collect::<Vec<_>>().join(", "))
        };
        let what = object.types.first().cloned().unwrap_or_else(names);
        let same = |it: &&mut (String, String, usize)| it.0 == file && it.1 == what;
        match self.unknown.iter_mut().find(same) {
            Some((_, _, count)) => *count += 1,
            None => self.unknown.push((file.to_owned(), what, 1)),
        }
    }
}

fn holds_objects((_, value): &(String, Value)) -> bool {
    match value {
        Value::Object(_) => true,
        Value::List(values) => values.iter().any(|it| matches!(it, Value::Object(_))),
        Value::Nothing | Value::Text(_) => false,
    }
}

/// The text of a file: UTF-8, or UTF-16 with its mark, which Windows PowerShell writes.
fn text(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .context("cannot be read; see its permissions")?;
    if bytes.len() as u64 > FILE_MAX {
        bail!("larger than {} MiB; export fewer objects", FILE_MAX >> 20);
    }
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        String::from_utf16(&units.collect::<Vec<_>>()).ok()
    };
    let text = match &*bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        bytes => String::from_utf8(bytes.to_vec()).ok(),
    };
    text.context("neither UTF-8 nor UTF-16; export with -Encoding UTF8")
}

fn values(text: &str) -> anyhow::Result<Vec<Value>> {
    let begins = text.trim_start();
    if begins.starts_with('<') {
        return xml::read(text).map_err(|problem| anyhow::anyhow!(problem));
    }
    if begins.is_empty() {
        return Ok(Vec::new());
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let remedy = "export it again, with Export-Clixml or ConvertTo-Json -Depth 5";
        anyhow::anyhow!("neither XML nor JSON: {error}; {remedy}")
    })?;
    Ok(vec![of_json(json)])
}

fn of_json(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Nothing,
        Json::Bool(flag) => Value::Text(flag.to_string()),
        Json::Number(number) => Value::Text(number.to_string()),
        Json::String(text) => Value::Text(text),
        Json::Array(values) => Value::List(values.into_iter().map(of_json).collect()),
        // Windows PowerShell writes some lists so.
        Json::Object(mut map) if map.len() == 2 && map.contains_key("Count") => {
            match map.remove("value") {
                Some(list @ Json::Array(_)) => of_json(list),
                _ => Value::Nothing,
            }
        }
        Json::Object(map) => Value::Object(Object {
            properties: map
                .into_iter()
                .map(|(name, value)| (name, of_json(value)))
                .collect(),
            ..Object::default()
        }),
    }
}
