//! Settings by scope: of a trunk, of its site, of all. For each key the most specific wins.

use std::collections::BTreeMap;

use intertrunk_sdk::checked;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::egress::{Egress, Layers, keys_with_egress};
use crate::names::Trunks;
use crate::values::Names;

/// A `[global]`, `[[site]]` or `[[trunk]]` of the dial plan.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) usages: Option<Spanned<Names>>,
    pub(crate) backup: Option<bool>,
    pub(crate) attempts: Option<u8>,
    pub(crate) location_routing: Option<bool>,
    pub(crate) routing_usages: Option<Spanned<Names>>,
    pub(crate) location_restricted: Option<bool>,
    egress: Option<Box<Egress>>,
}

keys_with_egress! {
    struct GlobalKeys {
        #[serde(default)]
        usages: Option<Spanned<Names>>,
        #[serde(default)]
        backup: Option<bool>,
        #[serde(default)]
        attempts: Option<u8>,
        #[serde(default)]
        location_routing: Option<bool>,
    }
}

keys_with_egress! {
    struct SiteKeys {
        name: Names,
        #[serde(default)]
        usages: Option<Spanned<Names>>,
        #[serde(default)]
        backup: Option<bool>,
        #[serde(default)]
        attempts: Option<u8>,
        #[serde(default)]
        location_routing: Option<bool>,
        #[serde(default)]
        routing_usages: Option<Spanned<Names>>,
    }
}

keys_with_egress! {
    struct TrunkKeys {
        name: Trunks,
        #[serde(default)]
        usages: Option<Spanned<Names>>,
        #[serde(default)]
        backup: Option<bool>,
        #[serde(default)]
        attempts: Option<u8>,
        #[serde(default)]
        location_restricted: Option<bool>,
    }
}

/// `[global]`
pub(crate) struct Global(pub(crate) Scope);
/// A `[[site]]`.
pub(crate) struct Site(Names, pub(crate) Scope);
/// A `[[trunk]]`.
pub(crate) struct Trunk(pub(crate) Trunks, pub(crate) Scope);

fn at_least_one(attempts: Option<u8>) -> Result<Option<u8>, String> {
    match attempts {
        Some(0) => Err("`attempts`: no trunk would be tried; write 1 or more".to_owned()),
        attempts => Ok(attempts),
    }
}

impl TryFrom<GlobalKeys> for Global {
    type Error = String;

    fn try_from(mut keys: GlobalKeys) -> Result<Self, String> {
        let egress = keys.egress()?;
        Ok(Global(Scope {
            usages: keys.usages,
            backup: keys.backup,
            attempts: at_least_one(keys.attempts)?,
            location_routing: keys.location_routing,
            egress,
            ..Scope::default()
        }))
    }
}

impl TryFrom<SiteKeys> for Site {
    type Error = String;

    fn try_from(mut keys: SiteKeys) -> Result<Self, String> {
        let egress = keys.egress()?;
        let scope = Scope {
            usages: keys.usages,
            backup: keys.backup,
            attempts: at_least_one(keys.attempts)?,
            location_routing: keys.location_routing,
            routing_usages: keys.routing_usages,
            egress,
            ..Scope::default()
        };
        Ok(Site(keys.name, scope))
    }
}

impl TryFrom<TrunkKeys> for Trunk {
    type Error = String;

    fn try_from(mut keys: TrunkKeys) -> Result<Self, String> {
        let egress = keys.egress()?;
        if keys.name.is_any() {
            return Err("no trunk has this name; write settings of all into [global]".to_owned());
        }
        let scope = Scope {
            usages: keys.usages,
            backup: keys.backup,
            attempts: at_least_one(keys.attempts)?,
            location_restricted: keys.location_restricted,
            egress,
            ..Scope::default()
        };
        Ok(Trunk(keys.name, scope))
    }
}

impl<'de> Deserialize<'de> for Global {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<GlobalKeys, _, _>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Site {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<SiteKeys, _, _>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Trunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<TrunkKeys, _, _>(deserializer)
    }
}

/// All scopes.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    all: Vec<Scope>,
    by_trunk: BTreeMap<Box<str>, Vec<usize>>,
    by_site: BTreeMap<Box<str>, Vec<usize>>,
    global: Vec<usize>,
    has_egress: bool,
    has_location: bool,
}

impl Scopes {
    pub(crate) fn new(global: Option<Global>, sites: Vec<Site>, trunks: Vec<Trunk>) -> Scopes {
        let mut scopes = Scopes::default();
        if let Some(Global(scope)) = global {
            let id = scopes.add(scope);
            scopes.global.push(id);
        }
        for Site(names, scope) in sites {
            let id = scopes.add(scope);
            for name in names.0 {
                scopes.by_site.entry(name).or_default().push(id);
            }
        }
        for Trunk(names, scope) in trunks {
            let id = scopes.add(scope);
            for name in names.names() {
                scopes.by_trunk.entry(name.clone()).or_default().push(id);
            }
        }
        scopes
    }

    fn add(&mut self, scope: Scope) -> usize {
        self.has_egress |= scope.egress.is_some();
        let on = Some(true);
        self.has_location |= scope.location_routing == on || scope.location_restricted == on;
        self.all.push(scope);
        self.all.len() - 1
    }

    /// Whether a trunk's site makes a difference.
    pub(crate) fn asks_for_sites(&self) -> bool {
        !self.by_site.is_empty()
    }

    /// Whether any trunk is subject to the rules of the sites.
    pub(crate) fn has_location(&self) -> bool {
        self.has_location
    }

    /// What the most specific scope of a trunk says that says anything.
    pub(crate) fn get<'a, T>(
        &'a self,
        trunk: &str,
        site: Option<&str>,
        key: impl Fn(&'a Scope) -> Option<T>,
    ) -> Option<T> {
        self.of(trunk, site).find_map(key)
    }

    /// Adds the settings of the way out to those of the route.
    pub(crate) fn add_egress<'a>(
        &'a self,
        trunk: &str,
        site: Option<&str>,
        layers: &mut Layers<'a>,
    ) {
        if self.has_egress {
            self.of(trunk, site)
                .for_each(|scope| layers.push(scope.egress.as_deref()));
        }
    }

    fn of<'a>(&'a self, trunk: &str, site: Option<&str>) -> impl Iterator<Item = &'a Scope> {
        let of_site = site.and_then(|site| self.by_site.get(site));
        let ids = [self.by_trunk.get(trunk), of_site, Some(&self.global)];
        ids.into_iter().flatten().flatten().map(|id| &self.all[*id])
    }
}
