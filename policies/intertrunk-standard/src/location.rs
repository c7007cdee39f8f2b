//! Location-based routing: which calls may leave their site, so that tolls are paid where the caller is.

use std::fmt;

use intertrunk_sdk::{TrunkFacts, TrunkKind};

use crate::scopes::Scopes;

/// Why a trunk may not be used, as an explanation says it.
pub(crate) enum Forbidden<'a> {
    /// The site of the caller reaches the PSTN by its own gateways only.
    NotLocal(&'a str),
    /// This trunk is for its own site only.
    Restricted(&'a str),
}

impl fmt::Display for Forbidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forbidden::NotLocal(site) => {
                write!(
                    f,
                    "calls of site {site} reach the PSTN by gateways of that site only"
                )
            }
            Forbidden::Restricted(trunk) => write!(f, "{trunk} is restricted to its own site"),
        }
    }
}

/// Why a call from one trunk must not go to another, if it must not. An SBC counts as a PBX.
pub(crate) fn forbidden<'a>(
    scopes: &Scopes,
    from: &'a TrunkFacts,
    to: &'a TrunkFacts,
) -> Option<Forbidden<'a>> {
    if from.site.is_some() && from.site == to.site {
        return None;
    }
    let is_restricted = |trunk: &&TrunkFacts| {
        scopes.get(&trunk.name, None, |scope| scope.location_restricted) == Some(true)
    };
    let restricted = [from, to].into_iter().find(is_restricted);
    let restricted = restricted.map(|trunk| Forbidden::Restricted(&trunk.name));
    let local_only = |trunk: &'a TrunkFacts| {
        let site = trunk.site.as_deref()?;
        is_routed(scopes, trunk).then_some(Forbidden::NotLocal(site))
    };
    match (is_pstn(from), is_pstn(to)) {
        (false, false) => None,
        (false, true) => local_only(from).or(restricted),
        (true, false) => restricted,
        (true, true) => local_only(from).or_else(|| local_only(to)).or(restricted),
    }
}

/// Whether the site of a trunk routes by location.
pub(crate) fn is_routed(scopes: &Scopes, trunk: &TrunkFacts) -> bool {
    let site = trunk.site.as_deref();
    scopes.get(&trunk.name, site, |scope| scope.location_routing) == Some(true)
}

pub(crate) fn is_pstn(trunk: &TrunkFacts) -> bool {
    trunk.kind == TrunkKind::Pstn
}
