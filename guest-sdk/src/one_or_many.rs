//! One value or several, as people like to write them.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// A text or a list of texts in the settings: `"a"` or `["a", "b"]`; or a table or a list of tables.
///
/// ```
/// use intertrunk_sdk::{settings, OneOrMany};
///
/// #[derive(serde::Deserialize)]
/// struct Settings { to: OneOrMany<String> }
///
/// let one: Settings = settings("to = 'gw-a'").unwrap();
/// assert_eq!(one.to.0, ["gw-a"]);
/// let many: Settings = settings("to = ['gw-a', 'gw-b']").unwrap();
/// assert_eq!(many.to.0, ["gw-a", "gw-b"]);
/// ```
#[derive(Clone, Debug)]
pub struct OneOrMany<T>(
    /// In the order in which they are written.
    pub Vec<T>,
);

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

            fn visit_map<A: MapAccess<'de>>(self, one: A) -> Result<Self::Value, A::Error> {
                let one = T::deserialize(MapAccessDeserializer::new(one))?;
                Ok(OneOrMany(vec![one]))
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
