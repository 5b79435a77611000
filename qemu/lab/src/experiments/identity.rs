//! What makes two experiments the same: hashes of what is run, not of how its file is written.

use ioat_stage::Rule;
use sha2::{Digest, Sha256};

use super::experiment::Id;

/// The version of the format of journals and of what goes into an id. A change of either is a new campaign.
pub(super) const FORMAT: u32 = 1;

/// The hashes of a campaign's file.
pub(super) struct Hashes {
    /// Of what an experiment runs.
    pub(super) workload: String,
    /// Of everything that decides what the experiments are.
    pub(super) spec: String,
}

/// The hashes of a file's text. Comments, the order of keys, names and `known` findings make no difference.
pub(super) fn of_file(text: &str, place: &str) -> Result<Hashes, String> {
    let mut all: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    all.remove("name");
    all.remove("known");
    let head = all.get_mut("campaign").and_then(toml::Value::as_table_mut);
    if let Some(head) = head {
        head.remove("name");
        head.remove("place");
    }
    let mut workload = all.clone();
    for choice in ["sweep", "random", "set"] {
        workload.remove(choice);
    }
    if let Some(head) = workload.get_mut("campaign").and_then(toml::Value::as_table_mut) {
        head.remove("seeds");
    }
    // An empty table says as much as none; an empty [sweep] says a lot.
    for table in [&mut workload, &mut all] {
        let head = table.get("campaign").and_then(toml::Value::as_table);
        if head.is_some_and(toml::Table::is_empty) {
            table.remove("campaign");
        }
    }
    // Tables are sorted by key, so this is one text for one meaning.
    let canonical = |table: &toml::Table| serde_json::to_string(table).map_err(|error| error.to_string());
    let format = FORMAT.to_string();
    Ok(Hashes {
        workload: digest(&[&format, &canonical(&workload)?]),
        spec: digest(&[&format, place, &canonical(&all)?])[..16].to_owned(),
    })
}

/// The id of an experiment.
pub(super) fn id(place: &str, workload: &str, rules: &[Rule], seed: u64) -> Id {
    let mut parts = vec![FORMAT.to_string(), place.to_owned(), workload.to_owned()];
    parts.extend(rules.iter().map(Rule::to_string));
    parts.push(seed.to_string());
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    Id(digest(&parts)[..12].to_owned())
}

/// SHA-256 of the parts, each with its length before it, so that no two lists are one text.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_each_of_its_parts_and_on_nothing_else() {
        let rule: Rule = "msix[ch=0]: nth(3) drop".parse().unwrap();
        let base = id("sim", "w", std::slice::from_ref(&rule), 7);
        assert_eq!(base, id("sim", "w", &["msix[ch=0]:nth(3)  drop".parse().unwrap()], 7));
        assert_eq!(base.0.len(), 12);
        let others = [
            id("socket", "w", std::slice::from_ref(&rule), 7),
            id("sim", "v", std::slice::from_ref(&rule), 7),
            id("sim", "w", &[rule.clone(), rule.clone()], 7),
            id("sim", "w", &[], 7),
            id("sim", "w", &[rule], 8),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn comments_order_and_names_change_no_hash_and_values_do() {
        let hashes = |text| of_file(text, "sim").unwrap();
        let one = hashes("name = 'a'\n[device]\nchannels = 2\nlint = true\n[sweep]\n");
        let two = hashes("# hello\n[sweep]\n[campaign]\nname = 'b'\n[device]\nlint = true\nchannels = 2\n");
        assert_eq!((one.workload.as_str(), &one.spec), (two.workload.as_str(), &two.spec));
        let three = hashes("[device]\nchannels = 3\nlint = true\n[sweep]\n");
        assert_ne!(one.workload, three.workload);
        let four = hashes("[device]\nchannels = 2\nlint = true\n[sweep]\noccurrences = 2\n");
        assert_eq!(one.workload, four.workload);
        assert_ne!(one.spec, four.spec);
    }
}
