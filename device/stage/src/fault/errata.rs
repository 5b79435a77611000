//! Errata: what real engines do wrong, each a name for several rules. `errata:NAME` stands wherever a rule does.

use super::filter::names;
use super::{Rule, RuleError};

/// A name, and the rules that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Erratum {
    /// The name.
    pub name: &'static str,
    /// What it reproduces.
    pub says: &'static str,
    /// It must be asked for as `errata:NAME(opt-in)`.
    pub opt_in: bool,
    /// In the one-line form.
    pub rules: &'static [&'static str],
}

/// What comes before a name.
const PREFIX: &str = "errata:";
/// What comes behind one that must be asked for.
const OPT_IN: &str = "(opt-in)";

/// All of them.
pub const ERRATA: &[Erratum] = &[
    Erratum {
        name: "bwd-msix-wipe",
        says: "Atom S1200 and BDX-DE: a channel reset empties the MSI-X table; drivers save and restore it",
        opt_in: false,
        rules: &["reset: always wipe"],
    },
    Erratum {
        name: "tbg0-spurious-parity",
        says: "TBG channel 0 (3430): DMAUNCERRSTS reports a parity error of configuration registers (bit 4) that there was none of",
        opt_in: false,
        rules: &["config[reg=DMAUNCERRSTS, op=read]: always set(0, 0x10, 4)"],
    },
    Erratum {
        name: "pre-icx-no-error-report",
        says: "engines before Ice Lake: a channel that halts says so neither by its completion word nor by an interrupt; only CHANSTS \
               and CHANERR tell",
        opt_in: false,
        rules: &["complete[state=halted]: always drop", "msix[state=halted]: always drop"],
    },
    Erratum {
        name: "hsw-e-config-unreachable",
        says: "Haswell-E: CHANERR_INT cannot be reached, its reads are all ones and its writes are lost",
        opt_in: false,
        rules: &[
            "config[reg=CHANERR_INT, op=read]: always all-ones",
            "config[reg=CHANERR_INT, op=write]: always drop",
        ],
    },
    Erratum {
        name: "hostile",
        says: "a device that attacks its driver: data read from and written to other memory that the client has mapped, wrong words, \
               and interrupts that nobody asked for",
        opt_in: true,
        rules: &[
            "write: p(0.02) misaddress(+4096)",
            "write: p(0.02) overrun(64)",
            "read: p(0.02) misaddress(-64)",
            "complete: p(0.02) misaddress(+4096)",
            "msix: p(0.02) storm(100)",
        ],
    },
];

/// The rules of one line: the rule that it is, or those of the erratum that it names.
///
/// # Errors
/// No such rule, no such erratum, or one that must be asked for in another way.
pub fn expand(text: &str) -> Result<Vec<Rule>, RuleError> {
    let Some(name) = text.trim().strip_prefix(PREFIX) else { return Ok(vec![text.parse()?]) };
    let name = name.trim();
    let (plain, asked) = name.strip_suffix(OPT_IN).map_or((name, false), |plain| (plain.trim(), true));
    let expected = |expected: String| RuleError::part(text, "erratum", name, expected);
    let found = ERRATA.iter().find(|erratum| erratum.name == plain);
    let erratum = found.ok_or_else(|| {
        let known = ERRATA.iter().map(|erratum| erratum.name);
        expected(format!("one of {}", names(known)))
    })?;
    if erratum.opt_in != asked {
        let form = if erratum.opt_in { OPT_IN } else { "" };
        return Err(expected(format!("'{PREFIX}{plain}{form}'")));
    }
    erratum.rules.iter().map(|rule| rule.parse()).collect()
}

/// The rules of several lines, in order.
///
/// # Errors
/// That of the first line that is wrong.
pub fn expand_all<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    for line in lines {
        rules.extend(expand(line)?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::super::{RuleContext, RulePlace, check_all};
    use super::*;

    #[test]
    fn each_erratum_is_rules_that_can_fire() {
        for erratum in ERRATA {
            let form = if erratum.opt_in { OPT_IN } else { "" };
            let rules = expand(&format!("errata:{}{form}", erratum.name)).unwrap();
            assert_eq!(rules.len(), erratum.rules.len());
            let context = RuleContext::new(4, 4, RulePlace::Device);
            assert_eq!(check_all(&rules, &context), Ok(()), "{}", erratum.name);
        }
    }

    #[test]
    fn hostile_must_be_asked_for_and_others_need_not() {
        let refused = |text: &str| expand(text).unwrap_err().to_string();
        assert!(refused("errata:hostile").contains("expected 'errata:hostile(opt-in)'"));
        assert!(refused("errata:bwd-msix-wipe(opt-in)").contains("expected 'errata:bwd-msix-wipe'"));
        assert!(refused("errata:none").contains("expected one of bwd-msix-wipe, tbg0-spurious-parity"));
        assert_eq!(expand_all(["errata:bwd-msix-wipe", "msix: nth(1) drop"]).unwrap().len(), 2);
    }
}
