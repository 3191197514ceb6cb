//! Money: whole numbers of minor units, in one of the currencies that the shop takes. There are no fractions anywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A currency. Each has a ledger of its own, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Currency {
    /// Euro, in cents.
    Eur,
    /// US dollar, in cents.
    Usd,
}

impl Currency {
    /// All that the shop takes.
    pub const ALL: [Self; 2] = [Self::Eur, Self::Usd];

    /// Its code in lower case: the name of its ledger.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Eur => "eur",
            Self::Usd => "usd",
        }
    }

    /// An amount of minor units for people: `€19.99`.
    #[must_use]
    pub fn show(self, minor: u64) -> String {
        let sign = match self {
            Self::Eur => '€',
            Self::Usd => '$',
        };
        format!("{sign}{}.{:02}", minor / 100, minor % 100)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|currency| currency.code() == text);
        found.ok_or_else(|| format!("{text:?} is no currency of the shop: use `eur` or `usd`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_with_two_places() {
        assert_eq!(Currency::Eur.show(1999), "€19.99");
        assert_eq!(Currency::Usd.show(5), "$0.05");
        assert_eq!("usd".parse(), Ok(Currency::Usd));
        assert!("USD".parse::<Currency>().is_err());
    }
}
