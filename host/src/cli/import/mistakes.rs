//! Rules that do not do what they seem to be for; Microsoft's own documentation has some of them.

use super::plan::Rule;
use super::sample;
use super::value::Object;

/// What is probably wrong with a rule that is carried over as it is.
pub fn of(object: &Object, rule: &Rule) -> Vec<String> {
    let pattern = object.text("Pattern").unwrap_or_default();
    let mut found = Vec::new();
    if pattern.starts_with("^+") {
        found.push(
            "`^+` does not ask for a plus sign, since that is not escaped; probably `^\\+` is meant".to_owned(),
        );
    }
    let is_default = pattern == r"^(\d{11})$";
    if is_default {
        found.push(
            "it is about numbers of exactly 11 digits, while the documentation of \
             New-CsVoiceNormalizationRule says \"up to 11\""
                .to_owned(),
        );
    }
    let Some(number) = sample::of(&rule.pattern.hir) else {
        return found;
    };
    let Some(result) = sample::replaced(&rule.pattern, &number, &rule.to) else {
        return found;
    };
    let digits = result.trim_start_matches('+').len();
    let lost_its_country =
        number.len() == 11 && number.starts_with('1') && result == format!("+{}", &number[1..]);
    if lost_its_country {
        found.push(format!(
            "{number} becomes {result}, a number of another country: the 1 is lost. The example \
             LDCallingUS of Microsoft's documentation does the same; probably `+1$1` is meant"
        ));
    } else if result.starts_with("+1") && digits != 11 && !is_default && is_fixed(rule) {
        found.push(format!(
            "{number} becomes {result} with {digits} digits, and numbers of country code 1 have 11; \
             the example AddE164SeattleAreaCode of Microsoft's documentation does the same"
        ));
    }
    if rule.name.eq_ignore_ascii_case("StripPlus1") && result.len() == 10 {
        found.push(format!(
            "{number} becomes {result}; the example of this name in the documentation of \
             New-CsTeamsTranslationRule shows one digit less, which is its mistake"
        ));
    }
    found
}

/// Whether all its numbers have the same length.
fn is_fixed(rule: &Rule) -> bool {
    let properties = rule.pattern.hir.properties();
    properties.minimum_len() == properties.maximum_len()
}
