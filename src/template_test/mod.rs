//! `portreeve test`: templates are rendered with fixtures, and what comes out is compared with expected files.
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
    case::{Case, FindError, find},
    report::{Outcome, Problem, Report, Verdict},
    run::{Options, run},
};
