//! Rules in files: a string in the one-line form, or a table with the same words as keys.
//!
//! ```toml
//! fault = ["msix[ch=0]: nth(3) drop", "errata:bwd-msix-wipe"]
//!
//! [[fault]]                   # or tables: each key is a word of the one-line form
//! name = "gone"
//! point = "register"
//! op = "read"                 # a filter, as a string; a number need not be one
//! ch = 0
//! reg = "CHANSTS"
//! after = "lost"              # as a string: the filter; as a number: the trigger after(N)
//! nth = 3                     # a trigger; `p = 0.01` or `p = "0.01, SEED"`, `always = true`
//! when = "every(2) times(3)"  # triggers in the one-line form, beside those with a key of their own
//! action = "corrupt(17, 0x80)"
//! ```

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::errata::expand;
use super::filter::names;
use super::parse::{Draft, name_of, words};
use super::{FILTERS, Rule, RuleError, TRIGGERS};

/// The keys that are neither filters nor triggers.
const PLAIN: [&str; 4] = ["name", "point", "when", "action"];

/// What stands for the rule in errors.
const TABLE: &str = "[[fault]]";

const EXPECTED: &str =
    "a fault rule: a string in the one-line form, or a table with `point`, a trigger and `action`";

/// What stands where a rule may: a rule, or an erratum, which stands for several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written(pub Vec<Rule>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either).map(Self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let rules = from.deserialize_any(Either)?;
        let count = rules.len();
        let [rule] = <[Self; 1]>::try_from(rules)
            .map_err(|_| D::Error::custom(format!("found an erratum of {count} rules, expected one rule")))?;
        Ok(rule)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Vec<Rule>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<Rule>, E> {
        expand(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Vec<Rule>, A::Error> {
        let mut draft = Draft::of(TABLE);
        while let Some(Key(key)) = table.next_key()? {
            // Read inside, so that the error's place is the value's.
            table.next_value_seed(Value { draft: &mut draft, key: &key })?;
        }
        draft.finish().map(|rule| vec![rule]).map_err(A::Error::custom)
    }
}

/// A key that there is.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let key = String::deserialize(from)?;
        if keys().any(|known| known == key) {
            return Ok(Self(key));
        }
        Err(D::Error::custom(format!("fault rule: unknown key '{key}': expected one of {}", names(keys()))))
    }
}

fn keys() -> impl Iterator<Item = &'static str> {
    let words = FILTERS.iter().chain(TRIGGERS).map(|form| form.word);
    // `after` is both.
    PLAIN.into_iter().chain(
        words.enumerate().filter(|(at, word)| *at < FILTERS.len() || *word != "after").map(|(_, word)| word),
    )
}

/// The value of a key, into the rule.
struct Value<'a, 'b> {
    draft: &'a mut Draft<'b>,
    key: &'a str,
}

impl Value<'_, '_> {
    fn put(self, text: &str, is_text: bool) -> Result<(), RuleError> {
        let Self { draft, key } = self;
        let part = &*format!("key '{key}':");
        match key {
            "name" => draft.name = Some(name_of(TABLE, text)?),
            "point" => draft.point(part, text)?,
            "action" => draft.action(part, text)?,
            "when" => words(text).into_iter().try_for_each(|word| draft.trigger(part, word))?,
            "always" if text == "true" => draft.trigger(part, "always")?,
            "always" => return Err(RuleError::part(TABLE, part, text, "true, or no such key")),
            "after" if !is_text => draft.trigger(part, &format!("after({text})"))?,
            filter if FILTERS.iter().any(|form| form.word == filter) => {
                draft.filter(part, text, filter, text)?
            }
            trigger => draft.trigger(part, &format!("{trigger}({text})"))?,
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string, a number or true as the value of `{}`", self.key)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.put(text, true).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.put(&number.to_string(), false).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.put(&number.to_string(), false).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.put(&number.to_string(), false).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<(), E> {
        self.put(if is { "true" } else { "false" }, false).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct File {
        fault: Vec<Written>,
    }

    fn read(text: &str) -> Vec<String> {
        let file: File = toml::from_str(text).unwrap();
        file.fault.into_iter().flat_map(|written| written.0).map(|rule| rule.to_string()).collect()
    }

    fn refused(table: &str) -> (usize, String) {
        let text = format!("[[fault]]\n{table}");
        let error = toml::from_str::<File>(&text).unwrap_err();
        let line = text[..error.span().unwrap().start].matches('\n').count();
        (line, error.message().to_owned())
    }

    #[test]
    fn a_table_and_a_line_are_the_same_rule() {
        let table = "[[fault]]\nname = 'gone'\npoint = 'register'\nch = 0\nreg = 'CHANSTS'\nop = 'read'\nsize = '4..9'\n\
                     t = '1ms..'\nafter = 'lost'\nevery = 3\ntimes = 2\np = 0.25\nwhen = 'after(7)'\naction = 'all-ones'\n";
        let line = "gone = register[ch=0, reg=CHANSTS, op=read, size=4..9, t=1ms.., after=lost]: \
                    every(3) after(7) p(0.25) times(2) all-ones";
        assert_eq!(read(table), [line]);
        assert_eq!(read(&format!("fault = [\"{line}\"]")), [line]);
        let shuffled = line
            .replace("ch=0, reg=CHANSTS", "reg=CHANSTS, ch=0")
            .replace("every(3) after(7)", "after(7) every(3)");
        assert_eq!(read(&format!("fault = [\"{shuffled}\"]")), [line], "in any order");
        let other = "[[fault]]\npoint = 'msix'\nafter = 5\narmed = 'command'\nname = 'x'\naction = 'drop'\n\
                     [[fault]]\npoint = 'write'\naddr = 0x1000\nalways = true\naction = 'drop'";
        let written = ["x = msix[armed=command]: after(5) drop", "write[addr=0x1000]: always drop"];
        assert_eq!(read(other), written);
    }

    #[test]
    fn an_erratum_stands_for_its_rules_and_one_rule_is_one() {
        assert_eq!(read("fault = ['errata:bwd-msix-wipe', 'msix: nth(1) drop']").len(), 2);
        let one: Result<Rule, _> = serde_json::from_str("\"errata:hostile(opt-in)\"");
        assert!(one.unwrap_err().to_string().contains("expected one rule"));
        let rule: Rule = "msix[ch=0]: nth(1) drop".parse().unwrap();
        let text = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), rule);
    }

    #[test]
    fn a_wrong_table_names_the_key_and_its_line() {
        for (table, line, part) in [
            (
                "point = 'msix'\nnht = 3\naction = 'drop'",
                2,
                "unknown key 'nht': expected one of name, point, when",
            ),
            ("point = 'irq'\nnth = 3\naction = 'drop'", 1, "key 'point': 'irq': expected a point: config"),
            (
                "point = 'msix'\nch = 99\nnth = 3\naction = 'drop'",
                2,
                "key 'ch': '99': expected 'ch=N' with N from 0",
            ),
            (
                "point = 'msix'\nnth = 0\naction = 'drop'",
                2,
                "key 'nth': 'nth(0)': expected 'nth(N)' with a number",
            ),
            ("point = 'msix'\nnth = 1\naction = 'explode'", 3, "key 'action': 'explode': expected an action"),
            (
                "point = 'msix'\nnth = [1]\naction = 'drop'",
                2,
                "expected a string, a number or true as the value of `nth`",
            ),
            ("point = 'msix'\nalways = false\naction = 'drop'", 2, "expected true"),
            (
                "point = 'msix'\nwhen = 'every(2) often'\naction = 'drop'",
                2,
                "key 'when': 'often': expected a trigger",
            ),
            ("point = 'msix'\naction = 'drop'", 0, "there is no trigger"),
            ("point = 'msix'\nnth = 1\naction = 'stall'", 0, "msix cannot stall; stall works at fetch"),
        ] {
            let (at, error) = refused(table);
            assert!(at == line && error.contains(part), "{table}: line {at}: {error}");
        }
        let error = toml::from_str::<File>("fault = [3]").unwrap_err();
        assert!(error.message().contains("expected a fault rule: a string"), "{error}");
    }
}
