//! Lists of files in log lines.

use std::path::PathBuf;

/// How many files are named.
const MAX_NAMED: usize = 8;

/// The paths of the files; of many only the first ones, and the number of the others.
pub(crate) fn format_file_list(files: &[PathBuf]) -> String {
    // A single further path is as short as "and 1 more files", so it is named.
    let named = if files.len() > MAX_NAMED + 1 { MAX_NAMED } else { files.len() };
    let names: Vec<_> = files[..named].iter().map(|path| path.display().to_string()).collect();
    let names = names.join(", ");
    match files.len() - named {
        0 => names,
        more => format!("{names} and {more} more files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_named_and_the_others_counted() {
        let files: Vec<_> = (0..500).map(|number| PathBuf::from(format!("/{number}"))).collect();
        assert_eq!(format_file_list(&files[..2]), "/0, /1");
        assert_eq!(format_file_list(&files[..9]), "/0, /1, /2, /3, /4, /5, /6, /7, /8");
        assert_eq!(format_file_list(&files), "/0, /1, /2, /3, /4, /5, /6, /7 and 492 more files");
    }
}
