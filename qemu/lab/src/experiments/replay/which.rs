//! Which experiment is meant: a journal or a campaign's file and an id, rules and a seed, or a line that says all that.

use std::path::{Path, PathBuf};

use ioat_stage::Rule;

use super::super::campaign::Campaign;
use super::super::exit::Trouble;
use super::super::experiment::{Experiment, Id};
use super::super::journal::{self, Journal, JournalError};
use super::super::place;
use super::super::plan::{self, Plan};
use super::super::record::{Header, Outcome, Record};

/// What a command line says of it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Which {
    /// A journal (JSON lines) or a campaign's file, and an id; or one text, the line that a result gives for its replay
    #[arg(value_name = "FILE [ID]", num_args = 1..=2)]
    what: Vec<String>,
    /// The campaign's file, where a journal does not say it or it is elsewhere now
    #[arg(long, value_name = "FILE")]
    campaign: Option<PathBuf>,
    /// With a campaign's file and no id: a rule. May be given several times
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// With a campaign's file and no id: the seed [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// The experiment that is meant.
#[derive(Clone, Debug)]
pub struct Meant {
    /// Its campaign.
    pub campaign: Campaign,
    /// It.
    pub experiment: Experiment,
    /// What came of it when it was recorded.
    pub record: Option<Outcome>,
    /// The journal that it is recorded in, and that one's first header.
    pub journal: Option<(PathBuf, Header)>,
}

impl Meant {
    /// Adds a record to the journal, if there is one. True if there is.
    ///
    /// # Errors
    /// [`Trouble`]: the file cannot be used.
    pub fn note(&self, record: &Record) -> Result<bool, Trouble> {
        let Some((path, header)) = &self.journal else { return Ok(false) };
        let (mut journal, _) = Journal::resume(path, header).map_err(trouble)?;
        journal.append(record).map_err(trouble)?;
        Ok(true)
    }
}

impl Which {
    /// Finds it.
    ///
    /// # Errors
    /// [`Trouble::Usage`] when a file or an id is not what it should be.
    pub fn find(&self) -> Result<Meant, Trouble> {
        if let [line] = self.what.as_slice() {
            if let Some(words) = words_of_line(line)? {
                return parsed(words)?.find();
            }
        }
        let missing =
            || Trouble::Usage("which experiment? Give a journal or a campaign's file, and an id".into());
        let file = Path::new(self.what.first().ok_or_else(missing)?);
        let text = read(file)?;
        if text.trim_start().starts_with('{') {
            return self.of_journal(file);
        }
        let campaign = Campaign::parse(&text, &file.display().to_string())?;
        let experiment = match self.what.get(1) {
            Some(id) => self.planned(&campaign, id)?,
            None => self.written(&campaign)?,
        };
        Ok(Meant { campaign, experiment, record: None, journal: None })
    }

    /// The rules and the seed of the command line.
    fn written(&self, campaign: &Campaign) -> Result<Experiment, Trouble> {
        if self.rule.is_empty() && self.seed.is_none() {
            let text = format!(
                "{}: this is a campaign's file: which experiment? Give an id of `netdma-lab experiment plan {0}`, or --rule RULE \
                 and --seed N",
                campaign.file
            );
            return Err(Trouble::Usage(text));
        }
        let rules = self.rule.iter().map(|rule| rule.parse::<Rule>()).collect::<Result<Vec<_>, _>>();
        let rules = rules.map_err(|error| Trouble::Usage(format!("--rule: {error}")))?;
        Ok(plan::experiment(campaign, rules, self.seed.unwrap_or(0)))
    }

    fn planned(&self, campaign: &Campaign, id: &str) -> Result<Experiment, Trouble> {
        self.nothing_else("an id")?;
        let mut place = place::open(campaign)?;
        let all = Plan::make(campaign, &mut *place)?.experiments.into_iter();
        let found = all.map(|planned| planned.experiment).find(|experiment| experiment.id.0 == id);
        found.ok_or_else(|| {
            Trouble::Usage(format!(
                "{}: it has no experiment '{id}': `netdma-lab experiment plan {0}` lists them",
                campaign.file
            ))
        })
    }

    fn of_journal(&self, file: &Path) -> Result<Meant, Trouble> {
        self.nothing_else("a journal")?;
        let place = file.display();
        let id = self.what.get(1).ok_or_else(|| {
            Trouble::Usage(format!(
                "{place}: this is a journal: which experiment? Give the id of one of its lines"
            ))
        })?;
        let (first, header, record) = recorded(file, &Id(id.clone()))?;
        let campaign = Campaign::load(&self.campaign_of(file, &record)?)?;
        if campaign.spec != header.spec {
            return Err(Trouble::Usage(format!(
                "{place}: its campaign's hash is {}, and that of {} is {}: the file was changed since, or is another one: give \
                 the right one as --campaign FILE",
                header.spec, campaign.file, campaign.spec
            )));
        }
        let rules = record.rules.iter().map(|rule| rule.parse::<Rule>()).collect::<Result<Vec<_>, _>>();
        let rules = rules.map_err(|error| Trouble::Usage(format!("{place}: experiment {id}: {error}")))?;
        let experiment = Experiment { id: record.id.clone(), rules, seed: record.seed };
        let journal = Some((file.to_owned(), first));
        Ok(Meant { campaign, experiment, record: Some(record), journal })
    }

    /// The campaign's file of a record: as told, or as its replay line says, from here or from beside the journal.
    fn campaign_of(&self, journal: &Path, record: &Outcome) -> Result<PathBuf, Trouble> {
        if let Some(told) = &self.campaign {
            return Ok(told.clone());
        }
        let words = words_of_line(&record.replay)?.unwrap_or_default();
        let named = words.iter().find(|word| word.ends_with(".toml")).map(PathBuf::from);
        let beside = |name: &PathBuf| Some(journal.parent()?.join(name.file_name()?));
        // `try` names no file, and leaves its campaign beside its journal.
        let own = || beside(&PathBuf::from("campaign.toml"));
        let places = match &named {
            Some(name) => [Some(name.clone()), beside(name)],
            None => [own(), None],
        };
        let found = places.into_iter().flatten().find(|path| path.is_file());
        found.ok_or_else(|| {
            let named = named.map_or_else(|| "none".to_owned(), |name| format!("'{}'", name.display()));
            Trouble::Usage(format!(
                "{}: the campaign's file that experiment {} names is {named}, which is not here: give it as --campaign FILE",
                journal.display(),
                record.id
            ))
        })
    }

    fn nothing_else(&self, with: &str) -> Result<(), Trouble> {
        if self.rule.is_empty() && self.seed.is_none() {
            return Ok(());
        }
        Err(Trouble::Usage(format!(
            "--rule and --seed with {with}: it has its own rules and its seed: leave them out"
        )))
    }
}

fn read(file: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(file).map_err(|error| Trouble::Usage(format!("{}: {error}", file.display())))
}

/// The first header, the one that is in force at the last record of this id, and that record. A last line that was cut
/// short is none.
fn recorded(file: &Path, id: &Id) -> Result<(Header, Header, Outcome), Trouble> {
    let contents = journal::read(file).map_err(trouble)?;
    let (mut first, mut header, mut found) = (None, None, None);
    for record in contents.records {
        match record {
            Record::Header(one) => {
                first.get_or_insert_with(|| one.clone());
                header = Some(one);
            }
            Record::Result(one) if one.id == *id => found = header.clone().map(|header| (header, *one)),
            Record::Result(_) | Record::Minimal(_) => {}
        }
    }
    let missing = || Trouble::Usage(format!("{}: it has no result of an experiment '{id}'", file.display()));
    let ((header, outcome), first) = found.zip(first).ok_or_else(missing)?;
    Ok((first, header, outcome))
}

fn trouble(error: JournalError) -> Trouble {
    if error.is_infra() { Trouble::Infra(error.into()) } else { Trouble::Usage(error.to_string()) }
}

/// The words after the verb of a line that begins with this program; none if it is no such line.
fn words_of_line(line: &str) -> Result<Option<Vec<String>>, Trouble> {
    let mut words = words(line)?;
    let ours = words.len() > 3
        && Path::new(&words[0]).file_name().is_some_and(|name| name == "netdma-lab")
        && words[1] == "experiment";
    Ok(ours.then(|| words.split_off(3)))
}

/// A shell's words: blanks part them, quotes keep them together, a backslash outside of quotes takes the next letter as it is.
fn words(line: &str) -> Result<Vec<String>, Trouble> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(one) = letters.next() {
        match (quote, one) {
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(open), _) if open == one => quote = None,
            (None, '\'' | '"') => {
                quote = Some(one);
                word.get_or_insert_default();
            }
            (None, _) if one.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(one),
        }
    }
    if quote.is_some() {
        return Err(Trouble::Usage(format!("'{line}': a quote is not closed")));
    }
    words.extend(word);
    Ok(words)
}

fn parsed(words: Vec<String>) -> Result<Which, Trouble> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        which: Which,
        // Of the line itself; how often is said anew.
        #[arg(long)]
        times: Option<u32>,
    }
    let line = std::iter::once("replay".to_owned()).chain(words);
    let parsed = <Line as clap::Parser>::try_parse_from(line).map_err(|error| {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Trouble::Usage(format!("the replay line: {first}"))
    })?;
    let _ = parsed.times;
    Ok(parsed.which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_shells() {
        let line = "netdma-lab experiment replay own.toml --seed 3 --rule 'msix: nth(3) drop' 'it'\\''s' ''";
        let expected =
            ["own.toml", "--seed", "3", "--rule", "msix: nth(3) drop", "it's", ""].map(str::to_owned);
        assert_eq!(words_of_line(line).unwrap(), Some(expected.to_vec()));
        assert_eq!(words_of_line("own.toml").unwrap(), None);
        assert!(words_of_line("netdma-lab 'x").is_err());
        let which = parsed(expected[..5].to_vec()).unwrap();
        assert_eq!((which.what, which.seed, which.rule.len()), (vec!["own.toml".to_owned()], Some(3), 1));
    }
}
