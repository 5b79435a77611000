//! What findings of the same cause have in common: class, fault, and the reason without its numbers.

use ioat_stage::Rule;

use super::class::Class;

/// The signature of an experiment's outcome.
#[must_use]
pub fn signature(class: Class, rules: &[Rule], reason: &str) -> String {
    let mut faults: Vec<_> =
        rules.iter().map(|rule| format!("{} {}", rule.point, rule.action.word())).collect();
    faults.sort_unstable();
    faults.dedup();
    let reason = without_numbers(reason);
    let parts = [class.name().to_owned(), faults.join(", "), reason];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// Numbers are `#`: times, addresses, counts, the numbers in names.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut number = false;
    let mut before = ' ';
    for letter in text.chars() {
        // `0x1f` is one number; the `e` of `some` is none.
        let goes_on = number && (letter.is_ascii_hexdigit() || matches!(letter, 'x' | '_'));
        let begins = letter.is_ascii_digit() && !before.is_ascii_alphabetic();
        if !goes_on {
            number = begins || (letter.is_ascii_digit() && before.is_ascii_alphabetic());
            out.push(if number { '#' } else { letter });
        }
        before = letter;
    }
    // When it happened is the beginning of what the simulator says.
    out.replace("at # ns: ", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_make_no_difference_and_words_do() {
        let rules = |text: &str| vec![text.parse::<Rule>().unwrap()];
        let one = signature(
            Class::SilentDataCorruption,
            &rules("copy[ch=0]: nth(3) corrupt(0)"),
            "corruption: at 12300 ns: client-0-1's target, batch 3: byte 0x1fe is 0x0b, must be 0x0a",
        );
        let two = signature(
            Class::SilentDataCorruption,
            &rules("copy[ch=1]: nth(9) corrupt(63, 0x80)"),
            "corruption: at 99 ns: client-0-0's target, batch 11: byte 0x3 is 0xff, must be 0x7f",
        );
        assert_eq!(one, two);
        assert_eq!(
            one,
            "silent-data-corruption | copy corrupt | corruption: client-#-#'s target, batch #: byte # is #, must be #"
        );
        assert_ne!(one, signature(Class::Hang, &rules("copy: nth(1) stall"), "deadlock: no task can go on"));
        assert_eq!(without_numbers("face of dead beef"), "face of dead beef");
    }
}
