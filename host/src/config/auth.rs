//! `auth` and `credentials` of a trunk: what its peers have to show us, and what we show them.
//!
//! Passwords are read from a file or from the environment, so that they never stand in the configuration,
//! and are nowhere shown again.

use std::sync::Arc;

use intertrunk_proto::auth::{Door, Login, Secret};
use intertrunk_sip::auth::Algorithm;

use super::read::{At, Place, Section, Source};
use super::value::{self, Complaint};

/// Where a password is.
enum Password {
    File(At<String>),
    Env(At<String>),
}

/// `auth = { … }`
pub struct DoorEntry {
    pub place: Place,
    realm: Option<At<String>>,
    user: Option<At<String>>,
    password: Option<Password>,
    code: u16,
    algorithms: Vec<Algorithm>,
    anywhere: bool,
}

/// `credentials = { … }`
pub struct LoginEntry {
    user: Option<At<String>>,
    password: Option<Password>,
    realm: Option<At<String>>,
}

const USER: &str = "write user = \"4711\"";

/// Reads `auth`.
pub fn door(s: Section<'_>) -> DoorEntry {
    const REALM: &str = "write realm = \"sip.example.com\"";
    let names = |text: &str| match text {
        "sha-256" => Ok(Algorithm::Sha256),
        "md5" => Ok(Algorithm::Md5),
        _ => {
            let problem = format!("\"{text}\" is no algorithm that we have");
            Err(Complaint::new(problem, "write \"sha-256\" or \"md5\""))
        }
    };
    let algorithms = s.list("algorithms", names);
    s.not_empty("algorithms", "write algorithms = [\"sha-256\", \"md5\"]");
    let entry = DoorEntry {
        place: s.place().clone(),
        realm: s.required("realm", REALM, s.parsed("realm", quotable)),
        user: s.required("user", USER, s.parsed("user", quotable)),
        password: password(&s),
        code: match s.number::<u16>("code", 401..=407) {
            Some(at) if !matches!(at.value, 401 | 407) => {
                let remedy = "write 401, as a user agent, or 407, as a proxy";
                s.fault(&at.place, "is no challenge", remedy);
                401
            }
            at => at.map_or(401, |at| at.value),
        },
        algorithms: algorithms.map_or_else(
            || vec![Algorithm::Sha256, Algorithm::Md5],
            |all| all.into_iter().map(|at| at.value).collect(),
        ),
        anywhere: s.flag("anywhere").unwrap_or(false),
    };
    s.finish();
    entry
}

/// Reads `credentials`.
pub fn login(s: Section<'_>) -> LoginEntry {
    let entry = LoginEntry {
        user: s.required("user", USER, s.parsed("user", quotable)),
        password: password(&s),
        realm: s.parsed("realm", quotable),
    };
    s.finish();
    entry
}

fn password(s: &Section<'_>) -> Option<Password> {
    const REMEDY: &str =
        "write password_file = \"trunk.password\", or password_env = \"TRUNK_PASSWORD\"";
    let file = s.parsed("password_file", value::text).map(Password::File);
    let env = s.parsed("password_env", value::name).map(Password::Env);
    if let (Some(_), Some(Password::Env(at))) = (&file, &env) {
        s.fault(
            &at.place,
            "is one password too many",
            "leave one of the two out",
        );
    }
    s.required("password_file", REMEDY, file.or(env))
}

/// Text that can stand between quotes as it is.
fn quotable(text: &str) -> Result<String, Complaint> {
    let bad = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if text.is_empty() || text.chars().any(bad) {
        let problem = format!("{text:?} cannot stand between quotes");
        return Err(Complaint::new(
            problem,
            "leave out quotes and backslashes, and let something stand",
        ));
    }
    Ok(text.to_owned())
}

impl Password {
    fn get(&self, source: &Source<'_>) -> Option<Secret> {
        let (at, text) = match self {
            Password::File(at) => (at, super::read_text(source, at)?.1),
            Password::Env(at) => match std::env::var(&at.value) {
                Ok(text) => (at, text),
                Err(_) => {
                    let problem = format!("the environment has no text named {}", at.value);
                    source.fault(&at.place, problem, "set it where the service is started");
                    return None;
                }
            },
        };
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            source.fault(&at.place, "the password is empty", "put one there");
            return None;
        }
        Some(Secret::new(password))
    }
}

impl DoorEntry {
    /// The door; none after what is wrong with it was reported.
    pub fn build(&self, source: &Source<'_>) -> Option<Arc<Door>> {
        let password = self.password.as_ref()?.get(source)?;
        Some(Arc::new(Door {
            realm: self.realm.as_ref()?.value.as_str().into(),
            user: self.user.as_ref()?.value.as_str().into(),
            password,
            code: self.code,
            algorithms: self.algorithms.as_slice().into(),
            anywhere: self.anywhere,
        }))
    }
}

impl LoginEntry {
    /// The login; none after what is wrong with it was reported.
    pub fn build(&self, source: &Source<'_>) -> Option<Arc<Login>> {
        let password = self.password.as_ref()?.get(source)?;
        Some(Arc::new(Login {
            user: self.user.as_ref()?.value.as_str().into(),
            password,
            realm: self.realm.as_ref().map(|at| at.value.as_str().into()),
        }))
    }
}
