//! One name or several, as people like to write them.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};
use toml::Spanned;

/// What stands for every trunk.
pub(crate) const ANY: &str = "*";

/// `"a"` or `["a", "b"]`.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: Error>(self, one: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany(vec![T::deserialize(one.into_deserializer())?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut many: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = many.next_element()? {
                    all.push(one);
                }
                Ok(OneOrMany(all))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

/// Names of trunks, and where they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Trunks(Spanned<OneOrMany<String>>);

impl Trunks {
    pub(crate) fn names(&self) -> &[String] {
        &self.0.get_ref().0
    }

    /// Whether every trunk is meant.
    pub(crate) fn is_any(&self) -> bool {
        self.names().iter().any(|name| name == ANY)
    }

    /// Whether this trunk is meant.
    pub(crate) fn include(&self, trunk: &str) -> bool {
        self.names().iter().any(|name| name == ANY || name == trunk)
    }

    /// Where the names begin, in bytes of the dial plan.
    pub(crate) fn offset(&self) -> usize {
        self.0.span().start
    }
}

impl Default for Trunks {
    /// Every trunk: what a key that is left out means.
    fn default() -> Self {
        Trunks(Spanned::new(0..0, OneOrMany(vec![ANY.to_owned()])))
    }
}
