//! JSON's integers, told from what fits a Rust type: the first question is the
//! frame's type (`bad_frame`), the second its value (`invalid`).

use serde::{Deserialize, Deserializer, de};

use crate::time::Micros;

/// Any JSON integer, however large or negative: whether it makes sense is asked later.
///
/// JSON has one kind of number, so `1.0` and `1e3` are integers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer(i128);

/// An integer below what the field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not below 0")]
pub(crate) struct Negative;

impl Integer {
    /// The nearest `u64`; a position beyond all positions is the last one.
    pub(crate) fn unsigned(self) -> Result<u64, Negative> {
        if self.0 < 0 { Err(Negative) } else { Ok(u64::try_from(self.0).unwrap_or(u64::MAX)) }
    }

    /// The nearest moment.
    pub(crate) fn micros(self) -> Micros {
        Micros(self.0.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The value itself, where the type holds it.
    pub(crate) fn exactly<T: TryFrom<i128>>(self) -> Option<T> {
        T::try_from(self.0).ok()
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Integer;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Integer, E> {
                Ok(Integer(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Integer, E> {
                Ok(Integer(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Integer, E> {
                // An integer beyond 64 bits, or one written as 1.0 or 1e6, arrives here.
                if value.fract() == 0.0 {
                    Ok(Integer(value as i128))
                } else {
                    Err(E::invalid_type(de::Unexpected::Float(value), &self))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// `deserialize_with` for a field that has to hold the integer exactly.
pub(crate) fn exact<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i128>,
    D: Deserializer<'de>,
{
    Integer::deserialize(deserializer)?
        .exactly()
        .ok_or_else(|| de::Error::custom("an integer out of range"))
}

/// [`exact`] for a field that may be absent or `null`.
pub(crate) fn exact_or_none<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<i128>,
    D: Deserializer<'de>,
{
    Option::<Integer>::deserialize(deserializer)?
        .map(|integer| {
            integer.exactly().ok_or_else(|| de::Error::custom("an integer out of range"))
        })
        .transpose()
}

/// `deserialize_with` for a field where `null` means 0, as absence does.
pub(crate) fn null_is_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(exact_or_none(deserializer)?.unwrap_or(0))
}
