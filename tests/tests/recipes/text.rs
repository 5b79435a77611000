//! Reads the recipes: files, fenced blocks, and lines of shell.

use std::fs;
use std::path::PathBuf;

/// A file of this repository.
pub(crate) fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// A file of `scripts/recipes`.
pub(crate) fn recipe(path: &str) -> PathBuf {
    source("scripts/recipes").join(path)
}

/// Its text.
pub(crate) fn read(path: &str) -> String {
    let path = recipe(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of a Markdown text whose fence says exactly this.
pub(crate) fn blocks(markdown: &str, fence: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    let mut inside_another = false;
    for line in markdown.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(block.take()),
            (Some(text), None) => *text += &format!("{line}\n"),
            (None, Some(said)) if said == fence && !inside_another => block = Some(String::new()),
            (None, Some(_)) => inside_another = !inside_another,
            _ => {}
        }
    }
    blocks
}

/// The only block with this fence.
pub(crate) fn block(path: &str, fence: &str) -> String {
    let mut blocks = blocks(&read(path), fence);
    assert_eq!(blocks.len(), 1, "{path}: blocks ```{fence}");
    blocks.remove(0)
}

/// Simple commands in lines of shell: the words of each, without redirections and settings. Good for recipes, not for any script.
pub(crate) fn commands(shell: &str) -> Vec<Vec<String>> {
    let joined = shell.replace("\\\n", " ");
    let mut commands = vec![Vec::new()];
    for line in joined.lines().filter(|line| !line.trim_start().starts_with('#')) {
        commands.push(Vec::new());
        for word in words(line) {
            if matches!(word.as_str(), "&&" | "|" | ";" | "||") {
                commands.push(Vec::new());
            } else {
                commands.last_mut().unwrap().push(word);
            }
        }
    }
    for command in &mut commands {
        let settings = command.iter().take_while(|word| is_setting(word)).count();
        command.drain(..settings);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
    })
}

/// Words between blanks; quotes hold a word together and go away.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, ';') => {
                words.extend(word.take());
                words.push(";".into());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn commands_are_split_where_the_shell_splits_them() {
    let found = commands("# no\nA=1 B_2='x y' prog --a 'b c' && other | third\n");
    assert_eq!(found, [vec!["prog", "--a", "b c"], vec!["other"], vec!["third"]]);
}
