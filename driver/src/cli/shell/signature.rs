//! A call as the API's documentation writes it, taken apart: what stands in which place.

/// One way to call a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Signature {
    /// All of it, as it is shown.
    pub(super) text: String,
    pub(super) name: String,
    /// Called on a value, after a dot.
    pub(super) method: bool,
    pub(super) parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parameter {
    /// Its name; empty where the documentation only shows values.
    pub(super) name: String,
    /// The texts that it can be, where the documentation has them, as in `"intx"|"msi"|"msix"`.
    pub(super) choices: Vec<String>,
}

/// The ways to call a function, of the lines (or parts between two semicolons) of its documentation. What is no call is left out.
pub(super) fn signatures(call: &str) -> Vec<Signature> {
    call.lines().filter_map(|line| signature(line.trim())).collect()
}

fn signature(line: &str) -> Option<Signature> {
    let (head, rest) = line.split_once('(')?;
    let (receiver, name) = match head.rsplit_once('.') {
        Some((receiver, name)) => (Some(receiver), name),
        None => (None, head),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let inner = &rest[..closing(rest)?];
    let parameters = split(inner).into_iter().map(parameter).collect();
    is_name.then(|| Signature {
        text: line.into(),
        name: name.into(),
        method: receiver.is_some(),
        parameters,
    })
}

fn parameter(text: &str) -> Parameter {
    let quoted = text.split('"').skip(1).step_by(2).map(Into::into);
    // A map shows the values of its keys, not of itself.
    let choices = if text.starts_with("#{") { Vec::new() } else { quoted.collect() };
    let name = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    Parameter { name: name.into(), choices }
}

/// Where the bracket closes that was opened before `rest`.
fn closing(rest: &str) -> Option<usize> {
    let mut depth = 1_usize;
    rest.char_indices()
        .find(|(_, c)| {
            depth = after(depth, *c);
            depth == 0
        })
        .map(|(at, _)| at)
}

/// The parts between the commas that are in no bracket.
fn split(inner: &str) -> Vec<&str> {
    let mut depth = 1;
    let parts = inner.split(|c| {
        depth = after(depth, c);
        depth == 1 && c == ','
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn after(depth: usize, c: char) -> usize {
    match c {
        '(' | '[' | '{' => depth + 1,
        ')' | ']' | '}' => depth.saturating_sub(1),
        _ => depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_its_parameters_and_their_values() {
        let all = signatures(
            "irq_enable(\"intx\"|\"msi\"|\"msix\", count)\nbuffer.compare(off, other, other_off, len) -> offset",
        );
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].method), ("irq_enable", false));
        assert_eq!(all[0].parameters[0].choices, ["intx", "msi", "msix"]);
        assert_eq!(all[0].parameters[1], Parameter { name: "count".into(), choices: Vec::new() });
        assert_eq!((all[1].name.as_str(), all[1].method, all[1].parameters.len()), ("compare", true, 4));
    }

    #[test]
    fn brackets_within_parameters_split_nothing() {
        let all = signatures("dma(len, #{iova: N, access: \"rw\"|\"r\"}) -> Buffer");
        let names: Vec<_> = all[0].parameters.iter().map(|p| (p.name.as_str(), p.choices.len())).collect();
        assert_eq!(names, [("len", 0), ("", 0)]);
        let all = signatures("wait_until(|| cond(), timeout_ms) -> value");
        assert_eq!(all[0].parameters.len(), 2);
    }

    #[test]
    fn what_is_no_call_is_left_out() {
        assert_eq!(signatures("ARGS\nbroken(\n.iova -> integer"), []);
    }
}
