//! The keys of a pattern, for tables of the dial plan that have them among their own.

/// A table of these keys and those of a pattern; with the name of another macro before it, also of that one's.
/// Written out by a macro, since serde cannot both flatten one struct into another and refuse keys that it does
/// not know.
macro_rules! keys_with_pattern {
    (struct $name:ident { $($fields:tt)* }) => {
        $crate::pattern_keys::keys_with_pattern! {
            $crate::pattern_keys::keys => struct $name { $($fields)* }
        }
    };
    ($keys:path => struct $name:ident { $($fields:tt)* }) => {
        $keys! {
            struct $name {
                $($fields)*
                #[serde(default)]
                prefix: $crate::values::Names,
                #[serde(default, rename = "match")]
                expr: Option<::intertrunk_sdk::rules::Expr>,
                #[serde(default)]
                except: $crate::values::Names,
                #[serde(default)]
                length: Option<u16>,
                #[serde(default)]
                length_min: Option<u16>,
                #[serde(default)]
                length_max: Option<u16>,
            }
        }

        impl $name {
            /// Takes out what is said of the pattern.
            fn pattern(&mut self) -> ::intertrunk_sdk::rules::PatternKeys {
                ::intertrunk_sdk::rules::PatternKeys {
                    prefix: ::std::mem::take(&mut self.prefix),
                    expr: self.expr.take(),
                    except: ::std::mem::take(&mut self.except),
                    length: self.length,
                    length_min: self.length_min,
                    length_max: self.length_max,
                }
            }
        }
    };
}
pub(crate) use keys_with_pattern;

/// A table of these keys and no others.
macro_rules! keys {
    (struct $name:ident { $($fields:tt)* }) => {
        #[derive(::serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { $($fields)* }
    };
}
pub(crate) use keys;
