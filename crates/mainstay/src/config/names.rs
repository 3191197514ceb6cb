//! The known name that a mistyped one probably meant.

/// The candidate nearest to `written`, if it is near enough to be what was meant: one edit for a short name,
/// a third of the letters for a long one.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let written = fold(written);
    let length = written.chars().count();
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|it| length.abs_diff(it.chars().count()) <= allowed)
        .map(|it| (strsim::damerau_levenshtein(&written, &fold(it)), it))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it.to_owned())
}

/// Case and the choice of separator are no difference.
fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["listen", "telemetry", "data", "node"];
        assert_eq!(nearest("lsiten", known).as_deref(), Some("listen"));
        assert_eq!(nearest("Telemetry", known).as_deref(), Some("telemetry"));
        assert_eq!(nearest("telemtry", known).as_deref(), Some("telemetry"));
        assert_eq!(nearest("nod", known).as_deref(), Some("node"));
        assert_eq!(nearest("routes", known), None);
    }
}
