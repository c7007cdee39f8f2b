//! A module that fits the contract: compiled, described, and granted what it asks for. From here on
//! only its settings can be wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::access::Access;
use crate::bindings::{PACKAGE, PolicyIndices};
use crate::decision::Reply;
use crate::engine::Engine;
use crate::fault::{LoadFault, WorldFault};
use crate::imports::Guest;
use crate::instance::{Instance, Surroundings};
use crate::module::{Kind, componentize};
use crate::options::Options;
use crate::signature::{PublicKey, Signed};
use crate::snapshot::Glass;
use crate::ticker::Ticker;
use crate::world::{Nowhere, Tables, World};

/// What a policy says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Manifest {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Headers that it reads; others are not passed to it.
    pub headers: Vec<String>,
    /// Trunks that it uses; `*` for all that were granted.
    pub trunks: Vec<String>,
    /// Tables that it reads; `*` for all that were granted.
    pub tables: Vec<String>,
}

/// A checked module.
pub(crate) struct Program {
    pub manifest: Manifest,
    /// SHA-256 of the component, hex: a core module and the component made of it are one policy, and
    /// so are a module and the same module signed.
    pub sha256: String,
    /// Whose signature it has.
    pub signer: Option<PublicKey>,
    /// Of the component, bytes.
    pub size: usize,
    pub options: Options,
    pub code: Arc<Code>,
    access: Arc<Access>,
}

/// The compiled module. Shared by all that run the same bytes, so that other settings, or going
/// back to an older module, cost no compilation.
pub(crate) struct Code {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub pre: InstancePre<Guest>,
    /// Where its typed exports are.
    pub indices: PolicyIndices,
    /// The export that takes packed queries, if there is one.
    pub packed: Option<ComponentExportIndex>,
    pub ticker: Arc<Ticker>,
}

impl Program {
    /// Compiles `wasm`, unless that has been done, and checks it. Takes as long as compiling does.
    pub fn load(engine: &Engine, wasm: &[u8], options: &Options) -> Result<Program, LoadFault> {
        engine.ticker().keep(options.deadline);
        Kind::of(wasm)?;
        let signed = Signed::of(wasm)?;
        if let Some(trust) = &options.trust {
            trust.verify(&signed)?;
        }
        let component = componentize(signed.module)?;
        let sha256 = sha256(&component);
        let code = engine.code(&sha256, || Code::compile(engine, &component))?;
        let mut program = Program {
            manifest: Manifest::default(),
            sha256,
            signer: signed.by().filter(|by| by.intact).map(|by| by.key),
            size: component.len(),
            options: options.clone(),
            code,
            access: Arc::default(),
        };
        let nowhere: Arc<dyn World> = Arc::new(Nowhere);
        let tables = nowhere.tables();
        let mut instance = program.instance(&nowhere, &tables, options.configure_deadline)?;
        program.manifest = instance.describe().map_err(|fault| LoadFault::Guest {
            during: "describe",
            fault,
        })?;
        program.access = Arc::new(Access::of(&program.manifest, options)?);
        Ok(program)
    }

    /// A new instance with these settings and tables, made within `time`.
    pub fn configured(
        &self,
        settings: &str,
        world: &Arc<dyn World>,
        tables: &Arc<dyn Tables>,
        time: Duration,
    ) -> Result<Instance, LoadFault> {
        let mut instance = self.instance(world, tables, time)?;
        configure(&mut instance, settings)?;
        Ok(instance)
    }

    /// The same, with what it was told while it was configured.
    pub fn configured_recording(
        &self,
        settings: &str,
        world: &Arc<dyn World>,
        tables: &Arc<dyn Tables>,
        time: Duration,
    ) -> Result<(Instance, Vec<Reply>), LoadFault> {
        let mut instance = self.instance(world, tables, time)?;
        instance.record(true);
        configure(&mut instance, settings)?;
        let replies = instance.take_replies();
        Ok((instance, replies))
    }

    /// What its instances are with these settings, as code of its own: they need no `configure`.
    /// Takes as long as compiling does, twice.
    pub fn frozen(
        &self,
        engine: &Engine,
        module: &[u8],
        settings: &str,
        world: &Arc<dyn World>,
        tables: &Arc<dyn Tables>,
    ) -> Result<Arc<Code>, LoadFault> {
        let component = componentize(Signed::of(module)?.module)?;
        let glass = Glass::of(engine, &component)?;
        let with = self.surroundings(world, tables, self.options.configure_deadline);
        let with = Surroundings {
            memory_bytes_max: with.memory_bytes_max + Glass::BYTES,
            ..with
        };
        let mut instance = Instance::new(&glass.code, &with)?;
        configure(&mut instance, settings)?;
        let (store, inside) = instance.inside();
        glass.freeze(engine, store, inside)
    }

    /// A new instance of what [`frozen`](Self::frozen) made, within `time`.
    pub fn thawed(
        &self,
        frozen: &Code,
        world: &Arc<dyn World>,
        tables: &Arc<dyn Tables>,
        time: Duration,
    ) -> Result<Instance, LoadFault> {
        Instance::of_checked(frozen, &self.surroundings(world, tables, time))
    }

    fn instance(
        &self,
        world: &Arc<dyn World>,
        tables: &Arc<dyn Tables>,
        time: Duration,
    ) -> Result<Instance, LoadFault> {
        Instance::new(&self.code, &self.surroundings(world, tables, time))
    }

    fn surroundings<'a>(
        &'a self,
        world: &'a Arc<dyn World>,
        tables: &'a Arc<dyn Tables>,
        time: Duration,
    ) -> Surroundings<'a> {
        Surroundings {
            access: &self.access,
            memory_bytes_max: self.options.memory_bytes,
            world,
            tables,
            time,
        }
    }
}

fn configure(instance: &mut Instance, settings: &str) -> Result<(), LoadFault> {
    let configured = instance.configure(settings);
    let accepted = configured.map_err(|fault| LoadFault::Guest {
        during: "configure",
        fault,
    })?;
    accepted.map_err(LoadFault::Configure)
}

impl Code {
    pub(crate) fn compile(engine: &Engine, component: &[u8]) -> Result<Code, LoadFault> {
        let component = engine
            .compile(component)
            .map_err(|error| LoadFault::Compile(format!("{error:#}")))?;
        // Else the first instance would pay for it; one that cannot be made is made there again.
        let _ = component.initialize_copy_on_write_image();
        let world = component.component_type();
        let imports = names(world.imports(engine.wasm()));
        let exports = names(world.exports(engine.wasm()));
        let (pre, indices) = fit(engine, &component, &imports, &exports)?;
        let packed = packed(&component, &exports)?;
        Ok(Code {
            imports,
            exports,
            pre,
            indices,
            packed,
            ticker: Arc::clone(engine.ticker()),
        })
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({})",
            self.manifest.name, self.manifest.version, self.sha256
        )
    }
}

/// Where the function of `packed` is, if the component exports that interface.
fn packed(
    component: &Component,
    exports: &[String],
) -> Result<Option<ComponentExportIndex>, LoadFault> {
    let (package, _) = PACKAGE.split_once('@').expect("PACKAGE names a version");
    let of_packed = |name: &&String| name.starts_with(&format!("{package}/packed@"));
    let Some(name) = exports.iter().find(of_packed) else {
        return Ok(None);
    };
    let interface = component.get_export_index(None, name);
    match interface.and_then(|it| component.get_export_index(Some(&it), "answer")) {
        Some(answer) => Ok(Some(answer)),
        None => {
            let missing = WorldFault::MissingExport(format!("{name}#answer"));
            Err(LoadFault::World(vec![missing]))
        }
    }
}

/// Checks a component against the contract: first its names, which can be explained, then its
/// types.
fn fit(
    engine: &Engine,
    component: &Component,
    imports: &[String],
    exports: &[String],
) -> Result<(InstancePre<Guest>, PolicyIndices), LoadFault> {
    let (package, version) = PACKAGE.split_once('@').expect("PACKAGE names a version");
    let api = format!("{package}/policy-api@{version}");
    let of_package = |name: &&String| name.starts_with(&format!("{package}/"));
    // 0.1.1 may add functions to 0.1.0 and stays compatible; 0.2.0 is another contract.
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    let is_ours = |name: &&String| name.contains(&format!("@{minor}."));

    let mut faults: Vec<_> = imports
        .iter()
        .filter(|name| !of_package(name))
        .map(|name| WorldFault::ForeignImport(name.clone()))
        .collect();
    let other_version = imports.iter().chain(exports).filter(of_package);
    faults.extend(
        other_version
            .filter(|it| !is_ours(it))
            .map(|it| WorldFault::OtherVersion(it.clone())),
    );
    let exports_api = |name: &String| name.starts_with(&format!("{package}/policy-api@"));
    if !exports.iter().any(exports_api) {
        faults.push(WorldFault::MissingExport(api));
    }
    if !faults.is_empty() {
        return Err(LoadFault::World(faults));
    }

    let signature = |error: wasmtime::Error| {
        LoadFault::World(vec![WorldFault::Signature(format!("{error:#}"))])
    };
    let pre = engine
        .linker()
        .instantiate_pre(component)
        .map_err(signature)?;
    let indices = PolicyIndices::new(&pre).map_err(signature)?;
    Ok((pre, indices))
}

fn names<'a, T>(externs: impl Iterator<Item = (&'a str, T)>) -> Vec<String> {
    externs.map(|(name, _)| name.to_owned()).collect()
}

/// SHA-256 of `bytes`, hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
