//! What a file of bytes is, by its first bytes and never by its name, and what is in it.
//!
//! A component is taken as it is. A core module that carries its component type, as the guest SDK's
//! macro leaves it, is wrapped here, so that an author needs no tool but cargo. Anything else is
//! refused with its own message; precompiled code above all, which would be native code from
//! outside.

use std::fmt;

use serde::Serialize;
use wit_component::ComponentEncoder;

use crate::bindings::PACKAGE;
use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::options::Options;
use crate::program::{Manifest, Program};
use crate::signature::{Signed, SignedBy};

/// What a module is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component.
    Component,
    /// A core module with its component type inside.
    CoreModule,
}

impl Kind {
    /// What `bytes` are, by their first bytes.
    ///
    /// # Errors
    /// [`LoadFault::NotWasm`]
    pub fn of(bytes: &[u8]) -> Result<Kind, LoadFault> {
        match bytes {
            [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Kind::CoreModule),
            [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(Kind::Component),
            [b'\0', b'a', b's', b'm', ..] => Err(LoadFault::NotWasm(
                "its WebAssembly version is unknown here",
            )),
            [0x7f, b'E', b'L', b'F', ..] => Err(LoadFault::NotWasm(
                "this is native or precompiled code, which is never run; pass the .wasm file",
            )),
            [] => Err(LoadFault::NotWasm("the file is empty")),
            text if text.trim_ascii_start().starts_with(b"(") => Err(LoadFault::NotWasm(
                "this is WebAssembly text; assemble it, for example with `wasm-tools parse`",
            )),
            _ => Err(LoadFault::NotWasm(
                "its first bytes are of something else; build a policy with `intertrunk policy \
                 build`",
            )),
        }
    }
}

/// The component in `bytes`, wrapped if it is a core module.
///
/// # Errors
/// [`LoadFault::NotWasm`], [`LoadFault::NoComponentType`], [`LoadFault::Componentize`]
pub fn componentize(bytes: &[u8]) -> Result<Vec<u8>, LoadFault> {
    if Kind::of(bytes)? == Kind::Component {
        return Ok(bytes.to_vec());
    }
    let fault = |error| LoadFault::Componentize(format!("{error:#}"));
    let (typed, _) = wit_component::metadata::decode(bytes).map_err(fault)?;
    if typed.is_none() {
        return Err(LoadFault::NoComponentType);
    }
    ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(fault)
}

/// What a module is, wants and says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Inspection {
    /// SHA-256 of the component without its signature, hex: that of a core module is that of the
    /// component made of it.
    pub sha256: String,
    /// Size of the component, bytes.
    pub size: usize,
    /// What it is.
    pub kind: Kind,
    /// The contract that it was made for.
    pub world: String,
    /// Interfaces that it needs.
    pub imports: Vec<String>,
    /// Interfaces that it offers.
    pub exports: Vec<String>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its signature, if it has one. Whether to trust who signed is not for this to say.
    pub signature: Option<SignedBy>,
}

/// Looks at a module without configuring it.
///
/// # Errors
/// Whatever would keep it from being loaded into a slot with all grants.
pub fn inspect(engine: &Engine, bytes: &[u8]) -> Result<Inspection, LoadFault> {
    let kind = Kind::of(bytes)?;
    let options = Options {
        tables: vec!["*".to_owned()],
        ..Options::default()
    };
    let program = Program::load(engine, bytes, &options)?;
    let api = program
        .code
        .exports
        .iter()
        .find_map(|name| name.split_once("/policy-api"));
    let world = api.map_or(PACKAGE.to_owned(), |(package, version)| {
        format!("{package}{version}")
    });
    Ok(Inspection {
        signature: Signed::of(bytes)?.by(),
        world,
        kind,
        sha256: program.sha256,
        size: program.size,
        imports: program.code.imports.clone(),
        exports: program.code.exports.clone(),
        manifest: program.manifest,
    })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Component => "component",
            Kind::CoreModule => "core module with its component type inside",
        };
        let Manifest {
            name,
            version,
            headers,
            trunks,
            tables,
        } = &self.manifest;
        writeln!(f, "policy   {name} {version}")?;
        writeln!(f, "kind     {kind}, {} bytes", self.size)?;
        writeln!(f, "sha256   {}", self.sha256)?;
        writeln!(f, "world    {}", self.world)?;
        writeln!(f, "headers  {}", list(headers))?;
        writeln!(f, "trunks   {}", list(trunks))?;
        writeln!(f, "tables   {}", list(tables))?;
        writeln!(f, "imports  {}", list(&self.imports))?;
        writeln!(f, "exports  {}", list(&self.exports))?;
        match &self.signature {
            None => write!(f, "signed   by nobody"),
            Some(SignedBy { key, intact: true }) => write!(f, "signed   by key {key}"),
            Some(SignedBy { key, intact: false }) => {
                write!(f, "signed   by key {key}, and CHANGED since")
            }
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
