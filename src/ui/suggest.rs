//! Suggestions for misspelt names. Pure.

use strsim::osa_distance;

/// The edit distance of two words: the number of letters added, dropped, changed, or swapped with their neighbour.
pub fn edit_distance(one: &str, other: &str) -> usize {
    osa_distance(one, other)
}

/// The candidates that `word` may be a misspelling of, the nearest first: with an edit distance of at most `within`,
/// and less for short words.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, within: usize) -> Vec<&'a str> {
    let with_distance = |candidate: &'a str| (edit_distance(word, candidate), candidate);
    let near = |(distance, candidate): &(usize, &str)| {
        *distance <= within && distance * 3 <= word.chars().count().max(candidate.chars().count())
    };
    let mut near: Vec<_> = candidates.into_iter().map(with_distance).filter(near).collect();
    near.sort_unstable();
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [("", "", 0), ("", "ab", 2), ("naem", "name", 1), ("htp", "http", 1), ("tags", "tag", 1)];
        for (one, other, expected) in cases {
            assert_eq!(edit_distance(one, other), expected, "{one} {other}");
            assert_eq!(edit_distance(other, one), expected, "{other} {one}");
        }
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_nearest_comes_first_and_short_words_must_be_nearer() {
        assert_eq!(nearest("web-11", ["db", "web-2", "web-1"], 2), ["web-1", "web-2"]);
        assert_eq!(nearest("ip", ["id"], 2), [""; 0]);
    }
}
