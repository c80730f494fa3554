//! `portreeve render rollback`.

use std::{fmt::Write, future::Future};

use portreeve::{
    cli::Rollback,
    condition::chain,
    config::Config,
    control::{self, ControlError},
    render::{self, Account, Order, Setup},
    target::Generation,
};

use crate::{Failure, answer, usage};

/// Orders the portreeve that runs, or does it itself if none does.
pub(crate) async fn rollback(flags: &Rollback, config: Config) -> Result<(), Failure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
    let state_dir = config.render.state_dir().map_err(usage)?;
    let target = flags.target.clone();
    let order = match (flags.list, flags.release) {
        (true, _) => Order::List { target },
        (_, true) => Order::Release { target },
        _ => Order::Rollback { target, to: flags.to },
    };
    let accounts = match in_time(flags, control::ask(&control::socket(&state_dir), &order)).await? {
        Ok(accounts) => accounts,
        Err(ControlError::NobodyThere(_)) => {
            let setup = Setup::open(config.into()).map_err(usage)?;
            in_time(flags, render::order(setup, order)).await?.map_err(refused)?
        }
        Err(error) => return Err(refused(chain(&error))),
    };
    answer(flags.format, &text(&accounts, flags), &accounts)
}

async fn in_time<T>(flags: &Rollback, work: impl Future<Output = T>) -> Result<T, Failure> {
    let late = |_| refused(format!("not known to be in effect within {:?}: see the log of render", flags.deadline));
    tokio::time::timeout(flags.deadline, work).await.map_err(late)
}

fn refused(reason: String) -> Failure {
    Failure::Run(anyhow::Error::msg(reason))
}

fn text(accounts: &[Account], flags: &Rollback) -> String {
    let mut text = String::new();
    for Account { target, held, generations } in accounts {
        // Writing to a text cannot fail.
        let _ = match held {
            Some(number) if !flags.list => writeln!(text, "{target}: generation {number} is in effect and held on to"),
            None if flags.release => writeln!(text, "{target}: follows its templates"),
            _ => list(&mut text, target, *held, generations),
        };
    }
    text
}

fn list(text: &mut String, target: &str, held: Option<u64>, generations: &[Generation]) -> std::fmt::Result {
    if generations.is_empty() {
        return writeln!(text, "{target}: no generations yet");
    }
    writeln!(text, "{target}:")?;
    let in_effect = held.or_else(|| generations.last().map(|newest| newest.number));
    for Generation { number, since, files } in generations {
        let mark = match () {
            () if held == Some(*number) => "  (held)",
            () if in_effect == Some(*number) => "  (in effect)",
            () => "",
        };
        let plural = if files.len() == 1 { "" } else { "s" };
        writeln!(text, "  {number:>4}  {since}  {} file{plural}{mark}", files.len())?;
    }
    Ok(())
}
