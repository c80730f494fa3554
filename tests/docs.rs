//! Checks the examples and links on all pages of the documentation.
//!
//! The language of a block selects the test. Blocks of `text` or without a language are not tested.
//!
//! | block                              | requirement                                                                        |
//! |------------------------------------|------------------------------------------------------------------------------------|
//! | `toml`                             | it is a complete configuration file that loads                                     |
//! | `handlebars`, `handlebars json`    | it renders (not tested if a block `error` follows)                                 |
//! | `handlebars NAME.hbs`              | it is a partial for the templates that follow                                      |
//! | `yaml`                             | it is a Compose file without mistakes                                              |
//! | `yaml fixture.yaml`                | it is the fixture of the templates that follow                                     |
//! | `toml NAME.toml`                   | it is TOML                                                                         |
//! | `sh`, `console`, `ini`             | each `portreeve` command line is accepted (`ini`: ExecStart of a systemd unit)     |
//! | `console`                          | `$ portreeve lint FILE` prints the shown output for the preceding Compose file;    |
//! |                                    | so does `$ portreeve check` for the preceding configuration and template           |

#[path = "docs/answers.rs"]
mod answers;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/configurations.rs"]
mod configurations;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/page.rs"]
mod page;
#[path = "common/private_etc.rs"]
mod private_etc;
#[path = "docs/sessions.rs"]
mod sessions;
#[path = "docs/templates.rs"]
mod templates;

use page::{Page, pages};

/// Panics with the problems of all pages, each with its position.
#[track_caller]
fn none(problems: impl Fn(&Page, &[Page]) -> Vec<(usize, String)>) {
    let pages = pages();
    let found: Vec<_> = pages
        .iter()
        .flat_map(|page| {
            let place = |(line, problem)| format!("{}:{line}: {problem}", page.name);
            problems(page, &pages).into_iter().map(place)
        })
        .collect();
    assert!(found.is_empty(), "{}\n{} problems", found.join("\n"), found.len());
}

#[test]
fn configurations_load() {
    none(|page, _| configurations::problems(page));
}

#[test]
fn templates_render() {
    none(|page, _| templates::problems(page));
}

#[test]
fn lint_and_check_print_the_shown_output_and_compose_files_have_no_mistakes() {
    none(|page, _| sessions::problems(page));
}

#[test]
fn command_lines_are_accepted() {
    none(|page, _| commands::problems(page));
}

#[test]
fn links_lead_somewhere() {
    none(links::problems);
}

#[test]
fn the_pages_have_blocks_of_every_kind() {
    let pages = pages();
    let blocks: Vec<_> = pages.iter().flat_map(|page| &page.blocks).collect();
    for language in ["toml", "handlebars", "yaml", "sh", "console"] {
        assert!(blocks.iter().any(|block| block.language() == language), "{language}");
    }
}
