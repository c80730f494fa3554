//! `portreeve render rollback`.

use std::fmt::Write;

use portreeve::{
    cli::Rollback,
    condition::chain,
    config::Config,
    control::{self, ControlError},
    render::{self, Account, Order, Setup},
    target::Generation,
};
use tokio_util::sync::CancellationToken;

use crate::{Failure, answer, signals::end_on_signals, usage};

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
    let (stop, at_once) = (CancellationToken::new(), CancellationToken::new());
    end_on_signals(stop.clone(), at_once).map_err(Failure::Run)?;
    let socket = control::socket(&state_dir);
    let asked = control::ask(&socket, &order);
    let asked = tokio::select! {
        answer = asked => answer,
        () = tokio::time::sleep(flags.deadline) => return Err(late(flags)),
        () = stop.cancelled() => return Err(refused("stopped before the answer came".to_owned())),
    };
    let accounts = match asked {
        Ok(accounts) => accounts,
        Err(ControlError::NobodyThere(_)) => {
            let setup = Setup::open(config.into()).map_err(usage)?;
            let mut work = std::pin::pin!(render::order(setup, order, &stop));
            let done = tokio::select! {
                done = &mut work => done,
                () = tokio::time::sleep(flags.deadline) => {
                    stop.cancel();
                    work.await
                }
            };
            done.map_err(refused)?
        }
        Err(error) => return Err(refused(chain(&error))),
    };
    answer(flags.format, &text(&accounts, flags), &accounts)
}

fn late(flags: &Rollback) -> Failure {
    refused(format!("not known to be in effect within {:?}: see the log of render", flags.deadline))
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
