//! `portreeve test`: renders templates with fixtures, and compares the result with expected files.
//!
//! ```text
//! case directory: fixture.yaml, case.toml, expected/etc/nginx/conf.d/web.conf
//!      fixture --> render offline --> files by destination --compare--> problems
//! ```

mod case;
mod compare;
mod report;
mod run;

pub use self::{
    case::{FindCasesError, TestCase, find_cases},
    report::{CaseOutcome, CaseProblem, CaseVerdict, TestReport},
    run::{TestOptions, run_cases},
};
